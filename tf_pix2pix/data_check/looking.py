"""What one look at a pair, or at a photo, tells: little enough to be kept for every one of a large set."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.data_check import registration
from tf_pix2pix.data_check.duplicates import hash_of
from tf_pix2pix.datasets.folder import read_mask
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import TASKS, is_gray

CONSTANT = 1.0  # standard deviation, in levels of 255, below which a picture has nothing in it
_ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True)
class Opened:
    """A pair, or a photo, as training would read it.

    Attributes:
      pictures: A and B, or the photo, [h, w, c]; None where there is none.
      problems: (kind, what is wrong) of what training cannot use.
      traits: of the file of A and of the file of B, or of the photo's, what a program other than this may not expect.
    """

    pictures: tuple[np.ndarray | None, ...]
    problems: Sequence[tuple[str, str]] = ()
    traits: tuple[frozenset[str], ...] = (frozenset(), frozenset())


@dataclass(frozen=True)
class Source:
    """One split that is checked. `open` does not raise."""

    count: int  # of pairs or photos
    files: Callable[[int], tuple[str, ...]]  # index -> the name of a side-by-side picture or photo, or of A's and B's
    open: Callable[[int], Opened]


@dataclass(frozen=True)
class Statistics:
    """Sums over the pixels of some pictures of one kind, in the files' values."""

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


@dataclass
class PictureLook:
    """One picture: (width, height), its kind ("uint8 x 3"), traits, digest (never 0) and near-duplicate hash."""

    size: tuple[int, int]
    kind: str
    statistics: Statistics
    traits: set[str]
    digest: int
    hash: np.ndarray


@dataclass
class Look:
    """One pair or photo. pictures: of A and of B, or of the photo, None where there is none."""

    pictures: list[PictureLook | None]
    problems: list[tuple[str, str]] = field(default_factory=list)
    shift: registration.Shift | None = None


def open_files(paths: Sequence[Path], mask: Path | None = None) -> Opened:
    """Opens one side-by-side file, or the files of A and of B; a mask is looked at, and not kept."""
    opened = _read(paths)
    pictures, problems, traits = opened.pictures, list(opened.problems), opened.traits
    if len(paths) == 1:
        try:
            pictures = images.split_side_by_side(pictures[0]) if pictures[0] is not None else (None, None)
        except ValueError as error:
            return Opened((None, None), [("halves", f"{paths[0].name}: {error}")])
        traits = (*traits, frozenset())
    if mask and pictures[0] is not None:
        try:
            if not read_mask(mask, pictures[0].shape[:2]).any():
                problems.append(("black_mask", mask.name))
        except InputError as error:
            problems.append(("mask", str(error)))
    return Opened(pictures, problems, traits)


def open_photo(path: Path, task: str) -> Opened:
    """Opens a photo for a task."""
    return _as_photo(_read([path]), task)


def open_read(read: Callable[[int], tuple[np.ndarray, np.ndarray]], index: int, task: str | None = None) -> Opened:
    """Opens a pair, or with a task a photo, of a set that is not made of a folder's files."""
    sides = 1 if task else 2
    try:
        opened = Opened(read(index)[:sides], traits=(frozenset(),) * sides)
    except InputError as error:
        return Opened((None,) * sides, [("unreadable", str(error))], (frozenset(),) * sides)
    return _as_photo(opened, task) if task else opened


def _read(paths: Sequence[Path]) -> Opened:
    pictures, traits, problems = [], [], []
    for path in paths:
        pictures.append(None)
        traits.append(frozenset())
        try:
            encoded = path.read_bytes()
            traits[-1] = _traits(encoded)
            pictures[-1] = images.decode(encoded)
        except (OSError, ValueError) as error:
            problems.append(("unreadable", f"{path.name}: {error}"))
    return Opened(tuple(pictures), problems, tuple(traits))


def _as_photo(opened: Opened, task: str) -> Opened:
    """A photo as training takes it for a task: without an alpha channel, and in colour where the task needs that."""
    (photo,), (traits,) = opened.pictures, opened.traits
    if photo is None:
        return opened
    try:
        photo = images.with_channels(photo, min(photo.shape[2], 3))
    except ValueError as error:
        return Opened((None,), [("transparent", str(error))], (traits,))
    if TASKS[task].needs_color and is_gray(photo):
        traits |= {"colourless"}
    return Opened((photo,), opened.problems, (traits,))


