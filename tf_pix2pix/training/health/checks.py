"""CHECKS: the signs of an unhealthy run, each a function of the evaluations so far.

Each function gets the periods of a run (`periods`), the last of which is to be judged, and the config. It returns a
warning (what is seen, what it means, what to try), or None. docs/troubleshooting.md has a section for each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tf_pix2pix.best import Record, best_evaluation, featureless
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.metrics import METRICS

# Measured at 64 and 128 pixels on real facades and the built-in set: healthy runs, and runs made to fail.
SAME = 0.1  # val_variation of images that are nearly alike: 0.06 to 0.08 from shuffled pairs; otherwise from 0.25 on
GRID = 3.0  # dB above the targets' grid energy, at which a grid is plain to the eye
WON = 0.99  # share of patches that a discriminator beyond reach gets right; 0.81 to 0.91 on real facades
WAITING = 0.2  # share of time
LASTING = 3  # evaluations in a row, before an advantage of the discriminator or of the training pairs means something
LEARNED = 0.15  # fall of the training loss since the best step: 0.41 to 0.59 with 8 pairs, up to 0.11 with 400
RISE = 0.2  # relative rise of the training loss
MIN_RECORDS = 5  # training records in a period, before its speed means something


@dataclass(frozen=True)
class Period:
    """An evaluation, and the means of the training records since the evaluation before it."""

    evaluation: Record
    training: dict[str, float]
    records: int  # number of training records

    @property
    def loss(self) -> float | None:
        """The mean L1, or cross-entropy, of the training batches."""
        return self.training.get("gen_l1_loss", self.training.get("gen_cross_entropy_loss"))


def periods(records: Sequence[Record]) -> list[Period]:
    """The periods of a run from its records, in their order."""
    found, since = [], []  # type: ignore[var-annotated]
    for record in records:
        if "val_l1" in record:
            names = {name: None for one in since for name in one}  # in order; gradient norms are not in each record
            means = {name: float(np.mean([one[name] for one in since if name in one])) for name in names}
            found.append(Period(record, means, len(since)))
            since = []
        elif "images_per_second" in record:
            since.append(record)
    return found


def check_featureless(past: Sequence[Period], config: TrainConfig) -> str | None:
    if not featureless(past[-1].evaluation):
        return None
    return (
        "the generated images are blank: nothing but one color, noise or a grid. The generator has not found how the "
        "target follows from the input. Early on this is normal; if it stays, check with pix2pix check-data whether "
        "inputs and targets match, and train with the default --learning_rate, or for more --steps"
    )


def check_same_output(past: Sequence[Period], config: TrainConfig) -> str | None:
    evaluation = past[-1].evaluation
    if featureless(evaluation) or evaluation.get("val_variation", 1.0) >= SAME:
        return None
    return (
        "the generated images are nearly the same for every input: the generator ignores its input. Check with pix2pix "
        "check-data whether inputs and targets match; then raise --l1_weight, or lower --learning_rate"
    )


def check_dead_bottleneck(past: Sequence[Period], config: TrainConfig) -> str | None:
    if past[-1].evaluation.get("val_bottleneck", 1.0) >= 0.01:
        return None
    return (
        "the innermost layer of the U-Net does not respond to the input: the generator sees details, but not the image "
        "as a whole. Train again with a lower --learning_rate, another --seed or a smaller --depth"
    )


def check_discriminator_won(past: Sequence[Period], config: TrainConfig) -> str | None:
    def won(period):
        return all(period.training.get(f"disc_{kind}_accuracy", 0.0) > WON for kind in ("real", "fake"))

    if len(past) < LASTING or not all(map(won, past[-LASTING:])):
        return None
    return (
        f"the discriminator has separated real from generated patches almost without error for {LASTING} evaluations: "
        "it no longer teaches the generator anything but that it has lost. Try --adversarial_loss=lsgan, fewer "
        "--discriminator_filters, or more training pairs"
    )


def check_divergence(past: Sequence[Period], config: TrainConfig) -> str | None:
    losses = [period.loss for period in past if period.loss is not None]
    if not config.l1_weight or len(losses) < 2 or past[-1].loss != losses[-1]:
        return None
    least = min(losses)
    if losses[-1] <= (1.0 + RISE) * least:
        return None
    return (
        f"the training loss rises: {losses[-1]:.3g} after {least:.3g} at its best. The generator gets worse on "
        "the pairs that it learns from. Train again with a lower --learning_rate, or a higher --l1_weight"
    )


def check_overfitting(past: Sequence[Period], config: TrainConfig) -> str | None:
    metric, measured = config.best_metric, [period.evaluation for period in past]
    best = measured.index(best_evaluation(measured, metric) or {})
    before, now = past[best].loss, past[-1].loss
    if len(past) - 1 - best < LASTING or before is None or now is None or now > (1.0 - LEARNED) * before:
        return None
    best_value, value = (evaluation.get(f"val_{metric}", math.nan) for evaluation in (measured[best], measured[-1]))
    if not (math.isfinite(best_value) and math.isfinite(value)):
        return None
    return (
        f"validation has not improved since step {measured[best]['step']:,} ({METRICS[metric].label} {value:.3g} after "
        f"{best_value:.3g}) although the training loss has fallen by {1 - now / before:.0%}: the generator learns its "
        "training pairs by heart. Exports use the best step; more pairs help most, then fewer --filters, --early_stop "
        "and fewer --steps"
    )


def check_grid(past: Sequence[Period], config: TrainConfig) -> str | None:
    evaluation = past[-1].evaluation
    if "val_grid_energy" not in evaluation or featureless(evaluation):
        return None
    energy, targets = evaluation["val_grid_energy"], evaluation.get("val_grid_energy_targets", 0.0)
    if energy <= max(targets, 0.0) + GRID:
        return None
    return (
        f"the generated images have a regular grid that the targets lack ({energy:.1f} dB; targets {targets:.1f} dB). "
        "It comes from the upsampling; --ema_decay=0.999 and --schedule=linear make it fainter"
    )


def check_data_wait(past: Sequence[Period], config: TrainConfig) -> str | None:
    share = past[-1].training.get("data_wait", 0.0)
    if past[-1].records < MIN_RECORDS or share <= WAITING:
        return None
    return (
        f"training waits for data {share:.0%} of the time: reading and decoding the images is slower than the steps. "
        "Raise --cache_gb so that all pairs stay in memory, or prepare smaller files with pix2pix prepare"
    )


# Warnings by name, in the order of docs/troubleshooting.md.
CHECKS: dict[str, Callable[[Sequence[Period], TrainConfig], str | None]] = {
    "featureless": check_featureless,
    "same_output": check_same_output,
    "dead_bottleneck": check_dead_bottleneck,
    "discriminator_won": check_discriminator_won,
    "divergence": check_divergence,
    "overfitting": check_overfitting,
    "grid": check_grid,
    "data_wait": check_data_wait,
}


def warnings_of(records: Sequence[Record], config: TrainConfig) -> dict[str, str]:
    """The warnings about the last evaluation among the records of a run, by name; none before the first."""
    past = periods(records)
    found = {name: check(past, config) for name, check in CHECKS.items()} if past else {}
    return {name: text for name, text in found.items() if text}
