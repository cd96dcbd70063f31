import numpy as np
import pytest
import tensorflow as tf
from helpers import random_deep, random_image

from tf_pix2pix import images

SHALLOW, DEEP = random_image(0, 4, 4), random_deep(0, 4, 4, 3)


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_whole_numbers_return_exactly(depth):
    values = np.arange(np.iinfo(depth).max + 1, dtype=depth).reshape(1, 16, -1, 1)
    floats = images.to_float(values).numpy()
    assert (floats.dtype, floats.min(), floats.max()) == (np.float32, -1.0, 1.0)
    np.testing.assert_array_equal(images.from_float(floats, depth), values)


def test_values_beyond_are_clipped_and_others_rounded():
    np.testing.assert_array_equal(images.from_float([-7.0, -1.0, 0.0, 0.999, 3.0]).numpy(), [0, 0, 128, 255, 255])
    half = tf.cast(tf.linspace(-1.0, 1.0, 1000), tf.bfloat16)
    np.testing.assert_array_equal(images.from_float(half), images.from_float(tf.cast(half, tf.float32)))


@pytest.mark.parametrize(("depth", "low", "high"), [("uint16", 0.0, 4095.0), ("float32", -1000.0, 3095.0)])
def test_a_value_range_becomes_minus_one_to_one(depth, low, high):
    values = np.linspace(low, high, 4096).astype(depth)
    floats = images.to_float(values, (low, high)).numpy()
    np.testing.assert_allclose(floats, np.linspace(-1, 1, 4096), atol=1e-6)
    back = images.from_float(floats, depth, (low, high)).numpy()
    assert back.dtype == depth
    np.testing.assert_allclose(back, values, atol=0 if depth == "uint16" else 1e-3)
    assert images.to_float(np.array([high + 500], depth), (low, high)) == 1.0
    np.testing.assert_array_equal(images.from_float([-3.0, 3.0], depth, (low, high)), [low, high])


@pytest.mark.parametrize("method", sorted(images.RESIZE_METHODS.keys() - {"nearest"}))
def test_shrinking_is_antialiased(method):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = images.resize(stripes, (16, 16), method)
    assert np.abs(shrunk[:, 2:-2].astype(int) - 127).max() <= 6  # gray; without antialiasing it is black or white


@pytest.mark.parametrize("method", sorted(images.RESIZE_METHODS))
@pytest.mark.parametrize("size", [(9, 11), (40, 50)])
def test_every_depth_is_resized_alike(method, size):
    shallow = 64 + random_image(0, 20, 30, 3) // 2  # nothing overshoots, which 8 bits would clip between the two axes
    expected = images.resize(shallow, size, method)
    deep = images.resize(images.with_depth(shallow, "uint16"), size, method)
    floats = images.resize(shallow.astype(np.float32), size, method)
    assert (deep.dtype, floats.dtype, deep.shape) == (np.uint16, np.float32, expected.shape)
    tolerance = 0 if method == "nearest" else 1.5  # 8-bit levels: 8 bits round after each axis, and their weights
    assert np.abs(deep / 257 - expected).max() <= tolerance
    assert np.abs(floats - np.clip(expected, shallow.min(), shallow.max())).max() <= tolerance
    assert shallow.min() <= floats.min() and floats.max() <= shallow.max()
    if method == "nearest":
        assert {*expected.flat} <= {*shallow.flat}
    else:
        assert min(len(np.unique(deep)), len(np.unique(floats))) > 256
    edge = np.tile(np.where(np.arange(30) < 15, np.uint16(0), np.uint16(65535))[:, np.newaxis], (20, 1, 1))
    resized = images.resize(edge, (20, 90), method)
    assert resized[:, :45].max() < 2**15 < resized[:, 45:].min()  # overshoot is clipped, not wrapped


def test_fitted_sizes():
    sizes = {fit: images.fitted_size((30, 60), (20, 20), fit) for fit in images.FITS}
    assert sizes == {"stretch": (20, 20), "cover": (20, 40), "none": (30, 60)}
    for own, covered in {(300, 200): (150, 100), (200, 300): (100, 150), (7, 7): (100, 100)}.items():
        assert images.fitted_size(own, (100, 100), "cover") == covered
    with pytest.raises(ValueError, match=r"30x60 is smaller than the crop's 40x40 \(height x width\); --fit=cover"):
        images.fitted_size((30, 60), (40, 40), "none")


@pytest.mark.parametrize(
    ("image", "wanted", "message"),
    [
        (DEEP, ["uint8"], "16 bits a channel, expected 8 bits a channel; save it as an 8-bit image"),
        (SHALLOW, ["float32", (0.0, 1.0)], "8 bits a channel, expected floats in 0,1; save it as a TIFF or NPY file"),
        (DEEP.astype(np.float32), ["uint16"], "floats, expected 16 bits a channel; save it as a 16-bit PNG or TIFF"),
        (SHALLOW, ["uint16", (0.0, 4095.0)], "8 bits a channel, expected 16 bits a channel in 0,4095"),
    ],
)
def test_depths_change_only_without_loss(image, wanted, message):
    np.testing.assert_array_equal(images.with_depth(SHALLOW, "uint16"), SHALLOW * np.uint16(257))
    with pytest.raises(ValueError, match=f"^{message}"):
        images.with_depth(image, *wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_channels_change_only_without_loss(dtype):
    gray, rgb, rgba = (random_deep(6, 4, 4, channels, dtype) for channels in (1, 3, 4))
    white = np.iinfo(dtype).max
    rgba[..., 3] = white
    assert images.with_channels(rgba, 4) is rgba
    np.testing.assert_array_equal(images.with_channels(gray, 3), np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(images.with_channels(rgba, 3), rgba[..., :3])
    opaque = images.with_channels(gray, 4)
    assert opaque.dtype == dtype
    np.testing.assert_array_equal(opaque[..., 3], np.full((4, 4), white))
    np.testing.assert_array_equal(images.with_channels(opaque, 1), gray)
    rgba[0, 0, 3] = white - 1
    for image, channels, message in (
        (rgba, 3, "transparency does not fit into 3 channels; save it without"),
        (rgba, 1, "transparency does not fit into 1 channel"),
        (rgb, 1, "colors do not fit into 1 channel; save it as a gray image"),
        (rgb, 2, "3 channels cannot become 2; images have 1, 3 or 4"),
        (rgb.astype(np.float32), 4, "floats of 3 channels, expected 4; save it with 4"),  # floats have no opaque value
    ):
        with pytest.raises(ValueError, match=message):
            images.with_channels(image, channels)


def test_side_by_side_images_are_split_and_joined():
    a, b = random_image(7, 3, 5), random_image(8, 3, 5)
    np.testing.assert_array_equal(images.split_side_by_side(images.join_side_by_side(a, b)), (a, b))
    with pytest.raises(ValueError, match="9 pixels wide; a side-by-side image requires two halves of equal width"):
        images.split_side_by_side(random_image(7, 3, 9))


def test_a_sample_grid_shows_each_image_under_its_title():
    rows = [[random_image(10 * y + x, 20, 30, channels) for x, channels in enumerate((1, 3, 4))] for y in range(2)]
    grid = images.sample_grid(["a", "b", "c"], rows)
    top, gap = 14, 4
    assert grid.shape == (top + 2 * (20 + gap), gap + 3 * (30 + gap), 3)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            shown = grid[top + y * 24 : top + y * 24 + 20, gap + x * 34 : gap + x * 34 + 30]
            np.testing.assert_array_equal(shown, np.broadcast_to(image[:, :, :3], shown.shape))
    assert (grid[:top] < 128).any()  # the titles
