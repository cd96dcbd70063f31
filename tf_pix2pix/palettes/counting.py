"""Finds palettes: counts the colors of images, and tells label maps, also those with JPEG noise, from photos."""

import dataclasses
import json

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import InputError, format_count
from tf_pix2pix.palettes.known import PALETTES
from tf_pix2pix.palettes.palette import MAX_COLORS, Palette, code_colors, color_codes

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
    if known := _known_palette(clear):
        fix = f"pass --palette={known}, and each pixel gets the nearest color"
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


def _known_palette(colors):
    """The name of the palette in PALETTES that has all these colors, give or take JPEG noise; None without one."""
    for name, palette in PALETTES.items():
        distances = np.sum((np.array(colors)[:, np.newaxis] - palette.array.astype(int)) ** 2, axis=2)
        if distances.min(axis=1).max() <= (2 * _CORE) ** 2:
            return name
    return None
