"""Paired metrics: how far generated images are from their targets. One value per example, float32 [n]."""

from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix import images


def l1(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of two [n, h, w, c] in [-1, 1] -> [n] in [0, 2]."""
    return tf.reduce_mean(tf.abs(gen_output - target_image), axis=[1, 2, 3])


def psnr(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Peak signal-to-noise ratio in dB of two [n, h, w, c] in [-1, 1] (peak 2), over pixels and channels -> [n]."""
    return tf.image.psnr(gen_output, target_image, max_val=2.0)


def ssim(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Structural similarity of two [n, h, w, c] in [-1, 1] -> [n] in [-1, 1].

    Wang et al. 2004: 11x11 Gaussian window, sigma 1.5, K 0.01 and 0.03. It compares means, in which black must be zero,
    and is therefore computed on the images in [0, 1]. The window shrinks for images smaller than 11 pixels.
    """
    window = min(11, *gen_output.shape[1:3])
    return tf.image.ssim((gen_output + 1.0) / 2.0, (target_image + 1.0) / 2.0, max_val=1.0, filter_size=window)


def gradient_correlation(gen_output: tf.Tensor, target_image: tf.Tensor) -> tf.Tensor:
    """Pearson correlation of the gradients of two [n, h, w, c], averaged over the channels first -> [n] in [-1, 1].

    It measures whether edges lie where the target's edges lie and run from dark to light the same way, to which L1 is
    nearly blind. Vertical and horizontal differences of neighbors count alike. 0 if one of the images has no edges.
    """

    def centered_gradients(batch):
        gradients = tf.image.image_gradients(tf.reduce_mean(batch, axis=3, keepdims=True))
        gradients = tf.reshape(tf.concat(gradients, axis=3), [tf.shape(batch)[0], -1])
        return gradients - tf.reduce_mean(gradients, axis=1, keepdims=True)

    a, b = centered_gradients(gen_output), centered_gradients(target_image)
    return tf.math.divide_no_nan(tf.reduce_sum(a * b, axis=1), tf.norm(a, axis=1) * tf.norm(b, axis=1))


PAIRED_METRICS = {"l1": l1, "psnr": psnr, "ssim": ssim, "gradient_correlation": gradient_correlation}


def paired_metrics(
    translate: Callable[[tf.Tensor], tf.Tensor],
    batches: Iterable[tuple[tf.Tensor, tf.Tensor]],
    palette: np.ndarray | None = None,
) -> dict[str, float]:
    """Averages each of PAIRED_METRICS over all examples.

    Args:
      translate: input images -> generated images, float32 [n, h, w, c] in [-1, 1].
      batches: (input_image, target_image), float32 [n, h, w, c] in [-1, 1].
      palette: uint8 [k, c], the colors of the classes if the targets are label maps. Each pixel of a target and of a
        generated image has exactly one of them.

    Returns:
      A value for each of PAIRED_METRICS. With a palette also, over the pixels of all examples: `pixel_accuracy`, the
      share of pixels with the right class, and `mean_iou`, the intersection over union of each class, averaged over the
      classes that occur in a target or a generated image.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in PAIRED_METRICS}
    label_metrics = {}
    if palette is not None:
        label_metrics = {"pixel_accuracy": keras.metrics.Accuracy(), "mean_iou": keras.metrics.MeanIoU(len(palette))}
    for input_image, target_image in batches:
        gen_output = translate(input_image)
        for name, metric in PAIRED_METRICS.items():
            values[name].append(metric(gen_output, target_image).numpy())
        if palette is not None:
            for metric in label_metrics.values():
                metric.update_state(class_ids(target_image, palette), class_ids(gen_output, palette))
    means = {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
    return means | {name: float(metric.result()) for name, metric in label_metrics.items()}


def class_ids(label_map: tf.Tensor, palette: np.ndarray) -> np.ndarray:
    """Label map, float32 [n, h, w, c] in [-1, 1], in the colors of the palette -> its row numbers, int64 [n, h, w]."""
    place_values = 256 ** np.arange(palette.shape[1])
    own, codes = palette @ place_values, images.from_float(label_map).numpy() @ place_values
    order = np.argsort(own)
    return order[np.searchsorted(own, codes, sorter=order)]
