"""Training: `train` puts a run together; step.py is the mathematics, loop.py what is shown and kept on the way."""

import dataclasses
import math
import re
from pathlib import Path

import tensorflow as tf

from tf_pix2pix import checkpoints, runs
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import RunError
from tf_pix2pix.input_pipeline import prepare
from tf_pix2pix.training.loop import run_loop
from tf_pix2pix.training.step import build_state


def train(config: TrainConfig, output_dir: str | Path) -> Path:
    """Trains a run, or goes on with the one in output_dir; returns the path of the last sample grid.

    Raises:
      InputError: the config, the pairs or output_dir do not allow it; nothing was written.
      RunError: the run failed; what was learned up to the last checkpoint is kept.
    """
    run_dir = Path(output_dir)
    runs.check(run_dir, config)
    splits = load_pairs(
        config.dataset,
        data_dir=config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
    )
    train_pairs = _prepared(splits["train"], config, config.jitter_size)
    channels = [side.shape[2] for side in train_pairs.read(0)]
    config = dataclasses.replace(config, input_channels=channels[0], output_channels=channels[1])
    held_out = _prepared(splits["val"].spread(config.eval_pairs), config, config.crop_size)
    total_steps = config.steps or math.ceil(config.epochs * len(train_pairs) / config.batch_size)
    strategy = tf.distribute.get_strategy()
    with strategy.scope():
        state = build_state(config, total_steps)
    try:
        runs.write_config(run_dir, config)
        if saved := checkpoints.steps(run_dir / "checkpoints", "step"):
            checkpoints.restore(run_dir / "checkpoints" / f"step-{saved[-1]:08d}", state.checkpoint())
        start_step = int(state.step)
        runs.forget_after(run_dir, start_step)
        print(
            f"{len(train_pairs)} pairs to train on, {len(held_out)} held out; {config.direction}, "
            f"{format_value(config.crop_size)} pixels; generator {state.generator.count_params():,}, "
            f"discriminator {state.discriminator.count_params():,} parameters; run directory {run_dir}"
        )
        if start_step >= total_steps:
            done = f"{run_dir} is at step {start_step} of {total_steps}"
            print(f"nothing left to do: {done}; raise --epochs or --steps to go on")
            return run_dir / "samples" / f"step_{start_step:08d}.png"
        if start_step:
            print(f"resuming at step {start_step} of {total_steps}")
        return run_loop(config, run_dir, state, train_pairs, held_out, total_steps)
    except RunError as error:
        raise RunError(f"{error}; {_kept(run_dir)}") from None
    except tf.errors.OpError as error:
        reason = error.message.strip().splitlines()[0]
        if unreadable := re.search(r"InputError: (.*)", error.message):  # a picture that could be read before
            reason = unreadable[1]
        raise RunError(f"{reason}; {_kept(run_dir)}") from error
    except OSError as error:
        raise RunError(f"{error.filename or run_dir}: {error.strerror or error}; {_kept(run_dir)}") from error


def _prepared(pairs: Pairs, config: TrainConfig, size: tuple[int, int]) -> Pairs:
    return prepare(
        pairs,
        direction=config.direction,
        size=size,
        fit=config.fit,
        resize_a=config.resize_a,
        resize_b=config.resize_b,
        input_channels=config.input_channels,
        output_channels=config.output_channels,
        max_bad=config.max_bad_images,
        cache_bytes=config.cache_gb * 1e9,
    )


def _kept(run_dir: Path) -> str:
    """What is left of a run that failed."""
    if saved := checkpoints.steps(run_dir / "checkpoints", "step"):
        return f"the checkpoint of step {saved[-1]} is kept, the same command goes on from there"
    return "no checkpoint had been written yet"
