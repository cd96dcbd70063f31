"""Distances between the generated images and the targets as two sets: no image is compared with its own target.

Fréchet and kernel distance compare features of any network; SlicedWasserstein and LabHistogram need no network.
"""

import numpy as np
import scipy.linalg

from tf_pix2pix.metrics.colors import LabHistogram
from tf_pix2pix.metrics.sliced_wasserstein import SlicedWasserstein

__all__ = [
    "LabHistogram",
    "SlicedWasserstein",
    "frechet_distance",
    "frechet_distance_of_features",
    "kernel_distance",
    "squared_mmd",
]

KERNEL_SUBSETS = 100  # Binkowski et al. 2018, appendix; so are the 1,000 images of a subset
KERNEL_SUBSET_SIZE = 1000


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared Fréchet distance of two Gaussians (Heusel et al. 2017, arXiv 1706.08500, eq. 6), at least 0.

    |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)). The trace of the square root is computed from the
    eigenvalues of cov_a^(1/2) cov_b cov_a^(1/2), the same ones, whose matrix is symmetric: singular covariances, those
    of fewer images than features, then cause neither complex numbers nor failures.

    Args:
      mean_a, mean_b: [features].
      cov_a, cov_b: [features, features], symmetric and positive semidefinite.
    """
    difference = np.asarray(mean_a, np.float64) - np.asarray(mean_b, np.float64)
    cov_a, cov_b = np.asarray(cov_a, np.float64), np.asarray(cov_b, np.float64)
    eigenvalues, vectors = scipy.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))  # root @ root.T is cov_a
    products = scipy.linalg.eigvalsh(root.T @ cov_b @ root)
    trace_of_root = np.sqrt(np.maximum(products, 0.0)).sum()
    return max(0.0, float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2.0 * trace_of_root))


def frechet_distance_of_features(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """frechet_distance of the Gaussians with the mean and the covariance of each set of features.

    With fewer images than features, tr (cov_a cov_b)^(1/2) is the sum of the singular values of a small matrix: those
    of the centered features' products. Both ways compute the same value.

    Args:
      features_a, features_b: [n, features], n at least 2, the same number of features.
    """
    features = [np.asarray(one, np.float64) for one in (features_a, features_b)]
    means = [one.mean(axis=0) for one in features]
    if max(map(len, features)) > features[0].shape[1]:
        covariances = [np.cov(one, rowvar=False).reshape(one.shape[1], -1) for one in features]
        return frechet_distance(means[0], covariances[0], means[1], covariances[1])
    a, b = ((one - mean) / np.sqrt(len(one) - 1) for one, mean in zip(features, means, strict=True))
    trace_of_root = scipy.linalg.svdvals(a @ b.T).sum()
    difference = means[0] - means[1]
    return max(0.0, float(difference @ difference + (a**2).sum() + (b**2).sum() - 2.0 * trace_of_root))


def squared_mmd(features_a: np.ndarray, features_b: np.ndarray, paired: bool = False) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy, with the kernel (x·y / features + 1)^3.

    Binkowski et al. 2018, arXiv 1801.01401, eq. 4 and section 4. It may be negative.

    Args:
      features_a, features_b: [n, features], n at least 2.
      paired: row i of both belongs to one pair. Its two images resemble each other, which would bias the estimate
        downward; their product is left out (Gretton et al. 2012, JMLR 13, eq. 4). Both need the same n.
    """
    all_a, all_b = np.ones([1, len(features_a)]), np.ones([1, len(features_b)])
    return float(_squared_mmds(features_a, features_b, all_a, all_b, paired)[0])


def kernel_distance(
    features_a: np.ndarray,
    features_b: np.ndarray,
    subset_size: int = KERNEL_SUBSET_SIZE,
    subsets: int = KERNEL_SUBSETS,
    paired: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Kernel distance (KID; Binkowski et al. 2018): squared_mmd, averaged over random subsets.

    Subsets hold at most half of the images, drawn without replacement, so that their values differ. The spread of the
    values of subsets of m among n images, times sqrt(m / (n - m)), is the standard error of the mean of all of them
    (delete-d jackknife; Shao and Wu 1989, Annals of Statistics 17, 1176). Measured on 1,000 simulated sets each, the
    interval covers the truth in 94 to 97 % of sets of 28 and of 100 pairs, and in 99 % if both sides are almost alike.

    Args:
      features_a, features_b: [n, features]; n at least 2.
      subset_size: images in each subset, at most.
      subsets: their number.
      paired: as in squared_mmd; both sets need the same n, and the same images are drawn from both.
      seed: of the draws.

    Returns:
      `value`; and `low` and `high`, its 95 % interval, if n is at least 4.
    """
    fewest = min(len(features_a), len(features_b))
    if fewest < 4:
        return {"value": squared_mmd(features_a, features_b, paired)}
    rng = np.random.default_rng(seed)
    size = min(subset_size, fewest // 2)
    chosen_a = _draw_subsets(rng, subsets, len(features_a), size)
    chosen_b = chosen_a if paired else _draw_subsets(rng, subsets, len(features_b), size)
    values = _squared_mmds(features_a, features_b, chosen_a, chosen_b, paired)
    value = float(values.mean())
    half_width = 1.96 * float(values.std(ddof=1)) * np.sqrt(size / (fewest - size))
    return {"value": value, "low": value - half_width, "high": value + half_width}


def _draw_subsets(rng: np.random.Generator, subsets: int, n: int, size: int) -> np.ndarray:
    """[subsets, n]: 1 for the images in each subset, otherwise 0."""
    return (rng.permuted(np.tile(np.arange(n), (subsets, 1)), axis=1) < size).astype(np.float64)


def _squared_mmds(a: np.ndarray, b: np.ndarray, chosen_a: np.ndarray, chosen_b: np.ndarray, paired: bool) -> np.ndarray:
    """squared_mmd of every subset: chosen_a and chosen_b are [subsets, n], 1 or 0."""
    size_a, size_b = chosen_a.sum(axis=1), chosen_b.sum(axis=1)
    own_a = _kernel_sums(a, a, chosen_a, chosen_a, without_diagonal=True) / (size_a * (size_a - 1))
    own_b = _kernel_sums(b, b, chosen_b, chosen_b, without_diagonal=True) / (size_b * (size_b - 1))
    across = _kernel_sums(a, b, chosen_a, chosen_b, without_diagonal=paired) / (size_a * (size_b - paired))
    return own_a + own_b - 2.0 * across


def _kernel_sums(x, y, chosen_x: np.ndarray, chosen_y: np.ndarray, without_diagonal: bool) -> np.ndarray:
    """Sum of the kernel over the rows of x and of y that each subset holds, [subsets]. Each kernel is computed once."""
    sums = np.zeros(len(chosen_x))
    for start in range(0, len(x), 1024):  # bounds memory
        products = (x[start : start + 1024] @ y.T).astype(np.float64) / x.shape[1] + 1.0
        kernel = products * products * products
        if without_diagonal:
            rows = np.arange(len(kernel))
            kernel[rows, start + rows] = 0.0
        sums += ((chosen_x[:, start : start + 1024] @ kernel) * chosen_y).sum(axis=1)
    return sums
