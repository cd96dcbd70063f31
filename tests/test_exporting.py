import dataclasses
import json
import math
import os
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, random_picture

from tf_pix2pix import checkpoints, exporting, files, images, model_card, runs
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import EXPORTERS, export
from tf_pix2pix.exporting.artifact import Artifact
from tf_pix2pix.training.step import build_state
from tf_pix2pix.translation import Translator

# Odd, rectangular, one pixel, and what must be mirrored more than once to fit.
SIZES = [(1, 1), (1, 40), (31, 64), (33, 97), (200, 5), (64, 64)]


@pytest.fixture
def one_format(monkeypatch):
    """Puts one exporter, of a function of pictures, in the place of EXPORTERS."""

    def put(read, folder=False, **bounds):
        def write(source, directory, options):
            path = directory / ("saved_model" if folder else "model.fake")
            if folder:
                path.mkdir()
            else:
                path.write_text("a model")
            return [Artifact(path, {"a reader": read}, **bounds)]

        monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})

    return put


def own_pictures(run_dir):
    translator = Translator.from_run(run_dir)
    return lambda picture: translator.translate(picture)


def test_what_is_exported_gives_the_runs_pictures(tiny_run, tiny_export):
    """Through the Translator, whatever the size, within 1 of 255."""
    output, _ = tiny_export
    run = Translator.from_run(tiny_run)
    exported = Translator.load(str(output))
    for number, size in enumerate(SIZES):
        picture = random_picture(number, *size)
        own, given = run.translate(picture), exported.translate(picture)
        assert given.shape == picture.shape
        assert np.abs(own.astype(int) - given).max() <= 1


def test_the_rows_tell_each_artifact_and_reader(tiny_export):
    output, rows = tiny_export
    names = [(row.path.relative_to(output).as_posix(), row.reader) for row in rows]
    assert names == [
        ("1", "tf.saved_model"),
        ("1", "C++ session"),
        ("model-float32.tflite", "LiteRT"),
        ("model-int8.tflite", "LiteRT"),
        ("model-int8-uint8.tflite", "LiteRT"),
    ]
    for row in rows:
        assert row.megabytes > 0 < row.milliseconds
        assert 0 < row.l1 < 2
        if "int8" not in row.path.name:
            assert row.max_difference <= 1
            assert row.psnr > 48  # of pictures that are nowhere off by more than 1
    assert sorted(path.name for path in output.iterdir()) == sorted({name.split("/")[0] for name, _ in names})


def test_the_l1_is_that_of_the_runs_own_pictures(tiny_run, tiny_export):
    _, rows = tiny_export
    translate = own_pictures(tiny_run)
    l1s = [np.abs(translate(a).astype(int) - b).mean() / 127.5 for a, b in runs.read_examples(tiny_run, "held_out")]
    assert rows[0].l1 == pytest.approx(np.mean(l1s), abs=1 / 127.5)  # pictures may be off by 1 of 255, no more


def test_the_model_card_says_what_the_model_is(tiny_run, tiny_export):
    output, rows = tiny_export
    card = model_card.read_card(output / "1")
    assert TrainConfig.from_json(json.dumps(card["config"])) == runs.read_config(tiny_run)
    _, step = runs.find_checkpoint(tiny_run, "best")
    assert (card["step"], card["dataset"], card["train_size"]) == (step, TINY.dataset, [32, 32])
    assert card["metrics"]["step"] == step
    assert card["metrics"]["val_l1"] == min(r["val_l1"] for r in runs.read_metrics(tiny_run) if "val_l1" in r)
    assert (card["image"]["channels"], card["image"]["range"], card["size_multiple"]) == (3, [-1, 1], 32)
    assert card["max_pixels"] == 2000 * 1000
    assert card["parity"]["C++ session"] == {"max_difference": rows[1].max_difference, "l1": rows[1].l1}
    in_file = model_card.read_card(output / "model-float32.tflite")
    assert in_file == {key: value for key, value in card.items() if key != "parity"}


