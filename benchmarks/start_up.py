"""Measures how long a command takes until its help is printed, and until its first training step is done."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tables import Table, median_and_range, rows_of
from turns import Measured, say

REPOSITORY = Path(__file__).resolve().parent.parent
REPETITIONS = 5


def start_up(args) -> Iterator[Table]:
    """From the start of a command to its help, and to the end of the first training step."""
    title = "Start-up"
    say(title)
    train = ["run_train.py", "--dataset=synthetic_facades", "--log_every=1"]
    commands = {
        "`run_train.py --help`": ["run_train.py", "--help"],
        "`run_export.py --help`": ["run_export.py", "--help"],
        "`-m tf_pix2pix translate --help`": ["-m", "tf_pix2pix", "translate", "--help"],
        "to the first step at 256x256": [*train, "--crop_size=256", "--load_size=286", "--steps=100"],
        "to the first step of `--preset=demo`, 128x128": [*train, "--preset=demo"],
    }
    measured = [Measured(name) for name in commands]
    for number in range(1 + REPETITIONS):
        for one in (one for one in measured if not one.failure):
            try:
                command = commands[one.name]
                seconds = help_seconds(command) if "--help" in command else first_step_seconds(command)
            except RuntimeError as error:
                one.failure, one.seconds = str(error), []
                say(f"{one.name} failed: {error}")
                continue
            say(f"  {one.name}: {seconds:.3g} s")
            if number:  # the first repetition reads the files from disk
                one.seconds.append(seconds)
    header = ["s", "range"]
    yield Table(title, header, rows_of(measured, len(header), lambda one: median_and_range(one.seconds)), measured)


def help_seconds(command: list[str]) -> float:
    began = time.perf_counter()
    process = subprocess.run([sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(last_line(process.stderr))
    return seconds


def first_step_seconds(command: list[str]) -> float:
    """Seconds until metrics.jsonl has the losses of the first step; the command is stopped then."""
    with tempfile.TemporaryDirectory() as directory:
        metrics, messages = Path(directory, "run", "metrics.jsonl"), Path(directory, "stderr")
        with open(messages, "w") as stderr:
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *command, f"--output_dir={metrics.parent}"],
                cwd=REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            while not (metrics.exists() and "gen_l1_loss" in metrics.read_text()):
                if process.poll() is not None:
                    raise RuntimeError(last_line(messages.read_text()))
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
