import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import random_image
from keras.src.testing import TestCase

from tf_pix2pix import images, layers
from tf_pix2pix.layers import (
    INITIALIZERS,
    Chroma,
    Convolution2D,
    Convolution2DTranspose,
    InstanceNormalization,
    KeepKnown,
    LabToRgb,
    Lightness,
    MarkHoles,
    OneHotLabels,
    PaletteColors,
    ReflectionPadding2D,
    lab_to_rgb,
    rgb_to_lab,
)

GRAYS = np.arange(256, dtype=np.uint8)[:, np.newaxis]
COLORS = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [1, 0, 0], [90, 100, 110], [91, 100, 110]], np.uint8)


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


# Layer -> its arguments, shape of its input or inputs, shape of its output.
CONTRACTS = [
    ("AddResidual", {}, ((2, 4, 6, 3), (2, 4, 6, 3)), (2, 4, 6, 3)),
    ("Chroma", {}, (2, 4, 6, 3), (2, 4, 6, 2)),
    ("Convolution2D", {"filters": 5, "kernel_size": 4, "strides": 2, "padding": "same"}, (2, 8, 6, 3), (2, 4, 3, 5)),
    ("Convolution2D", {"filters": 5, "kernel_size": 4}, (1, 8, 6, 3), (1, 5, 3, 5)),
    ("Convolution2D", {"filters": 5, "kernel_size": 3, "use_bias": False}, (2, 8, 6, 3), (2, 6, 4, 5)),
    (
        "Convolution2DTranspose",
        {"filters": 5, "kernel_size": 4, "strides": 2, "padding": "same"},
        (2, 4, 3, 7),
        (2, 8, 6, 5),
    ),
    ("InstanceNormalization", {"epsilon": 0.3, "gamma_initializer": "zeros"}, (2, 4, 6, 3), (2, 4, 6, 3)),
    ("InterleavedConvolution2D", {"filters": 5, "use_bias": True, "products": False}, (2, 4, 3, 7), (2, 8, 6, 5)),
    ("InterleavedConvolution2D", {"filters": 5, "use_bias": False, "products": True}, (2, 4, 3, 7), (2, 8, 6, 5)),
    ("KeepKnown", {}, ((2, 4, 6, 1), (2, 4, 6, 4)), (2, 4, 6, 1)),
    ("KeepKnown", {}, ((2, 4, 6, 3), (2, 4, 6, 4)), (2, 4, 6, 3)),
    ("LabToRgb", {}, ((2, 4, 6, 2), (2, 4, 6, 1)), (2, 4, 6, 3)),
    ("Lightness", {}, (2, 4, 6, 4), (2, 4, 6, 1)),
    ("MarkHoles", {"hole_value": 0.25}, (2, 4, 6, 4), (2, 4, 6, 4)),
    ("NearestUpsampling2D", {}, (2, 4, 6, 3), (2, 8, 12, 3)),
    ("OneHotLabels", {"colors": COLORS.tolist()}, (2, 4, 6, 3), (2, 4, 6, 6)),
    ("PaletteColors", {"colors": COLORS.tolist()}, (2, 4, 6, 6), (2, 4, 6, 3)),
    ("ReflectionPadding2D", {"padding": 2}, (2, 4, 6, 3), (2, 8, 10, 3)),
]


def call(layer, inputs):
    return layer(inputs if len(inputs) > 1 else inputs[0])


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights", "ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(("name", "arguments", "input_shape", "output_shape"), CONTRACTS)
def test_layers_meet_keras_own_contract(name, arguments, input_shape, output_shape):
    kind = getattr(layers, name)
    expected = dict(expected_output_shape=output_shape, expected_output_dtype="float32")
    TestCase().run_layer_test(kind, arguments, input_shape, **expected)
    shapes = input_shape if isinstance(input_shape[0], tuple) else (input_shape,)
    for dtype in ("float32", "float16", "mixed_float16", "mixed_bfloat16"):
        layer = kind(**arguments, dtype=dtype)
        symbolic = call(layer, [keras.Input((None, None, shape[3])) for shape in shapes])
        assert (symbolic.shape[3], symbolic.dtype) == (output_shape[3], layer.compute_dtype)
        assert call(layer, [noise(*shape) for shape in shapes]).dtype == layer.compute_dtype


