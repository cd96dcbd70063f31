import importlib.util
import io
import re
import struct

import numpy as np
import pytest
import tifffile
from helpers import difference, encode, random_deep, random_image, with_chunk
from PIL import Image

from tf_pix2pix import files, images

ORIENTATION = 0x0112
WRITABLE = [(name, depth) for name in images.WRITTEN for depth in images.DEPTHS if (name, depth) != ("png", "float32")]


def tiff(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"metadata": None, **options})
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("file_format", "options", "tolerance"),
    [("BMP", {}, 0), ("WEBP", {"lossless": True}, 0), ("GIF", {}, 3), ("JPEG", {"quality": 95}, 3)],
)
def test_formats_that_are_only_read(file_format, options, tolerance):
    ramp = np.broadcast_to(np.arange(0, 240, 6, dtype=np.uint8)[:, None, None], (40, 40, 3))
    decoded = images.decode(encode(Image.fromarray(ramp), file_format, **options))
    assert difference(decoded, ramp) <= tolerance


def test_every_mode_becomes_gray_rgb_or_rgba():
    rgba = random_image(1, 5, 5, 4)
    indexed = Image.new("P", (5, 5), 1)
    indexed.putpalette([0, 0, 0, 10, 20, 30])
    bits = rgba[:, :, :1] > 127
    red, blue = (Image.new("RGB", (5, 5), color) for color in ((255, 0, 0), (0, 0, 255)))
    for file, expected in (
        (encode(Image.fromarray(rgba)), rgba),
        (encode(Image.fromarray(rgba[:, :, [0, 3]])), rgba[:, :, [0, 0, 0, 3]]),  # gray and alpha
        (encode(indexed), np.full((5, 5, 3), [10, 20, 30])),
        (encode(indexed, transparency=1), np.full((5, 5, 4), [10, 20, 30, 0])),
        (encode(Image.fromarray(bits[:, :, 0])), bits * 255),
        (encode(red, "GIF", save_all=True, append_images=[blue]), np.asarray(red)),  # the first frame
    ):
        np.testing.assert_array_equal(images.decode(file), expected)
    cmyk = images.decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert np.abs(cmyk - np.array([255, 0, 0])).max() <= 3  # JPEG's own error


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("file_format", "depth"), WRITABLE)
def test_written_files_return_their_pixels(tmp_path, file_format, depth, channels):
    image = random_deep(0, 7, 5, channels, depth)
    path = tmp_path / f"a{images.WRITTEN[file_format][-1].upper()}"
    images.write(path, image)
    decoded = images.decode(path.read_bytes())
    assert decoded.dtype == depth
    np.testing.assert_array_equal(decoded, image)
    assert path.read_bytes() == images.encode(image, file_format)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    image = random_image(4, 7, 5, 1)
    with pytest.raises(ValueError, match="PNG cannot store float32; write NPY or TIFF"):
        images.write(tmp_path / "b.png", image.astype(np.float32))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(files.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
        images.write_png(tmp_path / "c.png", image)
    assert list(tmp_path.iterdir()) == []


def test_transparency_of_16_bits_becomes_alpha():
    for channels in (1, 3):
        image = random_deep(channels, 4, 6, channels)
        color = struct.pack(f">{channels}H", *image[2, 3])
        decoded = images.decode(with_chunk(images.encode(image), b"tRNS", color))
        np.testing.assert_array_equal(decoded[:, :, :3], np.broadcast_to(image, (4, 6, 3)))
        expected = np.full((4, 6), 65535)
        expected[2, 3] = 0
        np.testing.assert_array_equal(decoded[:, :, 3], expected)
    gray_and_alpha = random_deep(2, 4, 6, 4)[:, :, [0, 0, 0, 3]]
    data = images.encode(gray_and_alpha[:, :, 2:])  # TensorFlow writes two channels too
    np.testing.assert_array_equal(images.decode(data), gray_and_alpha)


@pytest.mark.parametrize("orientation", range(10))
def test_every_format_is_turned_upright_by_its_orientation(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    shallow = random_deep(0, 5, 8, 3, "uint8")
    upright = images.decode(encode(Image.fromarray(shallow), exif=exif))
    assert upright.shape == ((8, 5, 3) if orientation in (5, 6, 7, 8) else (5, 8, 3))
    deep, expected = images.with_depth(shallow, "uint16"), images.with_depth(upright, "uint16")
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    np.testing.assert_array_equal(images.decode(with_chunk(images.encode(deep), b"eXIf", block)), expected)
    tag = [(ORIENTATION, "H", 1, orientation, True)]
    np.testing.assert_array_equal(images.decode(tiff(deep, photometric="rgb", extratags=tag)), expected)
    np.testing.assert_array_equal(images.decode(tiff(shallow, photometric="rgb", extratags=tag)), upright)


DEEP, FLOATS = random_deep(0, 6, 9, 3), random_deep(1, 6, 9, 1, "float32")
GRAY = DEEP[:, :, 0]
SIGNED = (GRAY.astype(int) - 2**15)[:, :, np.newaxis]
TILED = np.tile(DEEP, (4, 4, 1))
EIGHT_BITS = (DEEP // 257).astype(np.uint8)
QUANTIZED = Image.fromarray(EIGHT_BITS[:, :, 0]).quantize(4)
GRAY_ALPHA = dict(photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
STORED = {
    "uncompressed": (tiff(DEEP, photometric="rgb"), DEEP),
    "separate planes": (tiff(np.moveaxis(DEEP, 2, 0), photometric="rgb", planarconfig="separate"), DEEP),
    "big-endian": (tiff(DEEP, photometric="rgb", byteorder=">"), DEEP),
    "BigTIFF": (tiff(DEEP, photometric="rgb", bigtiff=True), DEEP),
    "tiles": (tiff(TILED, photometric="rgb", tile=(16, 16)), TILED),
    "white is zero": (tiff(GRAY, photometric="miniswhite"), 65535 - DEEP[:, :, :1]),
    "pages": (tiff(np.stack([GRAY, GRAY // 2]), photometric="minisblack"), DEEP[:, :, :1]),
    "signed": (tiff(SIGNED[:, :, 0].astype(np.int16)), SIGNED),
    "double": (tiff(FLOATS[:, :, 0].astype(np.float64)), FLOATS),
    "gray and alpha": (tiff(DEEP[:, :, :2], **GRAY_ALPHA), DEEP[:, :, [0, 0, 0, 1]]),
    "8 bits": (tiff(EIGHT_BITS, photometric="rgb"), EIGHT_BITS),
    "palette": (encode(QUANTIZED, "TIFF"), np.asarray(QUANTIZED.convert("RGB"))),
    "1 bit": (encode(Image.fromarray(GRAY > 2**15), "TIFF"), (DEEP[:, :, :1] > 2**15) * 255),
    "array of bits": (npy(np.eye(3, 4, dtype=bool)), 255 * np.eye(3, 4)[:, :, np.newaxis]),
    "big-endian array": (npy(GRAY.astype(">u2")), DEEP[:, :, :1]),
    "int64 array": (npy(SIGNED.astype(np.int64)), SIGNED),
    "8-bit LZW": (encode(Image.fromarray(EIGHT_BITS), "TIFF", compression="tiff_lzw"), EIGHT_BITS),
}


@pytest.mark.parametrize("name", STORED)
def test_every_kind_of_tiff_and_array_is_read(name):
    file, expected = STORED[name]
    decoded = images.decode(file)
    assert decoded.dtype.name in images.DEPTHS and decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, expected)


def claim_size(data: bytes, side: int) -> bytes:
    """A 16x16 TIFF whose header claims side x side pixels."""
    for tag in (256, 257):  # width and height
        data = data.replace(struct.pack("<HHII", tag, 4, 1, 16), struct.pack("<HHII", tag, 4, 1, side))
        data = data.replace(struct.pack("<HHIHH", tag, 3, 1, 16, 0), struct.pack("<HHIHH", tag, 3, 1, side, 0))
    return data


PHOTO = Image.fromarray(random_image(3, 64, 64))
HUGE_HEADER = with_chunk(bytes(33), b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))[33:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty; replace it"),
        (b"text", "not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY image"),
        (encode(PHOTO, "JPEG")[:1500], "damaged or truncated"),
        (images.encode(random_deep(0, 20, 20, 3))[:-500], "damaged or truncated"),
        (npy(np.array([[None]])), r"damaged or truncated \(Object arrays cannot be loaded"),
        (tiff(random_deep(0, 20, 20, 3), photometric="rgb", compression="zlib")[:-500], "damaged or truncated"),
        (
            tiff(GRAY).replace(struct.pack("<HHII", 279, 4, 1, GRAY.nbytes), struct.pack("<HHII", 279, 4, 1, 0)),
            r"damaged or truncated \(pixels are missing\); replace it",
        ),
        (encode(PHOTO)[:8] + HUGE_HEADER + encode(PHOTO)[33:], "too many pixels; cut it into smaller images"),
        (
            claim_size(tiff(random_deep(0, 16, 16, 1)[:, :, 0], compression="zlib"), 60000),
            "60000x60000 pixels are too many; cut it into smaller images",
        ),
        (npy(np.zeros(5)), r"an array of shape \[5\] is not an image; save height x width x 1, 3 or 4"),
        (npy(np.zeros((3, 4, 2))), r"an array of shape \[3, 4, 2\]"),
        (npy(np.zeros((0, 4))), r"an array of shape \[0, 4\]"),
        (npy(np.float32(3)), r"an array of shape \[\]"),
        (npy(np.zeros((3, 4), complex)), "values of complex128 are not supported; save real numbers"),
        (npy(np.full((3, 4), 1e300)), "some values are not finite, or too large for float32; remove them"),
        (npy(np.full((3, 4), 2**24 + 1)), "some int64 values are not exact in float32; save them as floats"),
        (
            tiff(random_deep(0, 4, 4, 4), photometric="rgb", extrasamples=["assocalpha"]),
            r"TIFF of 4 channels of 16 bits \(RGB, premultiplied alpha\) is not supported; save it as gray, RGB or",
        ),
        (encode(Image.new("LAB", (4, 4)), "TIFF"), "pixels of mode LAB are not supported; save it as gray, RGB or"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_files_that_cannot_be_used_are_explained(data, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        images.decode(data)


def test_a_tiff_compression_names_the_package_that_reads_it():
    data = encode(Image.fromarray(GRAY), "TIFF", compression="tiff_lzw")
    if importlib.util.find_spec("imagecodecs"):
        np.testing.assert_array_equal(images.decode(data)[:, :, 0], GRAY)
    else:
        message = re.escape("TIFF compression LZW needs imagecodecs: pip install 'tf_pix2pix[tiff]', or save")
        with pytest.raises(ValueError, match=message):
            images.decode(data)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "BMP", "WEBP", "16-bit png", "16-bit tiff", "16-bit npy"])
@pytest.mark.filterwarnings("ignore")  # Pillow's, about the damaged metadata
def test_damaged_files_are_decoded_or_raise_value_error(name):
    """Libraries raise nearly anything for damaged metadata; only ValueError may pass."""
    if name.startswith("16-bit "):
        whole, trials = images.encode(random_deep(9, 20, 30, 3), name.removeprefix("16-bit ")), 200
    else:
        exif = Image.Exif()
        exif[ORIENTATION], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2020:01:01 00:00:00", 0x829A: 0.01}
        options = {} if name == "BMP" else {"exif": exif}
        whole, trials = encode(Image.fromarray(random_image(9, 20, 30)), name, **options), 1000
    rng, refused = np.random.default_rng(0), 0
    for _ in range(trials):
        damaged = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 400), rng.integers(1, 4)):
            damaged[position] ^= 1 << rng.integers(8)
        try:
            assert images.decode(bytes(damaged)).dtype.name in images.DEPTHS
        except ValueError:
            refused += 1
    assert refused > 0 and (refused < trials or name == "16-bit png")  # in which every byte is checked
