"""Which evaluation of a run is the best, and whether it is better than the trivial answers.

An evaluation is a record of metrics.jsonl with `val_` metrics. `trivial` has the metrics of each trivial answer:
{"median color": {"l1": 0.35, ...}, ...}.
"""

import math
from typing import Any

from tf_pix2pix.metrics import METRICS
from tf_pix2pix.training.health.checks import featureless
from tf_pix2pix.trivial_answers import CONSTANTS

Record = dict[str, Any]
Trivial = dict[str, dict[str, float]]

_ADVICE = "try more --steps, check the pairs with pix2pix check-data, and see docs/troubleshooting.md"
MARGIN = 0.01  # of the trivial answer's value: less is no improvement


def evaluations(records: list[Record]) -> list[Record]:
    """The records with metrics of the validation split."""
    return [record for record in records if "val_l1" in record]


def rank(record: Record, metric: str) -> tuple[bool, float]:
    """The less, the better: any featureless generator ranks behind all others, as L1 alone favors blank images."""
    return featureless(record), _badness(record[f"val_{metric}"], metric)


def best_evaluation(records: list[Record], metric: str) -> Record | None:
    """The best evaluation among the records, the first of equals; None before the first."""
    return min(evaluations(records), key=lambda record: rank(record, metric), default=None)


def evaluations_since_best(records: list[Record], metric: str) -> int:
    """The number of evaluations after the best one."""
    measured = evaluations(records)
    best = best_evaluation(records, metric)
    return len(measured) - 1 - measured.index(best) if best else 0


def stops_early(records: list[Record], metric: str, early_stop: int) -> bool:
    """Whether the last `early_stop` evaluations, if not 0, brought no new best."""
    return 0 < early_stop <= evaluations_since_best(records, metric)


def saved_trivial(records: list[Record]) -> Trivial:
    """The metrics of the trivial answers; empty if no record has them."""
    return next((record["trivial"] for record in reversed(records) if "trivial" in record), {})


def best_trivial(trivial: Trivial, metric: str) -> str:
    """The name of the best trivial answer."""
    return min(trivial, key=lambda name: _badness(trivial[name][metric], metric))


def is_better(value: float, trivial_value: float, metric: str) -> bool:
    """Whether a value is better than that of a trivial answer by more than MARGIN."""
    return _badness(value, metric) < _badness(trivial_value, metric) - MARGIN * abs(trivial_value)


def describe(record: Record, best: Record, trivial: Trivial, metric: str) -> str:
    """One line: whether an evaluation is the best so far, against the best trivial answer, and on training pairs."""
    value, name = record[f"val_{metric}"], best_trivial(trivial, metric)
    best_so_far = f"best so far is step {best['step']}, {metric} {best[f'val_{metric}']:.4g}"
    standing = ["best so far" if record is best else best_so_far]
    standing += ["featureless images"] if featureless(record) else []
    better = "better" if is_better(value, trivial[name][metric], metric) else "no better"
    standing += [f"{better} than {name}, {metric} {trivial[name][metric]:.4g}"]
    return "; ".join([*standing, f"{metric} {record[f'train_{metric}']:.4g} on training pairs"])


def verdict(best: Record, trivial: Trivial, metric: str) -> str:
    """One line: whether the best evaluation is better than the trivial answers, and otherwise what to try."""
    value, name = best[f"val_{metric}"], best_trivial(trivial, metric)
    constant = next((answer for answer in CONSTANTS if answer in trivial), name)

    def against(answer):
        return f"{metric} {value:.4g} at best, {answer} {trivial[answer][metric]:.4g}"

    if featureless(best):
        return f"nothing but featureless images: {against(constant)}; {_ADVICE}"
    if not is_better(value, trivial[constant][metric], metric):
        answer = {"median color": "a constant color", "most frequent class": "a constant class"}.get(constant, constant)
        return f"no better than {answer}: {against(constant)}; {_ADVICE}"
    if is_better(value, trivial[name][metric], metric):
        return f"better than every trivial answer: {against(name)}"
    others = [other for other in trivial[name] if is_better(best[f"val_{other}"], trivial[name][other], other)]
    advice = f"better by {', '.join(others)}" if others else _ADVICE
    return f"better than a constant color, but no better than {name}: {against(name)}; {advice}"


def _badness(value: float, metric: str) -> float:
    if math.isnan(value):
        return math.inf
    return -value if METRICS[metric].higher_is_better else value
