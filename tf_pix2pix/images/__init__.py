"""Pictures: the value conventions, and the only place that converts between them.

Outside (files, public API) a picture is uint8, uint16 or float32 [h, w, c], RGB order, c = 1 (gray), 3 (RGB) or
4 (RGBA). Inside (networks, losses) it is float32 [..., h, w, c] in [-1, 1]. What a side is outside is its Format.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix.errors import InputError
from tf_pix2pix.images.coding import EXTENSIONS, WRITTEN, decode, encode, write, write_png  # noqa: F401, public here

# What the pictures of a side are made of, and the values that become -1 and 1; of floats, a range says which.
DEPTHS = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": None}
SPOKEN = {"uint8": "8 bits a channel", "uint16": "16 bits a channel", "float32": "floats"}
_SAVED = {"uint8": "an 8-bit picture", "uint16": "a 16-bit PNG or TIFF", "float32": "a TIFF or NPY file of floats"}

# Pillow's filters are antialiased when they shrink, all but nearest, which keeps a label map's colours as they are.
RESIZE_METHODS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class Format:
    """What the pictures of one side are outside: their depth, one of DEPTHS, and the (low, high) that become -1 and 1.

    Values beyond low and high are clipped to them. A range of None is all that the depth holds; floats need one.

    Raises:
      InputError: the range is none, or not one of the depth.
    """

    depth: str = "uint8"
    range: tuple[float, float] | None = None

    def __post_init__(self):
        least, most = DEPTHS[self.depth] or (-np.inf, np.inf)
        if self.range is None and self.depth == "float32":
            raise InputError("floats need a range, the values that become -1 and 1")
        if self.range and not least <= self.range[0] < self.range[1] <= most:
            raise InputError(f"{format_range(self.range)} is no range, from low to high, of {SPOKEN[self.depth]}")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.range or DEPTHS[self.depth]

    @property
    def levels(self) -> float:
        """The steps from low to high in which differences are told: the whole numbers, or of floats 65535."""
        return 65535.0 if self.depth == "float32" else self.bounds[1] - self.bounds[0]


EIGHT_BITS = Format()


def format_range(range: tuple[float, float]) -> str:
    """As it is given with a flag: LOW,HIGH."""
    return f"{range[0]:.9g},{range[1]:.9g}"


def to_float(pictures, range: tuple[float, float] | None = None) -> tf.Tensor:
    """uint8, uint16 or float32 [..., h, w, c] -> float32 of the same shape in [-1, 1].

    Args:
      range: the (low, high) that become -1 and 1, values beyond them too; None: all that the dtype holds.
    """
    pictures = tf.convert_to_tensor(pictures)
    low, high = range or DEPTHS[pictures.dtype.name]
    values = (tf.cast(pictures, tf.float32) - low) / ((high - low) / 2.0) - 1.0
    return tf.clip_by_value(values, -1.0, 1.0) if range else values


def from_float(pictures, format: Format) -> tf.Tensor:
    """float [..., h, w, c] in [-1, 1] -> the format's dtype, whole numbers rounded to nearest; others are clipped."""
    low, high = format.bounds
    values = (tf.cast(pictures, tf.float32) + 1.0) * ((high - low) / 2.0) + low
    values = values if format.depth == "float32" else tf.round(values)
    return tf.cast(tf.clip_by_value(values, low, high), format.depth)


def to_uint8(pictures) -> tf.Tensor:
    """float [..., h, w, c] in [-1, 1] -> uint8 of the same shape, rounded to nearest; values outside are clipped."""
    return from_float(pictures, EIGHT_BITS)


def resize(picture: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """[h, w, c] -> the same dtype [*size, c], size = (height, width), by one of RESIZE_METHODS.

    16 bits and floats are computed in float32. What overshoots at edges is clipped: to what the dtype holds, or of
    floats to the values that the picture has.
    """
    height, width = size
    if picture.shape[:2] == (height, width):
        return picture
    if picture.dtype != np.uint8:
        return _resize_deep(picture, size, method)
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.resize((width, height), RESIZE_METHODS[method])).reshape(height, width, -1)


def _resize_deep(picture: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """`resize` of uint16 or float32, channel by channel: Pillow has no colours of more than 8 bits."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(picture, 2, 0)]
    resized = [np.asarray(channel.resize(size[::-1], RESIZE_METHODS[method])) for channel in channels]
    values = np.stack(resized, axis=2)
    if picture.dtype == np.float32:
        return np.clip(values, picture.min(), picture.max())
    return np.clip(np.round(values), *DEPTHS[picture.dtype.name]).astype(picture.dtype)


def with_depth(picture: np.ndarray, format: Format) -> np.ndarray:
    """[h, w, c] -> the format's dtype, where nothing is lost or guessed: 8 bits become 16, white stays white.

    Raises:
      ValueError: the picture has another depth that does not become this one.
    """
    own, wanted = picture.dtype.name, format.depth
    if own == wanted:
        return picture
    if (own, wanted, format.range) == ("uint8", "uint16", None):
        return picture.astype(np.uint16) * np.uint16(257)  # x / 255 = 257 x / 65535
    of_range = f" of {format_range(format.range)}" if format.range else ""
    raise ValueError(f"it has {SPOKEN[own]}, not {SPOKEN[wanted]}{of_range}; save it as {_SAVED[wanted]}")


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """[h, w, c] -> [h, w, channels] where nothing is lost: gray and RGB into each other, opaque alpha away.

    Raises:
      ValueError: the picture has colours or transparency that the result would lose, or channels is not 1, 3 or 4, or
        floats would get or lose an alpha: what is opaque in them nobody says.
    """
    if picture.shape[2] == channels:
        return picture
    if channels not in (1, 3, 4):
        raise ValueError(f"it has {picture.shape[2]} channels, not {channels}")
    if picture.dtype == np.float32 and 4 in (picture.shape[2], channels):
        raise ValueError(f"it is floats of {picture.shape[2]} channels, not {channels}; save it with {channels}")
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    if picture.shape[2] == 4:
        if (picture[:, :, 3] < np.iinfo(picture.dtype).max).any():
            raise ValueError(f"it has transparency, which {channels} channels do not hold; save it without")
        picture = picture[:, :, :3]
    if channels == 1:
        if (picture != picture[:, :, :1]).any():
            raise ValueError("it has colours, which 1 channel does not hold; save it as a gray picture")
        return picture[:, :, :1]
    if channels == 3:
        return picture
    opaque = np.full((*picture.shape[:2], 1), np.iinfo(picture.dtype).max, picture.dtype)
    return np.concatenate([picture, opaque], axis=2)


def split_side_by_side(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[h, 2w, c] -> (A, B), each [h, w, c]: the left and the right half.

    Raises:
      ValueError: the width is odd.
    """
    width = picture.shape[1]
    if width % 2:
        raise ValueError(f"it is {width} pixels wide, an odd number: a side-by-side picture has two halves of one size")
    return picture[:, : width // 2], picture[:, width // 2 :]


def join_side_by_side(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two [h, w, c] of one dtype -> [h, 2w, c], A left and B right."""
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
