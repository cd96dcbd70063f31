"""Reads a data set once and keeps the facts that findings are made from: about 150 bytes for each pair or photo."""

from collections import defaultdict
from itertools import accumulate

import numpy as np

from tf_pix2pix.data_check.inspection import PairFacts, Statistics, inspect
from tf_pix2pix.data_check.opening import Opened, Source
from tf_pix2pix.palettes import ColorCounts
from tf_pix2pix.threads import map_in_threads

PAIR, PHOTO = ("A", "B"), ("photo",)  # the names of the sides
COLORS_COUNTED = 100  # training pairs at most whose colors are counted: enough to tell label maps from photos


class SetFacts:
    """The facts of all n pairs, or photos, numbered through the splits in order.

    Attributes:
      sides: PAIR or PHOTO; s is their number.
      problems: kind -> (number, text).
      traits: (trait, side) -> numbers; side is 0 for A or a photo, 1 for B.
      readable: how many images of each side could be read.
      sizes: int32 [n, s, 2], (width, height). Here and in digests and hashes, 0 stands for an unreadable image.
      digests: uint64 [n, s], equal for equal pixels only.
      hashes: uint64 [n, s, 4] from duplicates.hash_of.
      shifts: float32 [n, 5], the fields of registration.Shift; NaN if missing.
      seams: float32 [n], seams.pair_seam_ratio, or middle_seam_ratio of a photo; NaN if unclear.
      statistics: (split, side, kind of image) -> their sums.
      colors: for each side, the colors of the pairs in color_sample; None if one has more than 8 bits a channel.
    """

    def __init__(self, sources: dict[str, Source], sides: tuple[str, ...]):
        self.sources, self.sides = sources, sides
        self.counts = {split: source.count for split, source in sources.items()}
        self.starts = dict(zip(sources, accumulate(self.counts.values(), initial=0), strict=False))
        count = sum(self.counts.values())
        self.problems: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.traits: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.readable = [0] * len(sides)
        self.sizes = np.zeros((count, len(sides), 2), np.int32)
        self.digests = np.zeros((count, len(sides)), np.uint64)
        self.hashes = np.zeros((count, len(sides), 4), np.uint64)
        self.shifts = np.full((count, 5), np.nan, np.float32)
        self.seams = np.full(count, np.nan, np.float32)
        self.statistics: dict[tuple[str, int, str], Statistics] = {}
        self.colors: list[ColorCounts | None] = [ColorCounts() for _ in sides]
        sampled = min(COLORS_COUNTED, self.counts["train"]) if sides == PAIR else 0
        self.color_sample = {self.starts["train"] + i * self.counts["train"] // sampled for i in range(sampled)}

    @property
    def thing(self) -> str:
        """ "pair" or "photo", for messages."""
        return "pair" if self.sides == PAIR else "photo"

    def images_of(self, side: int) -> str:
        return f"images of {self.sides[side]}" if self.sides == PAIR else "photos"

    def split_of(self, number: int) -> str:
        return [split for split, start in self.starts.items() if start <= number][-1]

    def files(self, number: int) -> tuple[str, ...]:
        """The name of a side-by-side file or photo, or the names of A's and B's files."""
        split = self.split_of(number)
        return self.sources[split].files(number - self.starts[split])

    def name(self, number: int) -> str:
        return " and ".join(self.files(number))

    def file(self, number: int, side: int) -> str:
        """The name of the file that holds one side."""
        return self.files(number)[-1 if side else 0]

    def open(self, number: int) -> Opened:
        split = self.split_of(number)
        return self.sources[split].open(number - self.starts[split])

    def add(self, number: int, found: PairFacts) -> None:
        """Adds the facts of one pair or photo."""
        for kind, text in found.problems:
            self.problems[kind].append((number, text))
        for side, image in enumerate(found.sides):
            if image is None:
                continue
            self.readable[side] += 1
            self.sizes[number, side] = image.size
            self.digests[number, side] = image.digest
            self.hashes[number, side] = image.hash
            for trait in image.traits:
                self.traits[trait, side].append(number)
            if number in self.color_sample and (counts := self.colors[side]):
                if image.colors is None:
                    self.colors[side] = None
                else:
                    counts.add(image.colors, self.name(number))
            key = self.split_of(number), side, image.kind
            before = self.statistics.get(key)
            self.statistics[key] = before + image.statistics if before else image.statistics
        self.seams[number] = found.seam
        if shift := found.shift:
            self.shifts[number] = shift.dx, shift.dy, shift.strength, shift.distinct, shift.grid_pixels


def collect_facts(sources: dict[str, Source], sides: tuple[str, ...]) -> SetFacts:
    """Inspects every pair or photo of every split, with a progress bar."""
    facts = SetFacts(sources, sides)
    numbers = range(len(facts.sizes))

    def inspect_one(number: int) -> PairFacts:
        return inspect(facts.open(number), with_colors=number in facts.color_sample)

    inspected = map_in_threads(inspect_one, numbers, f"reading {facts.thing}s", facts.thing)
    for number, found in zip(numbers, inspected, strict=True):
        facts.add(number, found)
    return facts
