"""Turns facts into findings: each a problem, its severity, the affected files, and advice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.data_check.duplicates import group_near
from tf_pix2pix.data_check.facts import PAIR, SetFacts
from tf_pix2pix.data_check.registration import DISTINCT, LEAST_SHIFT, STRONG, Shift, direction
from tf_pix2pix.errors import format_list

SEVERITIES = ("error", "warning", "note")  # it would harm training; worth a look; good to know
HARMFUL = 0.05  # share of affected images or pairs from which a warning becomes an error
LEAST_MEDIAN_SHIFT = 0.75  # pixels of the grid: a shift that all pairs share can be measured this finely
LEAST_PAIRS = 20  # for a median shift

# kind -> problem and advice. Training refuses all but black_mask.
_PROBLEMS = {
    "unreadable": ("unreadable", "repair or remove the files"),
    "halves": (
        "an odd width, which cannot be cut into two halves",
        "save both images at one size, or check plain photos with --task",
    ),
    "sizes": ("A and B differ in size", "resize one of them to the other"),
    "transparent": ("transparency", "save the photos without it"),
    "mask": ("unusable mask", "repair or remove the mask"),
    "black_mask": ("black mask, which hides the whole pair from the L1 loss", "remove the pairs"),
}

# trait -> problem, advice, and severity if some images have it and if all have it.
TRAITS = {
    "palette": ("palette image", "training uses the palette's colors", "warning", "note"),
    "CMYK": ("CMYK, converted to RGB without a color profile", "save them as RGB", "warning", "warning"),
    "16-bit": ("16 bits a channel", "generated images get the depth of the targets", None, "note"),
    "floats": (
        "floats",
        "the least and the greatest become black and white; --input_range and --output_range set others",
        None,
        "note",
    ),
    "EXIF-rotated": ("rotated by EXIF", "training applies it, other programs may not", "warning", "note"),
    "animated": ("animation", "training reads the first frame", "warning", "note"),
    "alpha": ("alpha channel", "the networks have four channels if one image has", "warning", "note"),
    "gray": ("gray", "they become RGB if other images of their side are RGB", "note", "note"),
    "colorless": ("gray, although the task learns from colors", "remove the photos", "warning", "error"),
    "binary": ("only two values", "the resize method nearest keeps them", "note", "note"),
}


@dataclass(frozen=True)
class Finding:
    """One problem or oddity of a data set.

    Attributes:
      kind: its name in the report.
      severity: one of SEVERITIES.
      title: "WHAT: PROBLEM", with counts.
      advice: what to do, or what it means for training.
      files: names of all affected files or pairs, or groups of names that belong together.
    """

    kind: str
    severity: str
    title: str
    advice: str
    files: Sequence

    @property
    def count(self) -> int:
        return len(self.files)


def find_all(facts: SetFacts) -> list[Finding]:
    """Every finding except those of find_small, layout and label_maps."""
    exact, near = _copy_groups(facts)
    return [
        *_find_problems(facts),
        *_find_duplicates(facts, exact, near),
        *_find_shared(facts, near),
        *_find_shifts(facts),
        *_find_constant(facts),
        *_find_depths(facts),
        *_find_traits(facts),
    ]


def find_small(facts: SetFacts, crop_size: tuple[int, int]) -> Iterator[Finding]:
    """Images smaller than training's (height, width)."""
    width, height = facts.sizes[:, 0].T
    found = np.flatnonzero((width > 0) & ((height < crop_size[0]) | (width < crop_size[1])))
    if len(found):
        names = [f"{facts.name(number)} ({width[number]}x{height[number]})" for number in found]
        title = f"{format_count(len(found), facts.thing)}: smaller than {crop_size[1]}x{crop_size[0]} (width x height)"
        advice = "training enlarges, thus blurs them; lower --crop_size, or remove them"
        yield Finding("small", "warning", title, advice, names)


def format_count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def is_shifted(shifts: np.ndarray) -> np.ndarray:
    """float32 [n, 5], the fields of Shift -> bool [n], whether the shift is certain."""
    _, _, strength, distinct, grid_pixels = shifts.T
    return (strength > STRONG) & (distinct > DISTINCT) & (grid_pixels >= LEAST_SHIFT)


