"""FailedBatches: ends a run whose losses, gradients or weights are not finite, and saves the batches that caused it."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_pix2pix import images
from tf_pix2pix.errors import RunError
from tf_pix2pix.input_pipeline import example_index
from tf_pix2pix.run import Run
from tf_pix2pix.training.step import NORMS, TrainState

DIRECTORY = "failed_batch"


class FailedBatches:
    """Checks the numbers of a run, and saves the batch of the first step at which one is not finite.

    A bad gradient shows in the losses of the next step. So the batch of the step before is saved, too.

    Args:
      names: of the training pairs.
      batches: (start_step, steps) -> the batches of `training_batches`, whose first step is start_step + 1 and whose
        last is `steps`.
    """

    def __init__(self, run: Run, names: Sequence[str], batches: Callable[[int, int], tf.data.Dataset]):
        self._run, self._names, self._batches = run, names, batches
        # With loss scaling an infinite gradient is normal: the optimizer skips the step and lowers the scale.
        self._ignored = NORMS if run.config.precision == "mixed_float16" else ()

    def check(self, step: int, measured: Sequence[dict[str, tf.Tensor]]) -> None:
        """Raises RunError if a number of the last steps, the last of which is `step`, is not finite."""
        for number, values in enumerate(measured, start=step - len(measured) + 1):
            floats = {name: float(value) for name, value in values.items() if name not in self._ignored}
            if not all(map(math.isfinite, floats.values())):
                shown = ", ".join(f"{name} {value:.3g}" for name, value in floats.items() if "accuracy" not in name)
                losses_are_finite = all(math.isfinite(value) for name, value in floats.items() if "loss" in name)
                self._fail(number, f"{'a gradient' if losses_are_finite else 'a loss'} is not finite", f" ({shown})")

    def check_weights(self, step: int, state: TrainState) -> None:
        """Raises RunError if a weight is not finite, before a checkpoint keeps it."""
        variables = [v for network in (state.generator, state.discriminator) for v in network.trainable_variables]
        if not all(math.isfinite(tf.reduce_sum(variable)) for variable in variables):
            self._fail(step, "a weight is not finite", "")

    def _fail(self, step: int, problem: str, values: str) -> None:
        directory = self._save(step)
        if saved := self._run.steps():
            kept = f"the checkpoint of step {saved[-1]} is kept, but resuming from it would end here again"
        else:
            kept = "no checkpoint had been written yet"
        raise RunError(
            f"{problem} at step {step}{values}; {kept}: train in another --output_dir with a lower --learning_rate. "
            f"The images of this step and the one before are in {directory}; see docs/troubleshooting.md#nan"
        )

    def _save(self, step: int) -> Path:
        """Writes the batches of a step and of the one before it: images, and names.txt."""
        config, directory = self._run.config, self._run.directory / DIRECTORY
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        lines, first = [], max(1, step - 1)
        for number, batch in enumerate(self._batches(first - 1, step), start=first):
            for position in range(config.batch_size):
                example = (number - 1) * config.batch_size + position
                name = self._names[int(example_index(example, len(self._names), config.seed))]
                stem = f"step_{number:08d}_{position:02d}"
                parts = dict(zip(("input", "target", "weights"), (part[position] for part in batch), strict=False))
                bad = [part for part, image in parts.items() if not np.isfinite(image).all()]
                note = f" ({' and '.join(bad)} with values that are not finite)" if bad else ""
                lines.append(f"{stem}: {name}{note}")
                self._write(directory, stem, parts)
        (directory / "names.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return directory

    def _write(self, directory: Path, stem: str, parts: dict[str, tf.Tensor]) -> None:
        sides = {"input": self._run.sides.input.from_float, "target": self._run.sides.target.from_float}
        for part, image in parts.items():
            values = sides[part](image) if part in sides else images.from_float(2.0 * image - 1.0)
            array = values.numpy()
            extension = ".npy" if array.dtype == np.float32 else ".png"
            images.write(directory / f"{stem}_{part}{extension}", array)
