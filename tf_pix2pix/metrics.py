"""Paired metrics: how far generated pictures are from their targets. One value per example, float32 [n]."""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tf_pix2pix import images


def l1(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of two [n, h, w, c] in [-1, 1] -> [n] in [0, 2]."""
    return tf.reduce_mean(tf.abs(gen_output - target_image), axis=[1, 2, 3])


def psnr(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Peak signal to noise ratio in dB of two [n, h, w, c] in [-1, 1] (peak 2), over pixels and channels -> [n]."""
    return tf.image.psnr(gen_output, target_image, max_val=2.0)


def ssim(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Structural similarity (Wang et al. 2004: 11x11 Gaussian window, sigma 1.5, K 0.01 and 0.03) in [-1, 1] -> [n].

    Of the pictures in [0, 1]: it compares means, so that zero must be black. The window shrinks to pictures under 11
    pixels.
    """
    window = min(11, *gen_output.shape[1:3])
    return tf.image.ssim((gen_output + 1.0) / 2.0, (target_image + 1.0) / 2.0, max_val=1.0, filter_size=window)


def gradient_correlation(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Correlation (Pearson) of the gradients of two [n, h, w, c], mean over the channels -> [n] in [-1, 1].

    Whether edges are where the target has edges, and from dark to light the same way, which L1 hardly feels. Vertical
    and horizontal differences of neighbours count alike. 0 where one picture has no edge at all.
    """

    def centred_gradients(pictures):
        gradients = tf.image.image_gradients(tf.reduce_mean(pictures, axis=3, keepdims=True))
        gradients = tf.reshape(tf.concat(gradients, axis=3), [tf.shape(pictures)[0], -1])
        return gradients - tf.reduce_mean(gradients, axis=1, keepdims=True)

    a, b = centred_gradients(gen_output), centred_gradients(target_image)
    return tf.math.divide_no_nan(tf.reduce_sum(a * b, axis=1), tf.norm(a, axis=1) * tf.norm(b, axis=1))


PAIRED_METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim, "gradient_correlation": gradient_correlation}


class LabelCounts:
    """How many pixels of which colour are right, over as many pictures as are added."""

    def __init__(self):
        self._generated, self._target, self._right = Counter(), Counter(), Counter()

    def add(self, gen_output: tf.Tensor, target_image: tf.Tensor) -> None:
        """Two label maps [n, h, w, c] in [-1, 1], each pixel in exactly the colour of its class."""
        generated, target = (images.from_float(side).numpy().astype(np.int64) for side in (gen_output, target_image))
        generated, target = (np.dot(side, 256 ** np.arange(side.shape[-1])) for side in (generated, target))
        for counter, codes in (
            (self._generated, generated),
            (self._target, target),
            (self._right, target[generated == target]),
        ):
            counter.update(dict(zip(*(found.tolist() for found in np.unique(codes, return_counts=True)), strict=True)))

    def metrics(self) -> dict[str, float]:
        """pixel_accuracy: the share of pixels that are right. mean_iou: intersection over union of each class, of all
        pixels added, averaged over the classes that are in a target or a generated picture."""
        classes = self._target | self._generated
        union = {code: self._target[code] + self._generated[code] - self._right[code] for code in classes}
        return {
            "pixel_accuracy": self._right.total() / self._target.total(),
            "mean_iou": float(np.mean([self._right[code] / union[code] for code in classes])),
        }


def paired_metrics(
    translate: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    has_classes: bool = False,
) -> dict[str, float]:
    """Each of PAIRED_METRICS, averaged over all examples of `batches` of (input_image, target_image) [n, h, w, c].

    With has_classes, of label maps, also those of LabelCounts.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in PAIRED_METRICS}
    labels = LabelCounts()
    for input_image, target_image in batches:
        gen_output = translate(input_image)
        for name, metric in PAIRED_METRICS.items():
            values[name].append(metric(gen_output, target_image).numpy())
        if has_classes:
            labels.add(gen_output, target_image)
    means = {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
    return means | labels.metrics() if has_classes else means
