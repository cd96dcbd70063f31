"""Which evaluation of a run is the best, and whether it is better than the trivial answers.

An evaluation is a record of metrics.jsonl with `val_` metrics. `trivial` has the metrics of each trivial answer:
{"median color": {"l1": 0.35, ...}, ...}.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_pix2pix.metrics import METRICS
from tf_pix2pix.trivial_answers import CONSTANTS

Record = dict[str, Any]
Trivial = Mapping[str, Mapping[str, float]]

FEATURELESS = 0.1  # val_contrast of blank images: 0.06 untrained, 0.00 at a rate of 2; trained from 0.41 on
MARGIN = 0.01  # of the trivial answer's value: a smaller gain does not count
_ADVICE = "try more --steps, check the pairs with pix2pix check-data, and see docs/troubleshooting.md"


def evaluations(records: Sequence[Record]) -> list[Record]:
    """The records with metrics of the validation split."""
    return [record for record in records if "val_l1" in record]


def featureless(evaluation: Record) -> bool:
    """Whether the generated images of an evaluation are blank: one color, noise or the bare grid of upsampling."""
    return evaluation.get("val_contrast", 1.0) < FEATURELESS


def badness(value: float, metric: str) -> float:
    """The less, the better, whatever the metric; NaN is the worst."""
    if math.isnan(value):
        return math.inf
    return -value if METRICS[metric].higher_is_better else value


def rank(evaluation: Record, metric: str) -> tuple[bool, float]:
    """The less, the better: any featureless generator ranks behind all others, as L1 alone favors blank images."""
    return featureless(evaluation), badness(evaluation.get(f"val_{metric}", math.nan), metric)


def best_evaluation(records: Sequence[Record], metric: str) -> Record | None:
    """The best evaluation among the records, the first of equals; None before the first."""
    return min(evaluations(records), key=lambda record: rank(record, metric), default=None)


def stops_early(records: Sequence[Record], metric: str, early_stop: int) -> bool:
    """Whether the last `early_stop` evaluations, if not 0, brought no new best."""
    measured = evaluations(records)
    best = best_evaluation(measured, metric)
    return best is not None and 0 < early_stop < len(measured) - measured.index(best)


def saved_trivial(records: Sequence[Record]) -> Trivial:
    """The metrics of the trivial answers; empty if no record has them."""
    return next((record["trivial"] for record in reversed(records) if "trivial" in record), {})


def best_trivial(trivial: Trivial, metric: str) -> tuple[str, float] | None:
    """The name of the trivial answer that is the best by a metric, and its value; None if none has the metric."""
    values = {name: found[metric] for name, found in trivial.items() if metric in found}
    return min(values.items(), key=lambda item: badness(item[1], metric), default=None)


def is_better(value: float, trivial_value: float, metric: str) -> bool:
    """Whether a value is better than that of a trivial answer by more than MARGIN."""
    return badness(value, metric) < badness(trivial_value, metric) - MARGIN * abs(trivial_value)


def compare(evaluation: Record, trivial: Trivial, metric: str) -> str:
    """Words: whether an evaluation is better than the best trivial answer; empty without an answer."""
    found = best_trivial(trivial, metric)
    if found is None:
        return ""
    better = "better" if is_better(evaluation.get(f"val_{metric}", math.nan), found[1], metric) else "no better"
    return f"{better} than {found[0]} ({format_metrics({metric: found[1]})})"


def verdict(best: Record, trivial: Trivial, metric: str) -> str:
    """Words: whether the best evaluation is better than the trivial answers, and otherwise what to try."""
    value, (name, least) = best[f"val_{metric}"], best_trivial(trivial, metric) or ("", math.nan)
    constant = next((answer for answer in CONSTANTS if answer in trivial), name)

    def against(answer):
        return f"{format_metrics({metric: value})}, {answer} {trivial[answer][metric]:.4g}"

    if featureless(best):
        return f"nothing but featureless images: {against(constant)}; {_ADVICE}"
    if not is_better(value, trivial[constant][metric], metric):
        return f"no better than {CONSTANTS.get(constant, constant)}: {against(constant)}; {_ADVICE}"
    if is_better(value, least, metric):
        return f"better than every trivial answer: {against(name)}"
    others = {other: best[f"val_{other}"] for other in trivial[name]}
    others = {other: own for other, own in others.items() if is_better(own, trivial[name][other], other)}
    advice = f"but better by {', '.join(METRICS[other].label for other in others)}" if others else _ADVICE
    return f"better than {CONSTANTS.get(constant, constant)}, but no better than {name}: {against(name)}; {advice}"


def format_metrics(values: Mapping[str, float]) -> str:
    """Formats values by the names of their metrics as "L1 0.31, PSNR 14.2 dB"."""
    labels = {name: METRICS[name] for name in values}
    return ", ".join(f"{labels[name].label} {value:.4g} {labels[name].unit}".strip() for name, value in values.items())
