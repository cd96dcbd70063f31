"""Files of pictures: bytes to pixels and back, in every format and depth.

Each library does what the others cut to 8 bits or do not know: Pillow pictures of up to 8 bits a channel and EXIF,
TensorFlow PNGs of 16 bits, tifffile TIFFs of more than 8, NumPy its own arrays.
"""

import io
import logging
import math
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy")
WRITTEN = {"png": (".png",), "tiff": (".tif", ".tiff"), "npy": (".npy",)}  # what `write` writes, and how it is called

_ORIENTATION = 0x0112  # EXIF's tag, and TIFF's
_NPY, _TIFF = b"\x93NUMPY", (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")  # how these begin
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # Pillow's

# Pillow's modes of 8-bit pictures -> the mode that they are decoded to.
_DECODED_MODES = {
    "1": "L",
    "L": "L",
    "LA": "RGBA",
    "La": "RGBA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}


def decode(encoded: bytes) -> np.ndarray:
    """Bytes of a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY file -> [h, w, c], c = 1, 3 or 4, upright as EXIF says.

    uint8, uint16 or float32, as the file has it: fewer than 8 bits become 8; in TIFF and NPY floats, and whole numbers
    of other kinds that float32 holds exactly, become float32. Palettes become their colours, CMYK becomes RGB, gray
    with alpha RGBA; of an animation, or of a TIFF's pages, the first is taken.

    Raises:
      ValueError: the bytes are no such picture, are cut short, or hold what none of these are.
    """
    try:
        if encoded.startswith(_NPY):
            return _of_array(np.load(io.BytesIO(encoded), allow_pickle=False))
        if encoded.startswith(_TIFF) and (pixels := _decode_deep_tiff(encoded)) is not None:
            return pixels
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as picture:
            if picture.format == "PNG" and encoded[24] > 8:
                return _decode_deep_png(encoded, picture)
            if picture.mode not in _DECODED_MODES:
                raise InputError(f"it has pixels of mode {picture.mode}; save it as gray, RGB or RGBA")
            mode = "RGBA" if "transparency" in picture.info else _DECODED_MODES[picture.mode]
            pixels = np.asarray(ImageOps.exif_transpose(picture).convert(mode))
    except UnidentifiedImageError:
        raise ValueError("it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture") from None
    except InputError:  # our own words
        raise
    except Exception as error:  # on damaged files libraries raise nearly anything: OSError, SyntaxError, struct.error
        raise ValueError(f"it cannot be decoded: {error}") from None
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def _decode_deep_png(encoded: bytes, picture: Image.Image) -> np.ndarray:
    """A PNG of 16 bits, whose header and metadata Pillow has read -> uint16 [h, w, c]."""
    orientation = picture.getexif().get(_ORIENTATION, 1)  # reads the whole file: what is damaged is found here
    colour_type = encoded[25]  # of the header; 4 and 6 have alpha
    channels = 4 if colour_type >= 4 or "transparency" in picture.info else {0: 1, 2: 3}[colour_type]
    return _upright(tf.io.decode_png(encoded, channels=channels, dtype=tf.uint16).numpy(), orientation)


def _decode_deep_tiff(encoded: bytes) -> np.ndarray | None:
    """The first page of a TIFF of more than 8 bits a channel; None for others, which Pillow reads."""
    import tifffile  # where it is needed

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs of damaged files, it raises too
    with tifffile.TiffFile(io.BytesIO(encoded)) as tiff:
        page = tiff.pages.first
        if page.bitspersample <= 8:
            return None
        if page.samplesperpixel > 4 or page.photometric not in (0, 1, 2) or 1 in page.extrasamples:
            colours = getattr(page.photometric, "name", page.photometric)
            alpha = ", premultiplied alpha" if 1 in page.extrasamples else ""
            raise InputError(
                f"it has {page.samplesperpixel} channels of {page.bitspersample} bits ({colours}{alpha}); "
                "save it as gray, RGB or RGBA, not premultiplied"
            )
        if page.imagewidth * page.imagelength > 2 * Image.MAX_IMAGE_PIXELS:  # as Pillow has it
            raise InputError(f"it cannot be decoded: {page.imagewidth}x{page.imagelength} pixels are too many")
        if len(page.dataoffsets) < math.prod(page.chunked) or 0 in page.databytecounts:
            raise InputError("it cannot be decoded: some of its pixels are missing")  # tifffile takes them for zeros
        try:
            separate = page.asarray(squeeze=False)[:, 0]  # [samples or 1, h, w, 1 or samples]
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise InputError(
                    f"its compression ({getattr(page.compression, 'name', page.compression)}) needs imagecodecs: "
                    "pip install 'tf_pix2pix[tiff]', or save it uncompressed"
                ) from None
            raise
        orientation = page.tags.valueof(_ORIENTATION, 1)
    pixels = np.moveaxis(separate, 0, 2).reshape(*separate.shape[1:3], -1)
    if pixels.shape[2] == 2:  # gray with alpha
        pixels = pixels[:, :, [0, 0, 0, 1]]
    pixels = _upright(_of_array(pixels), orientation)
    is_inverted = page.photometric == 0 and pixels.dtype == np.uint16  # white is zero
    return 65535 - pixels if is_inverted else pixels


def _of_array(array: np.ndarray) -> np.ndarray:
    """An array of a file -> uint8, uint16 or float32 [h, w, c]. Raises InputError where it is no picture."""
    shape = "x".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise InputError(f"it is an array of {shape or 'no'} values, not height x width x 1, 3 or 4")
    array = array.reshape(*array.shape[:2], -1)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "iuf":
        raise InputError(f"it holds {array.dtype}, which are no real numbers")
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32)
    if not np.isfinite(floats).all():
        raise InputError("it holds values that are not finite, or too large for float32")
    if array.dtype.kind != "f" and (floats != array).any():
        raise InputError(f"it holds {array.dtype} that float32 does not hold exactly; save it as floats")
    return floats


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns [h, w, c] as EXIF's orientation, 1 to 8, says; by others not at all."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def encode(picture: np.ndarray, format: str = "png", compression: int = -1) -> bytes:
    """uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4 -> a file's bytes in one of WRITTEN, nothing lost.

    Args:
      compression: of PNG, 0 none to 9 the most; -1: zlib's own choice.

    Raises:
      ValueError: the format does not hold the picture: PNG no floats.
    """
    file = io.BytesIO()
    if format == "npy":
        np.save(file, picture)
    elif format == "tiff":
        import tifffile

        gray, alpha = picture.shape[2] == 1, picture.shape[2] == 4
        tifffile.imwrite(
            file,
            picture[:, :, 0] if gray else picture,
            photometric="minisblack" if gray else "rgb",
            extrasamples=["unassalpha"] if alpha else None,
            compression="zlib",
            metadata=None,
        )
    elif picture.dtype == np.uint16:
        return tf.io.encode_png(picture, compression).numpy()
    elif picture.dtype == np.uint8:
        image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        image.save(file, format="PNG", compress_level=compression)
    else:
        raise ValueError(f"PNG holds no {picture.dtype}; NPY and TIFF do")
    return file.getvalue()


def write(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes a picture as `encode` does, in the format that the path ends in, PNG where it ends in no other.

    Beside `path`, which is then renamed, so that `path` is never half a picture.
    """
    formats = {ending: format for format, endings in WRITTEN.items() for ending in endings}
    encoded = encode(picture, formats.get(Path(path).suffix.lower(), "png"))
    with atomic_write(path) as beside:
        beside.write_bytes(encoded)


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes uint8 or uint16 [h, w, c] as PNG, whatever the path ends in, as `write` does."""
    encoded = encode(picture)
    with atomic_write(path) as beside:
        beside.write_bytes(encoded)
