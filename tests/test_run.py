import json

import numpy as np
import pytest
import tensorflow as tf
from helpers import TINY, change, make_run, make_sides, random_image

from tf_pix2pix import checkpoints, images
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import Palette
from tf_pix2pix.run import Run, restore_generator
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training.step import build_state


@pytest.fixture
def run(tmp_path):
    """A run that has not begun."""
    run = Run(tmp_path / "run", TINY, make_sides())
    run.write_settings()
    return run


def test_settings_come_back_from_their_files(tmp_path):
    palette = Palette(((0, 0, 0), (255, 0, 0)), ("sky", "wall"), (10, 20))
    sides = Sides(Side(3, palette=palette, resize="nearest"), Side(1, "float32", (-2.5, 7.0)))
    config = change(crop_size=(32, 64), output_range=(-2.5, 7.0), input_encoding="onehot")
    Run(tmp_path, config, sides).write_settings()
    run = Run.open(tmp_path)
    assert (run.config, run.sides) == (config, sides)
    assert run.sides.input.palette.counts == (10, 20)
    assert {json.loads((tmp_path / name).read_text())["format_version"] for name in ("config.json", "sides.json")} == {
        1
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "run: not a run directory, config.json is missing; pass a run's --output_dir"),
        ("config.json", b"\xff\xfe\x00", "config.json: not readable as JSON"),
        ("config.json", b'{"dataset": "x"}', "config.json: no format_version, so .*; .* so train the run again"),
        ("config.json", b'{"format_version": 99}', "config.json: format version 99; this release reads version 1"),
        ("sides.json", None, "sides.json is missing; copy the whole run directory, or train again"),
        ("sides.json", b"{", "sides.json: damaged .*; restore the file, or train again"),
        ("sides.json", b"[]", "sides.json: damaged"),
        ("sides.json", b'{"input": {"channels": 3}}', "sides.json: damaged"),
    ],
)
def test_a_damaged_run_directory_is_refused_in_one_line(run, name, content, message):
    (run.directory / name).unlink()
    if content is not None:
        (run.directory / name).write_bytes(content)
    for open_run in (Run.open, restore_generator):
        with pytest.raises(InputError, match=message) as raised:
            open_run(run.directory)
        assert str(run.directory) in str(raised.value)
        assert len(str(raised.value).splitlines()) == 1


def test_a_folder_of_runs_names_the_runs_inside(tmp_path):
    for name in ("second", "first"):
        Run(tmp_path / name, TINY, make_sides()).write_settings()
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="not a run directory, .*; it contains the runs first, second; pass one of"):
        Run.open(tmp_path)
    (tmp_path / "file.png").touch()
    with pytest.raises(InputError, match="file.png: not a run directory"):
        Run.open(tmp_path / "file.png")


