import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import random_picture

from tf_pix2pix import images
from tf_pix2pix.encodings import (
    PICTURES,
    Chroma,
    Encoding,
    HolesMarked,
    KnownKept,
    LabPicture,
    Lightness,
    OneHot,
    PaletteColors,
    holes_encoding,
    lab_encoding,
    lab_to_rgb,
    of_pictures,
    palettes_encoding,
    residual_encoding,
    rgb_to_lab,
)
from tf_pix2pix.inference import for_other_runtimes, for_tensorflow, make_translate, max_pixels, size_multiple
from tf_pix2pix.networks import unet_generator

GRAYS = np.arange(256, dtype=np.uint8)[:, np.newaxis]
COLORS = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [1, 0, 0], [90, 100, 110], [91, 100, 110]], np.uint8)


def label_map(colors, height=40, width=56, seed=0):
    labels = np.random.default_rng(seed).integers(0, len(colors), (height, width))
    return labels, colors[labels]


@pytest.mark.parametrize(
    "colors", [GRAYS, COLORS, np.hstack([COLORS, 255 - COLORS[:, :1]])], ids=["gray", "rgb", "rgba"]
)
def test_label_maps_go_through_one_hot_channels_and_back_exactly(colors):
    """Also where colours are one level apart, as class numbers saved as grays are."""
    labels, picture = label_map(colors)
    channels = OneHot(colors)(images.to_float(picture[np.newaxis])).numpy()
    np.testing.assert_array_equal(channels[0], np.eye(len(colors))[labels])
    decoded = PaletteColors(colors)(10 * channels - 3)
    np.testing.assert_array_equal(images.to_uint8(decoded)[0], picture)
    np.testing.assert_allclose(decoded[0], images.to_float(picture), atol=5e-5)


def test_other_colours_are_the_nearest():
    picture = np.array([[[250, 9, 3], [3, 0, 0], [80, 90, 100], [200, 210, 220]]], np.uint8)
    channels = OneHot(COLORS)(images.to_float(picture[np.newaxis]))
    np.testing.assert_array_equal(np.argmax(channels[0, 0], axis=1), [2, 3, 4, 1])


# CIE Lab under D65 of sRGB colours, as published (Lindbloom's calculator, and any table of the primaries).
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


def test_lab_is_that_of_the_tables():
    picture = np.array([[*KNOWN_LAB]], np.uint8)
    lab = rgb_to_lab(images.to_float(picture[np.newaxis]))[0, 0].numpy()
    np.testing.assert_allclose(lab, [*KNOWN_LAB.values()], atol=0.03)  # of the matrix's four digits
    assert np.abs(lab[[0, 1, 6, 7], 1:]).max() < 1e-3


def test_colours_come_back_from_lab():
    picture = random_picture(0, 100, 100)
    lab = rgb_to_lab(images.to_float(picture[np.newaxis]))
    np.testing.assert_array_equal(images.to_uint8(lab_to_rgb(lab))[0], picture)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_inputs_lightness_is_kept_whatever_is_predicted(channels):
    """To the rounding of 8 bits, half a gray level of 0.27 to 0.46, also of colours that sRGB does not have."""
    gray = np.tile(GRAYS, (40, 1, 1)).reshape(40, 256, 1)
    picture = images.to_float(images.with_channels(gray, channels)[np.newaxis])
    chroma = tf.random.stateless_uniform([1, 40, 256, 2], [1, 2], -1.0, 1.0)
    generated = LabPicture()(chroma, picture)
    assert generated.shape == (1, 40, 256, 3)
    expected = rgb_to_lab(images.to_float(np.repeat(gray, 3, axis=2)[np.newaxis]))[..., 0]
    np.testing.assert_allclose(rgb_to_lab(generated)[..., 0], expected, atol=1e-3)
    rounded = images.to_float(images.to_uint8(generated))
    np.testing.assert_allclose(rgb_to_lab(rounded)[..., 0], expected, atol=0.25)
    assert np.std(rounded, axis=3).max() > 0.5  # of colours


def test_what_the_networks_see_of_lab_is_in_the_range_of_tanh():
    colors = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 15, np.uint8)]), axis=-1).reshape(1, 18, -1, 3)
    picture = images.to_float(colors)
    lightness, chroma = Lightness()(picture).numpy(), Chroma()(picture).numpy()
    assert (lightness.shape[3], chroma.shape[3]) == (1, 2)
    np.testing.assert_allclose([lightness.min(), lightness.max()], [-1, 1], atol=1e-5)
    assert 0.95 < np.abs(chroma).max() < 1
    np.testing.assert_allclose(LabPicture()(chroma, picture), picture, atol=1e-3)


