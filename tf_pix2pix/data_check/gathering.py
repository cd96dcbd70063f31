"""Reads a data set once, and keeps of every pair, or photo, what findings are made of: about 150 bytes."""

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import numpy as np
from tqdm import tqdm

from tf_pix2pix.data_check.looking import Look, Source, Statistics, look

PAIR, PHOTO = ("A", "B"), ("photo",)  # the sides of what is checked

AHEAD = 256  # pairs that threads look at in one go: enough for all of them, few enough for any memory


class Gathered:
    """What the looks at all pairs, or photos, told. They are numbered through the splits, in their order.

    Attributes:
      sides: PAIR or PHOTO, s of them below.
      problems: kind -> (pair, what is wrong).
      traits: (trait, side) -> pairs, side 0 for A and 1 for B.
      seen: pictures of each side that could be read.
      sizes: int32 [n, s, 2], (width, height) of each side; 0 where there is none, here and below.
      digests: uint64 [n, s]; equal for equal pixels.
      hashes: uint64 [n, s, 4] of duplicates.hash_of.
      shifts: float32 [n, 5], the fields of registration.Shift; NaN where there is none.
      statistics: (split, side, kind of picture) -> the sums over these pictures.
    """

    def __init__(self, sources: dict[str, Source], sides: tuple[str, ...]):
        self.sources, self.sides = sources, sides
        self.counts = {split: source.count for split, source in sources.items()}
        self.starts = dict(zip(sources, accumulate(self.counts.values(), initial=0), strict=False))
        count = sum(self.counts.values())
        self.problems: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.traits: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.seen = [0] * len(sides)
        self.sizes = np.zeros((count, len(sides), 2), np.int32)
        self.digests = np.zeros((count, len(sides)), np.uint64)
        self.hashes = np.zeros((count, len(sides), 4), np.uint64)
        self.shifts = np.full((count, 5), np.nan, np.float32)
        self.statistics: dict[tuple[str, int, str], Statistics] = {}

    @property
    def thing(self) -> str:
        """What is numbered, for messages."""
        return "pair" if self.sides == PAIR else "photo"

    def pictures_of(self, side: int) -> str:
        """The pictures of one side, for messages."""
        return f"pictures of {self.sides[side]}" if self.sides == PAIR else "photos"

    def split_of(self, index: int) -> str:
        return [split for split, start in self.starts.items() if start <= index][-1]

    def files(self, index: int) -> tuple[str, ...]:
        """The names of a pair's files."""
        split = self.split_of(index)
        return self.sources[split].files(index - self.starts[split])

    def name(self, index: int) -> str:
        return " and ".join(self.files(index))

    def file(self, index: int, side: int) -> str:
        """The name of the file with one side."""
        return self.files(index)[-1 if side else 0]

    def open(self, index: int):
        split = self.split_of(index)
        return self.sources[split].open(index - self.starts[split])


def gather(sources: dict[str, Source], sides: tuple[str, ...]) -> Gathered:
    """Looks at every pair or photo of every split, with a progress bar."""
    gathered = Gathered(sources, sides)
    thing = gathered.thing
    with tqdm(total=len(gathered.sizes), desc=f"looking at {thing}s", unit=thing, disable=None) as bar:
        for split, source in sources.items():
            for number, seen in enumerate(_looks(source), gathered.starts[split]):
                _add(gathered, split, number, seen)
                bar.update()
    return gathered


def _looks(source: Source) -> Iterator[Look]:
    """A look at every pair in order, by as many threads as there are cores: most of it is done outside of Python."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, source.count, AHEAD):
            chunk = range(start, min(start + AHEAD, source.count))
            yield from pool.map(lambda index: look(source.open(index)), chunk)


def _add(gathered: Gathered, split: str, number: int, seen: Look) -> None:
    for kind, text in seen.problems:
        gathered.problems[kind].append((number, text))
    for side, picture in enumerate(seen.pictures):
        if picture is None:
            continue
        gathered.seen[side] += 1
        gathered.sizes[number, side] = picture.size
        gathered.digests[number, side] = picture.digest
        gathered.hashes[number, side] = picture.hash
        for trait in picture.traits:
            gathered.traits[trait, side].append(number)
        key = split, side, picture.kind
        so_far = gathered.statistics.get(key)
        gathered.statistics[key] = so_far + picture.statistics if so_far else picture.statistics
    if seen.shift:
        shift = seen.shift
        gathered.shifts[number] = shift.dx, shift.dy, shift.strength, shift.distinct, shift.grid_pixels
