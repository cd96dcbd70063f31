import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.cpu.normalization import normalize, normalize_fused


@pytest.mark.parametrize("n", [1, 3])
def test_fused_normalization_equals_the_plain_form(n):
    """Values, gradients, and gradients of gradients as a gradient penalty takes them."""
    rng = np.random.default_rng(0)
    shapes = (n, 6, 5, 4), (3, 3, 4, 4), (4,), (4,)
    x, kernel, scale, offset = (tf.constant(rng.uniform(-1, 1, shape), tf.float32) for shape in shapes)
    results = []
    for function in (normalize_fused, normalize):
        with tf.GradientTape() as second:
            second.watch([x, kernel, scale])
            with tf.GradientTape() as first:
                first.watch([x, kernel, scale, offset])
                y = function(tf.nn.conv2d(x, kernel, 1, "SAME"), scale, offset, 1e-5)
                z = tf.nn.conv2d(tf.nn.leaky_relu(y), kernel, 1, "SAME")
            gradients = first.gradient(z, [x, kernel, scale, offset])
            squares = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients])
        results.append([y, *gradients, *second.gradient(squares, [x, kernel, scale])])
    for one, other in zip(*results, strict=True):
        assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()  # float32 rounding
