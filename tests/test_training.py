"""Training: runs from their first step to resuming, stopping and failing."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    REPOSITORY,
    TINY,
    assert_same_run,
    change,
    make_sides,
    random_image,
    resume_from,
    write_image,
)

from tf_pix2pix import checkpoints, files, images, training
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export
from tf_pix2pix.inference import make_translate
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training import loop, reporting, resuming, train
from tf_pix2pix.training.step import LOSSES
from tf_pix2pix.translation import Translator


@pytest.fixture
def copied_run(tiny_run, tmp_path):
    """A copy of tiny_run, which a test may change."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def steps_of(run_dir, kind="step"):
    return checkpoints.steps(run_dir / "checkpoints", kind)


def records_with(run_dir, name):
    return [record for record in Run.open(run_dir).records() if name in record]


def run_of(run_dir):
    """The trivial answers and the evaluations of a run."""
    records = Run.open(run_dir).records()
    return [record for record in records if "trivial" in record or "val_l1" in record]


def test_the_files_of_a_run_and_its_result(tiny_training, tiny_run):
    result, reported = tiny_training
    run = Run.open(tiny_run)
    assert (run.config, run.sides) == (TINY, make_sides())
    assert steps_of(tiny_run) == [3, 6]
    grids = [run.sample_grid(step) for step in (0, 3, 6)]
    assert sorted((tiny_run / "samples").iterdir()) == grids
    first = run.records()[0]
    assert {name: first[name] for name in ("step", "train_pairs", "val_pairs")} == dict(
        step=0, train_pairs=400, val_pairs=3
    )
    assert {*first["trivial"]} == {"median color", "median color of each label", "input image"}
    assert all({*values} == {*PAIRED_METRICS} for values in first["trivial"].values())
    logged = records_with(tiny_run, "gen_l1_loss")
    assert [record["step"] for record in logged] == [2, 4, 6]
    expected = {*LOSSES, "epoch", "images_per_second", "data_wait", "learning_rate"}
    assert all(expected <= record.keys() for record in logged)
    measured = records_with(tiny_run, "val_l1")
    assert [record["step"] for record in measured] == [3, 6]
    assert all({f"train_{name}" for name in PAIRED_METRICS} <= record.keys() for record in measured)
    assert (tiny_run / "curves.png").stat().st_size > 10_000
    assert steps_of(tiny_run, "best") == [min(measured, key=lambda record: record["val_l1"])["step"]]
    assert (result.run_dir, result.step, result.sample_grid) == (tiny_run, 6, grids[-1])
    assert result.metrics == measured[-1]
    assert reported == run.records()


def test_examples_are_kept_as_the_networks_see_them(tiny_run):
    run = Run.open(tiny_run)
    for split, count in (("train", 32), ("val", 3)):
        pairs = run.examples(split)
        assert len(pairs) == count
        assert {image.shape for pair in pairs for image in pair} == {(32, 32, 3)}
    grid = images.decode(run.sample_grid(6).read_bytes())
    np.testing.assert_array_equal(grid[14 : 14 + 32, 4 : 4 + 32], run.examples("val")[0][0])


def test_checkpoints_restore_the_generator_that_was_measured(tiny_run):
    """The best one too: its validation metrics come from the pairs that the run keeps as examples."""
    run = Run.open(tiny_run)
    measured = {record["step"]: record["val_l1"] for record in records_with(tiny_run, "val_l1")}
    pairs = [tuple(images.to_float(image[np.newaxis]) for image in pair) for pair in run.examples("val")]
    for name, step in (("best", steps_of(tiny_run, "best")[0]), ("latest", 6), ("3", 3)):
        assert paired_metrics(make_translate(run.generator(name)), pairs)["l1"] == measured[step]


