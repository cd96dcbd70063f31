"""Image files: bytes to pixels and back, in every format and depth.

Pillow reads images of up to 8 bits a channel and EXIF, TensorFlow 16-bit PNG, tifffile deeper TIFF, NumPy its own
arrays. Each library cuts or refuses the files that the others read.
"""

import io
import logging
import math
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from tf_pix2pix.errors import InputError, format_count
from tf_pix2pix.files import atomic_write

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy")
WRITTEN = {"png": (".png",), "tiff": (".tif", ".tiff"), "npy": (".npy",)}  # output formats and their extensions

_ORIENTATION = 0x0112  # the tag in EXIF and TIFF
_NPY, _TIFF = b"\x93NUMPY", (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")  # first bytes of these files
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # Pillow's names

# The mode to decode to -> Pillow's modes of 8-bit images.
_MODES = {
    "L": ("1", "L"),
    "RGB": ("RGB", "RGBX", "P", "CMYK", "YCbCr"),
    "RGBA": ("RGBA", "RGBa", "LA", "La", "PA"),
}
_DECODED_MODES = {mode: decoded for decoded, modes in _MODES.items() for mode in modes}


def decode(encoded: bytes) -> np.ndarray:
    """Decodes a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY file -> [h, w, c], c = 1, 3 or 4, upright as EXIF requires.

    The dtype is uint8, uint16 or float32, as in the file: fewer than 8 bits become 8; floats and other whole numbers in
    TIFF and NPY become float32 if that is exact. Palettes become their colors, CMYK becomes RGB, gray with alpha
    becomes RGBA. Only the first frame of an animation, or page of a TIFF, is read.

    Raises:
      ValueError: the file is empty or damaged, its format is unknown, or its values do not fit these dtypes.
    """
    if not encoded:
        raise ValueError("the file is empty; replace it")
    try:
        if encoded.startswith(_NPY):
            return _image_of_array(np.load(io.BytesIO(encoded), allow_pickle=False))
        if encoded.startswith(_TIFF) and (pixels := _decode_deep_tiff(encoded)) is not None:
            return pixels
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            if image.format == "PNG" and encoded[24] > 8:
                return _decode_deep_png(encoded, image)
            if image.mode not in _DECODED_MODES:
                raise InputError(f"pixels of mode {image.mode} are not supported; save it as gray, RGB or RGBA")
            mode = "RGBA" if "transparency" in image.info else _DECODED_MODES[image.mode]
            pixels = np.asarray(ImageOps.exif_transpose(image).convert(mode))
    except UnidentifiedImageError:
        raise ValueError("not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY image") from None
    except Image.DecompressionBombError:
        raise ValueError("too many pixels; cut it into smaller images") from None
    except InputError:
        raise
    except Exception as error:  # damaged files make libraries raise OSError, SyntaxError, struct.error and others
        raise ValueError(f"damaged or truncated ({error}); replace it") from None
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def _decode_deep_png(encoded: bytes, image: Image.Image) -> np.ndarray:
    """A 16-bit PNG, whose header Pillow has read -> uint16 [h, w, c]."""
    orientation = image.getexif().get(_ORIENTATION, 1)  # reads the whole file, and so finds damage
    color_type = encoded[25]  # in the header; 4 and 6 have alpha
    channels = 4 if color_type >= 4 or "transparency" in image.info else {0: 1, 2: 3}[color_type]
    return _upright(tf.io.decode_png(encoded, channels=channels, dtype=tf.uint16).numpy(), orientation)


def _decode_deep_tiff(encoded: bytes) -> np.ndarray | None:
    """The first page of a TIFF with more than 8 bits a channel; None for other TIFFs, which Pillow reads."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it raises the same errors that it logs
    with tifffile.TiffFile(io.BytesIO(encoded)) as tiff:
        page = tiff.pages.first
        if page.bitspersample <= 8:
            return None
        if page.samplesperpixel > 4 or page.photometric not in (0, 1, 2) or 1 in page.extrasamples:
            colors = getattr(page.photometric, "name", page.photometric)
            alpha = ", premultiplied alpha" if 1 in page.extrasamples else ""
            channels = format_count(page.samplesperpixel, "channel")
            raise InputError(
                f"TIFF of {channels} of {page.bitspersample} bits ({colors}{alpha}) is not supported; save it as gray, "
                "RGB or RGBA, not premultiplied"
            )
        if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):  # Pillow's own limit
            raise InputError(f"{page.imagewidth}x{page.imagelength} pixels are too many; cut it into smaller images")
        if len(page.dataoffsets) < math.prod(page.chunked) or 0 in page.databytecounts:  # tifffile reads zeros there
            raise InputError("damaged or truncated (pixels are missing); replace it")
        try:
            separate = page.asarray(squeeze=False)[:, 0]  # [samples or 1, h, w, 1 or samples]
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise InputError(
                    f"TIFF compression {getattr(page.compression, 'name', page.compression)} needs imagecodecs: "
                    "pip install 'tf_pix2pix[tiff]', or save it uncompressed"
                ) from None
            raise
        orientation = page.tags.valueof(_ORIENTATION, 1)
    pixels = np.moveaxis(separate, 0, 2).reshape(*separate.shape[1:3], -1)
    if pixels.shape[2] == 2:  # gray with alpha
        pixels = pixels[:, :, [0, 0, 0, 1]]
    pixels = _upright(_image_of_array(pixels), orientation)
    white_is_zero = page.photometric == 0 and pixels.dtype == np.uint16
    return 65535 - pixels if white_is_zero else pixels


def _image_of_array(array: np.ndarray) -> np.ndarray:
    """The array in a file -> uint8, uint16 or float32 [h, w, c]. Raises InputError if it is not an image."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or not array.size:
        raise InputError(f"an array of shape {[*array.shape]} is not an image; save height x width x 1, 3 or 4")
    array = array.reshape(*array.shape[:2], -1)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "iuf":
        raise InputError(f"values of {array.dtype} are not supported; save real numbers")
    with np.errstate(over="ignore"):
        floats = array.astype(np.float32)
    if not np.isfinite(floats).all():
        raise InputError("some values are not finite, or too large for float32; remove them")
    if array.dtype.kind != "f" and (floats != array).any():
        raise InputError(f"some {array.dtype} values are not exact in float32; save them as floats")
    return floats


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns [h, w, c] by EXIF's orientation, 1 to 8; ignores other values."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def encode(image: np.ndarray, file_format: str = "png", compression: int = -1) -> bytes:
    """Encodes uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4, losslessly.

    Args:
      file_format: a key of WRITTEN.
      compression: of PNG, from 0 (off) to 9 (smallest file); -1: zlib's default.

    Raises:
      ValueError: floats as PNG.
    """
    file = io.BytesIO()
    if file_format == "npy":
        np.save(file, image)
    elif file_format == "tiff":
        import tifffile

        gray, alpha = image.shape[2] == 1, image.shape[2] == 4
        tifffile.imwrite(
            file,
            image[:, :, 0] if gray else image,
            photometric="minisblack" if gray else "rgb",
            extrasamples=["unassalpha"] if alpha else None,
            compression="zlib",
            metadata=None,
        )
    elif image.dtype == np.uint16:
        return tf.io.encode_png(image, compression).numpy()
    elif image.dtype == np.uint8:
        pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        pixels.save(file, format="PNG", compress_level=compression)
    else:
        raise ValueError(f"PNG cannot store {image.dtype}; write NPY or TIFF")
    return file.getvalue()


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes [h, w, c] losslessly and atomically, in the format of the path's extension, PNG for an unknown one."""
    formats = {extension: name for name, extensions in WRITTEN.items() for extension in extensions}
    _write(path, encode(image, formats.get(Path(path).suffix.lower(), "png")))


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes uint8 or uint16 [h, w, c] atomically as PNG, whatever the path's extension."""
    _write(path, encode(image))


def _write(path, encoded):
    with atomic_write(path) as partial:
        partial.write_bytes(encoded)
