"""Health: says in plain words, at each evaluation, whether a run goes well.

It judges by the records of metrics.jsonl alone, so that a resumed run gets the same warnings as an uninterrupted one.
"""

from typing import Any

from tf_pix2pix.run import Run
from tf_pix2pix.training.health.checks import CHECKS, Period, Record, periods, warnings_of
from tf_pix2pix.training.health.failed_batch import FailedBatches
from tf_pix2pix.training.health.validation import ValidationImages, innermost_activations
from tf_pix2pix.training.step import TrainState

__all__ = ["CHECKS", "FailedBatches", "Health", "describe", "periods", "warnings_of"]


class Health:
    """The records of a run so far, and the images of the present evaluation."""

    def __init__(self, run: Run, state: TrainState):
        self._config, self._records = run.config, run.records()
        is_unet = run.config.generator == "unet"
        self._innermost = innermost_activations(state.sampled, run.codec) if is_unet else None
        self._images = ValidationImages(self._innermost)

    def add(self, record: Record) -> None:
        """Adds a record of metrics.jsonl."""
        self._records.append(record)

    def observe(self, input_image, gen_output, target_image) -> None:
        """Adds validation images, float32 [n, h, w, c] in [-1, 1]."""
        self._images.update(input_image, gen_output, target_image)

    def judge(self, evaluation: Record) -> tuple[Record, list[str]]:
        """Judges an evaluation whose images were observed.

        Returns:
          What its record gains: the values of ValidationImages, and "health", the names of the warnings; and the lines
          to print: one about the run's health, one for each new warning, and one with the names of the other warnings.
        """
        gained: dict[str, Any] = self._images.results()
        self._images = ValidationImages(self._innermost)
        records = [*self._records, {**evaluation, **gained}]
        found = warnings_of(records, self._config)
        anchors = {name: f"docs/troubleshooting.md#{name.replace('_', '-')}" for name in found}
        before: list[str] = next((record["health"] for record in reversed(self._records) if "health" in record), [])
        lines = [describe(periods(records))]
        lines += [f"warning: {text}; see {anchors[name]}" for name, text in found.items() if name not in before]
        if again := [name for name in found if name in before]:
            lines += [f"warning as before: {', '.join(again)}"]
        return {**gained, "health": [*found]}, lines


def describe(past: list[Period]) -> str:
    """One line on the health of a run at the last of its periods."""
    training, evaluation = past[-1].training, past[-1].evaluation
    parts = []
    if "disc_real_accuracy" in training:
        parts += [
            f"discriminator right on {training['disc_real_accuracy']:.0%} of real and "
            f"{training['disc_fake_accuracy']:.0%} of generated patches"
        ]
    if "gen_grad_norm" in training:
        norms = f"gradient norm {training['gen_grad_norm']:.3g}"
        if training.get("disc_grad_norm"):
            ratio = training["gen_grad_norm"] / training["disc_grad_norm"]
            norms += f", {ratio:.3g} times the discriminator's"
        parts += [norms]
    if past[-1].loss is not None:
        name = "L1" if "gen_l1_loss" in training else "cross-entropy"
        parts += [f"training {name} {past[-1].loss:.3g}{_trend(past)}"]
    if "val_detail" in evaluation:
        parts += [f"detail {evaluation['val_detail']:.2f} of the targets'"]
    if "val_grid_energy" in evaluation:
        parts += [f"grid {evaluation['val_grid_energy']:.1f} dB"]
    return f"health: {'; '.join(parts)}"


def _trend(past: list[Period]) -> str:
    """Whether the training loss falls or rises from one period to the next."""
    if len(past) < 2 or past[-1].loss is None or not past[-2].loss:
        return ""
    change = past[-1].loss / past[-2].loss - 1.0
    return ", steady" if abs(change) < 0.01 else f", {'falling' if change < 0 else 'rising'} by {abs(change):.0%}"
