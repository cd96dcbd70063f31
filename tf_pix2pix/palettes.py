"""Palettes of label maps: found in pictures, read from files, and pictures brought to them exactly."""

import contextlib
import dataclasses
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, format_list

MOST_COLORS = 256
MOST_GRAYS = 64  # found, not given: a gray photo, or a JPEG's noise, has up to 256
PICTURES_READ = 100  # to find a palette in, spread over the training pairs
_CORE, _REACH = 8, 32  # levels: what noise does to a colour, and how far its edges to others reach

# Too many colours are those of label maps with noise from so large a share of pixels in clear ones on: of all pixels,
# and of those that have not the most frequent colour, which may be what is behind things in photos. In ten pictures of
# real facades the labels, JPEGs of 256 pixels, have 0.52 to 0.94 and 0.36 to 0.92, the photos 0.08 and 0.10 at most;
# photos on white have 0.76 and 0.05.
_NOISY, _NOISY_OTHERS = 0.4, 0.25
_ENOUGH = 10  # pictures to tell it by


class NoisyColors(InputError):
    """A side's pictures look like label maps with the noise of JPEG in them. colors: [k][c], what they seem to have."""

    def __init__(self, message: str, colors: list[list[int]]):
        super().__init__(message)
        self.colors = colors


@dataclass(frozen=True)
class Palette:
    """The colours of one side. Class i is colour i.

    Attributes:
      colors: uint8 [k, c], no two alike, c = 1, 3 or 4 as the pictures have.
      names: of the classes, one each, or none at all.
      counts: pixels of each class in the training pictures, one each, or none at all (not counted).
    """

    colors: np.ndarray
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"colors": self.colors.tolist(), "names": list(self.names), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, value: Any) -> "Palette":
        """The palette of a JSON object with `colors`, and `names` and `counts` or not. Raises ValueError."""
        if not isinstance(value, dict) or not isinstance(value.get("colors"), list):
            raise ValueError('it is no object with a list "colors", as in {"colors": [[255, 0, 0], [0, 0, 255]]}')
        colors = [color if isinstance(color, list) else [color] for color in value["colors"]]
        if not 2 <= len(colors) <= MOST_COLORS:
            raise ValueError(f"{len(colors)} colours; a palette has 2 to {MOST_COLORS}")
        for color in colors:
            levels = all(type(level) is int and 0 <= level <= 255 for level in color)
            if not levels or len(color) not in (1, 3, 4) or len(color) != len(colors[0]):
                raise ValueError(f"the colour {color} is not 1, 3 or 4 whole numbers in 0..255, all as many")
        if len({*map(tuple, colors)}) < len(colors):
            raise ValueError("it has a colour twice; a class is known by its colour")
        extras = [value.get(key) or [] for key in ("names", "counts")]
        if any(not isinstance(extra, list) or len(extra) not in (0, len(colors)) for extra in extras):
            raise ValueError(f"names or counts are no list of {len(colors)}, as many as the colours")
        return cls(np.array(colors, np.uint8), tuple(map(str, extras[0])), tuple(extras[1]))

    def widened(self, channels: int) -> "Palette":
        """The palette with so many channels; where it has more, as it is."""
        if channels <= self.colors.shape[1]:
            return self
        return dataclasses.replace(self, colors=images.with_channels(self.colors[np.newaxis], channels)[0])