def test_a_stopped_and_resumed_run_equals_one_never_stopped(tiny_run, tmp_path, capsys):
    def stop(record):
        if record["step"] == 4:
            signal.raise_signal(signal.SIGTERM)

    run_dir = tmp_path / "run"
    result = train(TINY, run_dir, on_record=stop)
    assert (result.step, steps_of(run_dir)[-1]) == (4, 4)
    assert result.sample_grid.exists()
    assert re.search("stopped at step 4 of 6 after .* s, saved; the same command resumes", capsys.readouterr().out)
    assert train(TINY, run_dir).step == 6
    out = capsys.readouterr().out
    assert "resuming at step 4 of 6" in out
    assert "trivial answers" not in out  # the trivial answers are in the first record
    assert_same_run(run_dir, tiny_run, 6)
    assert run_of(run_dir) == run_of(tiny_run)


@pytest.mark.parametrize(
    "fields", [dict(ema_decay=0.9, schedule="linear", task="inpaint"), dict(norm="batch", precision="mixed_float16")]
)
def test_resuming_restores_all_other_state_too(tmp_path, fields):
    few = dict(depth=3, filters=2, steps=3, checkpoint_every=2, eval_every=3, sample_every=3)
    config = change(**fields | few)
    train(config, tmp_path / "whole")
    train(config, resume_from(tmp_path / "whole", 2, tmp_path / "resumed"))
    assert_same_run(tmp_path / "resumed", tmp_path / "whole", 3)


def test_a_second_signal_interrupts_at_once(copied_run):
    def interrupt(record):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(change(steps=9), copied_run, on_record=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_handles_no_signals():
    def stop_signals():
        with loop._stop_signals() as stop:
            stopped.append(stop.is_set())

    stopped, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=stop_signals)
    thread.start()
    thread.join()
    assert (stopped, signal.getsignal(signal.SIGTERM)) == ([False], before)


def test_a_killed_process_resumes_from_its_last_checkpoint(tiny_run, tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from helpers import TINY
from tf_pix2pix import train
train(TINY, {str(tmp_path / "run")!r}, on_record=lambda r: r["step"] == 4 and os.kill(os.getpid(), signal.SIGKILL))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert steps_of(tmp_path / "run") == [3]
    train(TINY, tmp_path / "run")
    assert_same_run(tmp_path / "run", tiny_run, 6)


def test_a_finished_run_says_so_and_more_steps_extend_it(copied_run, capsys, monkeypatch):
    """Printed progress and its speed leave out the time of evaluations."""
    shutil.rmtree(copied_run / "examples")
    result = train(TINY, copied_run)
    message = f"nothing left to do: {copied_run} has done 6 of 6 steps; raise --epochs or --steps"
    assert message in capsys.readouterr().out
    assert (result.step, result.metrics["step"]) == (6, 6)
    assert len(Run.open(copied_run).examples("val")) == 3  # a copied run may lack them

    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 0)
    evaluate, seconds = reporting.RunReporter.evaluate, [0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(seconds)))
    monkeypatch.setattr(reporting.RunReporter, "evaluate", lambda *args: (seconds.append(1000), evaluate(*args)))
    assert train(change(steps=8, log_every=8, eval_every=7), copied_run).step == 8
    assert steps_of(copied_run) == [6, 8]
    losses = r"gen_gan \d.*, gen_l1 \d.*, disc_real \d.*, disc_fake \d"
    progress = rf"^step 8 of 8, 0 s left: epoch 0.0, .*images/s, \d+% waiting for data, {losses}"
    assert len(re.findall(progress, capsys.readouterr().out, re.MULTILINE)) == 1
    assert 4 / records_with(copied_run, "images_per_second")[-1]["images_per_second"] < 500  # seconds for two steps
    assert len(seconds) == 3


def test_other_settings_are_refused_and_nothing_is_touched(copied_run):
    before = {path: path.stat().st_mtime_ns for path in copied_run.rglob("*")}
    message = "holds a run with other settings .filters 4 -> 8, seed 5 -> 6.; pass the same settings to resume it"
    with pytest.raises(InputError, match=message):
        train(change(filters=8, seed=6), copied_run)
    with (
        files.locked(copied_run, "trains in"),
        pytest.raises(InputError, match="another process trains in .*; stop that process, or choose another folder"),
    ):
        train(change(steps=8), copied_run)
    for begun_meanwhile, message in (
        (Run(copied_run, change(steps=8, filters=8), make_sides()), "other settings .filters 4 -> 8"),
        (Run(copied_run, TINY, make_sides(1, 3)), "trained on other input images .channels 3 -> 1.; restore the im"),
    ):
        with pytest.raises(InputError, match=message):
            resuming.resume(begun_meanwhile, None, 8, {})
    assert {path: path.stat().st_mtime_ns for path in copied_run.rglob("*")} == before
    (copied_run / "sides.json").unlink()
    with pytest.raises(InputError, match="sides.json is missing; copy the whole run directory"):
        train(change(steps=8), copied_run)
    (copied_run / "config.json").unlink()
    (copied_run / "sides.json").write_text("{")  # without a config.json it belongs to no run
    assert resuming.check_config(copied_run, change(filters=8)) is None


