"""Side: the channels, depth, value range and palette of the inputs, or of the targets, outside the networks.

Inside, an image is float32 [..., h, w, c] in [-1, 1]. A Side converts its images to that form and back. It also
converts any other image to its own channels, depth and colors, or refuses it with the reason.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_pix2pix import images
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import Palette


@dataclass(frozen=True)
class Side:
    """The inputs or the targets.

    Attributes:
      channels: 1 (gray), 3 (RGB) or 4 (RGBA).
      depth: a key of images.DEPTHS, the dtype of the images.
      value_range: (low, high), which become -1 and 1; values outside are clipped. None: the full range of the depth;
        floats require a range.
      palette: the only colors that the images have; None: any color.
      resize: a key of images.RESIZE_METHODS.
      image_size: the median (height, width) of the training files; None: unknown. It does not make a side another one.

    Raises:
      InputError: the value range is missing, empty, or not within the depth.
    """

    channels: int
    depth: str = "uint8"
    value_range: tuple[float, float] | None = None
    palette: Palette | None = None
    resize: str = "bicubic"
    image_size: tuple[int, int] | None = field(default=None, compare=False)

    def __post_init__(self):
        least, most = images.DEPTHS[self.depth] or (-np.inf, np.inf)
        if self.value_range is None and self.depth == "float32":
            raise InputError("floats need a range LOW,HIGH: the values that become -1 and 1")
        if self.value_range and not least <= self.value_range[0] < self.value_range[1] <= most:
            within = f", both within {least:g},{most:g} ({images.DEPTH_NAMES[self.depth]})" if np.isfinite(most) else ""
            raise InputError(f"{images.format_range(self.value_range)}: LOW must be below HIGH{within}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high), which become -1 and 1."""
        return self.value_range or images.DEPTHS[self.depth]

    @property
    def levels(self) -> float:
        """The number of steps from low to high, the unit of differences; 65535 for floats, as for 16 bits."""
        return 65535.0 if self.depth == "float32" else self.bounds[1] - self.bounds[0]

    def convert(self, image: np.ndarray, *, restore: bool = False) -> np.ndarray:
        """[h, w, c] of any depth -> [h, w, channels] of this side, if nothing is lost.

        Gray becomes RGB, opaque alpha is added or dropped, 8 bits become 16, and with a palette each pixel gets its
        nearest color. With `restore`, pixels that JPEG has blurred get the color of the closest clear pixel instead:
        not for inputs, because exported models map each pixel of an input by itself.

        Raises:
          ValueError: the conversion would lose or guess something.
        """
        image = images.with_channels(images.with_depth(image, self.depth, self.value_range), self.channels)
        if self.palette is None:
            return image
        return self.palette.restore_colors(image) if restore else self.palette.map_colors(image)

    def to_float(self, image) -> tf.Tensor:
        """Images of this side [..., h, w, channels] -> float32 of the same shape in [-1, 1]."""
        return images.to_float(image, self.value_range)

    def to_float_array(self, image: np.ndarray) -> np.ndarray:
        """`to_float` in NumPy, five times as fast for a few images: nothing waits for TensorFlow's threads."""
        low, high = self.bounds
        values = image.astype(np.float32)
        values -= np.float32(low)
        values /= np.float32((high - low) / 2.0)
        values -= np.float32(1.0)
        return np.clip(values, -1.0, 1.0, out=values) if self.value_range else values

    def from_float(self, values) -> tf.Tensor:
        """float32 [..., h, w, channels] in [-1, 1] -> images of this side, whole numbers rounded to nearest."""
        return images.from_float(values, self.depth, self.value_range)

    def to_json(self) -> dict[str, Any]:
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return fields | {"palette": self.palette and self.palette.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Side":
        """The side that `to_json` wrote. Raises ValueError, KeyError or TypeError for any other value."""
        if value["channels"] not in (1, 3, 4) or value["depth"] not in images.DEPTHS:
            raise ValueError(f"channels {value['channels']} with depth {value['depth']} is not a kind of image")
        size = value.get("image_size")  # older files lack it
        fields = value | {
            "value_range": value["value_range"] and tuple(map(float, value["value_range"])),
            "palette": value["palette"] and Palette.from_json(value["palette"]),
            "image_size": size and tuple(map(int, size)),
        }
        return cls(**fields)


class Sides(NamedTuple):
    """Both sides of a run's pairs."""

    input: Side
    target: Side

    def to_json(self) -> dict[str, Any]:
        return {name: side.to_json() for name, side in self._asdict().items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Sides":
        """The sides that `to_json` wrote. Raises ValueError, KeyError or TypeError for any other value."""
        return cls(**{name: Side.from_json(value[name]) for name in cls._fields})
