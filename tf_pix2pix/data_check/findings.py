"""From what was gathered to findings: what is wrong or odd, how bad, which files, and the way out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.data_check.duplicates import group_near
from tf_pix2pix.data_check.gathering import Gathered
from tf_pix2pix.data_check.registration import DISTINCT, LEAST_SHIFT, STRONG, Shift, direction

SEVERITIES = ("error", "warning", "note")  # training would be harmed; worth a look; good to know
HARMFUL = 0.05  # the share of what a few do no harm from which it is an error: constant, gray or shifted pictures
LEAST_MEDIAN_SHIFT = 0.75  # of GRID pixels: a shift that all pairs have in common is told this finely
ENOUGH = 20  # pairs from which a median is taken

_PROBLEMS = {
    "unreadable": "that cannot be read; mend or remove them",
    "halves": "that cannot be cut into two halves; save both pictures with one size, or check plain photos with --task",
    "sizes": "of two sizes; training takes pictures of one size in a pair",
    "transparent": "with transparency, which training refuses; save them without",
    "mask": "with a mask that training refuses; mend or remove it",
    "black_mask": "with a mask that is black all over; the L1 loss does not see them, remove them",
}
# Trait -> what it means. What only some pictures of a side have is a warning, but for what does no harm; what all have,
# a note, but for what does.
_TRAITS = {
    "palette": "palette pictures; their colours are taken",
    "CMYK": "CMYK pictures; their colours are converted without a profile, save them as RGB",
    "16-bit": "pictures of 16 bits a channel; what is translated has the depth of the targets",
    "floats": "floats; the least and the greatest to train on become black and white, unless training is told a range",
    "EXIF-rotated": "turned by an EXIF tag, which is obeyed; programs that do not will show them otherwise",
    "animated": "animations; the first frame is taken",
    "alpha": "pictures with an alpha channel; a network gets four channels for all as soon as one has it",
    "gray": "gray pictures",
    "colourless": "gray, though the task learns from colours; remove them",
    "binary": "pictures of only two values",
}


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
      severity: one of SEVERITIES.
      title: what was found, with its count, for the verdict.
      advice: what it means, and the way out.
      files: which, all of them; names, or groups of names that belong together.
    """

    kind: str
    severity: str
    title: str
    advice: str
    files: Sequence

    @property
    def count(self) -> int:
        return len(self.files)


def find_all(gathered: Gathered) -> list[Finding]:
    """All that the looks at the pictures tell."""
    parts = (_problems, _duplicates, _shifted, _constant, _depths, _traits)
    return [finding for part in parts for finding in part(gathered)]


def find_small(gathered: Gathered, crop_size: tuple[int, int]) -> Iterator[Finding]:
    """What is smaller than training's (height, width)."""
    width, height = gathered.sizes[:, 0].T
    found = np.flatnonzero((width > 0) & ((height < crop_size[0]) | (width < crop_size[1])))
    if len(found):
        names = [f"{gathered.name(number)} ({width[number]}x{height[number]})" for number in found]
        title = f"{counted(len(found), gathered.thing)} smaller than {crop_size[1]}x{crop_size[0]}"
        advice = "training enlarges them, which blurs; lower --crop_size, or remove them"
        yield Finding("small", "warning", title, advice, names)


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def is_shifted(shifts: np.ndarray) -> np.ndarray:
    """float32 [n, 5] -> bool [n]: surely shifted."""
    _, _, strength, distinct, grid_pixels = shifts.T
    return (strength > STRONG) & (distinct > DISTINCT) & (grid_pixels >= LEAST_SHIFT)


def _problems(gathered: Gathered) -> Iterator[Finding]:
    for kind, advice in _PROBLEMS.items():
        if found := gathered.problems.get(kind):
            number_of = len({number for number, _ in found})
            names = [f"{gathered.name(number)} ({text})" for number, text in found]
            what, advice = advice.split("; ")
            is_harmful = kind != "black_mask" or number_of >= HARMFUL * gathered.counts["train"]
            title = f"{counted(number_of, gathered.thing)} {what}"
            yield Finding(kind, "error" if is_harmful else "warning", title, advice, names)