def test_records_are_lines_of_json(run):
    assert run.records() == []
    for step in range(3):
        run.append_record({"step": step, "l1": step / 3})
    assert run.records() == [{"step": step, "l1": step / 3} for step in range(3)]
    with open(run.directory / "metrics.jsonl", "a") as file:
        file.write('{"step": 7, "gen')  # a kill cuts the last line
    assert run.records()[-1]["step"] == 2
    run.forget_after(1)
    assert [record["step"] for record in run.records()] == [0, 1]
    (run.directory / "metrics.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match="metrics.jsonl: damaged .*; remove the line"):
        run.records()


def test_the_sample_grid_is_a_png_with_a_row_for_each_image(run):
    rows = [tuple(random_image(10 * row + column, 16, 16) for column in range(3)) for row in range(2)]
    path = run.write_sample_grid(12, rows)
    assert path == run.sample_grid(12) == run.directory / "samples" / "step_00000012.png"
    expected = images.sample_grid(["input", "output", "target"], rows)
    np.testing.assert_array_equal(images.decode(path.read_bytes()), expected)


@pytest.mark.parametrize("fields", [dict(precision="mixed_bfloat16"), dict(ema_decay=0.9)])
def test_the_generator_is_restored_in_float32_or_its_moving_average(tmp_path, fields):
    run = Run(tmp_path, change(**fields), make_sides())
    run.write_settings()
    state = build_state(run, 1)
    for variable in state.sampled.trainable_variables:
        variable.assign(variable + 0.5)
    checkpoints.save(run.checkpoints, "step", 1, state.checkpoint())
    generator = restore_generator(tmp_path, "latest")
    assert {layer.compute_dtype for layer in generator.layers} == {"float32"}
    for restored, trained in zip(generator.trainable_variables, state.sampled.trainable_variables, strict=True):
        np.testing.assert_array_equal(restored, trained)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    other = Run(run.directory, change(filters=8), make_sides())
    with pytest.raises(InputError, match="step-00000001: damaged"):
        other.generator("latest")


def test_checkpoints_are_found_by_name_or_step(run):
    with pytest.raises(InputError, match="checkpoint best is missing; train until the first one is saved"):
        run.find_checkpoint("best")
    for name in ("step-00000003", "step-00000012"):
        (run.checkpoints / name).mkdir(parents=True)
    assert run.find_checkpoint("best") == run.find_checkpoint("latest")  # before the first evaluation
    for name in ("best-00000002", "best-00000010"):
        (run.checkpoints / name).mkdir()
    for name, folder in (("latest", "step-00000012"), ("best", "best-00000010"), ("3", "step-00000003")):
        assert run.find_checkpoint(name) == (run.checkpoints / folder, int(folder[5:]))
    assert run.find_checkpoint(3) == run.find_checkpoint("3")
    with pytest.raises(InputError, match="checkpoint 4 is missing; choose one of 3, 12, latest, best"):
        run.find_checkpoint("4")


def test_examples_come_back_in_their_order(run):
    pairs = [(random_image(number, 4, 4), random_image(100 + number, 4, 4, 1)) for number in range(12)]
    pairs[5] = pairs[5][0].astype(np.uint16) * 257, pairs[5][1].astype(np.float32) / 7
    (run.directory / "examples" / "train.partial" / "left").mkdir(parents=True)  # by a kill
    run.write_examples("train", iter(pairs))
    assert [path.name for path in (run.directory / "examples").iterdir()] == ["train"]
    for read, written in zip(run.examples("train"), pairs, strict=True):
        for image, expected in zip(read, written, strict=True):
            assert image.dtype == expected.dtype
            np.testing.assert_array_equal(image, expected)
    target = run.directory / "examples" / "train" / "03_target.png"
    target.unlink()
    with pytest.raises(InputError, match=f"{target}: .*No such file.*; remove .*examples and run the training command"):
        run.examples("train")
    with pytest.raises(
        InputError, match="val: examples are missing; run the training command again, which writes them"
    ):
        run.examples("val")


def test_examples_are_all_there_or_none(run):
    def failing():
        yield random_image(0, 4, 4), random_image(1, 4, 4)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.write_examples("train", failing())
    assert not run.has_examples("train")


def test_sizes_that_do_not_fit_name_their_flags():
    with pytest.raises(InputError, match="--crop_size=32x32 --generator=unet: "):
        Run("not written", change(depth=9), make_sides()).build_generator()


def test_with_a_codec_the_generator_is_from_images_to_images(tmp_path):
    colors = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
    sides = Sides(Side(3, palette=Palette(colors)), Side(3, palette=Palette(colors[1:])))
    run = make_run(tmp_path / "run", sides, input_encoding="onehot", target_encoding="classes")
    assert run.build_generator().input_shape[3] == 4
    generator = run.generator("latest")
    assert (generator.input_shape[3], generator.output_shape[3]) == (3, 3)
    generated = generator(tf.constant(np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)), tf.float32))
    assert sides.target.palette.count_unknown(images.from_float(generated[0]).numpy()) == 0
