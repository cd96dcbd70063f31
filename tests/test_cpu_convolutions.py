"""Each form of the 4x4 convolutions against TensorFlow's own in float64: values, gradients, gradients of gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.cpu import convolutions
from tf_pix2pix.cpu.convolutions import (
    PADDINGS,
    convolve,
    convolve_interleaved,
    convolve_transposed,
    interleaved_kernel,
    kernel_gradient,
)

ROUNDING = 2e-6  # of sums of float32 products, relative to the largest: 2**-24 at each of a few tens of roundings

# n, h, w, c, d, stride: odd and even sides, the smallest possible, one image and more, few channels, one channel.
SHAPES = [
    (1, 8, 8, 5, 7, 2),
    (3, 6, 10, 5, 7, 2),
    (2, 7, 9, 5, 3, 2),
    (1, 2, 2, 6, 4, 2),
    (1, 1, 3, 6, 4, 2),
    (2, 6, 4, 3, 9, 2),
    (1, 5, 6, 1, 9, 2),
    (1, 10, 8, 5, 7, 1),
    (1, 9, 8, 5, 7, 1),
    (1, 4, 5, 5, 7, 1),
    (1, 5, 4, 5, 7, 1),
    (3, 8, 7, 5, 7, 1),
    (1, 9, 6, 8, 1, 1),
    (2, 7, 8, 8, 1, 1),
]


def name_of(shape):
    return "n{}-{}x{}-{}to{}-stride{}".format(*shape)


@pytest.fixture(params=["patches", "convolutions", "by shape"])
def form(request, monkeypatch):
    """Forces every choice by shape one way and the other."""
    if request.param != "by shape":
        monkeypatch.setattr(convolutions, "_patches_are_smaller", lambda *shape: request.param == "patches")


def random_values(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def small_shape(n, h, w, d, stride):
    return (n, -(-h // 2), -(-w // 2), d) if stride == 2 else (n, h - 3, w - 3, d)


def derivatives(function, values, dtype):
    """A function's value, the gradients of the sum of its cubes, and the gradients of the sum of their squares."""
    values = [tf.constant(value, dtype) for value in values]
    with tf.GradientTape() as second:
        second.watch(values)
        with tf.GradientTape() as first:
            first.watch(values)
            result = function(*values)
            cubes = tf.reduce_sum(result**3)
        gradients = first.gradient(cubes, values)
        squares = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients])
    return [result, *gradients, *second.gradient(squares, values)]


def assert_equal(function, plain, values):
    got, expected = derivatives(function, values, tf.float32), derivatives(plain, values, tf.float64)
    for number, (one, other) in enumerate(zip(got, expected, strict=True)):
        assert one.shape == other.shape
        error = np.abs(one.numpy() - other.numpy()).max() / np.abs(other.numpy()).max()
        # Cubes triple and squares double a relative error, twice.
        assert error < ROUNDING * (1 if number == 0 else 10), number


