"""Palettes of label maps: read from files, found among counted colors, and images mapped to them exactly."""

import dataclasses
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import InputError

MAX_COLORS = 256
MAX_GRAYS = 64  # of a palette that is found, not given: a gray photo, or the noise of a JPEG, has up to 256
MAX_COUNTED = 2**18  # distinct colors that are counted; label maps have far fewer
MANY_COLORS = 2**13  # an image with more is a photo or noisy, and only a sample of its pixels is counted
_CORE, _REACH = 8, 32  # levels: what noise does to a color, and how far its edges to other colors reach

# Images with too many colors count as label maps with JPEG noise if at least these shares lie near clear colors: of all
# pixels, and of those without the most frequent color (in photos of things, the background). In ten real facades:
# labels (256-pixel JPEGs) 0.52 to 0.94 and 0.36 to 0.92, photos at most 0.08 and 0.10; photos on white 0.76 and 0.05.
_NOISY, _NOISY_FOREGROUND = 0.4, 0.25


class NoisyColors(InputError):
    """Images look like label maps with JPEG noise. colors: [k][c], the clear ones."""

    def __init__(self, message: str, colors: list[list[int]]):
        super().__init__(message)
        self.colors = colors


@dataclass(frozen=True)
class Palette:
    """The colors of label maps; class i has color i.

    Attributes:
      colors: k distinct colors of 1 (gray), 3 (RGB) or 4 (RGBA) levels in 0..255.
      names: one for each class, or none.
      counts: training pixels of each class, or none if they were not counted.
    """

    colors: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = dataclasses.field(default=(), compare=False)

    @functools.cached_property
    def array(self) -> np.ndarray:
        """The colors as uint8 [k, c]."""
        return np.array(self.colors, np.uint8)

    def to_json(self) -> dict[str, Any]:
        return {
            "colors": [list(color) for color in self.colors],
            "names": list(self.names),
            "counts": list(self.counts),
        }

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
                raise ValueError(
                    f"color {color}: a color has 1, 3 or 4 whole numbers in 0..255, each color equally many"
                )
            if colors.count(color) > 1:
                raise ValueError(f"duplicate color {tuple(color)}; give each class a color of its own")
        extras = [value.get(key) or [] for key in ("names", "counts")]
        if any(not isinstance(extra, list) or len(extra) not in (0, len(colors)) for extra in extras):
            raise ValueError(f"names and counts must be lists of {len(colors)}, one for each color")
        return cls(tuple(map(tuple, colors)), tuple(map(str, extras[0])), tuple(extras[1]))

    def with_channels(self, channels: int) -> "Palette":
        """The palette with so many channels. Raises ValueError if colors or transparency would be lost."""
        array = images.with_channels(self.array[np.newaxis], channels)[0]
        return dataclasses.replace(self, colors=tuple(map(tuple, array.tolist())))

    def map_colors(self, image: np.ndarray) -> np.ndarray:
        """uint8 [h, w, c] -> the same shape in the palette's colors; any other color becomes the nearest one."""
        codes = color_codes(image)
        labels, known = self._find(codes)
        if known.all():
            return image
        unknown, places = np.unique(codes[~known], return_inverse=True)
        labels[~known] = self.nearest(unknown)[places]
        return self.array[labels]

    def count_unknown(self, image: np.ndarray) -> int:
        """How many pixels of uint8 [h, w, c] have a color that the palette lacks."""
        return int((~self._find(color_codes(image))[1]).sum())

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """Color codes [n] -> the classes [n] of the nearest colors, by squared difference; the first of equals."""
        colors = code_colors(codes, self.array.shape[1]).astype(int)
        labels, least = np.zeros(len(codes), int), np.full(len(codes), np.inf)
        for label, color in enumerate(self.array.astype(int)):  # in turn: a table of all distances may be too large
            distance = np.sum((colors - color) ** 2, axis=1)
            labels[distance < least] = label
            least = np.minimum(least, distance)
        return labels

    def _find(self, codes):
        """Color codes -> their classes where the palette has the colors, and whether it has them."""
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


class ColorCounts:
    """How many pixels have which color, over the images that are added, in RGBA codes.

    Attributes:
      counts: color code -> pixels. Of an image with more than MANY_COLORS, a sample of the pixels stands for all.
      first: color code -> the name of the first image with it.
      channels: the most that an image has.
      images: how many were counted; images after MAX_COUNTED distinct colors are not.
    """

    def __init__(self):
        self.counts: dict[int, int] = {}
        self.first: dict[int, str] = {}
        self.channels, self.images = 1, 0

    def add(self, found: tuple[np.ndarray, np.ndarray, int], name: str) -> None:
        """Adds what `count_colors` returned for the image called `name`."""
        if len(self.counts) > MAX_COUNTED:
            return
        self.images += 1
        self.channels = max(self.channels, found[2])
        for code, count in zip(found[0].tolist(), found[1].tolist(), strict=True):
            self.counts[code] = self.counts.get(code, 0) + count
            self.first.setdefault(code, name)


