"""The plan of a training, printed before its first step, and the forecast of its end after a few steps."""

import sys
from collections.abc import Mapping, Sized

from tf_pix2pix.config import format_value
from tf_pix2pix.run import Run
from tf_pix2pix.training.step import TrainState

if sys.platform != "win32":
    import resource

FORECAST_STEPS = 10  # measured steps before the forecast; the first step, which traces the graph, is not among them


def describe_plan(run: Run, state: TrainState, examples: Mapping[str, Sized]) -> str:
    """Lines: the pairs and the networks of a training."""
    config, kind = run.config, f"{'photos' if run.config.task else 'pairs'} for training"
    what, size = config.task or config.direction, format_value(config.crop_size)
    discriminator = f"{state.discriminator.count_params():,}" if config.gan_weight else "none"
    return (
        f"{len(examples['train']):,} {kind}, {len(examples['val']):,} for validation; {what}, {size} pixels\n"
        f"generator {state.generator.count_params():,} parameters, discriminator {discriminator}"
    )


def describe_length(run: Run, step: int, total_steps: int, train_pairs: int) -> str:
    """One line: the steps to do, and the run directory."""
    if step:
        return f"resuming at step {step} of {total_steps}; run directory {run.directory}"
    batch_size = run.config.batch_size
    epochs = total_steps * batch_size / train_pairs
    return f"{total_steps:,} steps of batch size {batch_size}, {epochs:.3g} epochs; run directory {run.directory}"


def forecast(steps_left: int, seconds_per_step: float, batch_size: int) -> str:
    """One line: the time that a number of steps requires, without evaluations, and the memory used so far."""
    memory = f"; memory: {gigabytes:.1f} GB" if (gigabytes := peak_memory_gb()) else ""
    return (
        f"{steps_left:,} steps at {batch_size / seconds_per_step:.3g} images/s: about "
        f"{format_duration(steps_left * seconds_per_step)}, evaluations not counted; --steps=... for less{memory}"
    )


def format_duration(seconds: float) -> str:
    """Formats seconds as "9 h 15 min", "12 min" or "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def peak_memory_gb() -> float:
    """The largest resident memory of this process so far, in GB; 0 on Windows, which does not report it."""
    if sys.platform == "win32":
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