def test_the_card_has_the_figures_of_its_step(tmp_path, changed):
    config = changed(input_channels=1, output_channels=3, crop_size=(32, 64))
    for record in ({"step": 2, "val_l1": 0.5}, {"step": 3, "val_l1": 0.25}, {"step": 3, "gen_l1_loss": 0.1}):
        runs.append_metrics(tmp_path, record)
    generator = runs.build_generator(config)
    card = exporting.make_card(tmp_path, config, generator, 2, 77)
    assert card["metrics"] == {"step": 2, "val_l1": 0.5}
    assert exporting.make_card(tmp_path, config, generator, 3, 77)["metrics"] == {"step": 3, "val_l1": 0.25}
    assert exporting.make_card(tmp_path, config, generator, 4, 77)["metrics"] is None
    assert (card["image"]["channels"], card["generated"]["channels"], card["train_size"]) == (1, 3, (32, 64))
    assert card["parameters"] == sum(np.prod(variable.shape) for variable in generator.trainable_variables)


def test_an_export_is_of_the_checkpoint_asked_for(tiny_run, tmp_path, one_format):
    one_format(Translator.from_run(tiny_run, "3").translate, folder=True, max_difference=0)
    (row,) = export(tiny_run, tmp_path, ["fake"], checkpoint="3")
    assert (row.max_difference, row.psnr) == (0, math.inf)
    assert model_card.read_card(row.path)["step"] == 3


def test_a_row_is_of_all_examples_at_the_artifacts_size(tmp_path, monkeypatch):
    """A run of gray to colour, BtoA: its inputs are resized as B is, nearest, and its targets as A, bicubic."""
    config = dataclasses.replace(TINY, crop_size=(32, 64), input_channels=1, output_channels=3)
    runs.write_config(tmp_path, config)
    checkpoints.save(tmp_path / "checkpoints", "best", 1, build_state(config, 1).checkpoint())
    pairs = [(random_picture(number, 32, 64, 1), random_picture(9 + number, 32, 64)) for number in range(3)]
    for split in ("held_out", "train"):
        runs.write_examples(tmp_path, split, pairs)
    sources, seen = [], []
    given = [np.full((16, 48, 3), value, np.uint8) for value in (250, 130, 120)]

    def read(picture):
        time.sleep(0.02)
        seen.append(picture)
        return given[min(len(seen), 3) - 1]

    def write(source, directory, options):
        sources.append(source)
        (directory / "saved_model" / "variables").mkdir(parents=True)
        (directory / "saved_model" / "variables" / "weights").write_bytes(bytes(5000))
        return [Artifact(directory / "saved_model", {"a reader": read}, fixed_size=(16, 48))]

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    (row,) = export(tmp_path, tmp_path / "out", ["fake"])
    (source,) = sources
    assert (source.size, source.input_channels, source.output_channels) == ((32, 64), 1, 3)
    assert {picture.shape for picture in source.train_inputs} == {(32, 64, 1)}
    inputs = [images.resize(pair[0], (16, 48), "nearest") for pair in pairs]
    np.testing.assert_array_equal(seen[:3], inputs)
    targets = [images.resize(pair[1], (16, 48), "bicubic") for pair in pairs]
    run = Translator.from_run(tmp_path)
    off = [one.astype(int) - run.translate(picture) for one, picture in zip(given, inputs, strict=True)]
    assert row.max_difference == np.abs(off).max()
    assert row.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(np.square(off))))
    assert row.l1 == pytest.approx(np.abs(np.subtract(given, targets, dtype=int)).mean() / 127.5)
    assert row.megabytes == 5000 / 1e6
    assert row.milliseconds >= 20


def test_each_picture_is_within_the_bounds(tiny_run, tmp_path, one_format):
    own, seen = own_pictures(tiny_run), []

    def read(picture):
        seen.append(picture)
        return darker(own, 5)(picture) if len(seen) == 2 else own(picture)

    one_format(read, min_psnr=36.0)  # 39 dB over all three
    with pytest.raises(RunError, match="differs from .* example 1: PSNR 34.2 dB, at least 36 wanted"):
        export(tiny_run, tmp_path / "out", ["fake"])


def test_versions_are_numbered_on(tiny_run, tmp_path, one_format):
    one_format(own_pictures(tiny_run), folder=True)
    (tmp_path / "out" / "7").mkdir(parents=True)
    for version in (8, 9):
        (row,) = export(tiny_run, tmp_path / "out", ["fake"])
        assert row.path == tmp_path / "out" / str(version)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["7", "8", "9"]


def darker(translate, by):
    return lambda picture: np.where(translate(picture) > by, translate(picture) - by, translate(picture) + by)


