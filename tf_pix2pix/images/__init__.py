"""Images as arrays: the value conventions, all conversions between them, and resizing.

Outside (files, public API) an image is uint8, uint16 or float32 [h, w, c], c = 1 (gray), 3 (RGB) or 4 (RGBA). Inside
(networks, losses) it is float32 [..., h, w, c] in [-1, 1].
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix.errors import format_count
from tf_pix2pix.images.coding import EXTENSIONS, WRITTEN, decode, encode, write, write_png  # noqa: F401, public here

# Depths, and the values that become -1 and 1. For floats a value range states them.
DEPTHS: dict[str, Any] = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": None}
DEPTH_NAMES = {"uint8": "8 bits a channel", "uint16": "16 bits a channel", "float32": "floats"}
_FILES = {"uint8": "an 8-bit image", "uint16": "a 16-bit PNG or TIFF", "float32": "a TIFF or NPY file of floats"}

# Pillow's filters: antialiased when they shrink, except nearest, which keeps the colors of a label map.
RESIZE_METHODS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def format_range(value_range: tuple[float, float]) -> str:
    """The value range as in flags: LOW,HIGH."""
    return f"{value_range[0]:.9g},{value_range[1]:.9g}"


def to_float(images, value_range: tuple[float, float] | None = None) -> tf.Tensor:
    """uint8, uint16 or float32 [..., h, w, c] -> float32 of the same shape in [-1, 1].

    Args:
      value_range: (low, high), which become -1 and 1; values outside are clipped. None: the full range of the dtype.
    """
    images = tf.convert_to_tensor(images)
    low, high = value_range or DEPTHS[images.dtype.name]
    values = (tf.cast(images, tf.float32) - low) / ((high - low) / 2.0) - 1.0
    return tf.clip_by_value(values, -1.0, 1.0) if value_range else values


def from_float(values, depth: str = "uint8", value_range: tuple[float, float] | None = None) -> tf.Tensor:
    """float [..., h, w, c] in [-1, 1] -> the same shape in dtype `depth`, clipped; whole numbers are rounded.

    Args:
      depth: a key of DEPTHS.
      value_range: (low, high), which -1 and 1 become. None: the full range of the depth.
    """
    low, high = value_range or DEPTHS[depth]
    values = (tf.cast(values, tf.float32) + 1.0) * ((high - low) / 2.0) + low
    values = values if depth == "float32" else tf.round(values)
    return tf.cast(tf.clip_by_value(values, low, high), depth)


def resize(image: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """[h, w, c] -> the same dtype [*size, c], size = (height, width), by one of RESIZE_METHODS.

    16 bits and floats are computed in float32, and overshoot at edges is clipped to the range of the dtype, or for
    floats of the image.
    """
    if image.shape[:2] == tuple(size):
        return image
    if image.dtype == np.uint8:
        pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        return np.asarray(pixels.resize(size[::-1], RESIZE_METHODS[method])).reshape(*size, -1)
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(image, 2, 0)]
    values = np.stack([np.asarray(one.resize(size[::-1], RESIZE_METHODS[method])) for one in channels], axis=2)
    if image.dtype == np.float32:
        return np.clip(values, image.min(), image.max())
    return np.clip(np.round(values), *DEPTHS[image.dtype.name]).astype(image.dtype)


FITS = ("stretch", "cover", "none")


def fitted_size(own: tuple[int, int], size: tuple[int, int], fit: str) -> tuple[int, int]:
    """The (height, width) that an image of size `own` is resized to.

    Args:
      fit: "stretch": `size`; "cover": the least size of the image's own aspect that covers `size`; "none": `own`.

    Raises:
      ValueError: fit is "none", and the image is smaller than `size`.
    """
    if fit == "stretch":
        return size
    if fit == "cover":
        scale = max(side / own_side for side, own_side in zip(size, own, strict=True))
        height, width = (max(side, round(own_side * scale)) for side, own_side in zip(size, own, strict=True))
        return height, width
    if own[0] < size[0] or own[1] < size[1]:
        sizes = f"{own[0]}x{own[1]} is smaller than the crop's {size[0]}x{size[1]} (height x width)"
        raise ValueError(f"{sizes}; --fit=cover enlarges it")
    return own


def with_depth(image: np.ndarray, depth: str, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """[h, w, c] -> the same shape in dtype `depth`. Only 8 bits become 16, and white stays white.

    Args:
      value_range: of the returned images; 8 bits become 16 only if it is None, the full range.

    Raises:
      ValueError: any other conversion, which would lose or guess values.
    """
    own = image.dtype.name
    if own == depth:
        return image
    if (own, depth, value_range) == ("uint8", "uint16", None):
        return image.astype(np.uint16) * np.uint16(257)  # x / 255 = 257 x / 65535
    described = f" in {format_range(value_range)}" if value_range else ""
    raise ValueError(f"{DEPTH_NAMES[own]}, expected {DEPTH_NAMES[depth]}{described}; save it as {_FILES[depth]}")


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """[h, w, c] -> [h, w, channels]: gray and gray-valued RGB become each other, opaque alpha is added or dropped.

    Raises:
      ValueError: the result would lose colors or transparency; channels is not 1, 3 or 4; or floats would gain or lose
        an alpha channel, whose opaque value is unknown.
    """
    own = image.shape[2]
    if own == channels:
        return image
    if channels not in (1, 3, 4):
        raise ValueError(f"{format_count(own, 'channel')} cannot become {channels}; images have 1, 3 or 4")
    if image.dtype == np.float32 and 4 in (own, channels):
        raise ValueError(f"floats of {format_count(own, 'channel')}, expected {channels}; save it with {channels}")
    if own == 1:
        image = np.repeat(image, 3, axis=2)
    if own == 4:
        if (image[:, :, 3] < np.iinfo(image.dtype).max).any():
            raise ValueError(f"transparency does not fit into {format_count(channels, 'channel')}; save it without")
        image = image[:, :, :3]
    if channels == 1:
        if (image != image[:, :, :1]).any():
            raise ValueError("colors do not fit into 1 channel; save it as a gray image")
        return image[:, :, :1]
    if channels == 3:
        return image
    opaque = np.full((*image.shape[:2], 1), np.iinfo(image.dtype).max, image.dtype)
    return np.concatenate([image, opaque], axis=2)


def split_side_by_side(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[h, 2w, c] -> (A, B), each [h, w, c]: the left and the right half. Raises ValueError if the width is odd."""
    width = image.shape[1]
    if width % 2:
        raise ValueError(f"{width} pixels wide; a side-by-side image requires two halves of equal width")
    return image[:, : width // 2], image[:, width // 2 :]


def join_side_by_side(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two [h, w, c] of one dtype -> [h, 2w, c], A left and B right."""
    return np.concatenate([a, b], axis=1)


def sample_grid(columns: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of uint8 images [h, w, c] of one size under column titles -> uint8 [H, W, 3], white between them.

    Gray and RGBA images are shown as RGB, without alpha.
    """
    gap = 4
    height, width = rows[0][0].shape[:2]
    title_height = max(14, width // 10)
    grid = Image.new("RGB", (len(columns) * (width + gap) + gap, title_height + len(rows) * (height + gap)), "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(size=0.8 * title_height)
    for x, title in enumerate(columns):
        center = gap + x * (width + gap) + width / 2
        draw.text((center, title_height / 2), title, fill="black", font=font, anchor="mm")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            shown = with_channels(image, 3) if image.shape[2] == 1 else image[:, :, :3]
            grid.paste(Image.fromarray(shown), (gap + x * (width + gap), title_height + y * (height + gap)))
    return np.asarray(grid)