def _duplicates(gathered: Gathered) -> Iterator[Finding]:
    """What is there more than once, and leaks: what is in train and in val or test."""
    digests = gathered.digests
    whole = np.flatnonzero(digests.all(axis=1))
    exact = np.arange(len(digests))
    _, first, inverse = np.unique(digests[whole], axis=0, return_index=True, return_inverse=True)
    exact[whole] = whole[first][inverse.ravel()]
    singles = whole[gathered.hashes[whole].any(axis=(1, 2)) & (exact[whole] == whole)]
    near = np.arange(len(digests))
    near[singles] = singles[group_near(gathered.hashes[singles], np.arange(len(singles)))]
    near = near[exact]  # the group of each pair, exact copies with what they are copies of

    groups = [list(group) for group in _groups(near, whole)]
    alike = [(group, len(set(exact[group])) == 1) for group in groups]
    for is_exact, what in ((True, "exact copies"), (False, "nearly the same")):
        some = [group for group, exactly in alike if exactly == is_exact]
        leaks = [group for group in some if _crosses(gathered, group)]
        rest = [group for group in some if not _crosses(gathered, group)]
        word = "exact" if is_exact else "near"
        if leaks:
            advice = "held-out figures are too good; keep each picture in one split"
            title = f"{counted(len(leaks), 'group')} of {gathered.thing}s in train and in val or test, {what}"
            yield Finding(f"leak_{word}", "error", title, advice, _named(gathered, leaks))
        if rest:
            title = f"{counted(len(rest), 'group')} of {gathered.thing}s of one split, {what}"
            advice = "they count several times; keep one of each"
            yield Finding(f"duplicate_{word}", "warning", title, advice, _named(gathered, rest))

    if len(gathered.sides) == 1:
        return
    telling = digests.copy()  # constant pictures are alike without being the same
    for side in (0, 1):
        telling[gathered.traits.get(("constant", side), []), side] = 0
    for side, (own, other) in enumerate((("A", "B"), ("B", "A"))):
        groups = _groups(telling[:, side], np.flatnonzero(telling[:, side]))
        groups = [group for group in groups if len(set(near[group])) > 1]
        if groups:
            leaks = any(_crosses(gathered, group) for group in groups)
            title = f"{counted(len(groups), 'picture')} of {own} with several different pictures of {other}"
            where = "some of them in train and in val or test, where held-out figures are too good; " if leaks else ""
            advice = where + "which one is right, a network cannot tell"
            yield Finding(f"shared_{own}", "warning", title, advice, _named(gathered, groups))

    both = np.intersect1d(telling[:, 0], telling[:, 1])
    found = np.flatnonzero(np.isin(telling, both[both != 0]).any(axis=1))
    if len(found):
        title = f"{counted(len(found), 'pair')} with a picture that is in A and in B"
        names = [gathered.name(number) for number in found]
        yield Finding("both_sides", "warning", title, "the sides may be mixed up, or a file copied twice", names)


def _groups(keys: np.ndarray, among: np.ndarray) -> list[np.ndarray]:
    """The numbers `among` that have the same key, where there are several."""
    order = among[np.argsort(keys[among], kind="stable")]
    ends = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return sorted((group for group in np.split(order, ends) if len(group) > 1), key=lambda group: group[0])


def _crosses(gathered: Gathered, group: Sequence[int]) -> bool:
    splits = {gathered.split_of(number) for number in group}
    return len(splits) > 1 and "train" in splits