def test_every_layer_has_a_contract_and_is_registered():
    own = {name for name, kind in vars(layers).items() if inspect.isclass(kind)}
    assert own == {name for name, *_ in CONTRACTS}
    for name in own:
        assert keras.saving.get_registered_object(f"tf_pix2pix>{name}") is getattr(layers, name)


@pytest.mark.parametrize(
    ("kind", "peer", "options"),
    [
        (Convolution2D, keras.layers.Conv2D, {"strides": (2, 1), "padding": "same"}),
        (Convolution2D, keras.layers.Conv2D, {"dilation_rate": 2}),
        (Convolution2D, keras.layers.Conv2D, {"groups": 2}),
        (Convolution2D, keras.layers.Conv2D, {"strides": 2, "padding": "same", "activation": "tanh"}),
        (Convolution2DTranspose, keras.layers.Conv2DTranspose, {"strides": 2, "padding": "same", "output_padding": 1}),
        (Convolution2DTranspose, keras.layers.Conv2DTranspose, {"strides": (2, 1), "padding": "same"}),
    ],
)
def test_convolutions_with_any_options_equal_keras_own(kind, peer, options):
    x = noise(1, 9, 8, 4)
    own, theirs = kind(6, 4, **options), peer(6, 4, **options)
    own(x), theirs(x)
    own.set_weights([noise(*weight.shape) for weight in theirs.weights])
    theirs.set_weights(own.get_weights())
    np.testing.assert_allclose(own(x), theirs(x), atol=1e-5)


def test_instance_normalization_is_the_papers_batch_norm_of_each_image():
    layer, batch = InstanceNormalization(), keras.layers.BatchNormalization(epsilon=1e-5)
    x = noise(3, 5, 7, 2) * [[[[3.0, 0.5]]]] + 4
    for image, y in zip(x, layer(x).numpy(), strict=True):
        np.testing.assert_allclose(y, batch(image[np.newaxis], training=True)[0], atol=1e-5)
        np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-5)  # float32 rounding of 35 values near 4


@pytest.mark.parametrize(
    ("training", "dtype", "fused"), [(True, "float32", True), (False, "float32", False), (True, "float16", False)]
)
def test_instance_normalization_is_fused_in_float32_training_only(training, dtype, fused):
    layer = InstanceNormalization(dtype=dtype)
    layer.build((2, 6, 5, 4))
    function = tf.function(lambda x: layer(x, training=training))
    graph = function.get_concrete_function(tf.TensorSpec((2, 6, 5, 4), dtype)).graph
    assert ("FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}) == fused


def test_reflection_padding_is_numpys():
    x = noise(1, 4, 5, 2)
    np.testing.assert_array_equal(ReflectionPadding2D(3)(x), np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), "reflect"))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_have_the_documented_variance(name):
    kernel = INITIALIZERS[name](0)((4, 4, 32, 64)).numpy()
    fan_in, fan_out = 16 * 32, 16 * 64
    sigma = {
        "normal": 0.02,
        "xavier": 0.02 * np.sqrt(2 / (fan_in + fan_out)),
        "kaiming": np.sqrt(2 / fan_in),
        "orthogonal": 0.02 / np.sqrt(fan_in),  # 64 orthonormal columns of 512 rows, times the gain
    }[name]
    assert abs(kernel.std() / sigma - 1) < 6 / np.sqrt(kernel.size)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_label_maps_become_one_hot_and_return_exactly(dtype):
    """Even if colors are one level apart, as class numbers saved as grays are."""
    for colors in (GRAYS, COLORS, np.hstack([COLORS, 255 - COLORS[:, :1]])):
        labels = np.random.default_rng(0).integers(0, len(colors), (40, 56))
        channels = OneHotLabels(colors, dtype=dtype)(images.to_float(colors[labels][np.newaxis])).numpy()
        np.testing.assert_array_equal(channels[0], np.eye(len(colors))[labels])
        decoded = PaletteColors(colors)(10 * channels - 3)
        np.testing.assert_array_equal(images.from_float(decoded)[0], colors[labels])
        np.testing.assert_allclose(decoded[0], images.to_float(colors[labels]), atol=5e-5)
    image = np.array([[[250, 9, 3], [3, 0, 0], [80, 90, 100], [200, 210, 220]]], np.uint8)
    nearest = OneHotLabels(COLORS, dtype=dtype)(images.to_float(image[np.newaxis]))  # other colors become the nearest
    np.testing.assert_array_equal(np.argmax(nearest[0, 0], axis=1), [2, 3, 4, 1])


