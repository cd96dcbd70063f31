"""Reads, joins, cuts, resizes and writes images with the palettes and bit depths of their files.

Metadata is dropped, except that EXIF's orientation is applied to the pixels.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tf_pix2pix import files, images
from tf_pix2pix.datasets.folder import read_file
from tf_pix2pix.errors import InputError

_COMPRESSION = 1  # of PNG, zlib's level: a quarter of the default's time; photos become a tenth larger


@dataclass(frozen=True)
class FileImage:
    """One image.

    Attributes:
      pixels: uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4; with a palette, its indices, uint8 [h, w, 1].
      palette: None, or its colors (bytes R, G, B, R, ...) and transparency (an index, bytes of alpha, or None).
    """

    pixels: np.ndarray
    palette: tuple[bytes, bytes | int | None] | None = None


def read(path: Path) -> FileImage:
    """Reads a file. Raises InputError naming the file if that fails."""
    encoded = read_file(path)
    try:
        return _read_with_palette(encoded) or FileImage(images.decode(encoded))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _read_with_palette(encoded: bytes) -> FileImage | None:
    """Decodes an image that has a palette; None for other files."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG", "BMP", "GIF", "TIFF")) as image:
            if image.mode != "P":
                return None
            upright = ImageOps.exif_transpose(image)
            palette = (bytes(upright.getpalette("RGB")), upright.info.get("transparency"))
            return FileImage(np.asarray(upright)[:, :, np.newaxis], palette)
    except Image.UnidentifiedImageError:
        return None
    except Exception as error:  # Pillow raises nearly any exception for damaged files
        raise ValueError(f"cannot be decoded: {error}") from None


def write(path: Path, image: FileImage, quality: int | None = None) -> None:
    """Writes a file atomically, in the format of its extension: .png, .tif, .npy, or .jpg of this quality.

    Raises:
      InputError: JPEG cannot hold the image.
    """
    pixels = image.pixels
    with files.atomic_write(path) as partial:
        if path.suffix == ".jpg":
            if image.palette or pixels.dtype != np.uint8 or pixels.shape[2] == 4:
                problem = "JPEG cannot hold a palette, transparency or more than 8 bits a channel"
                raise InputError(f"{path}: {problem}; leave out --quality")
            _to_pillow(image).save(partial, format="JPEG", quality=quality, subsampling=0)
        elif image.palette is None:
            names = {extension: name for name, extensions in images.WRITTEN.items() for extension in extensions}
            partial.write_bytes(images.encode(pixels, names[path.suffix], _COMPRESSION))
        elif path.suffix == ".tif":
            _to_pillow(image).save(partial, format="TIFF", compression="tiff_adobe_deflate")
        else:
            _to_pillow(image).save(partial, format="PNG", transparency=image.palette[1])


def _to_pillow(image: FileImage) -> Image.Image:
    """Converts an 8-bit image to Pillow's."""
    pixels = image.pixels
    converted = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if image.palette is not None:
        converted.putpalette(image.palette[0])
        if image.palette[1] is not None:
            converted.info["transparency"] = image.palette[1]
    return converted


def _without_palette(image: FileImage) -> FileImage:
    """Replaces indices by their colors, RGB or RGBA."""
    if image.palette is None:
        return image
    mode = "RGB" if image.palette[1] is None else "RGBA"
    return FileImage(np.asarray(_to_pillow(image).convert(mode)))


def join(a: FileImage, b: FileImage) -> FileImage:
    """Joins A on the left and B on the right.

    Unless both have the same palette, indices become colors. The side with fewer channels is converted to the other's.

    Raises:
      ValueError: the bit depths differ, or the channels cannot be made equal.
    """
    if a.palette == b.palette:
        palette = a.palette
    else:
        a, b, palette = _without_palette(a), _without_palette(b), None
    if a.pixels.dtype != b.pixels.dtype:
        depths = " and ".join(images.DEPTH_NAMES[side.pixels.dtype.name] for side in (a, b))
        raise ValueError(f"{depths}, but a file has one bit depth; train from the two folders instead")
    channels = max(side.pixels.shape[2] for side in (a, b))
    pixels = images.join_side_by_side(*(images.with_channels(side.pixels, channels) for side in (a, b)))
    return FileImage(pixels, palette)


def cut(image: FileImage) -> tuple[FileImage, FileImage]:
    """Returns the left and the right half. Raises ValueError if the width is odd."""
    left, right = images.split_side_by_side(image.pixels)
    return FileImage(left, image.palette), FileImage(right, image.palette)


def resize(image: FileImage, size: tuple[int, int], method: str | None) -> FileImage:
    """Resizes to (height, width).

    Args:
      method: a key of images.RESIZE_METHODS. None: nearest for an image with a palette, otherwise bicubic. Only nearest
        keeps a palette; the others make new colors.
    """
    method = method or ("bicubic" if image.palette is None else "nearest")
    if method != "nearest":
        image = _without_palette(image)
    return FileImage(images.resize(image.pixels, size, method), image.palette)


def longest_side(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Scales (height, width) so that the longer one is `longest`."""
    scale = longest / max(size)
    height, width = (max(1, math.floor(side * scale + 0.5)) for side in size)
    return height, width