def _find_problems(facts: SetFacts) -> Iterator[Finding]:
    for kind, (problem, advice) in _PROBLEMS.items():
        if found := facts.problems.get(kind):
            affected = len({number for number, _ in found})
            is_harmful = kind != "black_mask" or affected >= HARMFUL * facts.counts["train"]
            names = [f"{facts.name(number)} ({text})" for number, text in found]
            title = f"{format_count(affected, facts.thing)}: {problem}"
            yield Finding(kind, "error" if is_harmful else "warning", title, advice, names)


def _copy_groups(facts: SetFacts) -> tuple[np.ndarray, np.ndarray]:
    """int [n] twice: equal numbers for pairs that are exact copies, and for pairs that are nearly the same."""
    readable = np.flatnonzero(facts.digests.all(axis=1))
    exact = np.arange(len(facts.digests))
    _, first, inverse = np.unique(facts.digests[readable], axis=0, return_index=True, return_inverse=True)
    exact[readable] = readable[first][inverse.ravel()]
    singles = readable[facts.hashes[readable].any(axis=(1, 2)) & (exact[readable] == readable)]
    near = np.arange(len(facts.digests))
    near[singles] = singles[group_near(facts.hashes[singles], np.arange(len(singles)))]
    return exact, near[exact]  # copies belong to the group of their original


def _find_duplicates(facts: SetFacts, exact: np.ndarray, near: np.ndarray) -> Iterator[Finding]:
    """Pairs that occur more than once, and leaks: in train and in val or test."""
    groups = _groups(near, np.flatnonzero(facts.digests.all(axis=1)))
    for word, problem, is_exact in (("exact", "exact copies", True), ("near", "nearly the same", False)):
        own = [group for group in groups if (len(set(exact[group])) == 1) == is_exact]
        if leaks := [group for group in own if _is_leak(facts, group)]:
            title = f"{format_count(len(leaks), 'group')} of {facts.thing}s in train and in val or test: {problem}"
            advice = "they make validation look better than it is; keep each image in one split"
            yield Finding(f"leak_{word}", "error", title, advice, _names(facts, leaks))
        if rest := [group for group in own if not _is_leak(facts, group)]:
            title = f"{format_count(len(rest), 'group')} of {facts.thing}s in one split: {problem}"
            yield Finding(f"duplicate_{word}", "warning", title, "keep one of each group", _names(facts, rest))


def _find_shared(facts: SetFacts, near: np.ndarray) -> Iterator[Finding]:
    """Images that occur in several different pairs, or on both sides."""
    if facts.sides != PAIR:
        return
    digests = facts.digests.copy()
    for side in (0, 1):
        digests[facts.traits.get(("constant", side), []), side] = 0  # constant images are equal by chance
    for side, (own, other) in enumerate((("A", "B"), ("B", "A"))):
        groups = _groups(digests[:, side], np.flatnonzero(digests[:, side]))
        if groups := [group for group in groups if len(set(near[group])) > 1]:
            title = f"{format_count(len(groups), 'image')} of {own}: paired with several different images of {other}"
            advice = "a network cannot learn which one is right; keep one of each group"
            if any(_is_leak(facts, group) for group in groups):
                advice += "; some are in train and in val or test, which makes validation look better than it is"
            yield Finding(f"shared_{own}", "warning", title, advice, _names(facts, groups))
    both = np.intersect1d(digests[:, 0], digests[:, 1])
    found = np.flatnonzero(np.isin(digests, both[both != 0]).any(axis=1))
    if len(found):
        title = f"{format_count(len(found), 'pair')}: an image that is both in A and in B"
        names = [facts.name(number) for number in found]
        yield Finding("both_sides", "warning", title, "check for swapped sides and files copied twice", names)


