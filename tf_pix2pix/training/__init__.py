"""Training: `train` assembles a run; step.py has the mathematics, loop.py repeats the step and saves its results."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_pix2pix.best import evaluations, stops_early
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.cpu.settings import keep_freed_memory
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import RunError, error_line
from tf_pix2pix.files import locked
from tf_pix2pix.input_pipeline import prepare_examples, resolve
from tf_pix2pix.run import Run
from tf_pix2pix.survey import Survey, survey
from tf_pix2pix.training.loop import run_loop, write_examples
from tf_pix2pix.training.plan import describe_plan
from tf_pix2pix.training.resuming import check_config, check_sides, resume
from tf_pix2pix.training.step import build_state


@dataclass(frozen=True)
class TrainResult:
    """The end of a training."""

    run_dir: Path
    step: int  # steps done; fewer than asked for if a signal stopped the run
    sample_grid: Path  # the last one
    metrics: dict[str, float]  # the last validation record, {"step": 2000, "val_l1": 0.2, ...}; empty before the first


def train(
    config: TrainConfig, output_dir: str | Path, on_record: Callable[[dict[str, Any]], None] | None = None
) -> TrainResult:
    """Trains a run, or resumes the one in output_dir.

    Args:
      on_record: called with each new record of metrics.jsonl, such as {"step": 20, "gen_l1_loss": ...}; for experiment
        trackers and sweeps.

    Raises:
      InputError: the config, the pairs or output_dir are unusable; nothing was written.
      RunError: the run failed; the last checkpoint is kept.
    """
    keep_freed_memory()
    run_dir = Path(output_dir)
    saved_sides = check_config(run_dir, config)
    surveys = {split: _survey(config, split, pairs) for split, pairs in _load_splits(config).items()}
    sides = resolve(config, surveys, saved_sides)
    check_sides(run_dir, saved_sides, sides)
    run = Run(run_dir, config, sides)
    examples = {split: _examples(run, split, found.pairs) for split, found in surveys.items()}
    total_steps = config.total_steps(len(examples["train"]))
    with tf.distribute.get_strategy().scope():
        state = build_state(run, total_steps)
    with _failures_named(run), locked(run_dir, "trains in"):
        print(describe_plan(run, state, examples))
        step = resume(run, state, total_steps, {f"{split}_pairs": len(pairs) for split, pairs in examples.items()})
        if reason := _finished(run, step, total_steps):
            write_examples(run, examples)  # a copied run may lack them
            print(f"nothing left to do: {run_dir} {reason}")
        else:
            step = run_loop(run, state, examples, total_steps, on_record or (lambda record: None))
    metrics = [{}, *evaluations(run.records())][-1]
    return TrainResult(run_dir, step, run.sample_grid(step), metrics)


def _finished(run: Run, step: int, total_steps: int) -> str:
    """Why no step is left to do, and what continues the run; empty if steps are left."""
    config = run.config
    if step >= total_steps:
        return f"has done {step} of {total_steps} steps; raise --epochs or --steps"
    if stops_early(run.records(), config.best_metric, config.early_stop):
        return f"stopped early at step {step}; --early_stop=0, or a higher number, continues to step {total_steps}"
    return ""


def _load_splits(config: TrainConfig) -> dict[str, Pairs]:
    """The splits "train" and "val", the latter limited to eval_pairs."""
    splits = load_pairs(
        config.dataset,
        direction=config.direction,
        data_dir=config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
        mask_dir=config.mask_dir,
        photos=config.task is not None,
    )
    return {"train": splits["train"], "val": splits["val"].spread(config.eval_pairs)}


def _example_size(config: TrainConfig, split: str) -> tuple[int, int]:
    """The (height, width) of the examples of a split; training crops them at random."""
    return config.jitter_size if split == "train" else config.crop_size


def _survey(config: TrainConfig, split: str, pairs: Pairs) -> Survey:
    return survey(
        pairs,
        min_size=_example_size(config, split) if config.fit == "none" else None,
        label_sides=config.palette_sides,
        description=f"reading {split} {'photos' if config.task else 'pairs'}",
    )


def _examples(run: Run, split: str, pairs: Pairs) -> Pairs:
    config = run.config
    return prepare_examples(
        pairs, run.sides, size=_example_size(config, split), fit=config.fit, cache_bytes=config.cache_gb * 1e9
    )


@contextlib.contextmanager
def _failures_named(run: Run) -> Iterator[None]:
    """Turns errors of the disk, the memory or an image into a RunError that names the last checkpoint."""
    try:
        yield
    except BrokenPipeError:  # the program that reads our output has ended
        raise
    except tf.errors.OpError as error:
        unreadable = re.search(r"InputError: (.*)", error.message)  # an image that was readable in the survey
        raise RunError(f"{unreadable[1] if unreadable else error_line(error)}; {_kept(run)}") from error
    except OSError as error:
        raise RunError(f"{error.filename or run.directory}: {error.strerror or error}; {_kept(run)}") from error


def _kept(run: Run) -> str:
    if saved := run.steps():
        return f"the checkpoint of step {saved[-1]} is kept, and the same command resumes from it"
    return "no checkpoint had been written yet"
