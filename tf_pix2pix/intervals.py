"""95 % confidence intervals of means over images, by Student's t.

Chosen by measurement: sets of 28 and of 100 images drawn from the metrics of 400 real facades (128 pixels). The
interval covers the true mean in 93.4 to 95.1 % of them, a BCa bootstrap of 28 images in 91.5 to 93.8 %. For the
differences of two runs it is 94.1 to 95.2 %, for a bootstrap of the differences 91.9 to 95.3 %.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and the 95 % confidence interval around it.

    Attributes:
      value: the mean; nan without values.
      low, high: the interval; nan if fewer than two values are known or one is infinite (PSNR of equal images).
      n: how many values the mean is over.
    """

    value: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean of [n] values, one per image; nan values are left out."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    n = len(known)
    mean = float(known.mean()) if n else float("nan")
    if n < 2 or not np.isfinite(mean):
        return Interval(mean, float("nan"), float("nan"), n)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def difference_interval(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> Interval:
    """The mean of a - b, [n] values of the same images each; images with a nan are left out.

    Paired: how much the images differ among each other does not widen it.
    """
    return mean_interval(np.subtract(a, b, dtype=np.float64))


def pooled_interval(statistic: Callable[[np.ndarray], float], counts: np.ndarray) -> Interval:
    """A statistic of the sums over n images, such as mean IoU, with an interval by the jackknife.

    The jackknife computes the statistic without each image in turn; for a mean, its interval is that of mean_interval.
    Efron and Tibshirani, An Introduction to the Bootstrap, section 11.2.

    Args:
      statistic: sums -> a number.
      counts: [n, ...], what each image adds to the sums.
    """
    n, total = len(counts), counts.sum(axis=0)
    value = float(statistic(total))
    if n < 2 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), n)
    without = np.array([statistic(total - one) for one in counts])
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, n - 1) * without.std() * np.sqrt(n - 1))
    return Interval(value, value - half, value + half, n)
