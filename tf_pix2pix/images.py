"""Pictures: the value conventions, and the only place that converts between them.

Outside (files, public API) a picture is uint8 [h, w, c], RGB order, c = 1 (gray), 3 (RGB) or 4 (RGBA).
Inside (networks, losses) it is float32 [..., h, w, c] in [-1, 1].
"""

import io
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from tf_pix2pix.files import written_beside

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")

# Pillow's filters are antialiased when they shrink, all but nearest, which keeps a label map's colours as they are.
RESIZE_METHODS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}

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

_TOO_DEEP = "it has {}, not 8 bits a channel; save it as an 8-bit picture"


def to_float(pictures) -> tf.Tensor:
    """uint8 [..., h, w, c] in 0..255 -> float32 of the same shape in [-1, 1]."""
    return tf.cast(pictures, tf.float32) / 127.5 - 1.0


def to_uint8(pictures) -> tf.Tensor:
    """float [..., h, w, c] in [-1, 1] -> uint8 of the same shape, rounded to nearest; values outside are clipped."""
    return tf.cast(tf.clip_by_value(tf.round((tf.cast(pictures, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def decode(encoded: bytes) -> np.ndarray:
    """Bytes of a PNG, JPEG, BMP, GIF or WebP file -> uint8 [h, w, c], c = 1, 3 or 4, upright as EXIF says.

    Palettes become their colours, CMYK becomes RGB, of an animation the first frame is taken.

    Raises:
      ValueError: the bytes are no such picture, are cut short, or hold more than 8 bits a channel.
    """
    if encoded.startswith(b"\x89PNG") and encoded[24:25] > b"\x08":  # Pillow would cut 16-bit colours to 8 bits
        raise ValueError(_TOO_DEEP.format(f"{encoded[24]} bits a channel"))
    try:
        with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG", "BMP", "GIF", "WEBP")) as picture:
            if picture.mode in _DECODED_MODES:
                mode = "RGBA" if "transparency" in picture.info else _DECODED_MODES[picture.mode]
                pixels = np.asarray(ImageOps.exif_transpose(picture).convert(mode))
            else:
                pixels = None
    except UnidentifiedImageError:
        raise ValueError("it is not a PNG, JPEG, BMP, GIF or WebP picture") from None
    except Exception as error:  # on damaged files Pillow raises nearly anything: OSError, SyntaxError, struct.error
        raise ValueError(f"it cannot be decoded: {error}") from None
    if pixels is None:
        raise ValueError(_TOO_DEEP.format(f"pixels of mode {picture.mode}"))
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels


def write_png(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes uint8 [h, w, c], c = 1, 3 or 4, beside `path` and renames it, so that `path` is never half a picture."""
    with written_beside(path) as beside:
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(beside, format="PNG")


def resize(picture: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """uint8 [h, w, c] -> uint8 [*size, c], size = (height, width), by one of RESIZE_METHODS."""
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((width, height), RESIZE_METHODS[method])).reshape(height, width, -1)


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [h, w, c] -> uint8 [h, w, channels] where nothing is lost: gray and RGB into each other, opaque alpha away.

    Raises:
      ValueError: the picture has colours or transparency that the result would lose, or channels is not 1, 3 or 4.
    """
    if picture.shape[2] == channels:
        return picture
    if channels not in (1, 3, 4):
        raise ValueError(f"it has {picture.shape[2]} channels, not {channels}")
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    if picture.shape[2] == 4:
        if (picture[:, :, 3] < 255).any():
            raise ValueError(f"it has transparency, which {channels} channels do not hold; save it without")
        picture = picture[:, :, :3]
    if channels == 1:
        if (picture != picture[:, :, :1]).any():
            raise ValueError("it has colours, which 1 channel does not hold; save it as a gray picture")
        return picture[:, :, :1]
    opaque = np.full((*picture.shape[:2], channels - 3), 255, np.uint8)
    return np.concatenate([picture, opaque], axis=2)


def split_side_by_side(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [h, 2w, c] -> (A, B), each uint8 [h, w, c]: the left and the right half.

    Raises:
      ValueError: the width is odd.
    """
    width = picture.shape[1]
    if width % 2:
        raise ValueError(f"it is {width} pixels wide, an odd number: a side-by-side picture has two halves of one size")
    return picture[:, : width // 2], picture[:, width // 2 :]


def join_side_by_side(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two uint8 [h, w, c] -> uint8 [h, 2w, c], A left and B right."""
    return np.concatenate([a, b], axis=1)


def sample_grid(columns: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """A picture to look at: rows of uint8 pictures of one size under column titles -> uint8 [H, W, 3], white between.

    Gray and RGBA pictures are shown as RGB, alpha left out.
    """
    gap = 4
    height, width = rows[0][0].shape[:2]
    title_height = max(14, width // 10)
    grid = Image.new("RGB", (len(columns) * (width + gap) + gap, title_height + len(rows) * (height + gap)), "white")
    draw = ImageDraw.Draw(grid)
    font = ImageFont.load_default(size=0.8 * title_height)
    for x, title in enumerate(columns):
        center = gap + x * (width + gap) + width / 2
        draw.text((center, title_height / 2), title, fill="black", font=font, anchor="mm")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            shown = with_channels(picture, 3) if picture.shape[2] == 1 else picture[:, :, :3]
            grid.paste(Image.fromarray(shown), (gap + x * (width + gap), title_height + y * (height + gap)))
    return np.asarray(grid)
