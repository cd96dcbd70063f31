"""Pictures as their files hold them: palettes stay palettes, depths stay depths, while they are joined, cut, resized.

Metadata is not kept; EXIF's orientation is applied to the pixels.
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

_LEVEL = 1  # zlib's, of PNG: a quarter of the default's time, and photos a tenth larger


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
      pixels: uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4; with a palette, its indices, uint8 [h, w, 1].
      palette: None, or the colours (bytes R, G, B, R, ...) and what is transparent (an index, alphas, or None).
    """

    pixels: np.ndarray
    palette: tuple[bytes, bytes | int | None] | None = None


def read(path: Path) -> Picture:
    """Reads a file. Raises InputError naming it where that fails."""
    encoded = read_file(path)
    try:
        return _read_palette(encoded) or Picture(images.decode(encoded))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _read_palette(encoded: bytes) -> Picture | None:
    """A picture that has a palette; None of any other, and of what is no picture."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG", "BMP", "GIF", "TIFF")) as image:
            if image.mode != "P":
                return None
            upright = ImageOps.exif_transpose(image)
            palette = (bytes(upright.getpalette("RGB")), upright.info.get("transparency"))
            return Picture(np.asarray(upright)[:, :, np.newaxis], palette)
    except Image.UnidentifiedImageError:
        return None
    except Exception as error:  # on damaged files Pillow raises nearly anything
        raise ValueError(f"it cannot be decoded: {error}") from None


def write(path: Path, picture: Picture, quality: int | None = None) -> None:
    """Writes a file of the format that `path` ends in, .png, .tif, .npy, or .jpg of this quality, beside `path` first.

    Raises:
      InputError: it is to be a JPEG, but has a palette, transparency or more than 8 bits.
    """
    pixels = picture.pixels
    with files.atomic_write(path) as beside:
        if path.suffix == ".jpg":
            if picture.palette or pixels.dtype != np.uint8 or pixels.shape[2] == 4:
                what = "a palette, transparency or more than 8 bits, which JPEG does not hold"
                raise InputError(f"{path} is to be of a picture with {what}; leave out --quality")
            _image(picture).save(beside, format="JPEG", quality=quality, subsampling=0)
        elif picture.palette is None:
            formats = {ending: format for format, endings in images.WRITTEN.items() for ending in endings}
            beside.write_bytes(images.encode(pixels, formats[path.suffix], _LEVEL))
        elif path.suffix == ".tif":
            _image(picture).save(beside, format="TIFF", compression="tiff_adobe_deflate")
        else:
            _image(picture).save(beside, format="PNG", transparency=picture.palette[1])


def _image(picture: Picture) -> Image.Image:
    """uint8 pixels as Pillow has them."""
    pixels = picture.pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if picture.palette is not None:
        image.putpalette(picture.palette[0])
        if picture.palette[1] is not None:
            image.info["transparency"] = picture.palette[1]
    return image


def without_palette(picture: Picture) -> Picture:
    """The picture in its colours, RGB or RGBA."""
    if picture.palette is None:
        return picture
    mode = "RGB" if picture.palette[1] is None else "RGBA"
    return Picture(np.asarray(_image(picture).convert(mode)))


def join(a: Picture, b: Picture) -> Picture:
    """A left and B right. Two palettes that differ, or one, become colours; gray becomes RGB beside RGB, and so on.

    Raises:
      ValueError: they have different depths, which no single file holds, or channels that do not become the same.
    """
    if a.palette == b.palette:
        palette = a.palette
    else:
        a, b, palette = without_palette(a), without_palette(b), None
    if a.pixels.dtype != b.pixels.dtype:
        depths = " beside ".join(images.DEPTH_NAMES[side.pixels.dtype.name] for side in (a, b))
        raise ValueError(f"{depths}: a file has one depth; training takes the two folders as they are")
    most = max(side.pixels.shape[2] for side in (a, b))
    pixels = images.join_side_by_side(*(images.with_channels(side.pixels, most) for side in (a, b)))
    return Picture(pixels, palette)


def cut(picture: Picture) -> tuple[Picture, Picture]:
    """The left and the right half. Raises ValueError where the width is odd."""
    return tuple(Picture(half, picture.palette) for half in images.split_side_by_side(picture.pixels))


def resize(picture: Picture, size: tuple[int, int], method: str | None) -> Picture:
    """To (height, width), by one of images.RESIZE_METHODS; None: nearest with a palette, else bicubic.

    With "nearest" a palette stays; any other method needs colours, and makes new ones.
    """
    method = method or ("bicubic" if picture.palette is None else "nearest")
    if method != "nearest":
        picture = without_palette(picture)
    return Picture(images.resize(picture.pixels, size, method), picture.palette)


def longest_side(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The (height, width) of the same proportions whose longer side is `longest`."""
    scale = longest / max(size)
    return tuple(max(1, math.floor(side * scale + 0.5)) for side in size)
