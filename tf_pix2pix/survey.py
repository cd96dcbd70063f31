"""The survey: one pass over a split that collects every fact that training requires before it starts.

It converts nothing and refuses nothing: input_pipeline/resolve.py decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import INPUT, MASK, Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import ColorCounts, count_colors
from tf_pix2pix.seams import middle_seam_ratio, pair_seam_ratio
from tf_pix2pix.tasks import is_gray
from tf_pix2pix.threads import map_in_threads

SAMPLE = 8  # pairs read from a uniform split: one shows depth and channels, several whether photos have colors
SEAMS = 64  # pairs or photos whose seams are measured, spread over the split; each takes 0.8 ms, as long as decoding


@dataclass
class SideFacts:
    """The facts about the images of one side.

    Attributes:
      channels: number of channels -> the name of the first pair with it.
      depths: depth -> the name of the first pair with it.
      sizes: the (height, width) of each image.
      extremes: the least and the greatest value of all images.
      colors: the counted colors, of label sides only.
      has_colors: some photo is not gray.
    """

    channels: dict[int, str] = field(default_factory=dict)
    depths: dict[str, str] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    extremes: tuple[float, float] = (np.inf, -np.inf)
    colors: ColorCounts = field(default_factory=ColorCounts)
    has_colors: bool = False

    @property
    def image_size(self) -> tuple[int, int]:
        """The median height and width."""
        height, width = np.median(self.sizes, axis=0)
        return int(height), int(width)


@dataclass
class Survey:
    """The facts about one split.

    Attributes:
      pairs: the usable pairs.
      bad: the reason for each unusable pair.
      complete: every pair was read, not only a sample.
      sides: "input" and "target"; for photos "target" alone.
      seams: seams.pair_seam_ratio of some pairs, or middle_seam_ratio of some photos.
    """

    pairs: Pairs
    bad: list[str]
    complete: bool
    sides: dict[str, SideFacts]
    seams: list[float]


def survey(
    pairs: Pairs, *, min_size: tuple[int, int] | None = None, label_sides: Sequence[str] = (), description: str
) -> Survey:
    """Reads all pairs on all cores, with a progress bar.

    A uniform split needs only a sample, unless colors are counted, or the sample has floats or bad pairs.

    Args:
      min_size: (height, width); pairs of smaller images are bad.
      label_sides: the sides whose colors are counted.
      description: of the progress bar.
    """
    if pairs.uniform and not label_sides:
        sample = _survey(pairs, range(min(SAMPLE, len(pairs))), min_size, label_sides, description)
        if not sample.bad and all("float32" not in facts.depths for facts in sample.sides.values()):
            return sample
    return _survey(pairs, range(len(pairs)), min_size, label_sides, description)


def _survey(pairs, indices, min_size, label_sides, description) -> Survey:
    def inspect(index):
        try:
            return _inspect(pairs, index, min_size, label_sides, with_seam=index % every == 0)
        except InputError as error:
            return error

    every = -(-len(indices) // SEAMS)
    sides = {part: SideFacts() for part in pairs.parts}
    sides.pop(MASK, None)
    bad: dict[int, str] = {}
    seams: list[float] = []
    for index, found in zip(indices, map_in_threads(inspect, indices, description, "pair"), strict=True):
        if isinstance(found, InputError):
            bad[index] = str(found)
            continue
        inspected, seam = found
        seams += [] if seam is None else [seam]
        for facts, image in zip(sides.values(), inspected, strict=True):
            _add(facts, image, pairs.names[index])
    good = pairs.select([index for index in range(len(pairs)) if index not in bad]) if bad else pairs
    return Survey(good, list(bad.values()), len(indices) == len(pairs), sides, seams)


@dataclass
class _Image:
    channels: int
    depth: str
    size: tuple[int, int]
    extremes: tuple[float, float]
    has_colors: bool
    colors: tuple | None


def _inspect(pairs: Pairs, index: int, min_size, label_sides, with_seam) -> tuple[list[_Image], float | None]:
    """The facts about one pair's images, and its seam ratio if asked for. Raises InputError if it cannot be used."""
    found, are_photos = [], INPUT not in pairs.parts
    read = pairs.read(index)
    for part, image in zip(pairs.parts, read, strict=True):
        if part == MASK:
            continue
        try:
            if are_photos:  # they lose an opaque alpha
                image = images.with_channels(image, min(image.shape[2], 3))
            if min_size:
                images.fitted_size(image.shape[:2], min_size, "none")
            colors = count_colors(image) if part in label_sides else None
        except ValueError as error:
            raise InputError(f"{pairs.names[index]}: {error}") from None
        extremes, has_colors = (image.min(), image.max()), are_photos and not is_gray(image)
        found.append(_Image(image.shape[2], image.dtype.name, image.shape[:2], extremes, has_colors, colors))
    if not with_seam:
        return found, None
    return found, middle_seam_ratio(read[0]) if are_photos else pair_seam_ratio(read[0], read[1])


def _add(facts: SideFacts, image: _Image, name: str) -> None:
    facts.channels.setdefault(image.channels, name)
    facts.depths.setdefault(image.depth, name)
    facts.sizes.append(image.size)
    facts.extremes = min(facts.extremes[0], image.extremes[0]), max(facts.extremes[1], image.extremes[1])
    facts.has_colors = facts.has_colors or image.has_colors
    if image.colors is not None:
        facts.colors.add(image.colors, name)
