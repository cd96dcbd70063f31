"""Files of more than 8 bits, TIFF and NPY. What has 8 bits is in test_images.py."""

import importlib.util
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from conftest import random_deep
from PIL import Image
from test_images import encoded

from tf_pix2pix import images

FORMATS = [
    (format, dtype) for format in images.WRITTEN for dtype in images.DEPTHS if (format, dtype) != ("png", "float32")
]


def tiff(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"metadata": None, **options})
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one chunk more, behind its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("format", "dtype"), FORMATS)
def test_what_is_written_is_read(tmp_path, format, dtype, channels):
    picture = random_deep(0, 7, 5, channels, dtype)
    path = tmp_path / f"a{images.WRITTEN[format][-1].upper()}"
    images.write(path, picture)
    read = images.decode(path.read_bytes())
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, picture)
    assert path.read_bytes() == images.encode(picture, format)


def test_png_holds_no_floats(tmp_path):
    with pytest.raises(ValueError, match="PNG holds no float32; NPY and TIFF do"):
        images.write(tmp_path / "a.png", random_deep(0, 4, 4, 1, "float32"))
    assert list(tmp_path.iterdir()) == []


def test_transparency_of_16_bits_becomes_alpha():
    gray, rgb = random_deep(0, 4, 6, 1), random_deep(1, 4, 6, 3)
    for picture in (gray, rgb):
        colour = struct.pack(f">{picture.shape[2]}H", *picture[2, 3])
        decoded = images.decode(with_chunk(images.encode(picture), b"tRNS", colour))
        np.testing.assert_array_equal(decoded[:, :, :3], np.broadcast_to(picture, (4, 6, 3)))
        expected = np.full((4, 6), 65535)
        expected[2, 3] = 0
        np.testing.assert_array_equal(decoded[:, :, 3], expected)
    gray_and_alpha = random_deep(2, 4, 6, 4)[:, :, [0, 0, 0, 3]]
    data = images.encode(gray_and_alpha[:, :, 2:])  # TensorFlow writes two channels too
    np.testing.assert_array_equal(images.decode(data), gray_and_alpha)


