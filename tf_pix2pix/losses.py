"""The objective (paper, section 3.1): adversarial losses by name, L1 or cross-entropy, and the gradient penalty.

Every function returns one value per example, float32 [n]: the training step averages over the global batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class AdversarialLoss(NamedTuple):
    """What the logits of a PatchGAN cost; each function maps float [n, h, w, 1] elementwise to the same shape."""

    real: Callable[[tf.Tensor], tf.Tensor]  # the discriminator's, on real pairs
    fake: Callable[[tf.Tensor], tf.Tensor]  # the discriminator's, on generated ones
    generator: Callable[[tf.Tensor], tf.Tensor]  # the generator's, on generated ones
    gradient_penalty: bool = False


ADVERSARIAL_LOSSES = {
    # Goodfellow et al., arXiv 1406.2661, not saturating, as in the paper; -log sigmoid(x) = softplus(-x).
    "vanilla": AdversarialLoss(
        real=lambda logits: tf.nn.softplus(-logits),
        fake=lambda logits: tf.nn.softplus(logits),
        generator=lambda logits: tf.nn.softplus(-logits),
    ),
    # Mao et al., arXiv 1611.04076, with targets 1 and 0.
    "lsgan": AdversarialLoss(
        real=lambda logits: tf.square(logits - 1.0),
        fake=lambda logits: tf.square(logits),
        generator=lambda logits: tf.square(logits - 1.0),
    ),
    # Lim and Ye, arXiv 1705.02894.
    "hinge": AdversarialLoss(
        real=lambda logits: tf.nn.relu(1.0 - logits),
        fake=lambda logits: tf.nn.relu(1.0 + logits),
        generator=lambda logits: -logits,
    ),
    # Gulrajani et al., arXiv 1704.00028.
    "wgan-gp": AdversarialLoss(
        real=lambda logits: -logits,
        fake=lambda logits: logits,
        generator=lambda logits: -logits,
        gradient_penalty=True,
    ),
}


def per_example(values: tf.Tensor) -> tf.Tensor:
    """[n, ...] -> float32 [n], the mean over everything but the batch."""
    values = tf.cast(values, tf.float32)
    return tf.reduce_mean(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)


def weighted_mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """[n, h, w, c], of weights [n, h, w, 1] in [0, 1] -> float32 [n]: sum of weight x value over the sum of weights.

    So a mask of one gray is none, and a picture counts as any other however little of it does; one that is black all
    over costs nothing. weights=None: all are 1.
    """
    if weights is None:
        return per_example(values)
    return tf.math.divide_no_nan(per_example(tf.cast(values, tf.float32) * weights), per_example(weights))


def l1(gen_output: tf.Tensor, target_image: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Mean absolute difference (paper, eq. 3) of two [n, h, w, c] in [-1, 1] -> float32 [n] in [0, 2].

    weights: [n, h, w, 1], as in weighted_mean.
    """
    return weighted_mean(tf.abs(tf.cast(gen_output, tf.float32) - tf.cast(target_image, tf.float32)), weights)


def cross_entropy(logits: tf.Tensor, one_hot: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """Mean over the pixels of -log softmax(logits) of the right class, in nats, two [n, h, w, k] -> float32 [n].

    weights: [n, h, w, 1], as in weighted_mean.
    """
    values = tf.nn.softmax_cross_entropy_with_logits(one_hot, tf.cast(logits, tf.float32))
    return weighted_mean(values[..., tf.newaxis], weights)


# What draws the output to the target, by TrainConfig.target_encoding: its name in metrics.jsonl, and the loss.
TARGET_LOSSES = {"colors": ("gen_l1_loss", l1), "classes": ("gen_cross_entropy_loss", cross_entropy)}


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], target_image: tf.Tensor, gen_output: tf.Tensor, mix: tf.Tensor
) -> tf.Tensor:
    """Squared distance of the critic's gradient norm from 1 between real and generated (arXiv 1704.00028, eq. 3).

    Args:
      critic: [n, h, w, c] -> logits; its mean over the patches is what is differentiated.
      target_image, gen_output: [n, h, w, c] in [-1, 1].
      mix: [n, 1, 1, 1] uniform in [0, 1), where between the two each example is looked at.

    Returns:
      float32 [n].
    """
    between = tf.convert_to_tensor(gen_output + mix * (target_image - gen_output))
    with tf.GradientTape() as tape:
        tape.watch(between)
        score = tf.reduce_sum(per_example(critic(between)))  # the examples do not depend on each other
    gradient = tf.cast(tape.gradient(score, between), tf.float32)
    squared_norm = tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3])
    return tf.square(tf.sqrt(squared_norm + 1e-12) - 1.0)  # the root's own gradient is infinite at 0
