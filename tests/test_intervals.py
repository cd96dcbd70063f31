import numpy as np
import pytest
from scipy import stats

from tf_pix2pix.intervals import Interval, difference_interval, mean_interval, pooled_interval


def test_the_interval_of_students_t():
    values = np.random.default_rng(0).normal(3.0, 2.0, 28)
    interval = mean_interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert interval == Interval(pytest.approx(values.mean()), pytest.approx(low), pytest.approx(high), 28)


def test_unknown_values_are_left_out():
    assert mean_interval([1.0, np.nan, 2.0, 4.0]) == mean_interval([1.0, 2.0, 4.0])
    assert mean_interval(np.float32([np.nan, 5.0])) == pytest.approx((5.0, np.nan, np.nan, 1), nan_ok=True)
    assert mean_interval([]) == pytest.approx((np.nan, np.nan, np.nan, 0), nan_ok=True)
    assert mean_interval([1.0, np.inf]) == pytest.approx((np.inf, np.nan, np.nan, 2), nan_ok=True)


def test_differences_are_of_the_same_images():
    """Images differ far more from each other than two runs do on each."""
    rng = np.random.default_rng(0)
    images = rng.normal(0.0, 10.0, 40)
    a, b = images + rng.normal(1.0, 0.1, 40), images + rng.normal(0.0, 0.1, 40)
    interval = difference_interval(a, b)
    assert interval.value == pytest.approx(1.0, abs=0.05)
    assert 0.0 < interval.high - interval.low < 0.1
    a[3], b[7] = np.nan, np.nan
    known = np.delete(np.arange(40), [3, 7])
    assert difference_interval(a, b) == difference_interval(a[known], b[known])
    np.testing.assert_allclose(difference_interval(b, a)[:3], -np.array(difference_interval(a, b))[[0, 2, 1]])


# As skewed as the metrics of single images: 400 real facades at 128 pixels have 0.8 in L1, 1.6 in MSE, -0.2 in PSNR,
# -0.4 in SSIM, -0.6 in MS-SSIM, 0.2 in gradient correlation, -1.6 in alternation.
DISTRIBUTIONS = {
    "normal": stats.norm(),
    "skew 0.8": stats.gamma(6.25),
    "skew 1.6": stats.gamma(1.56),
    "lognormal, skew 1.5": stats.lognorm(0.44),
    "bounded, skew -0.8": stats.beta(8, 2),
    "flat": stats.uniform(),
    "two heaps": stats.beta(0.5, 0.5),
}


@pytest.mark.parametrize("n", [28, 100])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_intervals_cover_the_truth_in_93_to_97_percent_of_simulated_sets(name, n):
    sets = DISTRIBUTIONS[name].rvs((4000, n), random_state=np.random.default_rng(n))
    intervals = [mean_interval(values) for values in sets]
    truth = DISTRIBUTIONS[name].mean()
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.93 <= covered <= 0.97


def test_the_interval_of_a_statistic_of_sums():
    values = np.random.default_rng(0).normal(3.0, 2.0, 28)
    assert pooled_interval(lambda total: total / 28, values[:1]) == pytest.approx(
        (values[0] / 28, np.nan, np.nan, 1), nan_ok=True
    )
    parts = np.stack([values, np.ones(28)], axis=1)  # the mean, as sum over count
    assert pooled_interval(lambda total: total[0] / total[1], parts) == pytest.approx(mean_interval(values))


def test_the_interval_of_a_ratio_of_sums_covers_the_true_one():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        sizes = rng.uniform(1.0, 3.0, 28)
        parts = np.stack([sizes * rng.normal(0.5, 0.2, 28), sizes], axis=1)
        interval = pooled_interval(lambda total: total[0] / total[1], parts)
        covered += interval.low <= 0.5 <= interval.high
    assert 0.92 <= covered / 400 <= 0.98
