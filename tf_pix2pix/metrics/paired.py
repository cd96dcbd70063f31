"""Paired metrics: how far generated images are from their targets. One value per image, float32 [n].

In NumPy: nothing is traced for every new size, and one channel's arrays stay in the processor's cache.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tf_pix2pix.metrics.grid import alternation, gray
from tf_pix2pix.metrics.labels import ConfusionMatrix, class_ids

_WINDOW, _SIGMA = 11, 1.5  # the Gaussian window of SSIM (Wang et al. 2004, section III-C)
_C1, _C2 = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2  # its constants (K L)^2; images in [-1, 1] have a range L of 2
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang, Simoncelli, Bovik 2003, section 4
_TILE = 24  # rows or columns of one matrix product: little work outside the band, and too small for BLAS to split


def l1(gen_output, target_image) -> np.ndarray:
    """Mean absolute difference of two [n, h, w, c] in [-1, 1] -> [n] in [0, 2]."""
    return np.abs(np.subtract(gen_output, target_image)).mean(axis=(1, 2, 3))


def mse(gen_output, target_image) -> np.ndarray:
    """Mean squared difference of two [n, h, w, c] in [-1, 1] -> [n] in [0, 4]."""
    return np.square(np.subtract(gen_output, target_image)).mean(axis=(1, 2, 3))


def psnr(gen_output, target_image) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of two [n, h, w, c] in [-1, 1] (peak 2), over pixels and channels -> [n].

    Infinite for equal images.
    """
    return _decibels(mse(gen_output, target_image))


def ssim(gen_output, target_image) -> np.ndarray:
    """Structural similarity of two [n, h, w, c] in [-1, 1] -> [n] in [-1, 1].

    Wang et al. 2004: 11x11 Gaussian window, sigma 1.5, K 0.01 and 0.03. It compares means, in which black must be zero,
    and is therefore computed on the images in [0, 1]. The window shrinks for images smaller than 11 pixels.
    """
    return _similarities(gen_output, target_image, scales=1)[:, 0]


def ms_ssim(gen_output, target_image) -> np.ndarray:
    """Structural similarity over `ms_ssim_scales` scales of two [n, h, w, c] in [-1, 1] -> [n] in [0, 1].

    Wang, Simoncelli, Bovik 2003, equation 7: contrast and structure of every scale, each half as large as the one
    before, and the luminance of the last. The weights of the scales that fit are divided by their sum; negative
    terms count as 0.
    """
    return _similarities(gen_output, target_image, ms_ssim_scales(gen_output.shape[1:3]))[:, 1]


def ms_ssim_scales(size: tuple[int, int]) -> int:
    """The number of scales, 1 to 5, at which the window of SSIM fits an image of size (height, width)."""
    return max(1, sum(min(size) // 2**scale >= _WINDOW for scale in range(len(_SCALE_WEIGHTS))))


def gradient_correlation(gen_output, target_image) -> np.ndarray:
    """Pearson correlation of the gradients of two [n, h, w, c], averaged over the channels first -> [n] in [-1, 1].

    It measures whether edges lie where the target's edges lie and run from dark to light the same way, to which L1 is
    nearly blind. Vertical and horizontal differences of neighbors count alike. 0 if one of the images has no edges.
    """

    def centered_gradients(batch):
        values = gray(batch)
        gradients = np.zeros((len(values), 2, *values.shape[1:]), np.float32)  # 0 across the last row, the last column
        np.subtract(values[:, 1:], values[:, :-1], out=gradients[:, 0, :-1])
        np.subtract(values[:, :, 1:], values[:, :, :-1], out=gradients[:, 1, :, :-1])
        gradients = gradients.reshape(len(values), -1)
        return gradients - gradients.mean(axis=1, keepdims=True)

    a, b = centered_gradients(gen_output), centered_gradients(target_image)
    norms = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), norms, out=np.zeros_like(norms), where=norms > 0)


PAIRED_METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim, "gradient_correlation": gradient_correlation}


def measure_pairs(gen_output, target_image) -> dict[str, np.ndarray]:
    """All metrics of each image.

    Args:
      gen_output, target_image: float32 [n, h, w, c] in [-1, 1], c = 1, 3 or 4.

    Returns:
      float32 [n] for each of l1, mse, psnr, ssim, ms_ssim, gradient_correlation and alternation (nan where no part of
      the target is smooth).
    """
    gen_output, target_image = np.asarray(gen_output), np.asarray(target_image)
    difference = gen_output - target_image
    squared = np.square(difference).mean(axis=(1, 2, 3))
    similarities = _similarities(gen_output, target_image, ms_ssim_scales(gen_output.shape[1:3]))
    return {
        "l1": np.abs(difference).mean(axis=(1, 2, 3)),
        "mse": squared,
        "psnr": _decibels(squared),
        "ssim": similarities[:, 0],
        "ms_ssim": similarities[:, 1],
        "gradient_correlation": gradient_correlation(gen_output, target_image),
        "alternation": alternation(gen_output, target_image),
    }


