"""The objective (paper, section 3.1): adversarial losses by name, L1 or cross-entropy, and the gradient penalty.

L1, cross-entropy and gradient penalty are one value per example, float32 [n]; the training step averages them over the
global batch. Adversarial losses are elementwise; the step averages them over patches and batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class AdversarialLoss(NamedTuple):
    """The losses of a PatchGAN's logits; each function maps float [n, h, w, 1] elementwise to the same shape."""

    real: Callable[[tf.Tensor], tf.Tensor]  # the discriminator's loss on real pairs
    fake: Callable[[tf.Tensor], tf.Tensor]  # the discriminator's loss on generated pairs
    generator: Callable[[tf.Tensor], tf.Tensor]  # the generator's loss on generated pairs
    threshold: float | None  # logits above it mean "real"; None: the logits have no fixed threshold
    gradient_penalty: bool = False


ADVERSARIAL_LOSSES = {
    # Goodfellow et al., arXiv 1406.2661, the non-saturating form as in the paper; -log sigmoid(x) = softplus(-x).
    "vanilla": AdversarialLoss(
        real=lambda logits: tf.nn.softplus(-logits),
        fake=lambda logits: tf.nn.softplus(logits),
        generator=lambda logits: tf.nn.softplus(-logits),
        threshold=0.0,
    ),
    # Mao et al., arXiv 1611.04076, with targets 1 (real) and 0 (generated).
    "lsgan": AdversarialLoss(
        real=lambda logits: tf.square(logits - 1.0),
        fake=lambda logits: tf.square(logits),
        generator=lambda logits: tf.square(logits - 1.0),
        threshold=0.5,
    ),
    # Lim and Ye, arXiv 1705.02894.
    "hinge": AdversarialLoss(
        real=lambda logits: tf.nn.relu(1.0 - logits),
        fake=lambda logits: tf.nn.relu(1.0 + logits),
        generator=lambda logits: -logits,
        threshold=0.0,
    ),
    # Gulrajani et al., arXiv 1704.00028.
    "wgan-gp": AdversarialLoss(
        real=lambda logits: -logits,
        fake=lambda logits: logits,
        generator=lambda logits: -logits,
        threshold=None,
        gradient_penalty=True,
    ),
}


def per_example(values: tf.Tensor) -> tf.Tensor:
    """[n, ...] -> float32 [n], the mean over all axes but the batch."""
    values = tf.cast(values, tf.float32)
    return tf.reduce_mean(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)


def weighted_mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """The weighted mean of each example: sum of weight x value, divided by the sum of weights.

    A uniform mask therefore changes nothing. Each image counts the same, however few of its pixels have weight; an
    image whose weights are all zero has loss 0.

    Args:
      values: [n, h, w, c].
      weights: [n, h, w, 1] in [0, 1]. None: all 1.

    Returns:
      float32 [n].
    """
    if weights is None:
        return per_example(values)
    return tf.math.divide_no_nan(per_example(tf.cast(values, tf.float32) * weights), per_example(weights))


def l1(gen_output: tf.Tensor, target_image: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Mean absolute difference (paper, eq. 3) of images [n, h, w, c] in [-1, 1] -> float32 [n] in [0, 2].

    weights: as for `weighted_mean`.
    """
    return weighted_mean(tf.abs(tf.cast(gen_output, tf.float32) - tf.cast(target_image, tf.float32)), weights)


def cross_entropy(logits: tf.Tensor, one_hot: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Mean over the pixels of -log softmax(logits) at the true class, both [n, h, w, k] -> float32 [n], in nats.

    weights: as for `weighted_mean`.
    """
    values = tf.nn.softmax_cross_entropy_with_logits(one_hot, tf.cast(logits, tf.float32))
    return weighted_mean(values[..., tf.newaxis], weights)


# By TrainConfig.target_encoding: the loss of the generator's output against the target, and its name in metrics.jsonl.
TARGET_LOSSES = {"colors": ("gen_l1_loss", l1), "classes": ("gen_cross_entropy_loss", cross_entropy)}


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], target_image: tf.Tensor, gen_output: tf.Tensor, mix: tf.Tensor
) -> tf.Tensor:
    """(|gradient of the critic| - 1)^2 at a point between real and generated image (arXiv 1704.00028, eq. 3).

    Args:
      critic: [n, h, w, c] -> logits. The gradient is that of their mean over the patches.
      target_image, gen_output: [n, h, w, c] in [-1, 1].
      mix: [n, 1, 1, 1], uniform in [0, 1): each example's position from gen_output (0) to target_image (1).

    Returns:
      float32 [n].
    """
    between = tf.convert_to_tensor(gen_output + mix * (target_image - gen_output))
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = tf.reduce_sum(per_example(critic(between)))  # a sum: examples do not depend on each other
    gradient = tf.cast(tape.gradient(score, between), tf.float32)
    squared_norm = tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])
    return tf.square(tf.sqrt(squared_norm + 1e-12) - 1.0)  # at 0 the root's gradient is infinite
