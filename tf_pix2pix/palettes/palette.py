"""Palette: the colors of label maps, and images mapped to them."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tf_pix2pix import images

MAX_COLORS = 256
CLEAR = 32  # levels: pixels closer to a color have it, and areas with less contrast are flat; blurred edges are neither
JPEG_REACH = 8  # pixels: half a block of subsampled chroma


@dataclass(frozen=True)
class Palette:
    """The colors of label maps; class i has color i.

    Attributes:
      colors: k distinct colors of 1 (gray), 3 (RGB) or 4 (RGBA) levels in 0..255.
      names: of the classes; may be empty.
      counts: training pixels of each class; empty before they are counted.
    """

    colors: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = dataclasses.field(default=(), compare=False)

    @functools.cached_property
    def array(self) -> np.ndarray:
        """The colors as uint8 [k, c]."""
        return np.array(self.colors, np.uint8)

    def to_json(self) -> dict[str, Any]:
        return {"colors": [*map(list, self.colors)], "names": [*self.names], "counts": [*self.counts]}

    @classmethod
    def from_json(cls, value: Any) -> "Palette":
        """The palette of a JSON object with `colors` and, optionally, `names` and `counts`. Raises ValueError."""
        if not isinstance(value, dict) or not isinstance(value.get("colors"), list):
            raise ValueError('expected an object with a list "colors", as in {"colors": [[255, 0, 0], [0, 0, 255]]}')
        colors = [color if isinstance(color, list) else [color] for color in value["colors"]]
        if not 2 <= len(colors) <= MAX_COLORS:
            raise ValueError(f"{len(colors)} colors; a palette has 2 to {MAX_COLORS}")
        for color in colors:
            levels = all(type(level) is int and 0 <= level <= 255 for level in color)
            if not levels or len(color) not in (1, 3, 4) or len(color) != len(colors[0]):
                raise ValueError(f"color {color}: expected 1, 3 or 4 whole numbers in 0..255, the same for all colors")
            if colors.count(color) > 1:
                raise ValueError(f"duplicate color {tuple(color)}; use a different color for each class")
        extras = [value.get(key) or [] for key in ("names", "counts")]
        if any(not isinstance(extra, list) or len(extra) not in (0, len(colors)) for extra in extras):
            raise ValueError(f"names and counts must be lists of {len(colors)}, one for each color")
        return cls(tuple(map(tuple, colors)), tuple(map(str, extras[0])), tuple(extras[1]))

    def with_channels(self, channels: int) -> "Palette":
        """The palette in 1, 3 or 4 channels. Raises ValueError if it would lose colors or transparency."""
        array = images.with_channels(self.array[np.newaxis], channels)[0]
        return dataclasses.replace(self, colors=tuple(map(tuple, array.tolist())))

    def map_colors(self, image: np.ndarray) -> np.ndarray:
        """uint8 [h, w, c] -> the same shape in the palette's colors; any other color becomes the nearest one."""
        labels, known = self.classify(color_codes(image))
        return image if known.all() else self.array[labels]

    def restore_colors(self, image: np.ndarray) -> np.ndarray:
        """map_colors for JPEGs, whose edges are blurred: the blur between two colors often lies nearest to a third one.

        Pixels that are neither near a color nor in a flat area get the color of the closest pixel that is, if JPEG can
        reach that far. On 24 label maps of the CMP Facade Database, saved with subsampled chroma as the published ones
        are, 3 to 6 % of the pixels get a wrong class; by nearest color 9 to 12 %.
        """
        mapped = self.map_colors(image)
        if mapped is image:
            return image
        spread = ndimage.maximum_filter(image, (3, 3, 1)) - ndimage.minimum_filter(image, (3, 3, 1))
        near = np.sum((image.astype(int) - mapped) ** 2, axis=2) <= CLEAR**2
        clear = near | (spread <= CLEAR).all(axis=2)
        if clear.all() or not clear.any():
            return mapped
        distances, places = ndimage.distance_transform_edt(~clear, return_indices=True)
        return np.where((distances <= JPEG_REACH)[:, :, np.newaxis], mapped[tuple(places)], mapped)

    def count_unknown(self, image: np.ndarray) -> int:
        """The number of pixels of uint8 [h, w, c] whose color the palette lacks."""
        return int((~self._find(color_codes(image))[1]).sum())

    def classify(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Color codes [...] -> the classes of the same or nearest colors, and whether the palette has the same."""
        labels, known = self._find(codes)
        unknown, places = np.unique(codes[~known], return_inverse=True)
        labels[~known] = self._nearest(unknown)[places]
        return labels, known

    def _nearest(self, codes: np.ndarray) -> np.ndarray:
        """Color codes [n] -> the classes [n] of the nearest colors, by squared difference; ties go to the first."""
        colors = code_colors(codes, self.array.shape[1]).astype(int)
        labels, least = np.zeros(len(codes), int), np.full(len(codes), np.inf)
        for label, color in enumerate(self.array.astype(int)):  # one by one: all distances at once may not fit memory
            distance = np.sum((colors - color) ** 2, axis=1)
            labels[distance < least] = label
            least = np.minimum(least, distance)
        return labels

    def _find(self, codes):
        """Color codes -> their classes, valid where the palette has the color, and whether it has it."""
        own = color_codes(self.array)
        order = np.argsort(own)
        labels = order[np.minimum(np.searchsorted(own[order], codes), len(own) - 1)]
        return labels, own[labels] == codes


def color_codes(image: np.ndarray) -> np.ndarray:
    """uint8 [..., c] -> int64 [...], one whole number for each color."""
    codes = np.zeros(image.shape[:-1], np.int64)
    for c in range(image.shape[-1]):  # in turn: ten times as fast as a sum over the last axis
        codes += image[..., c].astype(np.int64) << 8 * (3 - c)
    return codes


def code_colors(codes: np.ndarray, channels: int) -> np.ndarray:
    """Color codes [n] -> uint8 [n, channels]."""
    return np.stack([codes >> 8 * (3 - c) & 255 for c in range(channels)], axis=1).astype(np.uint8)