# CIE Lab under D65 of sRGB colors, as published (Lindbloom's calculator, and any table of the primaries).
KNOWN_LAB = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (255, 255, 0): (97.14, -21.55, 94.48),
    (119, 119, 119): (50.03, 0, 0),
    (1, 1, 1): (0.27, 0, 0),
}


def test_lab_equals_published_tables_and_colors_return_from_it():
    image = np.array([[[*KNOWN_LAB]]], np.uint8)
    lab = rgb_to_lab(images.to_float(image))[0, 0].numpy()
    np.testing.assert_allclose(lab, [*KNOWN_LAB.values()], atol=0.03)  # the matrix has four digits
    assert np.abs(lab[[0, 1, 6, 7], 1:]).max() < 1e-3
    image = random_image(0, 100, 100)
    lab = rgb_to_lab(images.to_float(image[np.newaxis]))
    np.testing.assert_array_equal(images.from_float(lab_to_rgb(lab))[0], image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lab_to_rgb_keeps_the_inputs_lightness_for_any_chroma(channels):
    """Even for colors outside sRGB, up to the rounding to 8 bits: half a gray level, which is 0.27 to 0.46."""
    gray = np.tile(GRAYS, (40, 1, 1)).reshape(40, 256, 1)
    input_image = images.to_float(images.with_channels(gray, channels)[np.newaxis])
    chroma = tf.random.stateless_uniform([1, 40, 256, 2], [1, 2], -1.0, 1.0)
    generated = LabToRgb()([chroma, input_image])
    expected = rgb_to_lab(images.to_float(np.repeat(gray, 3, axis=2)[np.newaxis]))[..., 0]
    np.testing.assert_allclose(rgb_to_lab(generated)[..., 0], expected, atol=1e-3)
    rounded = images.to_float(images.from_float(generated))
    np.testing.assert_allclose(rgb_to_lab(rounded)[..., 0], expected, atol=0.25)
    assert np.std(rounded, axis=3).max() > 0.5  # the result has colors


def test_lightness_and_chroma_are_in_the_range_of_tanh():
    colors = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 15, np.uint8)]), axis=-1).reshape(1, 18, -1, 3)
    image = images.to_float(colors)
    lightness, chroma = Lightness()(image).numpy(), Chroma()(image).numpy()
    np.testing.assert_allclose([lightness.min(), lightness.max()], [-1, 1], atol=1e-5)
    assert 0.95 < np.abs(chroma).max() < 1
    np.testing.assert_allclose(LabToRgb()([chroma, image]), image, atol=1e-3)


def with_holes(dtype=np.uint8):
    """[1, 6, 7, 4]: rows 0 to 2 are opaque, row 3 lacks one level of alpha, row 4 is transparent, row 5 is random."""
    image = random_image(0, 6, 7, 4).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    image[:3, :, 3] = np.iinfo(dtype).max
    image[3, :, 3] = np.iinfo(dtype).max // 255 * 254
    image[4, :, 3] = 0
    return image[np.newaxis]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_pixel_that_is_not_opaque_is_a_hole(dtype):
    image = images.to_float(with_holes(dtype))
    marked = MarkHoles(0.0)(image)
    np.testing.assert_array_equal(marked[:, :3], image[:, :3])
    np.testing.assert_array_equal(marked[:, 3:], np.broadcast_to(np.float32([0, 0, 0, -1]), (1, 3, 7, 4)))
    np.testing.assert_array_equal(MarkHoles(0.0)(marked), marked)


def test_known_pixels_stay_bit_for_bit():
    image = images.to_float(with_holes(np.uint16))
    filling = tf.random.stateless_uniform([1, 6, 7, 3], [1, 2], -1.0, 1.0)
    filled = KeepKnown()([filling, image])
    np.testing.assert_array_equal(filled[:, :3], image[:, :3, :, :3])
    np.testing.assert_array_equal(filled[:, 3:], filling[:, 3:])
    gray = tf.repeat(image[..., :1], 3, axis=3)
    filled_gray = KeepKnown()([filling[..., :1], tf.concat([gray, image[..., 3:]], axis=3)])
    np.testing.assert_array_equal(filled_gray[:, :3], image[:, :3, :, :1])
    luma = KeepKnown()([filling[..., :1], image])[:, :3, :, 0]
    np.testing.assert_allclose(luma, image[:, :3, :, :3].numpy() @ [0.299, 0.587, 0.114], atol=1e-6)
