"""What all exports share: the check against the run, the model card, and how files get to their places."""

import math
import os
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from helpers import TINY, change, make_run, make_sides, random_image

from tf_pix2pix import exporting, files, images, model_card
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import EXPORTERS, export
from tf_pix2pix.exporting.artifact import Artifact
from tf_pix2pix.exporting.card import make_card
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Sides
from tf_pix2pix.translation import Translator


@pytest.fixture(scope="module")
def translate(tiny_run):
    return Translator.from_run(tiny_run).translate


@pytest.fixture
def fake_format(monkeypatch):
    """Replaces EXPORTERS by one exporter, whose artifact is a function from images to images."""

    def put(read, folder=False, **thresholds):
        def write(source, directory, options):
            path = directory / ("saved_model" if folder else "model.fake")
            path.mkdir() if folder else path.write_text("a model")
            return [Artifact(path, {"a reader": read}, **thresholds)]

        monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})

    return put


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_rows_describe_each_artifact_and_reader(tiny_run, tiny_export, translate):
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
            assert row.psnr > 48  # of images that differ by at most 1 anywhere
    l1s = [np.abs(translate(a).astype(int) - b).mean() / 127.5 for a, b in Run.open(tiny_run).examples("val")]
    assert rows[0].l1 == pytest.approx(np.mean(l1s), abs=1 / 127.5)
    assert names_in(output) == sorted({name.split("/")[0] for name, _ in names})


def test_the_model_card_describes_the_model(tiny_run, tiny_export):
    output, rows = tiny_export
    card, run = model_card.read_card(output / "1"), Run.open(tiny_run)
    assert (TrainConfig.from_json(card["config"]), Sides.from_json(card["sides"])) == (run.config, run.sides)
    _, step = run.find_checkpoint("best")
    assert (card["step"], card["dataset"], card["train_size"]) == (step, TINY.dataset, [32, 32])
    record = next(r for r in run.records() if r["step"] == step and "val_l1" in r)
    assert card["metrics"] == {name: value for name, value in record.items() if name == "step" or name[:4] == "val_"}
    assert (card["image"]["channels"], card["image"]["range"], card["size_multiple"]) == (3, [-1, 1], 32)
    assert card["max_pixels"] == 2000 * 1000
    assert card["min_tensorflow_serving"] == ".".join(tf.__version__.split(".")[:2])
    assert card["parity"]["C++ session"] == {"max_difference": rows[1].max_difference, "l1": rows[1].l1}
    in_file = model_card.read_card(output / "model-float32.tflite")
    assert in_file == {key: value for key, value in card.items() if key != "parity"}


def test_the_card_has_the_figures_of_its_step(tmp_path):
    run = Run(tmp_path, change(crop_size=(32, 64)), make_sides(1, 3))
    for record in ({"step": 2, "val_l1": 0.5}, {"step": 3, "val_l1": 0.25}, {"step": 3, "gen_l1_loss": 0.1}):
        run.append_record(record)
    generator = run.build_generator()
    cards = {step: make_card(run, generator, step, 77) for step in (2, 3, 4)}
    assert [card["metrics"] for card in cards.values()] == [run.records()[0], run.records()[1], None]
    card = cards[2]
    assert (card["image"]["channels"], card["generated"]["channels"], card["train_size"]) == (1, 3, (32, 64))
    assert card["parameters"] == sum(np.prod(variable.shape) for variable in generator.trainable_variables)


def test_the_exported_checkpoint_is_the_one_asked_for(tiny_run, tmp_path, fake_format):
    fake_format(Translator.from_run(tiny_run, "3").translate, folder=True, max_difference=0)
    (row,) = export(tiny_run, tmp_path, ["fake"], checkpoint="3")
    assert (row.max_difference, row.psnr) == (0, math.inf)
    assert model_card.read_card(row.path)["step"] == 3