def test_files_of_another_size_do_not_hinder_resuming(tmp_path):
    before, now = (Sides(Side(3, image_size=size), Side(3)) for size in (None, (40, 40)))
    resuming.check_sides(tmp_path, before, now)
    with pytest.raises(InputError, match="trained on other target images .channels 3 -> 1.; restore"):
        resuming.check_sides(tmp_path, before, Sides(now.input, Side(1)))


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--output_dir=.*file/run: cannot be written, .*file is a file"):
        train(TINY, tmp_path / "file" / "run")


def test_changed_images_are_refused_and_a_changed_number_of_pairs_is_printed(tmp_path, capsys, side_by_side_folder):
    folder, run_dir = side_by_side_folder, tmp_path / "run"
    fields = dict(dataset=str(folder), direction="AtoB", schedule="linear", steps=None, depth=3, eval_every=99)
    assert train(change(**fields, epochs=1), run_dir).step == 5  # 9 pairs by 2; the tenth is for validation
    write_image(folder / "new.png", random_image(0, 40, 80))
    assert train(change(**fields, epochs=2), run_dir).step == 10
    out = capsys.readouterr().out
    assert "the data set has changed since the run began (train_pairs 9 -> 10); training continues with it" in out
    assert "the learning rate rises again: its schedule ended at step 5 and now ends at 10" in out
    before = (run_dir / "sides.json").read_text()
    for path in folder.iterdir():
        write_image(path, random_image(0, 40, 80, 1))
    with pytest.raises(InputError, match="trained on other input images .channels 3 -> 1.; restore the images"):
        train(change(**fields, epochs=3), run_dir)
    assert (run_dir / "sides.json").read_text() == before


@pytest.mark.parametrize("fields", [dict(), dict(checkpoint_every=1, log_every=9)])
def test_losses_that_are_not_finite_end_the_run_and_are_not_saved(tmp_path, fields):
    message = "a loss is not finite at step [12] .*train in another --output_dir with a lower --learning_rate"
    with pytest.raises(RunError, match=message):
        train(change(learning_rate=1e30, depth=3, **fields), tmp_path / "run")
    assert steps_of(tmp_path / "run") in ([], [1])


