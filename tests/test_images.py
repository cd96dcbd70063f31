import io
import warnings

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_deep, random_picture
from PIL import Image

from tf_pix2pix import files, images
from tf_pix2pix.errors import InputError


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def test_the_value_convention():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = images.to_float(values).numpy()
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (-1.0, 1.0)
    np.testing.assert_array_equal(images.to_uint8(floats), values)


def test_values_outside_are_clipped_and_others_rounded():
    np.testing.assert_array_equal(images.to_uint8([-7.0, -1.0, 0.0, 0.999, 3.0]).numpy(), [0, 0, 128, 255, 255])
    half = tf.cast(tf.linspace(-1.0, 1.0, 1000), tf.bfloat16)
    np.testing.assert_array_equal(images.to_uint8(half), images.to_uint8(tf.cast(half, tf.float32)))


def test_16_bits_come_back_exactly():
    values = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256, 1)
    floats = images.to_float(values).numpy()
    assert (floats.dtype, floats.min(), floats.max()) == (np.float32, -1.0, 1.0)
    np.testing.assert_array_equal(images.from_float(floats, images.Format("uint16")), values)


@pytest.mark.parametrize(
    "format", [images.Format("uint16", (0.0, 4095.0)), images.Format("float32", (-1000.0, 3095.0))]
)
def test_a_range_is_what_becomes_one_and_minus_one(format):
    low, high = format.bounds
    values = np.linspace(low, high, 4096).astype(format.depth)
    floats = images.to_float(values, format.range).numpy()
    np.testing.assert_allclose(floats, np.linspace(-1, 1, 4096), atol=1e-6)
    back = images.from_float(floats, format).numpy()
    assert back.dtype == format.depth
    np.testing.assert_allclose(back, values, atol=0 if format.depth == "uint16" else 1e-3)
    assert images.to_float(np.array([high + 500], format.depth), format.range) == 1.0
    np.testing.assert_array_equal(images.from_float([-3.0, 3.0], format), [low, high])


@pytest.mark.parametrize(
    ("depth", "range", "message"),
    [
        ("float32", None, "floats need a range"),
        ("uint16", (0.0, 70000.0), "0,70000 is no range, from low to high, of 16 bits a channel"),
        ("uint8", (9.0, 9.0), "9,9 is no range, from low to high, of 8 bits a channel"),
    ],
)
def test_formats_that_cannot_be_are_named(depth, range, message):
    with pytest.raises(InputError, match=message):
        images.Format(depth, range)


@pytest.mark.parametrize("format", ["PNG", "BMP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_come_back(format, channels):
    picture = random_picture(0, 6, 9, channels)
    pil = Image.fromarray(picture[:, :, 0] if channels == 1 else picture)
    np.testing.assert_array_equal(images.decode(encoded(pil, format)), picture)


def test_webp_gif_and_jpeg_are_read():
    gradient = np.broadcast_to(np.arange(0, 240, 6, dtype=np.uint8)[:, None, None], (40, 40, 3))
    for format, options in (("WEBP", {"lossless": True}), ("GIF", {}), ("JPEG", {"quality": 95})):
        decoded = images.decode(encoded(Image.fromarray(gradient), format, **options))
        assert decoded.shape == (40, 40, 3)
        assert np.abs(decoded.astype(int) - gradient).max() <= 3  # JPEG's own error at this quality on a ramp


def test_alpha_is_kept_and_palettes_become_colours():
    rgba = random_picture(1, 5, 5, 4)
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(rgba), "PNG")), rgba)
    indexed = Image.new("P", (2, 2), 1)
    indexed.putpalette([0, 0, 0, 10, 20, 30])
    np.testing.assert_array_equal(images.decode(encoded(indexed, "PNG")), np.full((2, 2, 3), [10, 20, 30], np.uint8))
    transparent = images.decode(encoded(indexed, "PNG", transparency=1))
    np.testing.assert_array_equal(transparent, np.full((2, 2, 4), [10, 20, 30, 0], np.uint8))
    gray_and_alpha = rgba[:, :, [0, 0, 0, 3]]
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(rgba[:, :, [0, 3]]), "PNG")), gray_and_alpha)


