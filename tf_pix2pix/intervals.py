"""95 % confidence intervals of means over images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and the 95 % confidence interval around it.

    Attributes:
      value: the mean; nan without values.
      low, high: the interval; nan if fewer than two values are known.
      n: how many values the mean is over.
    """

    value: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean of [n] values, one per image; nan values are left out. Student's t."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < 2 or not np.isfinite(mean):
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def difference_interval(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> Interval:
    """The mean of a - b, [n] values of the same images each; images where one is nan are left out."""
    return mean_interval(np.subtract(a, b, dtype=np.float64))