def test_a_row_covers_all_examples_at_the_artifacts_size(tmp_path, monkeypatch):
    """Inputs are resized by nearest and targets by bicubic, as in training."""
    run = make_run(tmp_path / "run", make_sides(1, 3), crop_size=(32, 64), depth=3)
    pairs = [(random_image(number, 32, 64, 1), random_image(9 + number, 32, 64)) for number in range(3)]
    for split in ("val", "train"):
        run.write_examples(split, pairs)
    sources, seen = [], []
    generated = [np.full((16, 48, 3), value, np.uint8) for value in (250, 130, 120)]

    def read(image):
        time.sleep(0.02)
        seen.append(image)
        return generated[min(len(seen), 3) - 1]

    def write(source, directory, options):
        sources.append(source)
        (directory / "saved_model" / "variables").mkdir(parents=True)
        (directory / "saved_model" / "variables" / "weights").write_bytes(bytes(5000))
        return [Artifact(directory / "saved_model", {"a reader": read}, fixed_size=(16, 48))]

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    (row,) = export(run.directory, tmp_path / "out", ["fake"])
    (source,) = sources
    assert (source.size, source.sides) == ((32, 64), make_sides(1, 3))
    assert {image.shape for image in source.train_inputs} == {(32, 64, 1)}
    inputs = [images.resize(pair[0], (16, 48), "nearest") for pair in pairs]
    np.testing.assert_array_equal(seen[:3], inputs)
    targets = [images.resize(pair[1], (16, 48), "bicubic") for pair in pairs]
    translate = Translator.from_run(run.directory).translate
    errors = [one.astype(int) - translate(image) for one, image in zip(generated, inputs, strict=True)]
    assert row.max_difference == np.abs(errors).max()
    assert row.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(np.square(errors))))
    assert row.l1 == pytest.approx(np.abs(np.subtract(generated, targets, dtype=int)).mean() / 127.5)
    assert row.megabytes == 5000 / 1e6
    assert row.milliseconds >= 20


def shifted(translate, by):
    return lambda image: np.where(translate(image) > by, translate(image) - by, translate(image) + by)


@pytest.mark.parametrize(
    ("by", "thresholds", "wrong", "message"),
    [
        (2, {"max_difference": 1}, 0, "example 0: by 2 of 255, threshold 1"),
        (5, {"min_psnr": 36.0}, 1, "example 1: PSNR 34.2 dB, threshold 36"),  # 20 log10(255 / 5); 39 over all three
        (1, {"max_difference": 1}, 0, None),
    ],
)
def test_images_that_differ_from_the_runs_are_refused_and_nothing_is_left(
    tiny_run, tmp_path, fake_format, translate, by, thresholds, wrong, message
):
    seen = []

    def read(image):
        seen.append(image)
        return shifted(translate, by)(image) if len(seen) == wrong + 1 else translate(image)

    fake_format(read, **thresholds)
    if message:
        message = f"model.fake in a reader differs from the run's own image of validation {message}; nothing was expor"
        with pytest.raises(RunError, match=message):
            export(tiny_run, tmp_path / "a" / "out", ["fake"])
        assert names_in(tmp_path) == []
    else:
        (row,) = export(tiny_run, tmp_path / "a" / "out", ["fake"])
        assert (row.max_difference, row.path.read_text()) == (1, "a model")


def test_saved_models_get_the_next_number(tiny_run, tmp_path, fake_format, translate):
    fake_format(translate, folder=True)
    (tmp_path / "7").mkdir()
    (tmp_path / ".hidden").write_text("a file manager's")
    (tmp_path / ".partial-abc" / "saved_model").mkdir(parents=True)  # by a killed export
    for version in (8, 9):
        (row,) = export(tiny_run, tmp_path, ["fake"])
        assert row.path == tmp_path / str(version)
    assert names_in(tmp_path) == [".hidden", "7", "8", "9"]


def test_a_repeated_export_replaces_its_own_files(tiny_run, tiny_export, tmp_path, monkeypatch, translate, capsys):
    """After the check, with one printed line; files of others only with overwrite."""
    own = (tiny_export[0] / "model-float32.tflite").read_bytes()

    def write(read):
        def fake(source, directory, options):
            (directory / "model-float32.tflite").write_bytes(own + b"new")
            yield Artifact(directory / "model-float32.tflite", {"a reader": read}, max_difference=1)

        monkeypatch.setattr(exporting, "EXPORTERS", {"tflite": fake})

    file, other = tmp_path / "model-float32.tflite", tmp_path / "other.tflite"
    for path in (file, tmp_path / "model-int8.tflite"):
        path.write_bytes(own)
    write(shifted(translate, 9))
    with pytest.raises(RunError, match="nothing was exported"):
        export(tiny_run, tmp_path, ["tflite"])
    assert file.read_bytes() == own
    write(translate)
    export(tiny_run, tmp_path, ["tflite"])
    assert file.read_bytes() == own + b"new"
    lines = [line for line in capsys.readouterr().out.splitlines() if f" in {tmp_path}: " in line]
    assert lines == [
        f"{verb} in {tmp_path}: model-{name}.tflite"
        for verb, name in (("replaced", "float32"), ("left unchanged", "int8"))
    ]
    other.write_text("another's")
    with pytest.raises(InputError, match="holds other.tflite, which tf_pix2pix did not write; choose another"):
        export(tiny_run, tmp_path, ["tflite"])
    file.write_bytes(own)
    export(tiny_run, tmp_path, ["tflite"], overwrite=True)
    assert (file.read_bytes(), other.read_text()) == (own + b"new", "another's")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RunError("it does not convert"), "it does not convert"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "OOM; nothing was exported"),
    ],
)
def test_a_format_that_fails_leaves_nothing_of_the_others(tiny_run, tmp_path, fake_format, monkeypatch, error, message):
    fake_format(lambda image: pytest.fail("compared before all formats have begun"))

    def fail(source, directory, options):
        (directory / "half").write_text("half a model")
        raise error

    monkeypatch.setitem(exporting.EXPORTERS, "failing", fail)
    (tmp_path / "empty").mkdir()
    for output in (tmp_path / "out", tmp_path / "empty"):
        with pytest.raises(RunError, match=message):
            export(tiny_run, output, ["fake", "failing"])
    assert [*tmp_path.rglob("*")] == [tmp_path / "empty"]


