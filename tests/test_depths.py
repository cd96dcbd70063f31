"""From files of every depth, through a run, to translated files and exported models."""

import dataclasses
import re

import numpy as np
import pytest
import tifffile
from conftest import TINY
from PIL import Image
from serving_double import ServingDouble

from tf_pix2pix import images, model_card, runs
from tf_pix2pix.cli.translate import main
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.training import train
from tf_pix2pix.translation import Translator

DEEP_LEVELS = 16  # of 65535, which exports may be off by


def field(seed: int, channels: int, depth: str = "uint16") -> np.ndarray:
    """A smooth picture, 40x48, from the least value of its depth to the most, of floats from -1000 to 3000."""
    rng = np.random.default_rng(seed)
    y, x = (axis[:, :, np.newaxis] / 40 for axis in np.mgrid[:40, :48])
    waves = [np.cos(a * x + b * y + c) for a, b, c in rng.uniform(-9, 9, (4, 3, channels))]
    values = sum(waves)
    values = (values - values.min()) / np.ptp(values)
    if depth == "float32":
        return (values * 4000 - 1000).astype(np.float32)
    return np.round(values * images.DEPTHS[depth][1]).astype(depth)


def trained(root, inputs, targets, **fields):
    """A tiny run on pairs of pictures of (channels, depth, the files' ending)."""
    for split, seeds in {"train": range(4), "val": range(4, 6)}.items():
        for seed in seeds:
            for side, (channels, depth, ending) in {"a": inputs, "b": targets}.items():
                path = root / "set" / split / side / f"{seed}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                images.write(path, field(seed, channels, depth))
    config = dataclasses.replace(
        TINY,
        dataset=str(root / "set"),
        direction="AtoB",
        resize_b="bicubic",
        steps=2,
        samples=1,
        eval_pairs=2,
        **fields,
    )
    train(config, root / "run")
    return root / "run"


def translate(run_dir, output, *flags, source=None):
    """Runs the command on the run's held-out inputs -> the results, by name."""
    source = source or run_dir.parent / "set" / "val" / "a"
    assert main(["translate", f"--model={run_dir}", str(source), f"--output={output}", *flags]) == 0
    return {path.name: images.decode(path.read_bytes()) for path in sorted(output.iterdir())}


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    """A run of 16-bit gray to 16-bit gray."""
    return trained(tmp_path_factory.mktemp("gray"), (1, "uint16", ".png"), (1, "uint16", ".png"))


@pytest.fixture(scope="module")
def gray_export(gray):
    options = Options(tflite_precision=("float32", "float16"), tflite_size=(0, 0), batch_sizes=(1,))
    return export(gray, gray.parent / "exported", ["saved_model", "tflite", "onnx"], options=options)


def test_16_bits_stay_16_bits(gray, tmp_path):
    config = runs.read_config(gray)
    assert (config.input_depth, config.output_depth, config.output_range) == ("uint16", "uint16", None)
    results = translate(gray, tmp_path / "out")
    assert list(results) == ["4.png", "5.png"]
    with Image.open(tmp_path / "out" / "4.png") as file:
        assert (file.mode, file.size) == ("I;16", (48, 40))
    translator = Translator.from_run(gray)
    for name, result in results.items():
        assert (result.dtype, result.shape) == (np.uint16, (40, 48, 1))
        assert len(np.unique(result)) > 256
        seed = int(name.removesuffix(".png"))
        np.testing.assert_array_equal(result, translator.translate(field(seed, 1)))
    shallow = field(4, 1, "uint8")
    wide = images.with_depth(shallow, images.Format("uint16"))
    np.testing.assert_array_equal(translator.translate(shallow), translator.translate(wide))


