"""What several test modules need: small runs, and images on the disk."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses

import pytest
from helpers import REPOSITORY, TINY, random_image, write_image

REAL_DATA = REPOSITORY.parent / "shared" / "datasets"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """PIX2PIX_TEST_SAMPLE=N runs every N-th test, as .ci/run does. By default, all run."""
    every = int(os.environ.get("PIX2PIX_TEST_SAMPLE", "1"))
    config.hook.pytest_deselected(items=[item for index, item in enumerate(items) if index % every])
    items[:] = items[::every]


@pytest.fixture
def side_by_side_folder(tmp_path):
    """Ten side-by-side PNGs of 40x40 pixels a side."""
    for number in range(10):
        write_image(tmp_path / "pairs" / f"{number}.png", random_image(number, 40, 80))
    return tmp_path / "pairs"


@pytest.fixture
def real_facades():
    """The folder with the real facades archive, which is not part of the project."""
    if not (REAL_DATA / "facades.tar.gz").exists():
        pytest.skip(f"no real facades: {REAL_DATA / 'facades.tar.gz'} is not there")
    return REAL_DATA


@pytest.fixture(scope="session")
def tiny_training(tmp_path_factory):
    """The result of training TINY to its end, and the records that were reported."""
    from tf_pix2pix.training import train

    records = []
    return train(TINY, tmp_path_factory.mktemp("tiny") / "run", on_record=records.append), records


@pytest.fixture(scope="session")
def tiny_run(tiny_training):
    """The directory of a run of TINY, trained to its end."""
    return tiny_training[0].run_dir


@pytest.fixture(scope="session")
def inpaint_run(tmp_path_factory):
    """The directory of a run of TINY that fills holes: RGBA in, RGB out. Its photos are the targets, side A."""
    from tf_pix2pix.training import train

    run_dir = tmp_path_factory.mktemp("inpaint") / "run"
    train(dataclasses.replace(TINY, task="inpaint", steps=1, depth=3), run_dir)
    return run_dir


@pytest.fixture(scope="session")
def tiny_export(tiny_run, tmp_path_factory):
    """(folder, rows) of the export of tiny_run as SavedModel and TFLite, the latter of the size trained on."""
    from tf_pix2pix.exporting import export
    from tf_pix2pix.exporting.artifact import Options

    output = tmp_path_factory.mktemp("tiny") / "exported"
    options = Options(tflite_precision=("float32", "int8"), max_pixels=2000 * 1000)
    return output, export(tiny_run, output, options=options)