def test_a_generator_without_finite_images_is_refused(tiny_run, tmp_path, fake_format, translate, monkeypatch):
    fake_format(translate)
    broken = Run.open(tiny_run).generator()
    broken.trainable_variables[0].assign(broken.trainable_variables[0] * np.nan)
    monkeypatch.setattr(Run, "generator", lambda *args: broken)
    with pytest.raises(RunError, match="validation example 0: the run's own output is not finite; use another --chec"):
        export(tiny_run, tmp_path / "out", ["fake"])


def test_other_folders_and_formats_are_refused(tiny_run, tmp_path):
    (tmp_path / "photo.png").write_text("mine")
    (tmp_path / "\u00b2").mkdir()  # a digit to str.isdigit, not to int
    for output, message in (
        (tmp_path, "holds .*, which are not exports; choose another folder"),
        (tmp_path / "photo.png", "cannot be written, .*photo.png is a file"),
        (tmp_path / "photo.png" / "out", "cannot be written, .*photo.png is a file; choose another folder"),
    ):
        with pytest.raises(InputError, match=message):
            export(tiny_run, output)
    with pytest.raises(InputError, match=f"--format=coreml: choose one of {', '.join(EXPORTERS)}"):
        export(tiny_run, tmp_path / "out", ["coreml"])
    with pytest.raises(InputError, match="not a run directory"):
        export(tmp_path, tmp_path / "out")
    assert names_in(tmp_path) == ["photo.png", "\u00b2"]


def test_damaged_runs_are_refused_and_nothing_is_written(tiny_run, tmp_path):
    run = Run.open(shutil.copytree(tiny_run, tmp_path / "run"))
    with pytest.raises(InputError, match="checkpoint 5 is missing; choose one of 3, 6, latest, best"):
        export(run.directory, tmp_path / "out", checkpoint="5")
    path, _ = run.find_checkpoint("best")
    (data,) = path.glob("*.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(InputError, match=f"{path}: damaged"):
        export(run.directory, tmp_path / "out")
    for split in ("train", "val"):
        shutil.rmtree(run.directory / "examples" / split)
        with pytest.raises(InputError, match="examples are missing; run the training command again, which writes them"):
            export(run.directory, tmp_path / "out", checkpoint="latest")
    assert names_in(tmp_path) == ["run"]


@pytest.mark.parametrize("blocked", ["source", "target"])
def test_files_that_cannot_be_moved_are_all_moved_back(tiny_run, tmp_path, translate, monkeypatch, blocked):
    """An older file cannot be moved away, or a new one not to its place."""

    def write(source, directory, options):
        for name in ("a.fake", "z.fake", "saved_model"):
            path = directory / name
            path.mkdir() if name == "saved_model" else path.write_text("new")
            yield Artifact(path, {"a reader": translate})

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": write})
    for name in ("a.fake", "z.fake"):
        (tmp_path / name).write_text("older")
    move, failed = os.replace, []

    def fail_once(source, target):
        if {"source": source, "target": target}[blocked] == tmp_path / "z.fake" and not failed:
            failed.append(blocked)
            raise OSError(28, "No space left on device", str(target))
        move(source, target)

    with monkeypatch.context() as patch, pytest.raises(RunError, match="No space left on device; nothing was exported"):
        patch.setattr(os, "replace", fail_once)
        export(tiny_run, tmp_path, ["fake"], overwrite=True)
    assert failed
    assert names_in(tmp_path) == ["a.fake", "z.fake"]
    assert {(tmp_path / name).read_text() for name in ("a.fake", "z.fake")} == {"older"}
    export(tiny_run, tmp_path, ["fake"], overwrite=True)
    assert names_in(tmp_path) == ["1", "a.fake", "z.fake"]
    assert (tmp_path / "a.fake").read_text() == "new"


def test_two_exports_at_once_are_kept_apart(tiny_run, tmp_path, fake_format, translate):
    fake_format(translate)
    with files.locked(tmp_path / "out", "exports into"):
        with pytest.raises(InputError, match="another process exports into it; stop that process, or choose another"):
            export(tiny_run, tmp_path / "out", ["fake"])
        assert names_in(tmp_path / "out") == []
