"""Pictures as their files hold them: palettes stay palettes, 16 bits stay 16 bits, while they are joined, cut, resized.

Metadata is not kept; EXIF's orientation is applied to the pixels.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tf_pix2pix import files, images
from tf_pix2pix.datasets.folder import read_file
from tf_pix2pix.errors import InputError

_LEVEL = 1  # zlib's: a quarter of the default's time, and photos a tenth larger


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
      pixels: uint8 or uint16 [h, w, c], c = 1, 2 (16-bit gray and alpha), 3 or 4; with a palette, indices [h, w, 1].
      palette: None, or the colours (bytes R, G, B, R, ...) and what is transparent (an index, alphas, or None).
    """

    pixels: np.ndarray
    palette: tuple[bytes, bytes | int | None] | None = None


def read(path: Path) -> Picture:
    """Reads a file. Raises InputError naming it where that fails."""
    encoded = read_file(path)
    try:
        if encoded.startswith(b"\x89PNG") and encoded[24:25] == b"\x10":
            return Picture(tf.io.decode_png(encoded, dtype=tf.uint16).numpy())
        return _read_palette(encoded) or Picture(images.decode(encoded))
    except tf.errors.OpError:
        raise InputError(f"{path}: it cannot be decoded: a damaged 16-bit PNG") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _read_palette(encoded: bytes) -> Picture | None:
    """A picture that has a palette; None of any other, and of what is no picture."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG", "BMP", "GIF")) as image:
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
    """Writes a PNG file, or where `path` is called .jpg a JPEG of this quality, beside `path` and renames it.

    Raises:
      InputError: it is to be a JPEG, but has a palette, transparency or 16 bits.
    """
    pixels = picture.pixels
    with files.written_beside(path) as beside:
        if path.suffix == ".jpg":
            if picture.palette or pixels.dtype != np.uint8 or pixels.shape[2] == 4:
                what = "a palette, transparency or 16 bits, which JPEG does not hold"
                raise InputError(f"{path} is to be of a picture with {what}; leave out --quality")
            _image(picture).save(beside, format="JPEG", quality=quality, subsampling=0)
        elif pixels.dtype == np.uint16:  # Pillow writes gray ones only
            beside.write_bytes(tf.io.encode_png(pixels, _LEVEL).numpy())
        elif picture.palette is None:
            _image(picture).save(beside, format="PNG", compress_level=_LEVEL)
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
      ValueError: one has 8 bits a channel, the other 16, which no single file holds.
    """
    if a.palette == b.palette:
        palette = a.palette
    else:
        a, b, palette = without_palette(a), without_palette(b), None
    if a.pixels.dtype != b.pixels.dtype:
        raise ValueError(
            f"{a.pixels.dtype} beside {b.pixels.dtype}: a file has one depth; training takes the two folders as they "
            "are, without combining them"
        )
    channels = [side.pixels.shape[2] for side in (a, b)]
    if channels[0] != channels[1] and a.pixels.dtype != np.uint8:
        raise ValueError(f"16 bits with {channels[0]} channels beside {channels[1]}; train on the two folders")
    return Picture(
        images.join_side_by_side(*(images.with_channels(side.pixels, max(channels)) for side in (a, b))), palette
    )


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
    resized = images.resize if picture.pixels.dtype == np.uint8 else _resize_16_bits
    return Picture(resized(picture.pixels, size, method), picture.palette)


def _resize_16_bits(pixels: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """uint16 [h, w, c] -> uint16 [*size, c], computed in float32, in which Pillow filters one channel at a time."""
    height, width = size
    channels = [
        np.asarray(Image.fromarray(channel).resize((width, height), images.RESIZE_METHODS[method]))
        for channel in np.moveaxis(pixels, 2, 0).astype(np.float32)
    ]
    return np.clip(np.rint(np.stack(channels, axis=2)), 0, 65535).astype(np.uint16)


def longest_side(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The (height, width) of the same proportions whose longer side is `longest`."""
    scale = longest / max(size)
    return tuple(max(1, math.floor(side * scale + 0.5)) for side in size)