def test_a_full_disk_keeps_the_last_checkpoint(copied_run):
    """A limit on the file size stands for the full disk: writing a checkpoint fails in TensorFlow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(RunError, match="File too large; the checkpoint of step 6 is kept, and the same com"):
            train(change(steps=7), copied_run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps_of(copied_run) == [3, 6]
    assert not list(copied_run.rglob("*partial*"))


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM\ntrace"), RunError, "^OOM; no checkpoint had been written"),
        (tf.errors.UnknownError(None, None, "InputError: 7.png: cut\nat"), RunError, "^7.png: cut; no check"),
        (BrokenPipeError(), BrokenPipeError, None),
    ],
)
def test_failures_are_named_in_one_line(tmp_path, error, raised, message):
    with pytest.raises(raised, match=message), training._failures_named(Run(tmp_path, TINY, make_sides())):
        raise error


def test_the_best_checkpoint_survives_a_kill(tmp_path, monkeypatch):
    evaluate = reporting.RunReporter.evaluate

    def killed(self, step):
        if step == 6:
            raise KeyboardInterrupt
        evaluate(self, step)

    monkeypatch.setattr(reporting.RunReporter, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(change(steps=9, eval_every=1, checkpoint_every=4, learning_rate=2e-3, depth=3), tmp_path / "run")
    assert max(steps_of(tmp_path / "run", "best")) > 4
    run = Run.open(tmp_path / "run")
    run.forget_after(4)
    measured = {record["step"]: record["val_l1"] for record in run.records() if "val_l1" in record}
    assert steps_of(tmp_path / "run", "best")[-1] == min(measured, key=measured.get)


def measured_as(monkeypatch, values, metric="l1"):
    """Makes a validation metric of the evaluations these values; the trivial answers have 1. Draws no curves."""
    evaluations = iter(values)
    measure = reporting.paired_metrics
    generators = []

    def paired(translate, pairs, palette, observe):
        measured = measure(translate, pairs, palette, observe)
        if not isinstance(translate, partial) and translate is not tf.convert_to_tensor:
            generators.append(translate)
            return measured | {metric: next(evaluations) if len(generators) % 2 else 0.5}  # then the training pairs
        return measured | {metric: 1.0}

    monkeypatch.setattr(reporting, "paired_metrics", paired)
    monkeypatch.setattr(reporting, "write_curves", lambda run: None)


def test_a_run_that_gets_worse_translates_and_exports_its_best_step(tmp_path, monkeypatch, capsys):
    measured_as(monkeypatch, [0.5, 0.3, 0.4])
    fields = dict(depth=3, filters=2, eval_every=2, learning_rate=0.1)
    train(change(**fields), tmp_path / "run")
    assert "best step 4, validation: L1 0.3" in capsys.readouterr().out
    run = Run.open(tmp_path / "run")
    assert run.find_checkpoint("best")[1] == 4
    input_image = run.examples("val")[0][0]
    translated = {
        name: Translator.from_run(run.directory, **fields).translate(input_image)
        for name, fields in dict(default={}, best=dict(checkpoint="best"), latest=dict(checkpoint="latest")).items()
    }
    np.testing.assert_array_equal(translated["default"], translated["best"])
    assert (translated["default"] != translated["latest"]).any()
    export(run.directory, tmp_path / "exported", formats=["saved_model"])
    exported = Translator.from_saved_model(tmp_path / "exported").translate(input_image).astype(int)
    assert np.abs(exported - translated["default"]).max() <= 1 < np.abs(exported - translated["latest"]).max()


def test_a_run_stops_early_and_goes_on_if_asked(tmp_path, monkeypatch, capsys):
    measured_as(monkeypatch, [0.5, 0.3, 0.4, 0.3, 0.6, 0.7, 0.1])
    fields = dict(depth=3, filters=2, steps=7, eval_every=1, checkpoint_every=5, sample_every=9)
    run_dir = tmp_path / "run"
    assert train(change(**fields, early_stop=2), run_dir).step == 4
    assert steps_of(run_dir) == [4]
    out = capsys.readouterr().out
    assert re.search("stopped early at step 4 of 7 after .*: 2 evaluations without a new best L1; saved", out)
    before = Run.open(run_dir).records()
    assert train(change(**fields, early_stop=2), run_dir).step == 4
    message = f"nothing left to do: {run_dir} stopped early at step 4; --early_stop=0, or a higher number, continues"
    assert message in capsys.readouterr().out
    assert Run.open(run_dir).records() == before
    assert train(change(**fields, early_stop=3), run_dir).step == 5  # the third evaluation without a new best
    assert train(change(**fields), run_dir).step == 7
    assert steps_of(run_dir, "best") == [7]


def test_the_best_follows_another_metric(tmp_path, monkeypatch):
    measured_as(monkeypatch, [0.3, 0.5, 0.4], "ssim")  # L1 falls in these six steps
    train(change(depth=3, filters=2, eval_every=2, best_by="ssim"), tmp_path / "run")
    assert steps_of(tmp_path / "run", "best") == [4]


def test_a_run_without_trivial_answers_measures_them_when_it_resumes(copied_run):
    """A run of an earlier version."""
    path = copied_run / "metrics.jsonl"
    records = Run.open(copied_run).records()
    trivial = records[0].pop("trivial")
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    train(change(steps=7), copied_run)
    assert {"step": 6, "trivial": trivial} in Run.open(copied_run).records()


def test_a_failure_to_draw_the_curves_ends_no_training(tmp_path, monkeypatch, capsys):
    def fail(run):
        raise RuntimeError("no font\ntrace")

    monkeypatch.setattr(reporting, "write_curves", fail)
    assert train(change(depth=3, filters=2, steps=1), tmp_path / "run").step == 1
    assert f"warning: {tmp_path}/run/curves.png was not drawn (no font)" in capsys.readouterr().out


def test_a_run_killed_before_its_first_checkpoint_starts_anew(copied_run, tiny_run):
    for step in steps_of(copied_run):
        shutil.rmtree(copied_run / "checkpoints" / f"step-{step:08d}")
    train(TINY, copied_run)
    assert [record["step"] for record in Run.open(copied_run).records()] == [0, 2, 3, 4, 6, 6]
    assert_same_run(copied_run, tiny_run, 6)


def test_a_run_of_a_task_keeps_the_inputs_it_made(inpaint_run):
    run = Run.open(inpaint_run)
    assert (run.config.task, run.config.task_share) == ("inpaint", 0.2)
    assert (run.sides.input.channels, run.sides.target.channels) == (4, 3)
    for split in ("train", "val"):
        for made, photo in run.examples(split):
            known = made[:, :, 3] == 255
            assert 0 < (~known).mean() < 0.5
            np.testing.assert_array_equal(made[known][:, :3], photo[known])
    with pytest.raises(InputError, match="other settings .task_share 0.2 -> 0.3.; pass the same"):
        train(change(task="inpaint", steps=1, depth=3, task_share=0.3), inpaint_run)


def test_a_task_keeps_the_depth_of_its_photos(tmp_path):
    for number in range(4):
        photo = random_image(number, 40, 50, 1) * np.uint16(200) + np.uint16(number)
        (tmp_path / "photos").mkdir(exist_ok=True)
        images.write(tmp_path / "photos" / f"{number}.png", photo)
    train(change(task="super_resolution", dataset=str(tmp_path / "photos"), steps=1, depth=3), tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert [side.depth for side in run.sides] == ["uint16", "uint16"]
    ((made, photo), *_) = run.examples("val")
    assert made.dtype == photo.dtype == np.uint16
    translator = Translator.from_run(tmp_path / "run")
    assert translator.translate(photo, make_inputs=True).dtype == np.uint16
    np.testing.assert_array_equal(translator.translate(photo, make_inputs=True), translator.translate(made))
    assert translator.translate(photo, enlarge=True).shape == (128, 128, 1)


def test_events_are_written_if_tensorboard_is_installed(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard", reason="no TensorBoard: pip install 'tf_pix2pix[tensorboard]'")
    write = reporting.event_writer(tmp_path)
    write(3, scalars={"val_l1": 0.25})
    write(4, grids={"samples": np.stack([random_image(0, 8, 8)] * 2)})
    (file,) = tmp_path.iterdir()
    values = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            values[event.step, value.tag] = tf.make_ndarray(value.tensor)
    assert values[3, "val_l1"] == 0.25
    width, height, *grids = values[4, "samples"]
    assert (int(width), int(height)) == (8, 8)
    np.testing.assert_array_equal(images.decode(grids[1]), random_image(0, 8, 8))

    monkeypatch.setattr(reporting.importlib.util, "find_spec", lambda name: None)
    reporting.event_writer(tmp_path / "none")(3, scalars={"val_l1": 0.25})
    assert "pip install 'tf_pix2pix[tensorboard]'" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_training_on_real_pairs_learns_in_a_few_steps(real_facades, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    fields = dict(dataset="facades", data_dir=str(real_facades), filters=8, eval_pairs=40, learning_rate=1e-3)
    for steps in (1, 100):
        train(change(**fields, steps=steps, eval_every=100, sample_every=100), tmp_path / "run")
    first, trained = records_with(tmp_path / "run", "val_l1")
    assert trained["val_l1"] < 0.9 * first["val_l1"]
    assert trained["val_psnr"] > first["val_psnr"] + 0.5
