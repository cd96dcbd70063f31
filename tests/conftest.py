"""What several test modules need: small runs, and pictures on the disk."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_pix2pix.config import TrainConfig

REPOSITORY = Path(__file__).parent.parent
REAL_DATA = REPOSITORY.parent / "shared" / "datasets"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """PIX2PIX_TEST_SAMPLE=N runs every N-th test, as .ci/run does. By default, all run."""
    every = int(os.environ.get("PIX2PIX_TEST_SAMPLE", "1"))
    config.hook.pytest_deselected(items=[item for index, item in enumerate(items) if index % every])
    items[:] = items[::every]


# Networks of a few thousand parameters on 32x32 pixels of the built-in set, dropout and jitter on.
TINY = TrainConfig(
    dataset="synthetic_facades",
    crop_size=(32, 32),
    filters=4,
    steps=6,
    batch_size=2,
    direction="BtoA",
    resize_b="nearest",
    samples=2,
    eval_pairs=3,
    sample_every=3,
    eval_every=3,
    checkpoint_every=3,
    log_every=2,
    seed=5,
)


@pytest.fixture
def tiny_config():
    return TINY


@pytest.fixture
def changed():
    """TINY with some fields changed."""
    return lambda **fields: dataclasses.replace(TINY, **fields)


def random_picture(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def pillow_bicubic(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, c] in 0..255 -> float32 [*size, c], by Pillow without rounding."""
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(picture, 2, 0)]
    resized = [np.asarray(plane.resize(size[::-1], Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(resized, axis=2), 0, 255)


def random_deep(seed: int, height: int, width: int, channels: int, dtype: str = "uint16") -> np.ndarray:
    """All values of a whole-number dtype, or floats from -1000 to 3000."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.uniform(-1000, 3000, (height, width, channels)).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def write_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(path)
    return path


@pytest.fixture
def side_by_side_folder(tmp_path):
    """Ten side-by-side PNGs of 40x40 pixels a side."""
    for number in range(10):
        write_picture(tmp_path / "pairs" / f"{number}.png", random_picture(number, 40, 80))
    return tmp_path / "pairs"


@pytest.fixture
def real_facades():
    """The folder with the real facades archive, which is not part of the project."""
    if not (REAL_DATA / "facades.tar.gz").exists():
        pytest.skip(f"no real facades: {REAL_DATA / 'facades.tar.gz'} is not there")
    return REAL_DATA


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The directory of a run of TINY, trained to its end."""
    from tf_pix2pix.training import train

    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    train(TINY, run_dir)
    return run_dir


@pytest.fixture(scope="session")
def inpaint_run(tmp_path_factory):
    """The directory of a run of TINY that fills holes: RGBA in, RGB out. Its photos are the targets (TINY is BtoA)."""
    from tf_pix2pix.training import train

    run_dir = tmp_path_factory.mktemp("inpaint") / "run"
    train(dataclasses.replace(TINY, task="inpaint", steps=1), run_dir)
    return run_dir


@pytest.fixture(scope="session")
def tiny_export(tiny_run, tmp_path_factory):
    """(folder, rows) of the export of tiny_run as SavedModel and TFLite, the latter of the size trained on."""
    from tf_pix2pix.exporting import export
    from tf_pix2pix.exporting.artifact import Options

    output = tmp_path_factory.mktemp("tiny") / "exported"
    options = Options(tflite_precision=("float32", "int8"), max_pixels=2000 * 1000)
    return output, export(tiny_run, output, options=options)