def read_palette(path: str | os.PathLike) -> Palette:
    """A palette file: JSON as palette.json's sides are, or text, lines "R G B name" or "LEVEL name" (.gpl of GIMP too).

    Raises:
      InputError: it is not there, or none; the message says what is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"palette={path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"palette={path} is no text; a palette is JSON, or lines of R G B and a name") from None
    try:
        if text.lstrip().startswith(("{", "[")):
            return Palette.from_json(json.loads(text))
        return Palette.from_json(_parsed(text))
    except ValueError as error:
        raise InputError(f"palette={path}: {error}") from None


def _parsed(text):
    colors, names = [], []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#") or words[0] == "GIMP" or words[0].endswith(":"):
            continue
        numbers = 0
        while numbers < min(3, len(words)) and words[numbers].isdecimal():
            numbers += 1
        if numbers not in (1, 3):
            raise ValueError(f'the line "{line}" does not begin with R G B or a gray level')
        colors.append([int(word) for word in words[:numbers]])
        names.append(" ".join(words[numbers:]) or f"{len(names)}")
    return {"colors": colors, "names": names}


def find_palette(pairs: Pairs, side: int, what: str) -> Palette:
    """The colours of one side (0: A, 1: B) in up to PICTURES_READ of the pairs, in order of their values.

    Args:
      what: the side's name, for messages.

    Raises:
      InputError: they are too many for a label map; NoisyColors, where it is one but for the noise of JPEG.
    """
    codes, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    channels, most, read = 1, MOST_GRAYS, 0
    for read, (name, picture) in enumerate(_pictures(pairs, side), start=1):
        _check_depth(picture, name)
        channels = max(channels, picture.shape[2])
        found, times = np.unique(_codes(images.with_channels(picture, 4)), return_counts=True)
        codes, where = np.unique(np.concatenate([codes, found]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times])).astype(np.int64)
        most = MOST_GRAYS if channels == 1 else MOST_COLORS
        if len(codes) > most and read >= _ENOUGH:
            break
    if len(codes) > most:
        raise _too_many(_colors(codes, channels), counts, what, read)
    if len(codes) < 2:
        raise InputError(f"{what} has one colour only; there is nothing to tell apart")
    return Palette(_colors(codes, channels))


def _pictures(pairs, side):
    """Yields the name and the picture of up to PICTURES_READ of the pairs."""
    chosen = pairs.spread(PICTURES_READ)
    for index, name in enumerate(chosen.names):
        with contextlib.suppress(InputError):  # said, or left out, where all pictures are read
            yield name, chosen.read(index)[side]


def _too_many(colors, counts, what, pictures):
    kind = "gray levels" if colors.shape[1] == 1 else "colours"
    clear, core, core_of_others = _clear_colors(colors.astype(int), counts)
    said = f"{what} has {len(colors)} {kind} or more in {pictures} of its pictures, more than label maps have"
    if core < _NOISY or core_of_others < _NOISY_OTHERS:
        return InputError(
            f"{said}: leave it in colours; if it is a label map, name its colours in a file with --palette=FILE"
        )
    return NoisyColors(
        f"{said}; it looks like label maps with the noise of JPEG in them. Name their colours in a JSON file with "
        f"--palette=FILE, then each pixel gets the nearest. {core:.0%} of the pixels are near these: "
        f"{json.dumps({'colors': clear})}",
        clear,
    )


def _clear_colors(colors, counts):
    """The colours that others gather closely around, the share of all pixels that do, and the share of those that are
    not of the most frequent colour, which may be what is behind the things in photos."""
    free, clear, cores, reaches = counts.copy(), [], [], []
    while free.max() >= 0.001 * counts.sum():
        distance = np.sum((colors - colors[np.argmax(free)]) ** 2, axis=1)
        near, reached = free[distance <= _CORE**2].sum(), free[distance <= _REACH**2].sum()
        is_clear = near >= 0.4 * reached  # what edges leave between two colours is spread out
        if is_clear:
            clear.append(colors[np.argmax(free)].tolist())
        cores.append(near * is_clear)
        reaches.append(reached)
        free[distance <= _REACH**2] = 0
    return clear, sum(cores) / counts.sum(), sum(cores[1:]) / max(1, counts.sum() - sum(reaches[:1]))


def fitting(palette: Palette, pairs: Pairs, side: int, what: str) -> Palette:
    """A given palette with the channels of a side's pictures, as the first one has them. Raises InputError."""
    name, picture = next(_pictures(pairs, side), ("", palette.colors[np.newaxis]))
    try:
        colors = images.with_channels(palette.colors[np.newaxis], picture.shape[2])[0]
    except ValueError:
        raise InputError(f"{what} has gray pictures ({name}), but the palette has colours; give gray levels") from None
    return dataclasses.replace(palette, colors=colors)


