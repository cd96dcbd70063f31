"""A dry run: three steps and one evaluation in a temporary folder, to learn what the whole training requires."""

import contextlib
import dataclasses
import io
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix.config import TrainConfig
from tf_pix2pix.run import Run
from tf_pix2pix.training import train
from tf_pix2pix.training.plan import format_duration, peak_memory_gb
from tf_pix2pix.training.resuming import check_config, check_sides

STEPS = 3  # the first one traces the graph and is not measured


def dry_run(config: TrainConfig, output_dir: str | Path) -> None:
    """Prints the time, the memory and the disk space of a training in output_dir, of which it changes nothing.

    Raises:
      InputError, RunError: as `train` would.
    """
    run_dir, records, times = Path(output_dir), [], []
    saved_sides = check_config(run_dir, config)
    quick = dataclasses.replace(
        config, steps=STEPS, log_every=1, sample_every=STEPS, eval_every=STEPS, checkpoint_every=STEPS, early_stop=0
    )
    with tempfile.TemporaryDirectory(prefix="pix2pix-dry-run-") as folder, contextlib.ExitStack() as silenced:

        def on_record(record: dict[str, Any]) -> None:
            records.append(record)
            times.append(time.monotonic())
            if len(records) == 1:  # later messages are about the temporary folder
                silenced.enter_context(contextlib.redirect_stdout(io.StringIO()))

        if train(quick, folder, on_record).step < STEPS:  # a signal
            raise KeyboardInterrupt
        times.append(time.monotonic())
        sides = Run.open(folder).sides
        check_sides(run_dir, saved_sides, sides)
        sizes = {
            part: _size(Path(folder), part) for part in ("checkpoints/step-*", "checkpoints", "samples", "logs", "*")
        }
    train_pairs = records[0]["train_pairs"]
    total = config.total_steps(train_pairs)
    left = total - (Run.open(run_dir).steps() or [0])[-1] if saved_sides else total
    speeds = [record["images_per_second"] for record in records if "images_per_second" in record]
    step_seconds = config.batch_size / float(np.mean(speeds[1:]))
    eval_seconds, save_seconds = times[-2] - times[-3], times[-1] - times[-2]  # with the sample grid and the curves
    evaluations, saves = math.ceil(left / config.eval_every), math.ceil(left / config.checkpoint_every)
    seconds = left * step_seconds + evaluations * eval_seconds + saves * save_seconds
    height, width = config.jitter_size
    pixel = sum(side.channels * np.dtype(side.depth).itemsize for side in (sides[1:] if config.task else sides))
    cache_gb = min(config.cache_gb, train_pairs * height * width * pixel / 1e9)
    print(f"dry run: {STEPS} steps and one evaluation worked; nothing was kept. The training requires about")
    print(f"  time    {format_duration(seconds)} for {left:,} of {total:,} steps, {step_seconds:.2g} s each,")
    print(f"          and {evaluations:,} evaluations, {format_duration(eval_seconds + save_seconds)} each")
    print(f"  memory  {peak_memory_gb():.1f} GB, and up to {cache_gb:.1f} GB for decoded images (--cache_gb)")
    existing = next(folder for folder in (run_dir.absolute(), *run_dir.absolute().parents) if folder.exists())
    free = format_size(shutil.disk_usage(existing).free)
    print(f"  disk    {format_size(_disk_bytes(config, total, sizes))} in {run_dir}, where {free} are free")


def _disk_bytes(config: TrainConfig, total_steps: int, sizes: dict[str, int]) -> float:
    """The size of the whole run directory, from the sizes of its parts after the dry run."""
    state, grids = sizes["checkpoints/step-*"], total_steps // config.sample_every + 1
    rest = sizes["*"] - state - sizes["samples"] - sizes["logs"]  # the best checkpoint, the examples
    size = float(state * (config.keep_checkpoints + 1) + rest)  # one more checkpoint while the next is written
    size += grids * (sizes["samples"] + sizes["logs"]) / 2  # the dry run made two
    return size + total_steps / config.log_every * 1000  # bytes of a record in metrics.jsonl and for TensorBoard


def format_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, size / 1e6):.0f} MB"


def _size(folder: Path, pattern: str) -> int:
    files = (file for path in folder.glob(pattern) for file in (path, *path.rglob("*")) if file.is_file())
    return sum(file.stat().st_size for file in files)