def look(opened: Opened) -> Look:
    """Looks at a pair or a photo."""
    seen, reduced = [], []
    for picture, traits in zip(opened.pictures, opened.traits, strict=True):
        if picture is None:
            seen.append(None)
            continue
        shown = as_rgb(picture)
        seen.append(_look_at(picture, shown, set(traits)))
        reduced.append(reduce(shown))
    result = Look(seen, list(opened.problems))
    if len(seen) == 2 and None not in seen:
        a, b = (picture.shape[:2] for picture in opened.pictures)
        if a != b:
            result.problems.append(("sizes", f"A is {a[1]}x{a[0]} but B is {b[1]}x{b[0]}"))
        elif not any("constant" in picture.traits for picture in seen):
            result.shift = registration.estimate(*reduced, a)
    return result


def as_rgb(picture: np.ndarray) -> Image.Image:
    """[h, w, c] of any dtype -> RGB to look at: alpha left out, more than 8 bits stretched to what is there."""
    colours = picture[:, :, :3] if picture.shape[2] >= 3 else picture[:, :, :1]
    if colours.dtype != np.uint8:
        low, high = (float(end) for end in (colours.min(), colours.max()))
        colours = ((colours.astype(np.float64) - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
    image = Image.fromarray(colours[:, :, 0] if colours.shape[2] == 1 else np.ascontiguousarray(colours))
    return image.convert("RGB")


def reduce(shown: Image.Image, most: int = registration.GRID) -> np.ndarray:
    """A picture -> float32 [h, w, 3], stretched to at most so many pixels a side."""
    size = min(most, shown.width), min(most, shown.height)
    return np.asarray(shown if size == shown.size else shown.resize(size, Image.Resampling.BOX), np.float32)


def _look_at(picture: np.ndarray, shown: Image.Image, traits: set[str]) -> PictureLook:
    height, width, channels = picture.shape
    statistics = Statistics(
        height * width,
        picture.sum(axis=(0, 1), dtype=np.float64),
        np.square(picture, dtype=np.float32 if picture.dtype == np.uint8 else np.float64).sum(
            axis=(0, 1), dtype=np.float64
        ),
    )
    gray = shown.convert("L")
    is_even = statistics.std.max() < CONSTANT if picture.dtype == np.uint8 else picture.min() == picture.max()
    if is_even:
        traits.add("constant")
    elif _is_binary(np.array(gray.histogram())):
        traits.add("binary")
    if "colourless" not in traits:
        traits |= {1: {"gray"}, 4: {"alpha"}}.get(channels, set())
    traits |= {"uint16": {"16-bit"}, "float32": {"floats"}}.get(picture.dtype.name, set())
    digest = hashlib.blake2b(f"{picture.dtype} {picture.shape}".encode(), digest_size=8)
    digest.update(np.ascontiguousarray(picture))
    small = np.asarray(gray.resize((64, 64), Image.Resampling.BOX), np.float32)
    return PictureLook(
        size=(width, height),
        kind=f"{picture.dtype} x {channels}",
        statistics=statistics,
        traits=traits,
        digest=int.from_bytes(digest.digest(), "little") or 1,
        hash=np.zeros(4, np.uint64) if "constant" in traits else hash_of(small),
    )


def _is_binary(histogram: np.ndarray) -> bool:
    """Whether 99.5 % of the pixels are at, or within JPEG's error of, the darkest or the brightest gray."""
    low, high = np.flatnonzero(histogram)[[0, -1]]
    at_ends = histogram[low : low + 9].sum() + histogram[high - 8 : high + 1].sum()
    return high - low > 32 and at_ends >= 0.995 * histogram.sum()


def _traits(encoded: bytes) -> frozenset[str]:
    """What a file's head says that its pixels do not: nothing of a file that cannot be read."""
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            # Of a PNG file, Pillow would decode the pixels in search of a rotation.
            exif = picture.getexif() if picture.format != "PNG" or b"eXIf" in encoded else {}
            found = {
                "palette": picture.mode in ("P", "PA"),
                "CMYK": picture.mode == "CMYK",
                "EXIF-rotated": exif.get(_ORIENTATION, 1) != 1,
                "animated": getattr(picture, "is_animated", False),
            }
    except Exception:  # what is wrong with the file, decoding it will say
        return frozenset()
    return frozenset(trait for trait, is_there in found.items() if is_there)