class Snapped:
    """Pairs whose sides (0: A, 1: B) with a palette, uint8 [k, c], have its colours only: others become the nearest.

    Attributes:
      pairs: those pairs. Of each picture, the first time that it is read, the pixels of each colour are counted; so
        that all are, none count as verified.
    """

    def __init__(self, pairs: Pairs, palettes: dict[int, np.ndarray]):
        self._source, self._palettes = pairs, palettes
        self._lock, self._seen = threading.Lock(), set()
        self._counts = {side: np.zeros(len(colors), np.int64) for side, colors in palettes.items()}
        self._changed: dict[int, dict[str, int]] = {side: {} for side in palettes}  # pixels, by the pair's name
        self.pairs = dataclasses.replace(pairs, read=self._read, verified=False) if palettes else pairs

    def counts(self, side: int) -> tuple[int, ...]:
        """Pixels of each colour in the pictures read so far."""
        return tuple(self._counts[side].tolist())

    def report(self, side: int, what: str) -> None:
        """Says on stderr how many pixels of the pictures read so far had none of the palette's colours, if any."""
        if changed := sorted(self._changed[side].items()):
            share = sum(pixels for _, pixels in changed) / self._counts[side].sum()
            names = format_list([f"{name} ({pixels:,} pixels)" for name, pixels in changed], most=3)
            print(
                f"{what}: {share:.2%} of the pixels have a colour that the palette has not, and get the nearest, in "
                f"{len(changed)} pictures: {names}; --palette=FILE gives another palette",
                file=sys.stderr,
            )

    def _read(self, index: int) -> tuple[np.ndarray, ...]:
        pair, name = list(self._source.read(index)), self._source.names[index]
        for side, colors in self._palettes.items():
            _check_depth(pair[side], name)
            try:
                picture = images.with_channels(pair[side], colors.shape[1])
            except ValueError as error:
                raise InputError(f"{name}: {error}; the palette's colours have {colors.shape[1]} channels") from None
            pair[side], labels, changed = _snap(picture, colors)
            with self._lock:
                if (side, index) not in self._seen:
                    self._seen.add((side, index))
                    self._counts[side] += np.bincount(labels.ravel(), minlength=len(colors))
                    if changed:
                        self._changed[side][name] = changed
        return tuple(pair)


def count_strange(picture: np.ndarray, colors: np.ndarray) -> int:
    """How many pixels of uint8 [h, w, c] have none of the colours, uint8 [k, c]."""
    return int(np.isin(_codes(picture), _codes(colors), invert=True).sum())


def _snap(picture, colors):
    """uint8 [h, w, c] -> (the picture in the palette's colours, labels [h, w], how many pixels were changed)."""
    codes = _codes(picture)
    known = _codes(colors)
    order = np.argsort(known)
    labels = order[np.minimum(np.searchsorted(known[order], codes), len(known) - 1)]
    strange = known[labels] != codes
    if not strange.any():
        return picture, labels, 0
    found, where = np.unique(codes[strange], return_inverse=True)
    found = _colors(found, picture.shape[2]).astype(int)
    nearest, least = np.zeros(len(found), int), np.full(len(found), np.inf)
    for label, color in enumerate(colors):  # one after the other: noise has too many colours for a table of all
        distance = np.sum((found - color) ** 2, axis=1)
        nearest[distance < least] = label
        least = np.minimum(least, distance)
    labels[strange] = nearest[where]
    return colors[labels], labels, int(strange.sum())


def _codes(pictures):
    """uint8 [..., c] -> one whole number for each pixel."""
    return sum(pictures[..., c].astype(np.int64) << 8 * (3 - c) for c in range(pictures.shape[-1]))


def _colors(codes, channels):
    """What `_codes` made, [n] -> uint8 [n, channels]."""
    return np.stack([codes >> 8 * (3 - c) & 255 for c in range(channels)], axis=1).astype(np.uint8)


def _check_depth(picture, name):
    if picture.dtype != np.uint8:
        raise InputError(f"{name}: pictures of {picture.dtype} have no palette; label maps have 8 bits a channel")
