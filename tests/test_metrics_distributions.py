"""Distances of sets: against closed forms, scipy, definitions written out, and the published pyramid."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import skimage.color

from tf_pix2pix.metrics import sliced_wasserstein
from tf_pix2pix.metrics.colors import rgb_to_lab
from tf_pix2pix.metrics.distributions import (
    LabHistogram,
    SlicedWasserstein,
    frechet_distance,
    frechet_distance_of_features,
    kernel_distance,
    squared_mmd,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (2, 6, 40, 48, 3)).astype(np.float32)  # generated and target


def features(seed, n, dims=12, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) + shift).astype(np.float32)


def update_in_batches(accumulator, gen_output, target_image, size):
    for start in range(0, len(gen_output), size):
        accumulator.update(gen_output[start : start + size], target_image[start : start + size])
    return accumulator.results()


def test_frechet_distance_of_commuting_gaussians_is_the_closed_form():
    """Covariances with the same eigenvectors: the sum of squared differences of means and of standard deviations."""
    axes, _ = np.linalg.qr(RNG.normal(size=(5, 5)))
    a, b = np.array([4.0, 1.0, 0.25, 0.0, 9.0]), np.array([1.0, 1.0, 4.0, 0.0, 0.0])
    value = frechet_distance(np.ones(5), axes * a @ axes.T, np.zeros(5), axes * b @ axes.T)
    assert value == pytest.approx(5 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), abs=1e-6)


@pytest.mark.parametrize("n", [8, 60], ids=["fewer images than features", "more images than features"])
def test_frechet_distance_is_the_formula_with_scipys_matrix_root(n):
    a, b = features(1, n), features(2, n + 3, shift=0.5)
    means, covariances = [one.mean(axis=0) for one in (a, b)], [np.cov(one, rowvar=False) for one in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert frechet_distance(means[0], covariances[0], means[1], covariances[1]) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance_of_features(a, b) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n", [2, 8, 60])
def test_frechet_distance_of_a_set_from_itself_is_0(n):
    a = features(1, n)
    assert frechet_distance_of_features(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet_distance_of_features(a, a + 2) == pytest.approx(4 * 12, rel=1e-5)


def mmd_written_out(a, b, paired):
    """Every pair of rows, one by one."""
    own_a = [(a[i] @ a[j] / 12 + 1) ** 3 for i in range(len(a)) for j in range(len(a)) if i != j]
    own_b = [(b[i] @ b[j] / 12 + 1) ** 3 for i in range(len(b)) for j in range(len(b)) if i != j]
    across = [(a[i] @ b[j] / 12 + 1) ** 3 for i in range(len(a)) for j in range(len(b)) if not (paired and i == j)]
    return np.mean(own_a) + np.mean(own_b) - 2 * np.mean(across)


@pytest.mark.parametrize("sizes, paired", [((7, 7), True), ((7, 7), False), ((9, 5), False)])
def test_squared_mmd_is_its_definition(sizes, paired):
    a, b = features(1, sizes[0]).astype(np.float64), features(2, sizes[1]).astype(np.float64)
    assert squared_mmd(a, b, paired) == pytest.approx(mmd_written_out(a, b, paired), rel=1e-9)


def test_squared_mmd_of_pairs_is_unbiased():
    """Both sets have one distribution, so the mean over many sets is 0, although the images of a pair are alike."""
    values = {True: [], False: []}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        common, own = rng.normal(size=(10, 4)), rng.normal(size=(2, 10, 4))
        for paired in values:
            values[paired].append(squared_mmd(common + 0.2 * own[0], common + 0.2 * own[1], paired))
    error = {paired: np.mean(one) / scipy.stats.sem(one) for paired, one in values.items()}
    assert abs(error[True]) < 3
    assert error[False] < -10


def test_kernel_distance_averages_subsets_to_the_estimate_of_all():
    a, b = features(1, 40), features(1, 40, shift=1.0)
    result = kernel_distance(a, b, subsets=2000, paired=True)
    assert result["value"] == pytest.approx(squared_mmd(a, b, paired=True), rel=0.02)
    assert result == kernel_distance(a, b, subsets=2000, paired=True)
    assert kernel_distance(a, b, paired=True, seed=1) != kernel_distance(a, b, paired=True)


def test_kernel_distance_intervals_cover_the_truth():
    """n = 100 pairs; the truth is the mean of many estimates, whose error is small."""
    results, estimates = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        common, own = rng.normal(size=(100, 6)), rng.normal(size=(2, 100, 6))
        a, b = common + 0.5 * own[0], common + 0.5 * own[1] + 0.4
        results.append(kernel_distance(a, b, paired=True))
        estimates.append(squared_mmd(a, b, paired=True))
    truth = np.mean(estimates)
    assert 0.88 < np.mean([one["low"] < truth < one["high"] for one in results]) <= 0.99


@pytest.mark.parametrize("n", [2, 3])
def test_kernel_distance_of_few_images_has_no_interval(n):
    a, b = features(1, n), features(2, n)
    assert kernel_distance(a, b) == {"value": squared_mmd(a, b)}


def test_lab_is_scikit_images():
    image = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image[0], image[1] = 0, np.arange(32)[:, np.newaxis]  # black, and dark grays
    np.testing.assert_allclose(np.stack(rgb_to_lab(image), axis=2), skimage.color.rgb2lab(image), atol=2e-3)


def test_lab_histogram_is_the_intersection_of_numpys_histograms():
    gen_output, target_image = IMAGES[0], IMAGES[1] ** 3
    edges = np.arange(-129, 130, 2)
    overlaps = []
    for channel in range(3):
        shares = []
        for batch in (gen_output, target_image):
            levels = np.round((batch + 1) * 127.5).astype(np.uint8)
            counts, _ = np.histogram(skimage.color.rgb2lab(levels)[..., channel], edges)
            shares.append(counts / counts.sum())
        overlaps.append(np.minimum(*shares).sum())
    result = update_in_batches(LabHistogram(), gen_output, target_image, 4)["lab_histogram"]
    # a few pixels lie so close to an edge that float32 and float64 disagree
    assert result["value"] == pytest.approx(np.mean(overlaps), abs=1e-4)
    assert 0.3 < result["value"] < 0.95 and result["n"] == 6
    assert result["note"] == "L {:.3f}, a {:.3f}, b {:.3f}".format(*overlaps)


def test_lab_histogram_of_equal_and_of_opposite_colors():
    red, green = np.full((2, 1, 16, 16, 3), -1, np.float32)
    red[..., 0], green[..., 1] = 1, 1
    for target, expected in ((red, 1), (green, 0)):
        accumulator = LabHistogram()
        accumulator.update(red, target)
        assert accumulator.results()["lab_histogram"]["value"] == expected
    assert LabHistogram().results() == {}


def published_pyramid(image):
    """The pyramid of the published code: scipy's convolution with the whole kernel, on images with zeros between."""
    line = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(line, line)[:, :, np.newaxis]
    bands = [image.astype(np.float64)]
    while min(bands[-1].shape[:2]) // 2 >= 16:
        smaller = scipy.ndimage.convolve(bands[-1], kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(bands[-1])
        spread[::2, ::2] = smaller
        bands[-1] = bands[-1] - scipy.ndimage.convolve(spread, 4 * kernel, mode="mirror")
        bands.append(smaller)
    return bands


@pytest.mark.parametrize("size", [(64, 96), (16, 31), (128, 64)])
def test_laplacian_pyramid_is_the_published_one(size):
    image = RNG.uniform(-1, 1, (*size, 3)).astype(np.float32)
    bands, expected = sliced_wasserstein.laplacian_pyramid(image), published_pyramid(image)
    assert len(bands) == len(expected)
    for ours, theirs in zip(bands, expected, strict=True):
        np.testing.assert_allclose(np.moveaxis(ours, 0, 2), theirs, atol=1e-5)


def test_pyramid_of_odd_sizes_adds_up_to_the_image():
    image = RNG.uniform(-1, 1, (67, 75, 3)).astype(np.float32)
    fine, middle, coarse = sliced_wasserstein.laplacian_pyramid(image)
    whole = middle + sliced_wasserstein.double(coarse, middle.shape[1:])
    whole = fine + sliced_wasserstein.double(whole, fine.shape[1:])
    np.testing.assert_allclose(np.moveaxis(whole, 0, 2), image, atol=1e-5)


def test_sliced_wasserstein_is_scipys_distance_along_each_direction():
    a, b = features(1, 50), features(2, 50)
    directions = features(3, 12, dims=5)
    expected = [scipy.stats.wasserstein_distance(a @ one, b @ one) for one in directions.T]
    assert sliced_wasserstein.sliced_wasserstein(a, b, directions) == pytest.approx(np.mean(expected), rel=1e-5)


def test_sliced_wasserstein_of_images():
    """Equal images: 0. The more blurred, the larger; brightness and contrast of all images do not count."""
    target = scipy.ndimage.gaussian_filter(IMAGES[1], (0, 0.7, 0.7, 0))

    def value(gen_output):
        accumulator = SlicedWasserstein()
        accumulator.update(gen_output, target)
        return accumulator.results()["sliced_wasserstein"]["value"]

    blurred = [value(scipy.ndimage.gaussian_filter(target, (0, sigma, sigma, 0))) for sigma in (0.5, 1, 2)]
    assert value(target) == 0
    assert value(0.5 * target + 0.1) < 0.1 < 1 < blurred[0] < blurred[1] < blurred[2]
    assert np.isfinite(value(np.zeros_like(target)))


def test_batches_do_not_change_the_results():
    for make in (LabHistogram, SlicedWasserstein):
        results = [update_in_batches(make(), *IMAGES, size) for size in (1, 4, 6)]
        for other in results[1:]:
            for name, entry in results[0].items():
                assert other[name]["value"] == pytest.approx(entry["value"], rel=1e-6)


def test_sliced_wasserstein_keeps_a_bounded_uniform_sample():
    accumulator = SlicedWasserstein(capacity=200)
    for index in range(50):  # image i is full of the value i
        image = np.full((1, 16, 16, 3), index, np.float32)
        accumulator.update(image, -image)
    (level,) = accumulator._levels
    kept = level._patches[:, :, 0, 0, 0]
    assert kept.shape == (2, 200)
    np.testing.assert_array_equal(kept[0], -kept[1])  # the same positions of both sides
    assert scipy.stats.chisquare(np.bincount(kept[0].astype(int) // 10, minlength=5)).pvalue > 0.01


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_is_repeated_and_alpha_ignored(channels):
    batches = IMAGES[..., :1], IMAGES[..., :1]
    if channels == 4:
        batches = IMAGES, np.concatenate([IMAGES, RNG.uniform(-1, 1, IMAGES[..., :1].shape)], axis=4)
    else:
        batches = np.repeat(batches[0], 3, axis=4), batches[1]
    for make in (LabHistogram, SlicedWasserstein):
        rgb, other = (update_in_batches(make(), *one.astype(np.float32), 6) for one in batches)
        assert rgb == other


def test_images_below_16_pixels_are_left_out():
    accumulator = SlicedWasserstein()
    accumulator.update(*IMAGES[:, :, :15])
    assert accumulator.results() == {}
    assert accumulator.left_out() == ["sliced_wasserstein: needs images of at least 16x16 pixels"]
