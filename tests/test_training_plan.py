"""What is printed before a training and after its first steps, and the dry run."""

import re
import shutil
import signal

import pytest
from helpers import TINY, change

from tf_pix2pix.errors import InputError
from tf_pix2pix.run import Run
from tf_pix2pix.training import dry_run as dry
from tf_pix2pix.training import loop, plan, train
from tf_pix2pix.training.dry_run import dry_run


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    """Where the dry run makes its folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(dry.tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5300, "88 min"), (5400, "1 h 30 min"), (33300, "9 h 15 min")],
)
def test_durations_are_read_at_first_sight(seconds, words):
    assert plan.format_duration(seconds) == words


def test_the_forecast_counts_the_steps_left():
    line = plan.forecast(80_000, 1 / 2.4, 1)
    start = "80,000 steps at 2.4 images/s: about 9 h 16 min, evaluations not counted; --steps=... for less; memory: "
    assert line.startswith(start)
    assert 0.1 < float(line.removeprefix(start).removesuffix(" GB")) < 100
    assert "at 9.6 images/s" in plan.forecast(80_000, 1 / 2.4, 4)


def test_a_training_prints_its_plan_and_its_expected_end(tmp_path, capsys, monkeypatch):
    """The forecast leaves out the first step, which traces the graph, and the evaluations."""
    monkeypatch.setattr(loop, "FORECAST_STEPS", 2)
    forecasts = []
    monkeypatch.setattr(loop, "forecast", lambda *given: forecasts.append(given) or "the forecast")
    train(change(depth=3, filters=2, steps=5, eval_every=2), tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "400 pairs for training, 3 for validation; BtoA, 32x32 pixels"
    assert re.fullmatch(r"generator [\d,]+ parameters, discriminator [\d,]+", lines[1])
    plan_line = f"5 steps of batch size 2, 0.025 epochs; run directory {tmp_path / 'run'}"
    assert lines.index(plan_line) < lines.index("the forecast")
    [(left, seconds, batch_size)] = forecasts
    assert (left, batch_size) == (2, 2)
    assert 0 < seconds < 1  # an evaluation draws curves.png, which takes longer


def test_a_dry_run_says_what_the_training_requires_and_leaves_nothing(tmp_path, own_temporary_folder, capsys):
    config = change(depth=3, steps=2000, eval_every=500, checkpoint_every=500, sample_every=500)
    dry_run(config, tmp_path / "runs" / "run")
    out = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not any(own_temporary_folder.iterdir())
    assert str(own_temporary_folder) not in out
    assert re.search(r"time    \d.* for 2,000 of 2,000 steps, [\d.e-]+ s each,\n +and 4 evaluations, \d", out)
    assert re.search(r"memory  [\d.]+ GB, and up to 0.0 GB for decoded images", out)
    assert re.search(rf"disk    \d+ MB in {tmp_path}/runs/run, where [\d.]+ [GM]B are free\n$", out)


def test_a_dry_run_touches_no_run(tiny_run, tmp_path, own_temporary_folder, capsys):
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    dry_run(change(steps=10), run_dir)
    assert " for 4 of 10 steps" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds a run with other settings .filters 4 -> 8"):
        dry_run(change(filters=8), run_dir)
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


def test_a_signal_ends_a_dry_run(tmp_path, own_temporary_folder, monkeypatch):
    def stop(run, *args):
        signal.raise_signal(signal.SIGINT)
        return record(run, *args)

    record = Run.append_record
    monkeypatch.setattr(Run, "append_record", stop)
    with pytest.raises(KeyboardInterrupt):
        dry_run(TINY, tmp_path / "run")
    assert not any(own_temporary_folder.iterdir())


def test_the_disk_space_is_that_of_the_training(tmp_path, own_temporary_folder, monkeypatch):
    """But for one more checkpoint while the next is written."""
    expected = []
    monkeypatch.setattr(dry, "format_size", lambda size: expected.append(size))
    config = change(depth=3, steps=6, eval_every=6, sample_every=1, checkpoint_every=1, keep_checkpoints=4)
    dry_run(config, tmp_path / "run")
    train(config, tmp_path / "run")
    size = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    checkpoint = sum(path.stat().st_size for path in (tmp_path / "run/checkpoints/step-00000006").iterdir())
    assert 0.85 * size < expected[-1] - checkpoint < 1.2 * size