def plain_kernel_gradient(large, small, stride, c, d):
    options = dict(strides=[1, stride, stride, 1], padding=PADDINGS[stride].upper())
    return tf.raw_ops.Conv2DBackpropFilter(input=large, filter_sizes=[4, 4, c, d], out_backprop=small, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_each_form_equals_tensorflows(form, shape):
    n, h, w, c, d, stride = shape
    large, small = random_values(n, h, w, c), random_values(*small_shape(n, h, w, d, stride), seed=2)
    kernel, padding = random_values(4, 4, c, d, seed=1), PADDINGS[stride].upper()
    assert_equal(lambda x, k: convolve(x, k, stride), lambda x, k: tf.nn.conv2d(x, k, stride, padding), (large, kernel))
    assert_equal(
        lambda y, k: convolve_transposed(y, k, stride, (h, w)),
        lambda y, k: tf.nn.conv2d_transpose(y, k, [n, h, w, c], stride, padding),
        (small, kernel),
    )
    assert_equal(
        lambda x, y: kernel_gradient(x, y, stride),
        lambda x, y: plain_kernel_gradient(x, y, stride, c, d),
        (large, small),
    )


@pytest.mark.parametrize("least", [0, 2**20], ids=["patches", "convolutions"])
@pytest.mark.parametrize("fast_gradient", [True, False])
def test_sizes_unknown_while_tracing(monkeypatch, least, fast_gradient):
    monkeypatch.setattr(convolutions, "LARGE_KERNEL", least)
    kernel = tf.constant(random_values(4, 4, 5, 7), tf.float32)
    unknown = [tf.TensorSpec([None, None, None, channels]) for channels in (5, 7)]
    down = tf.function(lambda x: convolve(x, kernel, 2, fast_gradient), input_signature=unknown[:1])
    up = tf.function(
        lambda x: convolve_transposed(x, kernel, 2, fast_gradient=fast_gradient), input_signature=unknown[1:]
    )
    for n, h, w in ((2, 6, 8), (1, 7, 3)):
        large, small = (tf.constant(random_values(n, h, w, channels), tf.float32) for channels in (5, 7))
        np.testing.assert_allclose(down(large), tf.nn.conv2d(large, kernel, 2, "SAME"), atol=1e-4)
        expected = tf.nn.conv2d_transpose(small, kernel, [n, 2 * h, 2 * w, 5], 2, "SAME")
        np.testing.assert_allclose(up(small), expected, atol=1e-4)


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("sides", [(1, 1), (3, 4)])
def test_convolve_interleaved(products, sides):
    small, kernel = random_values(2, *sides, 7), random_values(4, 4, 5, 7, seed=1)
    expected = tf.nn.conv2d_transpose(small, kernel, [2, 2 * sides[0], 2 * sides[1], 5], 2, "SAME")
    got = convolve_interleaved(
        tf.constant(small, tf.float32), interleaved_kernel(tf.constant(kernel, tf.float32)), products
    )
    assert np.abs(got.numpy() - expected.numpy()).max() < ROUNDING * np.abs(expected).max()


def operations(function, *shapes, dtype=tf.float32):
    """The types of the operations in the function's graph."""
    graph = tf.function(function).get_concrete_function(*(tf.TensorSpec(shape, dtype) for shape in shapes)).graph
    return {operation.type for operation in graph.get_operations()}


def test_patches_are_multiplied_if_they_are_no_larger_than_the_kernel():
    for side, kind in ((16, "MatMul"), (32, "MatMul"), (34, "Conv2D"), (256, "Conv2D"), (None, "Conv2D")):
        kinds = operations(lambda x, k: convolve(x, k, 2, False), [1, side, side, 8], [4, 4, 8, 256])
        assert kinds & {"MatMul", "Conv2D"} == {kind}, side


def test_a_single_image_is_convolved_in_halves():
    def graph_of(n):
        function = tf.function(lambda x, k: tf.nn.relu(convolve(x, k, 1, False)))
        specs = tf.TensorSpec([n, 34, 34, 4]), tf.TensorSpec([4, 4, 4, 8])
        return function.get_concrete_function(*specs).graph.get_operations()

    batches = [next(op for op in graph_of(n) if op.type == "Conv2D").inputs[0].shape[0] for n in (1, 2, 3)]
    assert batches == [2, 2, 3]


@pytest.mark.parametrize("device", ["GPU", "CPU"])
def test_gpus_and_other_dtypes_use_tensorflows_convolutions(monkeypatch, device):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [f"{kind}:0"] if kind == device else [])
    options = dict(dtype=tf.float32 if device == "GPU" else tf.float16)
    for n, h, w, c, d, stride in SHAPES[::3]:
        large, small, kernel = (n, h, w, c), small_shape(n, h, w, d, stride), (4, 4, c, d)
        up = lambda x, k: convolve_transposed(x, k, stride, (h, w), False)  # noqa: B023, E731
        types = operations(lambda x, k: convolve(x, k, stride, False), large, kernel, **options)  # noqa: B023
        types |= operations(up, small, kernel, **options)
        types |= operations(lambda x, y: kernel_gradient(x, y, stride), large, small, **options)  # noqa: B023
        assert not types & {"MatMul", "ConcatV2", "DepthToSpace"}
