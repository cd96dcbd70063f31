"""Inspects one pair or photo and returns facts small enough to keep for a large set."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tf_pix2pix.data_check import registration
from tf_pix2pix.data_check.duplicates import hash_of
from tf_pix2pix.data_check.opening import Opened
from tf_pix2pix.palettes import count_colors
from tf_pix2pix.seams import middle_seam_ratio, pair_seam_ratio

CONSTANT = 1.0  # an image with a lower standard deviation, in levels of 255, shows nothing


@dataclass(frozen=True)
class Statistics:
    """Sums over the pixels of some images of one kind, in the values of the files."""

    pixels: int
    sums: np.ndarray  # float64 [c]
    squares: np.ndarray  # float64 [c]

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(self.pixels + other.pixels, self.sums + other.sums, self.squares + other.squares)

    @property
    def mean(self) -> np.ndarray:
        return self.sums / self.pixels

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(np.maximum(self.squares / self.pixels - self.mean**2, 0))


@dataclass(frozen=True)
class ImageFacts:
    """One image.

    Attributes:
      size: (width, height) in pixels.
      kind: dtype and channels, such as "uint8 x 3".
      traits: keys of findings.TRAITS, and "constant".
      digest: equal for equal pixels only; never 0.
      hash: uint64 [4] from duplicates.hash_of; 0 for a constant image.
      colors: from palettes.count_colors; None if they were not counted, or the image has more than 8 bits a channel.
    """

    size: tuple[int, int]
    kind: str
    statistics: Statistics
    traits: frozenset[str]
    digest: int
    hash: np.ndarray
    colors: tuple[np.ndarray, np.ndarray, int] | None


@dataclass(frozen=True)
class PairFacts:
    """One pair or photo.

    Attributes:
      sides: the facts of each side; None if it is unreadable.
      problems: (kind, text).
      shift: B's against A; None if missing.
      seam: from seams.py, of A beside B, or of the halves of a photo; NaN if missing.
    """

    sides: list[ImageFacts | None]
    problems: list[tuple[str, str]]
    shift: registration.Shift | None
    seam: float


def inspect(opened: Opened, with_colors: bool = False) -> PairFacts:
    """Computes the facts of a pair or photo; with_colors: count the colors too."""
    shown = [None if side is None else as_rgb(side) for side in opened.sides]
    facts = [
        None if pixels is None else _inspect_image(pixels, rgb, traits, with_colors)
        for pixels, rgb, traits in zip(opened.sides, shown, opened.traits, strict=True)
    ]
    problems, shift = list(opened.problems), None
    if len(facts) == 2 and None not in facts:
        a, b = (side.shape[:2] for side in opened.sides)
        if a != b:
            problems.append(("sizes", f"A is {a[1]}x{a[0]} but B is {b[1]}x{b[0]}"))
        elif not any("constant" in side.traits for side in facts):
            shift = registration.estimate(*map(shrink, shown), a)
    return PairFacts(facts, problems, shift, _seam(opened))


def _seam(opened: Opened) -> float:
    if any(side is None for side in opened.sides):
        return np.nan
    return pair_seam_ratio(*opened.sides) if len(opened.sides) == 2 else middle_seam_ratio(opened.sides[0])


def as_rgb(pixels: np.ndarray) -> Image.Image:
    """Makes an RGB image to look at from [h, w, c] of any dtype: no alpha; more than 8 bits are stretched to 0..255."""
    colors = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1]
    if colors.dtype != np.uint8:
        low, high = float(colors.min()), float(colors.max())
        colors = ((colors.astype(np.float64) - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
    image = Image.fromarray(colors[:, :, 0] if colors.shape[2] == 1 else np.ascontiguousarray(colors))
    return image.convert("RGB")


def shrink(shown: Image.Image) -> np.ndarray:
    """Shrinks an RGB image to at most GRID pixels a side -> float32 [h, w, 3]. The aspect ratio may change."""
    size = min(registration.GRID, shown.width), min(registration.GRID, shown.height)
    return np.asarray(shown if size == shown.size else shown.resize(size, Image.Resampling.BOX), np.float32)


def _inspect_image(
    pixels: np.ndarray, shown: Image.Image, file_traits: frozenset[str], with_colors: bool
) -> ImageFacts:
    height, width, channels = pixels.shape
    squares = np.square(pixels, dtype=np.float32 if pixels.dtype == np.uint8 else np.float64)
    sums, squares = (np.sum(values, axis=(0, 1), dtype=np.float64) for values in (pixels, squares))
    statistics = Statistics(height * width, sums, squares)
    gray = shown.convert("L")
    is_byte = pixels.dtype == np.uint8
    is_constant = statistics.std.max() < CONSTANT if is_byte else pixels.min() == pixels.max()
    own_traits = {
        "constant": is_constant,
        "binary": not is_constant and _is_binary(np.array(gray.histogram())),
        "gray": channels == 1 and "colorless" not in file_traits,
        "alpha": channels == 4,
        "16-bit": pixels.dtype == np.uint16,
        "floats": pixels.dtype == np.float32,
    }
    digest = hashlib.blake2b(f"{pixels.dtype} {pixels.shape}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels))
    small = np.asarray(gray.resize((64, 64), Image.Resampling.BOX), np.float32)
    return ImageFacts(
        size=(width, height),
        kind=f"{pixels.dtype} x {channels}",
        statistics=statistics,
        traits=file_traits | {trait for trait, is_present in own_traits.items() if is_present},
        digest=int.from_bytes(digest.digest(), "little") or 1,
        hash=np.zeros(4, np.uint64) if is_constant else hash_of(small),
        colors=count_colors(pixels) if with_colors and is_byte else None,
    )


def _is_binary(histogram: np.ndarray) -> bool:
    """Whether 99.5 % of the pixels have the darkest or the brightest gray level, or one within JPEG's error of them."""
    low, high = np.flatnonzero(histogram)[[0, -1]]
    at_ends = histogram[low : low + 9].sum() + histogram[high - 8 : high + 1].sum()
    return high - low > 32 and at_ends >= 0.995 * histogram.sum()