@pytest.mark.parametrize("orientation", range(10))
def test_exif_turns_deep_pictures_as_it_turns_others(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = random_deep(0, 5, 8, 3, "uint8")
    expected = images.with_depth(
        images.decode(encoded(Image.fromarray(shallow), "PNG", exif=exif)), images.Format("uint16")
    )
    deep = images.with_depth(shallow, images.Format("uint16"))
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    np.testing.assert_array_equal(images.decode(with_chunk(images.encode(deep), b"eXIf", block)), expected)
    tag = [(0x0112, "H", 1, orientation, True)]
    np.testing.assert_array_equal(images.decode(tiff(deep, photometric="rgb", extratags=tag)), expected)
    eight = tiff(shallow, photometric="rgb", extratags=tag)
    np.testing.assert_array_equal(257 * images.decode(eight).astype(int), expected)


def test_every_kind_of_tiff_is_read():
    deep, floats = random_deep(0, 6, 9, 3), random_deep(1, 6, 9, 1, "float32")
    gray = deep[:, :, 0]
    signed = gray.astype(int) - 2**15
    kinds = {
        "uncompressed": (tiff(deep, photometric="rgb"), deep),
        "planes apart": (tiff(np.moveaxis(deep, 2, 0), photometric="rgb", planarconfig="separate"), deep),
        "big-endian": (tiff(deep, photometric="rgb", byteorder=">"), deep),
        "big": (tiff(deep, photometric="rgb", bigtiff=True), deep),
        "tiles": (tiff(np.tile(deep, (4, 4, 1)), photometric="rgb", tile=(16, 16)), np.tile(deep, (4, 4, 1))),
        "white is zero": (tiff(gray, photometric="miniswhite"), 65535 - deep[:, :, :1]),
        "pages": (tiff(np.stack([gray, gray // 2]), photometric="minisblack"), deep[:, :, :1]),
        "signed": (tiff(signed.astype(np.int16)), signed[:, :, np.newaxis].astype(np.float32)),
        "double": (tiff(floats[:, :, 0].astype(np.float64)), floats),
        "8 bits": (tiff((deep // 257).astype(np.uint8), photometric="rgb"), deep // 257),
        "palette": (encoded(Image.fromarray((gray // 257).astype(np.uint8)).quantize(4), "TIFF"), None),
        "1 bit": (encoded(Image.fromarray(gray > 2**15), "TIFF"), (deep[:, :, :1] > 2**15) * 255),
        "LZW of 8 bits": (
            encoded(Image.fromarray((gray // 257).astype(np.uint8)), "TIFF", compression="tiff_lzw"),
            deep[:, :, :1] // 257,
        ),
    }
    alpha = tiff(deep[:, :, :2], photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    kinds["gray and alpha"] = (alpha, deep[:, :, [0, 0, 0, 1]])
    for name, (data, expected) in kinds.items():
        decoded = images.decode(data)
        if expected is None:
            assert decoded.shape == (6, 9, 3), name
        else:
            np.testing.assert_array_equal(decoded, expected, err_msg=name)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.eye(3, 4, dtype=bool), 255 * np.eye(3, 4)),
        (np.arange(12, dtype=">u2").reshape(3, 4), np.arange(12).reshape(3, 4)),
        (np.arange(12, dtype=np.int64).reshape(3, 4) - 6, np.arange(12.0).reshape(3, 4) - 6),
        (np.linspace(0, 1, 12, dtype=np.float16).reshape(3, 4), np.linspace(0, 1, 12, dtype="f2").reshape(3, 4)),
    ],
)
def test_arrays_of_other_kinds_become_one_of_the_depths(array, expected):
    decoded = images.decode(npy(array))
    assert decoded.dtype.name in images.DEPTHS
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded[:, :, 0], expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.zeros(5)), "it is an array of 5 values, not height x width x 1, 3 or 4"),
        (npy(np.zeros((3, 4, 2))), "it is an array of 3x4x2 values"),
        (npy(np.zeros((2, 3, 4, 1))), "it is an array of 2x3x4x1 values"),
        (npy(np.zeros((0, 4))), "it is an array of 0x4 values"),
        (npy(np.float32(3)), "it is an array of no values"),
        (npy(np.zeros((3, 4), complex)), "it holds complex128, which are no real numbers"),
        (npy(np.array([[None]])), "it cannot be decoded: Object arrays cannot be loaded"),
        (npy(np.full((3, 4), np.nan)), "it holds values that are not finite"),
        (npy(np.full((3, 4), 1e300)), "it holds values that are not finite, or too large for float32"),
        (npy(np.full((3, 4), 2**24 + 1)), "it holds int64 that float32 does not hold exactly; save it as floats"),
        (npy(np.zeros((30, 40)))[:-1], "it cannot be decoded"),
        (images.encode(random_deep(0, 20, 20, 3))[:-500], "it cannot be decoded"),
        (tiff(random_deep(0, 20, 20, 3), photometric="rgb")[:-500], "it cannot be decoded"),
        (tiff(random_deep(0, 20, 20, 3), photometric="rgb", compression="zlib")[:-500], "it cannot be decoded"),
        (
            tiff(random_deep(0, 4, 4, 4), photometric="rgb", extrasamples=["assocalpha"]),
            r"it has 4 channels of 16 bits \(RGB, premultiplied alpha\); save it as gray, RGB or RGBA, not",
        ),
        (tiff(random_deep(0, 4, 4, 4), photometric="separated"), r"it has 4 channels of 16 bits \(SEPARATED\)"),
        (tiff(random_deep(0, 4, 4, 5), photometric="minisblack", planarconfig="contig"), "it has 5 channels of 16"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), "it has pixels of mode LAB; save it as gray, RGB or RGBA"),
    ],
)
def test_what_cannot_be_used_says_why(data, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        images.decode(data)


def test_a_compression_that_needs_more_says_what():
    gray = random_deep(0, 6, 9, 1)
    data = encoded(Image.fromarray(gray[:, :, 0]), "TIFF", compression="tiff_lzw")
    if importlib.util.find_spec("imagecodecs"):
        np.testing.assert_array_equal(images.decode(data), gray)
    else:
        with pytest.raises(ValueError, match=r"its compression \(LZW\) needs imagecodecs: pip install 'tf_pix2pix\[t"):
            images.decode(data)


def test_sizes_that_only_headers_have_are_refused_before_memory_is_taken():
    data = tiff(random_deep(0, 16, 16, 1)[:, :, 0], compression="zlib")
    for tag in (256, 257):  # width and height
        data = data.replace(struct.pack("<HHII", tag, 4, 1, 16), struct.pack("<HHII", tag, 4, 1, 60000))
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 16, 0), struct.pack("<HHIHH", tag, 3, 1, 60000, 0))
    with pytest.raises(ValueError, match="it cannot be decoded: 60000x60000 pixels are too many"):
        images.decode(data)


@pytest.mark.parametrize("format", ["png", "tiff", "npy"])
def test_damaged_files_are_pictures_or_value_errors(format):
    whole = images.encode(random_deep(9, 20, 30, 3), format)
    rng = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the damaged metadata
        for _ in range(200):
            damaged = bytearray(whole)
            for position in rng.integers(0, min(len(whole), 300), rng.integers(1, 4)):
                damaged[position] ^= 1 << rng.integers(8)
            try:
                assert images.decode(bytes(damaged)).dtype.name in images.DEPTHS
            except ValueError:
                refused += 1
    assert refused
    assert (refused < 200) == (format != "png")  # in which every byte is checked