def paired_metrics(
    translate: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    palette: np.ndarray | None = None,
    observe: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], None] | None = None,
) -> dict[str, float]:
    """Averages each of PAIRED_METRICS over all images.

    Args:
      translate: input images -> generated images, float32 [n, h, w, c] in [-1, 1].
      batches: (input_image, target_image), float32 [n, h, w, c] in [-1, 1].
      palette: uint8 [k, c], the colors of the classes if the targets are label maps. Each pixel of a target and of a
        generated image has exactly one of them.
      observe: called with (input_image, gen_output, target_image) of each batch.

    Returns:
      A value for each of PAIRED_METRICS. With a palette also `pixel_accuracy` and `mean_iou` (`ConfusionMatrix`).
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in PAIRED_METRICS}
    confusion = None if palette is None else ConfusionMatrix(len(palette))
    for input_image, target_image in batches:
        gen_output = translate(input_image)
        for name, metric in PAIRED_METRICS.items():
            values[name].append(metric(gen_output, target_image))
        if palette is not None and confusion is not None:
            confusion.update(class_ids(target_image, palette), class_ids(gen_output, palette))
        if observe:
            observe(input_image, gen_output, target_image)
    means = {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
    labels = confusion.results() if confusion is not None else {}
    return means | {name: labels[name] for name in ("pixel_accuracy", "mean_iou") if name in labels}


def _decibels(squared: np.ndarray) -> np.ndarray:
    """Mean squared differences of images in [-1, 1] -> PSNR."""
    with np.errstate(divide="ignore"):
        return np.float32(10.0) * np.log10(np.float32(4.0) / squared)


def _similarities(gen_output, target_image, scales: int) -> np.ndarray:
    """SSIM and MS-SSIM of two [n, h, w, c] in [-1, 1], of each channel, then averaged -> float32 [n, 2]."""
    channels = [
        [_similarity(a[:, :, channel], b[:, :, channel], scales) for channel in range(a.shape[2])]
        for a, b in zip(np.asarray(gen_output), np.asarray(target_image), strict=True)
    ]
    return np.mean(channels, axis=1).astype(np.float32)


def _similarity(a: np.ndarray, b: np.ndarray, scales: int) -> tuple[float, float]:
    """SSIM and MS-SSIM of two [h, w] in [-1, 1]."""
    weights = _SCALE_WEIGHTS[:scales] / _SCALE_WEIGHTS[:scales].sum()
    maps = np.stack([a + b, a - b])
    single, product = 0.0, 1.0
    for scale, weight in enumerate(weights):
        similarity, contrast = _similarity_at_one_scale(maps)
        if scale == 0:
            single = similarity
        product *= max(contrast if scale < scales - 1 else similarity, 0.0) ** weight
        maps = _half_size(maps)
    return single, product


def _similarity_at_one_scale(maps: np.ndarray) -> tuple[float, float]:
    """SSIM, and its factor for contrast and structure, averaged over pixels.

    Args:
      maps: a + b and a - b, [2, h, w], a and b in [-1, 1]. With their local means and variances, the terms of a and b
        are 4 mean(a) mean(b) = sum^2 - difference^2, 2 (mean(a)^2 + mean(b)^2) = sum^2 + difference^2, and likewise for
        covariance and variances: half as much to filter.
    """
    blurred = _blur(np.concatenate([maps, maps * maps]))
    means, variances = blurred[:2], blurred[2:]
    variances -= means * means
    means[0] += 2.0  # the means of images in [0, 2]: black is 0
    means *= means
    contrast = (variances[0] - variances[1] + 2.0 * _C2) / (variances[0] + variances[1] + 2.0 * _C2)
    luminance = (means[0] - means[1] + 2.0 * _C1) / (means[0] + means[1] + 2.0 * _C1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _blur(maps: np.ndarray) -> np.ndarray:
    """The Gaussian window at each place where it lies inside: [m, h, w] -> [m, h - 10, w - 10].

    As products with band matrices, in tiles: several times as fast as a convolution.
    """
    window = min(_WINDOW, *maps.shape[1:])
    height, width = (side - window + 1 for side in maps.shape[1:])
    rows = np.empty((len(maps), height, maps.shape[2]), np.float32)
    for start in range(0, height, _TILE):
        stop = min(start + _TILE, height)
        np.matmul(_band(window, stop - start), maps[:, start : stop + window - 1], out=rows[:, start:stop])
    blurred = np.empty((len(maps), height, width), np.float32)
    for start in range(0, width, _TILE):
        stop = min(start + _TILE, width)
        band = _band(window, stop - start).T
        np.matmul(rows[:, :, start : stop + window - 1], band, out=blurred[:, :, start:stop])
    return blurred


@functools.cache
def _band(window: int, count: int) -> np.ndarray:
    """float32 [count, count + window - 1]: each row has the weights of the Gaussian window, one place further right."""
    weights = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2.0) / _SIGMA) ** 2)
    band = np.zeros((count, count + window - 1), np.float32)
    for row in range(count):
        band[row, row : row + window] = weights / weights.sum()
    return band


def _half_size(maps: np.ndarray) -> np.ndarray:
    """[m, h, w] -> [m, h // 2, w // 2], the means of 2x2 pixels."""
    maps = maps[:, : maps.shape[1] // 2 * 2, : maps.shape[2] // 2 * 2]
    rows = maps[:, ::2] + maps[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)