@pytest.mark.parametrize(
    ("by", "bounds", "said"),
    [
        (2, {"max_difference": 1}, "by 2 of 255, 1 allowed"),
        (5, {"min_psnr": 40.0}, "PSNR 34.2 dB, at least 40 wanted"),  # 20 log10(255 / 5)
    ],
)
def test_another_picture_than_the_runs_is_refused_and_nothing_left(tiny_run, tmp_path, one_format, by, bounds, said):
    one_format(darker(own_pictures(tiny_run), by), **bounds)
    with pytest.raises(
        RunError, match=f"model.fake in a reader differs from .* example 0: {said}; nothing was exported"
    ):
        export(tiny_run, tmp_path / "out", ["fake"])
    assert list(tmp_path.iterdir()) == []


def test_within_the_bounds_it_is_exported(tiny_run, tmp_path, one_format):
    one_format(darker(own_pictures(tiny_run), 1), max_difference=1)
    (row,) = export(tiny_run, tmp_path / "out", ["fake"])
    assert (row.max_difference, round(row.psnr, 1)) == (1, 48.1)  # 20 log10(255)
    assert row.path.read_text() == "a model"


def test_a_later_format_that_fails_leaves_nothing_of_the_earlier(tiny_run, tmp_path, one_format, monkeypatch):
    one_format(lambda picture: pytest.fail("nothing is compared before all formats are written"))

    def fail(source, directory, options):
        (directory / "half").write_text("half a model")
        raise RunError("it does not convert")

    monkeypatch.setitem(exporting.EXPORTERS, "failing", fail)
    (tmp_path / "out" / "3").mkdir(parents=True)
    with pytest.raises(RunError, match="it does not convert"):
        export(tiny_run, tmp_path / "out", ["fake", "failing"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["3"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="it does not convert"):
        export(tiny_run, tmp_path / "empty", ["failing"])
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_format_that_takes_too_much_memory_is_told(tiny_run, tmp_path, monkeypatch):
    def fail(source, directory, options):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": fail})
    with pytest.raises(RunError, match="OOM when allocating tensor; nothing was exported"):
        export(tiny_run, tmp_path / "out", ["fake"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_gives_no_numbers_is_refused(tiny_run, tmp_path, one_format, monkeypatch):
    one_format(own_pictures(tiny_run))
    broken = runs.restore_generator(tiny_run)
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    monkeypatch.setattr(runs, "load_generator", lambda *args: broken)
    with pytest.raises(RunError, match="picture of held-out example 0 is not finite; take another --checkpoint"):
        export(tiny_run, tmp_path / "out", ["fake"])


def test_files_are_replaced_only_when_told(tiny_run, tmp_path, one_format, monkeypatch):
    one_format(own_pictures(tiny_run))
    monkeypatch.setitem(exporting.EXPORTERS, "else", lambda *given: [])
    (tmp_path / "model.fake").write_text("older")
    (tmp_path / "other.fake").write_text("another")
    with pytest.raises(InputError, match="already holds (model|other).fake, (model|other).fake; choose another"):
        export(tiny_run, tmp_path, ["fake"])
    assert (tmp_path / "model.fake").read_text() == "older"
    (tmp_path / ".hidden").write_text("a file manager's")
    assert export(tiny_run, tmp_path, ["else"]) == []  # which replaces nothing
    export(tiny_run, tmp_path, ["fake"], overwrite=True)
    assert (tmp_path / "model.fake").read_text() == "a model"
    assert (tmp_path / "other.fake").read_text() == "another"


def test_a_folder_of_other_things_is_left_alone(tiny_run, tmp_path):
    (tmp_path / "photo.png").write_text("mine")
    with pytest.raises(InputError, match=f"{tmp_path} holds photo.png, which are no exports; choose another"):
        export(tiny_run, tmp_path)
    with pytest.raises(InputError, match="photo.png cannot be written: .*photo.png is a file"):
        export(tiny_run, tmp_path / "photo.png")
    with pytest.raises(InputError, match="photo.png/out cannot be written: .*photo.png is a file; choose another"):
        export(tiny_run, tmp_path / "photo.png" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_an_unknown_format_is_named(tiny_run, tmp_path):
    with pytest.raises(InputError, match=f"format=coreml is unknown; choose one of {', '.join(EXPORTERS)}"):
        export(tiny_run, tmp_path / "out", ["coreml"])


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match="is no run directory"):
        export(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_checkpoint_is_named(tiny_run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    path, _ = runs.find_checkpoint(run_dir, "best")
    (data,) = path.glob("*.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match=f"{path} cannot be restored"):
        export(run_dir, tmp_path / "out")
    with pytest.raises(InputError, match="has no checkpoint 5; it has 3, 6, latest, best"):
        export(run_dir, tmp_path / "out", checkpoint="5")
    assert not (tmp_path / "out").exists()


def test_a_run_without_examples_is_told_how_to_get_them(tiny_run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    shutil.rmtree(run_dir / "examples" / "train")
    with pytest.raises(InputError, match="holds no examples; the run's training command, given again, writes them"):
        export(run_dir, tmp_path / "out")
    picture = next((run_dir / "examples" / "held_out").glob("*_target.png"))
    picture.write_bytes(picture.read_bytes()[:50])
    with pytest.raises(InputError, match=f"{picture}: it cannot be decoded"):
        export(run_dir, tmp_path / "out")


def test_a_full_disk_is_told(tiny_run, tmp_path, one_format, monkeypatch):
    one_format(own_pictures(tiny_run))

    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="model.fake: No space left on device; nothing was exported"):
        export(tiny_run, tmp_path / "out", ["fake"])
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_moved_is_moved_back(tiny_run, tmp_path, one_format, monkeypatch):
    """A later artifact has a folder in its way: the earlier ones, and what they replaced, are as before."""
    read = own_pictures(tiny_run)

    def write(source, directory, options):
        for name in ("a.fake", "z.fake", "saved_model"):
            path = directory / name
            path.mkdir() if name == "saved_model" else path.write_text("new")
            yield Artifact(path, {"a reader": read})

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    (tmp_path / "a.fake").write_text("older")
    move = os.replace

    def fail_at_z(source, target):
        if str(target) == str(tmp_path / "z.fake"):
            raise OSError(13, "Permission denied", str(target))
        move(source, target)

    with (
        monkeypatch.context() as patch,
        pytest.raises(RunError, match="z.fake: Permission denied; nothing was exported"),
    ):
        patch.setattr(os, "replace", fail_at_z)
        export(tiny_run, tmp_path, ["fake"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.fake"]
    assert (tmp_path / "a.fake").read_text() == "older"
    export(tiny_run, tmp_path, ["fake"], overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "a.fake", "z.fake"]
    assert (tmp_path / "a.fake").read_text() == "new"


def test_two_exports_at_once_are_kept_apart(tiny_run, tmp_path, one_format):
    one_format(own_pictures(tiny_run))
    with files.locked(tmp_path / "out", "exports into"):
        with pytest.raises(InputError, match="another process exports into .*out; stop it, or choose another"):
            export(tiny_run, tmp_path / "out", ["fake"])
        assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_export_left_is_removed(tiny_run, tmp_path, one_format):
    one_format(own_pictures(tiny_run))
    (tmp_path / ".partial-abc" / "saved_model").mkdir(parents=True)
    (tmp_path / "\u00b2").mkdir()  # a digit to str.isdigit, not to int
    with pytest.raises(InputError, match="holds \u00b2, which are no exports"):
        export(tiny_run, tmp_path, ["fake"])
    (tmp_path / "\u00b2").rmdir()
    export(tiny_run, tmp_path, ["fake"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.fake"]


def test_a_refusal_leaves_no_folders(tiny_run, tmp_path, one_format):
    one_format(darker(own_pictures(tiny_run), 9), max_difference=1)
    with pytest.raises(RunError):
        export(tiny_run, tmp_path / "a" / "b" / "out", ["fake"])
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_examples_as_the_network_sees_them(tiny_run):
    for split, count in (("train", 32), ("held_out", 3)):
        pairs = runs.read_examples(tiny_run, split)
        assert len(pairs) == count
        assert {side.shape for pair in pairs for side in pair} == {(32, 32, 3)}
    held_out = runs.read_examples(tiny_run, "held_out")
    (_, step) = runs.find_checkpoint(tiny_run, "latest")
    grid = images.decode((tiny_run / "samples" / f"step_{step:08d}.png").read_bytes())
    shown = grid[14 : 14 + 32, 4 : 4 + 32]
    np.testing.assert_array_equal(shown, held_out[0][0])
