"""Every depth from files, through a run, to generated images and exports."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import change, make_run
from serving_double import ServingDouble

from tf_pix2pix import exporting, images, model_card
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export
from tf_pix2pix.exporting.artifact import Artifact, Options
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training import train
from tf_pix2pix.translation import Translator

DEEP_LEVELS = 16  # of 65535: the difference that exports may have


def field(seed: int, side: Side, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth image, from the least value of a side to the greatest."""
    rng = np.random.default_rng(seed)
    y, x = (axis[:, :, np.newaxis] / 40 for axis in np.mgrid[:height, :width])
    waves = sum(np.cos(a * x + b * y + c) for a, b, c in rng.uniform(-9, 9, (4, 3, side.channels)))
    waves = (waves - waves.min()) / np.ptp(waves)
    low, high = side.bounds
    values = waves * (high - low) + low
    return (values if side.depth == "float32" else np.round(values)).astype(side.depth)


FLOATS = Sides(Side(1, "float32", (-1000.0, 3000.0)), Side(3, "uint16"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run from gray floats, whose range is measured, to 16-bit RGB."""
    root = tmp_path_factory.mktemp("floats")
    for split, seeds in {"train": range(4), "val": range(4, 6)}.items():
        for name, side, extension in (("a", FLOATS.input, ".npy"), ("b", FLOATS.target, ".tiff")):
            (root / "set" / split / name).mkdir(parents=True)
            for seed in seeds:
                images.write(root / "set" / split / name / f"{seed}{extension}", field(seed, side))
    fields = dict(direction="AtoB", resize_b="bicubic", steps=2, samples=1, eval_pairs=2)
    train(change(dataset=str(root / "set"), **fields), root / "run")
    return Run.open(root / "run")


def test_a_run_keeps_the_depths_of_its_files(trained):
    assert trained.sides == FLOATS
    assert (trained.config.input_depth, trained.config.input_range) == (None, None)  # as the user asked
    translator = Translator.from_run(trained.directory)
    image = field(4, FLOATS.input)
    generated = translator.translate(image)
    assert (generated.dtype, generated.shape) == (np.uint16, (40, 48, 3))
    assert len(np.unique(generated)) > 256
    beyond = np.where(image > 2000, image + 9000, image)
    expected = translator.translate(np.clip(beyond, -1000, 3000))
    np.testing.assert_array_equal(translator.translate(beyond), expected)
    with pytest.raises(InputError, match="16 bits a channel, expected floats in -1000,3000; save it as a TIFF or NPY"):
        translator.translate(field(4, FLOATS.target))
    with pytest.raises(InputError, match="the image has values that are not finite"):
        translator.translate(np.full((4, 4, 1), np.nan, np.float32))


def test_the_validation_error_is_that_of_its_images(trained):
    """An L1 of 1 is 32767.5 levels; images are rounded to whole levels."""
    translator = Translator.from_run(trained.directory, "latest")
    pairs = trained.examples("val")
    assert [image.dtype for image in pairs[0]] == [np.float32, np.uint16]
    expected = images.resize(field(4, FLOATS.input), (32, 32), "bicubic")
    np.testing.assert_allclose(pairs[0][0], expected, atol=1e-3)
    errors = [np.abs(translator.translate(a).astype(int) - b).mean() for a, b in pairs]
    measured = [record["val_l1"] for record in trained.records() if "val_l1" in record][-1]
    assert np.mean(errors) == pytest.approx(32767.5 * measured, abs=1)


def test_the_same_command_resumes_a_run_with_measured_ranges(trained, capsys):
    train(trained.config, trained.directory)
    assert "nothing left to do" in capsys.readouterr().out
    with pytest.raises(InputError, match="other settings .input_range None -> -1000.0,2000.0"):
        train(replace(trained.config, input_range=(-1000.0, 2000.0)), trained.directory)
    path = trained.directory.parent / "set" / "train" / "a" / "0.npy"
    images.write(path, field(0, FLOATS.input) * 2)
    message = r"other input images \(value_range \(-1000.0, 3000.0\) -> \(-2000.0, 6000.0"
    with pytest.raises(InputError, match=message):
        train(replace(trained.config, steps=4), trained.directory)


def make_exportable(directory, sides, **fields):
    run = make_run(directory, sides, **fields)
    for split, seed in (("train", 0), ("val", 1)):
        run.write_examples(split, [tuple(field(seed, side, 32, 32) for side in sides)])
    return run


@pytest.fixture(scope="module")
def deep_run(tmp_path_factory):
    """A run from 16-bit gray to 16-bit gray."""
    return make_exportable(tmp_path_factory.mktemp("deep") / "run", Sides(Side(1, "uint16"), Side(1, "uint16")))


def test_exports_generate_the_16_bit_images(deep_run, tmp_path):
    options = Options(tflite_precision=("float32", "float16"), tflite_size=(0, 0), batch_sizes=(1,))
    rows = export(deep_run.directory, tmp_path, ["saved_model", "tflite", "onnx"], options=options)
    for row in rows:
        bound = 257 if row.path.name == "model-float16.tflite" else DEEP_LEVELS  # 257 is 1 of 255
        assert (row.levels, row.max_difference <= bound) == (65535, True), row
    card = model_card.read_card(rows[0].path)
    assert Sides.from_json(card["sides"]) == deep_run.sides
    own, image = Translator.from_run(deep_run.directory), field(9, deep_run.sides.input)[:33, :47]
    expected = own.translate(image).astype(int)
    assert len(np.unique(expected)) > 256
    with ServingDouble(tmp_path) as server:
        for model in (tmp_path, tmp_path / "model-float32.tflite", tmp_path / "model.onnx", server.url):
            generated = Translator.load(model).translate(image)
            assert (generated.dtype, generated.shape) == (np.uint16, image.shape)
            assert np.abs(expected - generated).max() <= DEEP_LEVELS
        with pytest.raises(InputError, match="floats: a server accepts only images of 8 or 16 bits"):
            Translator.load(server.url).translate(image.astype(np.float32))


def test_an_export_that_is_right_to_8_bits_only_is_refused(deep_run, tmp_path, monkeypatch):
    own = Translator.from_run(deep_run.directory)

    def write(source, directory, options):
        (directory / "model.fake").write_text("a model")
        reader = {"a reader": lambda image: own.translate(image) // 257 * 257}
        return [Artifact(directory / "model.fake", reader, max_difference=source.max_difference)]

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    with pytest.raises(RunError, match="2[0-9][0-9] of 65535.*16.*; nothing was exported"):
        export(deep_run.directory, tmp_path / "out", ["fake"])


def test_floats_are_served_as_16_bits_of_their_range(tmp_path):
    sides = Sides(Side(4), Side(1, "float32", (-2000.0, 3000.0)))
    run = make_exportable(tmp_path / "run", sides, depth=2)
    rows = export(run.directory, tmp_path / "out", ["saved_model"], options=Options(batch_sizes=(1,)))
    assert all(row.max_difference <= DEEP_LEVELS and row.levels == 65535 for row in rows)
    image = field(9, sides.input)
    own = Translator.from_run(run.directory).translate(image)
    assert (own.dtype, own.shape) == (np.float32, (40, 48, 1))
    with ServingDouble(tmp_path / "out") as server:
        served = Translator.load(server.url).translate(image)
    assert served.dtype == np.uint16
    assert np.abs((own + 2000) / 5000 * 65535 - served).max() <= DEEP_LEVELS