def test_the_runs_error_is_that_of_its_16_bit_pictures(gray):
    """L1 of [-1, 1] is 32767.5 levels; both are rounded to whole ones."""
    translator = Translator.from_run(gray, "latest")
    pairs = runs.read_examples(gray, "held_out")
    assert {side.dtype.name for pair in pairs for side in pair} == {"uint16"}
    assert len(np.unique(pairs[0][0])) > 256
    errors = [np.abs(translator.translate(a).astype(int) - b).mean() for a, b in pairs]
    measured = [record["val_l1"] for record in runs.read_metrics(gray) if record.get("val_l1")][-1]
    assert np.mean(errors) == pytest.approx(32767.5 * measured, abs=1)


def test_exports_give_the_16_bit_pictures(gray, gray_export):
    bounds = {"model-float16.tflite": 257}  # as much of the range as 1 of 255
    for row in gray_export:
        assert row.levels == 65535
        assert row.max_difference <= bounds.get(row.path.name, DEEP_LEVELS)
    card = model_card.read_card(gray_export[0].path)
    for side in ("image", "generated"):
        assert (card[side]["depth"], card[side]["values"]) == ("uint16", [0, 65535])
    own = Translator.from_run(gray)
    picture = field(9, 1)[:33, :47]
    expected = own.translate(picture).astype(int)
    assert len(np.unique(expected)) > 256
    output = gray_export[0].path.parent
    with ServingDouble(output) as server:
        for model in (output, output / "model-float32.tflite", output / "model.onnx", server.url):
            given = Translator.load(model).translate(picture)
            assert (given.dtype, given.shape) == (np.uint16, picture.shape)
            assert np.abs(expected - given).max() <= DEEP_LEVELS
        served = Translator.load(server.url)
        assert (
            np.abs(own.translate(picture // 257 * 257).astype(int) - served.translate(picture // 257 * 257)).max() <= 16
        )
        with pytest.raises(InputError, match="a server takes pictures of 8 or 16 bits, not floats"):
            served.translate(picture.astype(np.float32))


def test_an_export_that_is_right_to_8_bits_only_is_refused(gray, tmp_path, monkeypatch):
    from tf_pix2pix import exporting
    from tf_pix2pix.exporting.artifact import Artifact

    own = Translator.from_run(gray)

    def write(source, directory, options):
        path = directory / "model.fake"
        path.write_text("a model")
        read = lambda picture: own.translate(picture) // 257 * 257  # noqa: E731
        return [Artifact(path, {"a reader": read}, max_difference=source.max_difference)]

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    with pytest.raises(RunError, match="by 2[0-9][0-9] of 65535, 16 allowed; nothing was exported"):
        export(gray, tmp_path / "out", ["fake"])


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    """A run of 8-bit RGBA to floats of a range of their own."""
    return trained(
        tmp_path_factory.mktemp("floats"), (4, "uint8", ".png"), (1, "float32", ".npy"), output_range=(-2000.0, 3000.0)
    )


def test_floats_stay_floats(floats, tmp_path):
    config = runs.read_config(floats)
    assert (config.input_channels, config.input_depth, config.input_range) == (4, "uint8", None)
    assert (config.output_channels, config.output_depth, config.output_range) == (1, "float32", (-2000.0, 3000.0))
    target = runs.read_examples(floats, "held_out")[0][1]
    assert (target.dtype, target.shape) == (np.float32, (32, 32, 1))
    resized = images.resize(field(4, 1, "float32"), (32, 32), "bicubic")
    np.testing.assert_allclose(target, resized, atol=1e-3)
    results = translate(floats, tmp_path / "out")
    assert list(results) == ["4.npy", "5.npy"]
    for result in results.values():
        assert (result.dtype, result.shape) == (np.float32, (40, 48, 1))
        assert -2000 <= result.min() < result.max() <= 3000
    as_tiff = translate(floats, tmp_path / "tiff", "--output_format=tiff")
    np.testing.assert_array_equal(as_tiff["4.tif"], results["4.npy"])


def test_floats_are_served_as_16_bits_of_their_range(floats, tmp_path):
    rows = export(floats, tmp_path, ["saved_model"], options=Options(batch_sizes=(1,)))
    assert all(row.max_difference <= DEEP_LEVELS and row.levels == 65535 for row in rows)
    picture = field(9, 4, "uint8")
    own = Translator.from_run(floats).translate(picture)
    with ServingDouble(tmp_path) as server:
        served = Translator.load(server.url).translate(picture)
    assert served.dtype == np.uint16
    assert np.abs((own + 2000) / 5000 * 65535 - served).max() <= DEEP_LEVELS


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """A run of float gray, of a range measured, to 16-bit RGB."""
    return trained(tmp_path_factory.mktemp("coloured"), (1, "float32", ".npy"), (3, "uint16", ".tiff"))


def test_gray_floats_become_16_bit_rgb(coloured, tmp_path):
    config = runs.read_config(coloured)
    assert (config.input_channels, config.input_depth, config.input_range) == (1, "float32", (-1000.0, 3000.0))
    assert (config.output_channels, config.output_depth, config.output_range) == (3, "uint16", None)
    as_png = translate(coloured, tmp_path / "png")
    as_tiff = translate(coloured, tmp_path / "tiff", "--output_format=tiff")
    assert (list(as_png), list(as_tiff)) == (["4.png", "5.png"], ["4.tif", "5.tif"])
    for name, result in as_png.items():
        assert (result.dtype, result.shape) == (np.uint16, (40, 48, 3))
        assert len(np.unique(result)) > 256
        written = tifffile.imread(tmp_path / "tiff" / name.replace(".png", ".tif"))
        np.testing.assert_array_equal(written, result)
    translator, picture = Translator.from_run(coloured), field(4, 1, "float32")
    beyond = np.where(picture > 2000, picture + 9000, np.minimum(picture, 3000))
    clipped = np.clip(beyond, -1000, 3000)
    np.testing.assert_array_equal(translator.translate(beyond), translator.translate(clipped))
    for given, message in (
        (field(4, 1), "it has 16 bits a channel, not floats of -1000,3000; save it as a TIFF or NPY file of floats"),
        (np.full((4, 4, 1), np.nan, np.float32), "it holds values that are not finite"),
    ):
        with pytest.raises(InputError, match=message):
            translator.translate(given)


def test_the_same_command_resumes_a_run_of_measured_ranges(coloured, capsys):
    config = dataclasses.replace(runs.read_config(coloured), input_range=None, output_depth=None)
    train(dataclasses.replace(config, steps=3), coloured)
    assert "resuming at step 2 of 3" in capsys.readouterr().out
    with pytest.raises(InputError, match="another config: input_range -1000.0,3000.0 -> -1000.0,2000.0"):
        train(dataclasses.replace(config, steps=4, input_range=(-1000.0, 2000.0)), coloured)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--output=out", "--output_format=png"],
            "results are floats, which PNG cannot store; use --output_format",
        ),
        (["--output=out.png"], "results are floats, which PNG cannot store"),
        (["--output=out.jpg"], "--output=out.jpg: results are NPY files; use out.npy, or .png or .tif or .tiff"),
        (["--output=out.tif", "--output_format=npy"], "--output=out.tif: results are NPY files; use out.npy$"),
        (["--output=out", "--output_format=jpg"], "--output_format=jpg: must be one of png, tiff, npy"),
    ],
)
def test_files_that_results_cannot_be_are_named(floats, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    images.write(tmp_path / "a.png", field(0, 4, "uint8"))
    assert main(["translate", f"--model={floats}", "a.png", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_result_is_written_as_its_file_is_called(floats, tmp_path):
    images.write(tmp_path / "a.png", field(0, 4, "uint8"))
    for name in ("one.TIFF", "two.npy"):
        assert main(["translate", f"--model={floats}", f"{tmp_path}/a.png", f"--output={tmp_path}/{name}"]) == 0
    assert tifffile.imread(tmp_path / "one.TIFF").dtype == np.float32
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "one.TIFF"), np.load(tmp_path / "two.npy")[:, :, 0])