def _groups(keys: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """The groups of two or more numbers with equal keys."""
    order = numbers[np.argsort(keys[numbers], kind="stable")]
    ends = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return sorted((group for group in np.split(order, ends) if len(group) > 1), key=lambda group: group[0])


def _is_leak(facts: SetFacts, group: Sequence[int]) -> bool:
    splits = {facts.split_of(number) for number in group}
    return len(splits) > 1 and "train" in splits


def _names(facts: SetFacts, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    return [[facts.name(number) for number in group] for group in groups]


def _find_shifts(facts: SetFacts) -> Iterator[Finding]:
    shifts = facts.shifts
    found = np.flatnonzero(is_shifted(shifts))
    if len(found):
        worst = found[np.argsort(-shifts[found, 4])]
        names = [f"{facts.name(number)} ({Shift(*map(float, shifts[number]))})" for number in worst]
        severity = "error" if len(found) >= HARMFUL * len(shifts) else "warning"
        title = f"{format_count(len(found), 'pair')}: A and B are shifted against each other"
        yield Finding("shifted", severity, title, "see misregistration.png; align or remove them", names)
    strong = shifts[shifts[:, 2] > STRONG]
    if len(strong) >= max(LEAST_PAIRS, len(shifts) / 2) and len(found) < len(strong) / 2:
        dx, dy = np.median(strong[:, :2], axis=0)
        # Grid pixels in a pixel of the files, from the pairs that have a shift.
        scale = np.median(strong[:, 4] / np.maximum(np.hypot(strong[:, 0], strong[:, 1]), 1e-6))
        if np.hypot(dx, dy) * scale >= LEAST_MEDIAN_SHIFT:
            title = f"most pairs: B lies {direction(dx, dy)} of A"
            yield Finding("all_shifted", "error", title, "align the sides, which have different pixel grids", [])


def _find_constant(facts: SetFacts) -> Iterator[Finding]:
    for side, name in enumerate(facts.sides):
        if found := facts.traits.get(("constant", side)):
            severity = "error" if len(found) >= HARMFUL * facts.readable[side] else "warning"
            title = f"{len(found)} of {facts.readable[side]} {facts.images_of(side)}: all pixels have one color"
            names = [facts.file(number, side) for number in found]
            yield Finding(f"constant_{name}", severity, title, f"remove the {facts.thing}s", names)


def _find_depths(facts: SetFacts) -> Iterator[Finding]:
    """Sides with several bit depths, which training refuses. A finding names the files of the rarer depths."""
    for side, name in enumerate(facts.sides):
        depth_of = np.where(facts.digests[:, side] > 0, 0, -1)
        for depth, trait in ((1, "16-bit"), (2, "floats")):
            depth_of[facts.traits.get((trait, side), [])] = depth
        counts = np.bincount(depth_of[depth_of >= 0], minlength=3)
        if np.count_nonzero(counts) > 1:
            depths = zip(counts, images.DEPTH_NAMES.values(), strict=True)
            listed = ", ".join(f"{count} with {depth}" for count, depth in depths if count)
            advice = "convert the files to one depth"
            if not counts[2]:
                input_flag = "--input_depth=uint16 or, for targets, " if facts.sides == PAIR else ""
                advice += f", or train with {input_flag}--output_depth=uint16"
            others = np.flatnonzero((depth_of >= 0) & (depth_of != counts.argmax()))
            names = [facts.file(number, side) for number in others]
            title = f"{facts.images_of(side)}: several bit depths, {listed}"
            yield Finding(f"depths_{name}", "error", title, advice, names)


def _find_traits(facts: SetFacts) -> Iterator[Finding]:
    for (trait, side), found in sorted(facts.traits.items()):
        if trait not in TRAITS:
            continue
        problem, advice, of_some, of_all = TRAITS[trait]
        total = facts.readable[side]
        is_all = len(found) == total
        harms = trait == "colorless" and len(found) >= HARMFUL * total
        if severity := of_all if is_all or harms else of_some:
            names = [facts.file(number, side) for number in found]
            if severity == "note" and not is_all:  # the command lists the files of errors and warnings only
                advice += f": {format_list(names, most=5)}"
            title = f"{'all' if is_all else len(found)} of {total} {facts.images_of(side)}: {problem}"
            yield Finding(f"{trait}_{facts.sides[side]}", severity, title, advice, names)