def _named(gathered: Gathered, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    return [[gathered.name(number) for number in group] for group in groups]


def _shifted(gathered: Gathered) -> Iterator[Finding]:
    shifts = gathered.shifts
    found = np.flatnonzero(is_shifted(shifts))
    if len(found):
        worst = found[np.argsort(-shifts[found, 4])]
        names = [f"{gathered.name(number)} ({Shift(*map(float, shifts[number]))})" for number in worst]
        severity = "error" if len(found) >= HARMFUL * len(shifts) else "warning"
        title = f"{counted(len(found), 'pair')} whose pictures are shifted against each other"
        yield Finding("shifted", severity, title, "see misregistration.png; align or remove them", names)
    strong = shifts[shifts[:, 2] > STRONG]
    if len(strong) >= max(ENOUGH, len(shifts) / 2) and len(found) < len(strong) / 2:
        dx, dy = np.median(strong[:, :2], axis=0)
        # Pixels of files to those of the grid, by the pairs that have a shift.
        scale = np.median(strong[:, 4] / np.maximum(np.hypot(strong[:, 0], strong[:, 1]), 1e-6))
        if np.hypot(dx, dy) * scale >= LEAST_MEDIAN_SHIFT:
            title = f"in most pairs B lies {direction(dx, dy)} of A"
            yield Finding("all_shifted", "error", title, "the sides come from two grids; align them", [])


def _constant(gathered: Gathered) -> Iterator[Finding]:
    for side, name in enumerate(gathered.sides):
        if found := gathered.traits.get(("constant", side)):
            severity = "error" if len(found) >= HARMFUL * gathered.seen[side] else "warning"
            names = [gathered.file(number, side) for number in found]
            title = f"{len(found)} of {gathered.seen[side]} {gathered.pictures_of(side)} with nothing in them"
            advice = f"all pixels have one colour; remove the {gathered.thing}s"
            yield Finding(f"constant_{name}", severity, title, advice, names)


def _depths(gathered: Gathered) -> Iterator[Finding]:
    """Sides of several depths, which training refuses; named are the pictures that are not of the most frequent one."""
    for side, name in enumerate(gathered.sides):
        depth_of = np.where(gathered.digests[:, side] > 0, 0, -1)
        for number, trait in ((1, "16-bit"), (2, "floats")):
            depth_of[gathered.traits.get((trait, side), [])] = number
        counts = np.bincount(depth_of[depth_of >= 0], minlength=3)
        if np.count_nonzero(counts) > 1:
            spoken = zip(counts, images.DEPTH_NAMES.values(), strict=True)
            said = ", ".join(f"{count} of {depth}" for count, depth in spoken if count)
            advice = "a side needs one; convert the files"
            if not counts[2]:
                side_flags = "--input_depth=uint16 or, of targets, " if len(gathered.sides) == 2 else ""
                advice += f", or train with {side_flags}--output_depth=uint16"
            strange = np.flatnonzero((depth_of >= 0) & (depth_of != counts.argmax()))
            names = [gathered.file(number, side) for number in strange]
            title = f"{gathered.pictures_of(side)} of several depths: {said}"
            yield Finding(f"depths_{name}", "error", title, advice, names)


def _traits(gathered: Gathered) -> Iterator[Finding]:
    for (trait, side), found in sorted(gathered.traits.items()):
        every = len(found) == gathered.seen[side]
        if trait not in _TRAITS or (trait in ("16-bit", "floats") and not every):  # _depths says it of some
            continue
        severity = "note" if trait in ("gray", "binary") or (every and trait != "CMYK") else "warning"
        if trait == "colourless":
            severity = "error" if len(found) >= HARMFUL * gathered.seen[side] else "warning"
        names = [gathered.file(number, side) for number in found]
        meaning, _, advice = _TRAITS[trait].partition("; ")
        what = f"{'all' if every else len(found)} of {gathered.seen[side]} {gathered.pictures_of(side)}"
        yield Finding(f"{trait}_{gathered.sides[side]}", severity, f"{what} are {meaning}", advice, names)