def test_one_bit_becomes_gray_and_inks_become_rgb():
    bits = np.array([[0, 255], [255, 255]], np.uint8)
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(bits).convert("1"), "PNG"))[:, :, 0], bits)
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(images.decode(encoded(inks, "JPEG")) - np.array([255, 0, 0])).max() <= 3  # JPEG's own error


def test_of_an_animation_the_first_frame_is_taken():
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    decoded = images.decode(encoded(first, "GIF", save_all=True, append_images=[second]))
    np.testing.assert_array_equal(decoded, np.asarray(first))


def test_exif_turns_a_picture_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    picture = Image.fromarray(random_picture(2, 20, 30))
    assert images.decode(encoded(picture, "JPEG", exif=exif)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture"),
        (b"no picture", "it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture"),
        (encoded(Image.fromarray(random_picture(3, 64, 64)), "PNG")[:3000], "it cannot be decoded"),
        (encoded(Image.fromarray(random_picture(3, 64, 64)), "JPEG")[:1500], "it cannot be decoded"),
        (encoded(Image.new("RGB", (4, 4)), "PPM"), "it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture"),
    ],
)
def test_what_cannot_be_decoded_says_why(data, message):
    with pytest.raises(ValueError, match=message):
        images.decode(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_damaged_files_are_pictures_or_value_errors(format):
    """Pillow raises nearly anything, mostly where metadata is damaged: nothing but ValueError may come through."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2020:01:01 00:00:00", 0x829A: 0.01}
    options = {} if format == "BMP" else {"exif": exif}
    whole = encoded(Image.fromarray(random_picture(9, 20, 30)), format, **options)
    rng = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the damaged metadata
        for _ in range(1500):
            damaged = bytearray(whole)
            for position in rng.integers(0, min(len(whole), 400), rng.integers(1, 4)):
                damaged[position] ^= 1 << rng.integers(8)
            try:
                assert images.decode(bytes(damaged)).dtype == np.uint8
            except ValueError:
                refused += 1
    assert 0 < refused < 1500


def test_written_pictures_are_whole(tmp_path, monkeypatch):
    picture = random_picture(4, 7, 5, 1)
    images.write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(images.decode((tmp_path / "a.png").read_bytes()), picture)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(files.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
        images.write_png(tmp_path / "b.png", picture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_nearest_keeps_a_label_maps_colours_and_bicubic_does_not():
    labels = np.where(random_picture(5, 31, 31, 1) > 127, np.uint8(200), np.uint8(40))
    assert set(np.unique(images.resize(labels, (20, 25), "nearest"))) == {40, 200}
    assert len(np.unique(images.resize(labels, (20, 25), "bicubic"))) > 10


@pytest.mark.parametrize("method", sorted(images.RESIZE_METHODS.keys() - {"nearest"}))
def test_photos_are_shrunk_with_antialiasing(method):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = images.resize(stripes, (16, 16), method)
    assert shrunk.shape == (16, 16, 3)
    assert np.abs(shrunk[:, 2:-2].astype(int) - 127).max() <= 6  # gray; without antialiasing it is black or white


@pytest.mark.parametrize("method", sorted(images.RESIZE_METHODS))
@pytest.mark.parametrize("size", [(9, 11), (40, 50)])
def test_deep_pictures_are_resized_as_others_are(method, size):
    """To a level of 8 bits, and without their rounding."""
    shallow = 64 + random_picture(0, 20, 30, 3) // 2  # nothing overshoots: 8 bits are clipped on the way, too
    expected = images.resize(shallow, size, method)
    deep = images.resize(images.with_depth(shallow, images.Format("uint16")), size, method)
    floats = images.resize(shallow.astype(np.float32), size, method)
    assert (deep.dtype, floats.dtype, deep.shape) == (np.uint16, np.float32, expected.shape)
    tolerance = 0 if method == "nearest" else 1.5  # of 8 bits: each axis is rounded, and the weights are
    assert np.abs(deep / 257 - expected).max() <= tolerance
    assert np.abs(floats - np.clip(expected, shallow.min(), shallow.max())).max() <= tolerance
    for values in (deep, floats):
        assert method == "nearest" or len(np.unique(values)) > 256
    assert shallow.min() <= floats.min() and floats.max() <= shallow.max()
    edge = np.where(np.arange(30) < 15, np.uint16(0), np.uint16(65535))[np.newaxis, :, np.newaxis]
    assert set(np.unique(images.resize(np.repeat(edge, 20, axis=0), (20, 90), method))) >= {
        0,
        65535,
    }  # clipped, not wrapped


def test_depths_change_without_loss_only():
    shallow, deep = random_picture(0, 4, 4), random_deep(0, 4, 4, 3)
    format = images.Format("uint16")
    wide = images.with_depth(shallow, format)
    assert wide.dtype == np.uint16
    np.testing.assert_allclose(images.to_float(wide), images.to_float(shallow), atol=1e-6)
    assert images.with_depth(deep, format) is deep
    for picture, wanted, message in (
        (deep, images.EIGHT_BITS, "it has 16 bits a channel, not 8 bits a channel; save it as an 8-bit picture"),
        (
            shallow,
            images.Format("float32", (0.0, 1.0)),
            "it has 8 bits a channel, not floats of 0,1; save it as a TIFF or",
        ),
        (deep.astype(np.float32), format, "it has floats, not 16 bits a channel; save it as a 16-bit PNG or TIFF"),
        (shallow, images.Format("uint16", (0.0, 4095.0)), "it has 8 bits a channel, not 16 bits a channel of 0,4095"),
    ):
        with pytest.raises(ValueError, match=message):
            images.with_depth(picture, wanted)


def test_channels_of_deep_pictures_change_as_others_do():
    gray = random_deep(0, 4, 4, 1)
    rgba = images.with_channels(gray, 4)
    assert rgba.dtype == np.uint16
    np.testing.assert_array_equal(rgba[:, :, 3], np.full((4, 4), 65535))
    np.testing.assert_array_equal(images.with_channels(rgba, 1), gray)
    rgba[0, 0, 3] = 65534
    with pytest.raises(ValueError, match="it has transparency"):
        images.with_channels(rgba, 3)
    floats = gray.astype(np.float32)
    np.testing.assert_array_equal(images.with_channels(floats, 3), np.repeat(floats, 3, axis=2))
    with pytest.raises(ValueError, match="it is floats of 1 channels, not 4; save it with 4"):
        images.with_channels(floats, 4)


def test_channels_change_without_loss_only():
    gray, rgb, rgba = (random_picture(6, 4, 4, channels) for channels in (1, 3, 4))
    rgba[0, 0, 3] = 255  # some of it is opaque
    np.testing.assert_array_equal(images.with_channels(gray, 3), np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(images.with_channels(gray, 4)[:, :, 3], np.full((4, 4), 255))
    assert images.with_channels(rgba, 4) is rgba
    for channels in (1, 3):
        np.testing.assert_array_equal(images.with_channels(images.with_channels(gray, 4), channels)[:, :, :1], gray)
        with pytest.raises(ValueError, match=f"it has transparency, which {channels} channels do not hold"):
            images.with_channels(rgba, channels)
    with pytest.raises(ValueError, match="it has colours, which 1 channel does not hold"):
        images.with_channels(rgb, 1)
    with pytest.raises(ValueError, match="it has 3 channels, not 2"):
        images.with_channels(rgb, 2)


def test_side_by_side_pictures_are_cut_and_joined():
    a, b = random_picture(7, 3, 5), random_picture(8, 3, 5)
    left, right = images.split_side_by_side(images.join_side_by_side(a, b))
    np.testing.assert_array_equal(left, a)
    np.testing.assert_array_equal(right, b)
    with pytest.raises(ValueError, match="9 pixels wide, an odd number"):
        images.split_side_by_side(random_picture(7, 3, 9))


def test_a_sample_grid_shows_each_picture_under_its_title():
    pictures = [
        [random_picture(10 * y + x, 20, 30, channels) for x, channels in enumerate((1, 3, 4))] for y in range(2)
    ]
    grid = images.sample_grid(["a", "b", "c"], pictures)
    top, gap = 14, 4
    assert grid.shape == (top + 2 * (20 + gap), gap + 3 * (30 + gap), 3)
    for y, row in enumerate(pictures):
        for x, picture in enumerate(row):
            shown = grid[top + y * 24 : top + y * 24 + 20, gap + x * 34 : gap + x * 34 + 30]
            np.testing.assert_array_equal(shown, np.broadcast_to(picture[:, :, :3], shown.shape))
    assert (grid[:top] < 128).any()  # the titles
