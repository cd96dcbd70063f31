"""Opens pairs and photos as training reads them, and records what is wrong with them instead of raising."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.datasets.folder import read_mask
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import TASKS, is_gray

_ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True)
class Opened:
    """A pair or a photo.

    Attributes:
      sides: A and B, or the photo, [h, w, c] each; None if it cannot be read.
      problems: (kind, text) for each reason why training would refuse it.
      traits: for each side, properties of its file that other programs may handle differently.
    """

    sides: tuple[np.ndarray | None, ...]
    problems: Sequence[tuple[str, str]] = ()
    traits: tuple[frozenset[str], ...] = (frozenset(), frozenset())


@dataclass(frozen=True)
class Source:
    """One split.

    Attributes:
      count: number of pairs or photos.
      files: index -> the name of the side-by-side file or photo, or the names of A's and B's files.
      open: index -> Opened. It never raises InputError.
    """

    count: int
    files: Callable[[int], tuple[str, ...]]
    open: Callable[[int], Opened]


def open_files(paths: Sequence[Path], mask: Path | None = None) -> Opened:
    """Opens one side-by-side file, or the files of A and of B, and checks the pair's mask."""
    opened = _read(paths)
    if len(paths) == 1:
        opened = _cut(opened, paths[0].name)
    if mask and opened.sides[0] is not None:
        try:
            weights = read_mask(mask, opened.sides[0].shape[:2])
        except InputError as error:
            return _with_problem(opened, "mask", str(error))
        if not weights.any():
            return _with_problem(opened, "black_mask", mask.name)
    return opened


def open_photo(path: Path, task: str) -> Opened:
    """Opens a photo for a task."""
    return _as_photo(_read([path]), task)


def open_pair(read: Callable[[int], tuple[np.ndarray, ...]], index: int, task: str | None = None) -> Opened:
    """Opens a pair of Pairs.read, or with a task, a photo."""
    count = 1 if task else 2
    nothing = Opened((None,) * count, traits=(frozenset(),) * count)
    try:
        opened = replace(nothing, sides=read(index)[:count])
    except InputError as error:
        return _with_problem(nothing, "unreadable", str(error))
    return _as_photo(opened, task) if task else opened


def _read(paths: Sequence[Path]) -> Opened:
    """Reads and decodes each file."""
    sides, traits, problems = [], [], []
    for path in paths:
        pixels, own_traits = None, frozenset()
        try:
            encoded = path.read_bytes()
            own_traits = _header_traits(encoded)
            pixels = images.decode(encoded)
        except (OSError, ValueError) as error:
            problems.append(("unreadable", f"{path.name}: {error}"))
        sides.append(pixels)
        traits.append(own_traits)
    return Opened(tuple(sides), problems, tuple(traits))


def _cut(opened: Opened, name: str) -> Opened:
    """Cuts a side-by-side image into A and B."""
    traits = (*opened.traits, frozenset())  # of one file, reported once
    if opened.sides[0] is None:
        return Opened((None, None), opened.problems, traits)
    try:
        return Opened(images.split_side_by_side(opened.sides[0]), opened.problems, traits)
    except ValueError as error:
        return Opened((None, None), [("halves", f"{name}: {error}")])


def _as_photo(opened: Opened, task: str) -> Opened:
    """Drops the alpha channel of a photo as training does, and marks gray photos if the task needs color."""
    (photo,), (traits,) = opened.sides, opened.traits
    if photo is None:
        return opened
    try:
        photo = images.with_channels(photo, min(photo.shape[2], 3))
    except ValueError as error:
        return _with_problem(replace(opened, sides=(None,)), "transparent", str(error))
    if TASKS[task].needs_color and is_gray(photo):
        traits |= {"colorless"}
    return replace(opened, sides=(photo,), traits=(traits,))


def _with_problem(opened: Opened, kind: str, text: str) -> Opened:
    return replace(opened, problems=[*opened.problems, (kind, text)])


def _header_traits(encoded: bytes) -> frozenset[str]:
    """The traits that a file's header reveals but its pixels do not; none for an unreadable file."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            # In a PNG without this chunk, Pillow would decode all pixels to look for an orientation.
            exif = image.getexif() if image.format != "PNG" or b"eXIf" in encoded else {}
            found = {
                "palette": image.mode in ("P", "PA"),
                "CMYK": image.mode == "CMYK",
                "EXIF-rotated": exif.get(_ORIENTATION, 1) != 1,
                "animated": getattr(image, "is_animated", False),
            }
    except Exception:  # decoding reports what is wrong with the file
        return frozenset()
    return frozenset(trait for trait, is_present in found.items() if is_present)