def with_holes(dtype=np.uint8):
    """[1, 6, 7, 4], the lower half not opaque, and that a half of it by one level only."""
    picture = random_picture(0, 6, 7, 4).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    picture[:3, :, 3] = np.iinfo(dtype).max
    picture[3, :, 3] = np.iinfo(dtype).max // 255 * 254
    picture[4, :, 3] = 0
    return picture[np.newaxis]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_not_opaque_is_a_hole_whatever_its_colour(dtype):
    picture = images.to_float(with_holes(dtype))
    marked = HolesMarked(0.0)(picture)
    np.testing.assert_array_equal(marked[:, :3], picture[:, :3])
    np.testing.assert_array_equal(marked[:, 3:], np.broadcast_to(np.float32([0, 0, 0, -1]), (1, 3, 7, 4)))
    np.testing.assert_array_equal(HolesMarked(0.0)(marked), marked)


def test_what_is_known_is_kept_bit_for_bit():
    picture = images.to_float(with_holes(np.uint16))
    filling = tf.random.stateless_uniform([1, 6, 7, 3], [1, 2], -1.0, 1.0)
    whole = KnownKept()(filling, picture)
    np.testing.assert_array_equal(whole[:, :3], picture[:, :3, :, :3])
    np.testing.assert_array_equal(whole[:, 3:], filling[:, 3:])
    gray = tf.repeat(picture[..., :1], 3, axis=3)
    of_gray = KnownKept()(filling[..., :1], tf.concat([gray, picture[..., 3:]], axis=3))
    np.testing.assert_array_equal(of_gray[:, :3], picture[:, :3, :, :1])
    of_colours = KnownKept()(filling[..., :1], picture)[:, :3, :, 0]
    np.testing.assert_allclose(of_colours, picture[:, :3, :, :3].numpy() @ [0.299, 0.587, 0.114], atol=1e-6)


def test_what_is_added_to_the_input_makes_the_target():
    encoding = residual_encoding()
    picture, target = (images.to_float(random_picture(seed, 6, 7)[np.newaxis]) for seed in (0, 1))
    added = encoding.encode_target(target, picture)
    np.testing.assert_allclose(encoding.decode_output(added, picture), target, atol=1e-6)
    np.testing.assert_array_equal(encoding.decode_output(tf.zeros_like(picture), picture), picture)
    beyond = encoding.decode_output(tf.fill(picture.shape, 3.0) * tf.sign(added), picture)
    assert set(np.unique(beyond[added != 0])) == {-1.0, 1.0}


ENCODINGS = {
    "onehot": palettes_encoding(COLORS, None),
    "classes": palettes_encoding(None, COLORS),
    "both": palettes_encoding(COLORS, COLORS[:4]),
    "lab": lab_encoding(),
    "holes": holes_encoding(0.0),
    "residual": residual_encoding(),
}
PICTURE_CHANNELS = {"holes": 4}  # of the others 3


def whole(name, **options):
    encoding, given = ENCODINGS[name], PICTURE_CHANNELS.get(name, 3)
    channels = encoding.input_channels or given, encoding.output_channels or 3
    options = dict(size=(32, 32), filters=2, initializer="kaiming", activation=encoding.activation) | options
    generator = unet_generator(*channels, **options)
    return generator, of_pictures(generator, encoding, given)


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_whole_is_encode_network_and_decode(name):
    encoding, channels = ENCODINGS[name], PICTURE_CHANNELS.get(name, 3)
    generator, model = whole(name)
    picture = images.to_float(random_picture(1, 64, 32, channels)[np.newaxis])
    expected = encoding.decode_output(generator(encoding.encode_input(picture), training=False), picture)
    generated = model(picture, training=False)
    np.testing.assert_allclose(generated, expected, atol=1e-6)
    assert generated.shape == (1, 64, 32, 3)
    assert (model.input_shape[3], model.output_shape[3]) == (channels, 3)
    generator.trainable_variables[-1].assign_add([1.0, *[0.0] * (generator.output_shape[3] - 1)])
    assert np.abs(model(picture, training=False) - generated).max() > 0  # the weights are the same ones


@pytest.mark.parametrize("name", ENCODINGS)
def test_what_goes_over_the_layers_finds_them(name):
    generator, model = whole(name)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert size_multiple(model) == size_multiple(generator) == 32
    assert 1e4 < max_pixels(model) < 1e9
    picture = images.to_float(random_picture(2, 50, 70, PICTURE_CHANNELS.get(name, 3))[np.newaxis])
    expected = make_translate(model)(picture).numpy()
    for form in (for_tensorflow, for_other_runtimes):
        generated = make_translate(form(model))(picture).numpy()
        assert (np.abs(generated - expected).max(axis=3) > 1e-3).mean() < 0.001  # classes may flip at ties


def test_without_encoding_it_is_the_generator_itself():
    generator = unet_generator(3, 3, size=(32, 32), filters=2)
    model = of_pictures(generator, PICTURES, 3)
    assert model is generator
    x = object()
    assert Encoding().encode_input(x) is x
    assert PICTURES.as_target(x) is PICTURES.decode_output(x, None) is x


def test_encodings_compute_in_float32_also_where_networks_do_not():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        channels = OneHot(GRAYS)(images.to_float(GRAYS.reshape(1, 16, 16, 1)))
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(np.argmax(channels, axis=3).ravel(), np.arange(256))
