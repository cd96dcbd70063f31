"""Palettes of label maps: read from a file or found among counted colors; mapping images to their colors."""

import dataclasses
import functools
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import InputError, format_count

MAX_COLORS = 256
MAX_GRAYS = 64  # in a palette found among counted colors: gray photos and noisy label maps have up to 256
MAX_COUNTED = 2**18  # distinct colors before counting stops; label maps have far fewer
MANY_COLORS = 2**13  # an image with more is a photo or noisy: a sample of its pixels is counted
_CORE, _REACH = 8, 32  # distances in levels from a color: to its noise, and to its blurred edges with other colors

# Images with too many colors count as label maps with JPEG noise if at least these shares lie near clear colors: of all
# pixels, and of the pixels without the most frequent color (often the background). Measured on ten real facades:
# labels (256-pixel JPEGs) 0.52 to 0.94 and 0.36 to 0.92, photos at most 0.08 and 0.10; photos on white 0.76 and 0.05.
_NOISY, _NOISY_FOREGROUND = 0.4, 0.25


class NoisyColors(InputError):
    """Images look like label maps with JPEG noise around `colors`, [k][c]."""

    def __init__(self, message: str, colors: list[list[int]]):
        super().__init__(message)
        self.colors = colors


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


class ColorCounts:
    """The number of pixels of each color over several images.

    Attributes:
      counts: RGBA color code -> pixels; estimated from a sample for images with more than MANY_COLORS.
      first: RGBA color code -> the name of the first image with it.
      channels: the largest number of channels of an image.
      images: the number of counted images; counting stops after MAX_COUNTED distinct colors.
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
    """uint8 [h, w, c] -> RGBA color codes, the pixels of each, and c. Raises InputError for other dtypes."""
    if image.dtype != np.uint8:
        raise InputError(f"{images.DEPTH_NAMES[image.dtype.name]}: a palette requires label maps of 8 bits a channel")
    codes = color_codes(images.with_channels(image, 4)).ravel()
    found, counts = np.unique(codes, return_counts=True)
    if len(found) > MANY_COLORS:
        step = -(-codes.size // (2 * MANY_COLORS))
        found, counts = np.unique(codes[::step], return_counts=True)
        counts = counts * step
    return found, counts, image.shape[2]


def find_palette(counted: ColorCounts, side: str) -> Palette:
    """All counted colors, sorted by value. side: "input" or "target", for messages.

    Raises:
      InputError: only one color, or too many for label maps; NoisyColors if they look like JPEG noise around a few.
    """
    codes = np.array(sorted(counted.counts), np.int64)
    counts = np.array([counted.counts[code] for code in codes.tolist()], np.int64)
    colors = code_colors(codes, counted.channels)
    if len(codes) > (MAX_GRAYS if counted.channels == 1 else MAX_COLORS):
        raise _too_many(colors, counts, counted.images, side)
    if len(codes) < 2:
        raise InputError(f"{side} images have only one color, so classes are missing; check which side has the labels")
    return Palette(tuple(map(tuple, colors.tolist())), counts=tuple(counts.tolist()))


def count_classes(palette: Palette, counted: ColorCounts) -> tuple[Palette, dict[str, int]]:
    """The palette with its pixel counts, and the pixels of unknown colors by the first image with the color."""
    codes = np.array(list(counted.counts), np.int64)
    pixels = np.array(list(counted.counts.values()), np.int64)
    labels, known = palette.classify(color_codes(code_colors(codes, palette.array.shape[1])))
    counts = np.bincount(labels, pixels, minlength=len(palette.colors)).astype(int)
    unknown: dict[str, int] = {}
    for code, count in zip(codes[~known].tolist(), pixels[~known].tolist(), strict=True):
        unknown[counted.first[code]] = unknown.get(counted.first[code], 0) + count
    return dataclasses.replace(palette, counts=tuple(counts.tolist())), unknown


def _too_many(colors, counts, image_count, side):
    kind, counted = "gray levels" if colors.shape[1] == 1 else "colors", format_count(image_count, "image")
    problem = f"{side} images have at least {len(colors)} {kind} ({counted}), too many for label maps"
    clear, core, core_of_foreground = _clear_colors(colors.astype(np.int32), counts)
    if core < _NOISY or core_of_foreground < _NOISY_FOREGROUND:
        return InputError(f"{problem}; train without a palette, or list the label maps' colors with --palette=FILE")
    fix = "list their colors in a JSON file for --palette=FILE, and each pixel gets the nearest color"
    near = f"{core:.0%} of the pixels are near these: {json.dumps({'colors': clear})}"
    return NoisyColors(f"{problem}; they look like label maps with JPEG noise: {fix}. {near}", clear)


def _clear_colors(colors, counts):
    """Returns the colors with others close around, the share of all pixels close to one, and that of the foreground."""
    free, clear, cores, reaches = counts.copy(), [], [], []
    while free.max() >= 0.001 * counts.sum():
        center = np.argmax(free)
        distance = np.sum((colors - colors[center]) ** 2, axis=1)
        near, reached = free[distance <= _CORE**2].sum(), free[distance <= _REACH**2].sum()
        is_clear = near >= 0.4 * reached  # the blurred edge between two colors is spread out
        if is_clear:
            clear.append(colors[center].tolist())
        cores.append(near * is_clear)
        reaches.append(reached)
        free[distance <= _REACH**2] = 0
    return clear, sum(cores) / counts.sum(), sum(cores[1:]) / max(1, counts.sum() - sum(reaches[:1]))


def read_palette(path: str | os.PathLike) -> Palette:
    """Reads JSON with `colors`, or lines "R G B name" or "LEVEL name" (GIMP's .gpl too). Raises InputError."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--palette={path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--palette={path}: not a text file; write JSON, or lines of R G B and a name") from None
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
        levels = [int(word) for word in itertools.takewhile(str.isdecimal, words[:3])]
        if len(levels) not in (1, 3):
            raise ValueError(f'the line "{line}" does not begin with R G B or a gray level')
        colors.append(levels)
        names.append(" ".join(words[len(levels) :]) or f"{len(names)}")
    return {"colors": colors, "names": names}
