"""Paired metrics: how far generated images are from their targets. One value per image, float32 [n].

NumPy, one image at a time: no tracing for every new size, and an image's arrays stay in the processor's cache.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tf_pix2pix.metrics.grid import alternation
from tf_pix2pix.metrics.labels import ConfusionMatrix, class_ids

_WINDOW, _SIGMA = 11, 1.5  # the Gaussian window of SSIM (Wang et al. 2004, section III-C)
_C1, _C2 = 0.01**2, 0.03**2  # its constants (K1 L)^2 and (K2 L)^2, for images in [0, 1]
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])  # Wang, Simoncelli, Bovik 2003, section 4
_TILE = 64  # rows or columns that one matrix product filters; 32 and 128 are slower at 256 pixels


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
    return np.array([_similarity(*pair, scales=1)[0] for pair in _pairs(gen_output, target_image)], np.float32)


def ms_ssim(gen_output, target_image) -> np.ndarray:
    """Structural similarity over `ms_ssim_scales` scales of two [n, h, w, c] in [-1, 1] -> [n] in [0, 1].

    Wang, Simoncelli, Bovik 2003, equation 7: contrast and structure of every scale, each half as large as the one
    before, and the luminance of the last. The weights of the scales that fit are divided by their sum; negative
    terms count as 0.
    """
    scales = ms_ssim_scales(np.shape(gen_output)[1:3])
    return np.array([_similarity(*pair, scales)[1] for pair in _pairs(gen_output, target_image)], np.float32)


def ms_ssim_scales(size: tuple[int, int]) -> int:
    """The number of scales, 1 to 5, at which the window of SSIM fits an image of size (height, width)."""
    return max(1, sum(min(size) // 2**scale >= _WINDOW for scale in range(len(_SCALE_WEIGHTS))))


def gradient_correlation(gen_output, target_image) -> np.ndarray:
    """Pearson correlation of the gradients of two [n, h, w, c], averaged over the channels first -> [n] in [-1, 1].

    It measures whether edges lie where the target's edges lie and run from dark to light the same way, to which L1 is
    nearly blind. Vertical and horizontal differences of neighbors count alike. 0 if one of the images has no edges.
    """
    return np.array([_gradient_correlation(*pair) for pair in _pairs(gen_output, target_image)], np.float32)


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
    scales = ms_ssim_scales(gen_output.shape[1:3])
    pairs = list(_pairs(gen_output, target_image))
    similarities = np.array([_similarity(*pair, scales) for pair in pairs], np.float32)
    return {
        "l1": np.abs(difference).mean(axis=(1, 2, 3)),
        "mse": squared,
        "psnr": _decibels(squared),
        "ssim": similarities[:, 0],
        "ms_ssim": similarities[:, 1],
        "gradient_correlation": np.array([_gradient_correlation(*pair) for pair in pairs], np.float32),
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


def _pairs(gen_output, target_image) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Each image and its target: two [n, h, w, c] -> pairs of [c, h, w]."""
    first, second = (np.ascontiguousarray(np.moveaxis(np.asarray(batch), 3, 1)) for batch in (gen_output, target_image))
    return zip(first, second, strict=True)


def _decibels(squared: np.ndarray) -> np.ndarray:
    """Mean squared differences of images in [-1, 1] -> PSNR."""
    with np.errstate(divide="ignore"):
        return np.float32(10.0) * np.log10(np.float32(4.0) / squared)


def _similarity(a: np.ndarray, b: np.ndarray, scales: int) -> tuple[float, float]:
    """SSIM and MS-SSIM of two [c, h, w] in [-1, 1], of each channel, then averaged."""
    a, b = ((image + 1.0) / 2.0 for image in (a, b))
    weights = _SCALE_WEIGHTS[:scales] / _SCALE_WEIGHTS[:scales].sum()
    product = np.ones(len(a))
    for scale, weight in enumerate(weights):
        similarity, contrast = _similarity_at_one_scale(a, b)
        if scale == 0:
            single = similarity.mean()
        term = contrast if scale < scales - 1 else similarity
        product *= np.maximum(term, 0.0) ** weight
        if scale < scales - 1:
            a, b = _half_size(a), _half_size(b)
    return float(single), float(product.mean())


def _similarity_at_one_scale(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM, and its factor for contrast and structure, of two [c, h, w] in [0, 1], averaged over pixels -> [c] each."""
    mean_a, mean_b, mean_squares, mean_product = _blur(np.stack([a, b, a * a + b * b, a * b]))
    product = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    contrast = (2.0 * (mean_product - product) + _C2) / (mean_squares - squares + _C2)
    luminance = (2.0 * product + _C1) / (squares + _C1)
    return (luminance * contrast).mean(axis=(1, 2)), contrast.mean(axis=(1, 2))


def _blur(maps: np.ndarray) -> np.ndarray:
    """The Gaussian window at each place where it lies inside: [m, c, h, w] -> [m, c, h - 10, w - 10].

    As products with band matrices, in tiles: the processor's fastest operation, faster than any convolution here.
    """
    window = min(_WINDOW, *maps.shape[2:])
    height, width = (side - window + 1 for side in maps.shape[2:])
    rows = np.empty((*maps.shape[:2], height, maps.shape[3]), np.float32)
    for start in range(0, height, _TILE):
        count = min(_TILE, height - start)
        np.matmul(
            _band(window, count), maps[:, :, start : start + count + window - 1], rows[:, :, start : start + count]
        )
    rows = rows.reshape(-1, maps.shape[3])
    blurred = np.empty((len(rows), width), np.float32)
    for start in range(0, width, _TILE):
        count = min(_TILE, width - start)
        blurred[:, start : start + count] = rows[:, start : start + count + window - 1] @ _band(window, count).T
    return blurred.reshape(*maps.shape[:2], height, width)


@functools.cache
def _band(window: int, count: int) -> np.ndarray:
    """float32 [count, count + window - 1]: each row has the weights of the Gaussian window, one place further right."""
    weights = np.exp(-0.5 * ((np.arange(window) - (window - 1) / 2.0) / _SIGMA) ** 2)
    band = np.zeros((count, count + window - 1), np.float32)
    for row in range(count):
        band[row, row : row + window] = weights / weights.sum()
    return band


def _half_size(image: np.ndarray) -> np.ndarray:
    """[c, h, w] -> [c, h // 2, w // 2], the means of 2x2 pixels."""
    image = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    rows = image[:, ::2] + image[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4.0


def _gradient_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two [c, h, w]. Gradients across the last row and column are 0."""

    def centered_gradients(image):
        gray = image.mean(axis=0)
        gradients = np.zeros((2, *gray.shape), np.float32)
        np.subtract(gray[1:], gray[:-1], out=gradients[0, :-1])
        np.subtract(gray[:, 1:], gray[:, :-1], out=gradients[1, :, :-1])
        return (gradients - gradients.mean()).ravel()

    a, b = centered_gradients(a), centered_gradients(b)
    norms = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / norms if norms > 0 else 0.0