def count_colors(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """uint8 [h, w, c] -> RGBA codes, pixels of each, and c. Raises InputError for other dtypes."""
    if image.dtype != np.uint8:
        raise InputError(f"{images.DEPTH_NAMES[image.dtype.name]}: a palette needs label maps of 8 bits a channel")
    codes = color_codes(images.with_channels(image, 4)).ravel()
    found, counts = np.unique(codes, return_counts=True)
    if len(found) > MANY_COLORS:
        step = -(-codes.size // (2 * MANY_COLORS))
        found, counts = np.unique(codes[::step], return_counts=True)
        counts = counts * step
    return found, counts, image.shape[2]


def find_palette(counted: ColorCounts, side: str) -> Palette:
    """All colors that were counted, in the order of their values.

    Args:
      side: what the images are called in messages, such as "input".

    Raises:
      InputError: there are too many colors for a label map, or only one; NoisyColors if they look like the noise of
        JPEG around few colors.
    """
    codes = np.array(sorted(counted.counts), np.int64)
    counts = np.array([counted.counts[code] for code in codes.tolist()], np.int64)
    colors = code_colors(codes, counted.channels)
    if len(codes) > (MAX_GRAYS if counted.channels == 1 else MAX_COLORS):
        raise _too_many(colors, counts, counted.images, side)
    if len(codes) < 2:
        raise InputError(f"{side} images have one color only, so there are no classes; check which side is the labels")
    return Palette(tuple(map(tuple, colors.tolist())), counts=tuple(counts.tolist()))


def count_classes(palette: Palette, counted: ColorCounts) -> tuple[Palette, dict[str, int]]:
    """The palette with its pixel counts, and the counted pixels of other colors by the image that first has them."""
    codes = np.array(list(counted.counts), np.int64)
    pixels = np.array(list(counted.counts.values()), np.int64)
    narrowed = color_codes(code_colors(codes, palette.array.shape[1]))
    labels, known = palette._find(narrowed)
    labels[~known] = palette.nearest(narrowed[~known])
    counts = np.bincount(labels, pixels, minlength=len(palette.colors)).astype(int)
    unknown: dict[str, int] = {}
    for code, count in zip(codes[~known].tolist(), pixels[~known].tolist(), strict=True):
        unknown[counted.first[code]] = unknown.get(counted.first[code], 0) + count
    return dataclasses.replace(palette, counts=tuple(counts.tolist())), unknown


def _too_many(colors, counts, image_count, side):
    kind = "gray levels" if colors.shape[1] == 1 else "colors"
    clear, core, core_of_foreground = _clear_colors(colors.astype(np.int32), counts)
    problem = f"{side} images have at least {len(colors)} {kind} ({image_count} images), too many for label maps"
    if core < _NOISY or core_of_foreground < _NOISY_FOREGROUND:
        return InputError(f"{problem}; train without a palette, or list the label maps' colors with --palette=FILE")
    return NoisyColors(
        f"{problem}; they look like label maps with JPEG noise. List their colors in a JSON file for --palette=FILE; "
        f"each pixel then gets the nearest. {core:.0%} of the pixels are near these: {json.dumps({'colors': clear})}",
        clear,
    )


def _clear_colors(colors, counts):
    """The colors around which others gather closely, the share of all pixels that do, and the share among the pixels
    outside the most frequent color's reach."""
    free, clear, cores, reaches = counts.copy(), [], [], []
    while free.max() >= 0.001 * counts.sum():
        center = np.argmax(free)
        distance = np.sum((colors - colors[center]) ** 2, axis=1)
        near, reached = free[distance <= _CORE**2].sum(), free[distance <= _REACH**2].sum()
        is_clear = near >= 0.4 * reached  # the pixels of an edge between two colors are spread out
        if is_clear:
            clear.append(colors[center].tolist())
        cores.append(near * is_clear)
        reaches.append(reached)
        free[distance <= _REACH**2] = 0
    return clear, sum(cores) / counts.sum(), sum(cores[1:]) / max(1, counts.sum() - sum(reaches[:1]))


def read_palette(path: str | os.PathLike) -> Palette:
    """Reads a palette file: JSON with `colors`, or lines "R G B name" or "LEVEL name" (GIMP's .gpl too).

    Raises:
      InputError: the file is missing or is not a palette; the message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--palette={path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--palette={path}: not a text file; give JSON, or lines of R G B and a name") from None
    try:
        return Palette.from_json(json.loads(text) if text.lstrip().startswith(("{", "[")) else _parse_lines(text))
    except ValueError as error:
        raise InputError(f"--palette={path}: {error}") from None


def _parse_lines(text):
    colors: list[list[int]] = []
    names: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#") or words[0] == "GIMP" or words[0].endswith(":"):
            continue
        levels = 0
        while levels < min(3, len(words)) and words[levels].isdecimal():
            levels += 1
        if levels not in (1, 3):
            raise ValueError(f'the line "{line}" does not begin with R G B or a gray level')
        colors.append([int(word) for word in words[:levels]])
        names.append(" ".join(words[levels:]) or f"{len(names)}")
    return {"colors": colors, "names": names}
