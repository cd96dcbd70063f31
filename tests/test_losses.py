import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.losses import ADVERSARIAL_LOSSES, cross_entropy, gradient_penalty, l1, per_example

LOGITS = np.array([-3.0, -0.5, 0.0, 0.7, 2.0], np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


EXPECTED = {
    "vanilla": (-np.log(sigmoid(LOGITS)), -np.log(1 - sigmoid(LOGITS)), -np.log(sigmoid(LOGITS))),
    "lsgan": ((LOGITS - 1) ** 2, LOGITS**2, (LOGITS - 1) ** 2),
    "hinge": (np.maximum(0, 1 - LOGITS), np.maximum(0, 1 + LOGITS), -LOGITS),
    "wgan-gp": (-LOGITS, LOGITS, -LOGITS),
}


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_adversarial_losses_are_the_published_formulas(name):
    loss = ADVERSARIAL_LOSSES[name]
    for function, expected in zip((loss.real, loss.fake, loss.generator), EXPECTED[name], strict=True):
        np.testing.assert_allclose(function(tf.constant(LOGITS)), expected, rtol=1e-5, atol=1e-6)  # float32
        assert np.isfinite(function(tf.constant([-1e4, 1e4]))).all()
    assert loss.gradient_penalty == (name == "wgan-gp")


def test_means_are_per_example():
    output, target = np.zeros((2, 2, 2, 3), np.float32), np.zeros((2, 2, 2, 3), np.float32)
    output[1], target[1, 0] = 0.5, -0.5
    np.testing.assert_allclose(l1(output, target), [0, 0.75])
    np.testing.assert_allclose(per_example(tf.reshape(tf.range(12.0), [2, 3, 2])), [2.5, 8.5])


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    # critic(x) = sum of w x: its gradient is w everywhere, so the penalty is (|w| - 1)^2 for all images.
    weights = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)

    def critic(image):
        return tf.reduce_sum(image * weights, axis=[1, 2, 3])[:, None, None, None]

    real, fake = np.random.default_rng(1).normal(size=(2, 2, 4, 4, 3)).astype(np.float32)
    mix = np.full((2, 1, 1, 1), 0.3, np.float32)
    expected = (np.linalg.norm(weights) - 1) ** 2
    np.testing.assert_allclose(gradient_penalty(critic, real, fake, mix), [expected] * 2, rtol=1e-5)


def test_the_gradient_penalty_is_taken_between_the_images():
    # critic(x) = sum of x^2 / 2: its gradient is x itself.
    real, fake = np.full((1, 1, 1, 1), 4.0, np.float32), np.full((1, 1, 1, 1), 2.0, np.float32)

    def critic(image):
        return tf.square(image) / 2

    for mix, position in ((0.0, 2.0), (0.25, 2.5), (1.0, 4.0)):
        mixing = np.full((1, 1, 1, 1), mix, np.float32)
        np.testing.assert_allclose(gradient_penalty(critic, real, fake, mixing), [(position - 1) ** 2], rtol=1e-5)


def test_the_gradient_penalty_has_a_finite_gradient_where_the_critic_is_flat():
    weight = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(lambda x: x * weight, *(tf.ones([1, 2, 2, 1]),) * 2, tf.zeros([1, 1, 1, 1]))
    assert np.isfinite(tape.gradient(penalty, weight))


def test_weights_make_a_weighted_mean():
    values = np.random.default_rng(0).uniform(0, 2, (2, 4, 5, 3)).astype(np.float32)
    weights = np.random.default_rng(1).uniform(0, 1, (2, 4, 5, 1)).astype(np.float32)
    expected = [np.average(v, weights=np.repeat(w, 3, axis=2)) for v, w in zip(values, weights, strict=True)]
    np.testing.assert_allclose(l1(values, 0 * values, weights), expected, rtol=1e-5)
    np.testing.assert_allclose(l1(values, 0 * values, 0.25 * np.ones_like(weights)), l1(values, 0 * values), rtol=1e-5)
    weights[1] = 0.0
    np.testing.assert_allclose(l1(values, 0 * values, weights)[1], 0.0)


def test_cross_entropy_is_minus_the_log_of_the_true_classs_probability():
    logits = np.random.default_rng(0).normal(0, 3, (2, 4, 5, 6)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 6, (2, 4, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
    right = np.take_along_axis(probabilities, labels[..., np.newaxis], axis=3)[..., 0]
    one_hot = np.eye(6, dtype=np.float32)[labels]
    np.testing.assert_allclose(cross_entropy(logits, one_hot), -np.log(right).mean(axis=(1, 2)), rtol=1e-4)
    only = np.zeros((2, 4, 5, 1), np.float32)
    only[:, 1, 2] = 0.5
    np.testing.assert_allclose(cross_entropy(logits, one_hot, only), -np.log(right)[:, 1, 2], rtol=1e-4)
