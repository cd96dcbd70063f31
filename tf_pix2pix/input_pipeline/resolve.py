"""From the config and the survey to the two Sides; refuses data sets that do not fit."""

import dataclasses
import sys

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets.pairs import INPUT, TARGET
from tf_pix2pix.errors import InputError, format_count, format_list
from tf_pix2pix.palettes import PALETTES, Palette, count_classes, find_palette, read_palette
from tf_pix2pix.scales import is_far, training_scale
from tf_pix2pix.seams import look_joined, look_single
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.survey import SideFacts, Survey
from tf_pix2pix.tasks import TASKS

_FLAGS = {INPUT: "input", TARGET: "output"}  # the sides' names in flags, such as --output_depth
_FEW_VALUES = 2**14  # a quarter of 16 bits: if all values are below it, a narrower range is likely right


def resolve(config: TrainConfig, surveys: dict[str, Survey], saved: Sides | None = None) -> Sides:
    """Decides the sides of a run: as the config asks, or else as the images are.

    Args:
      surveys: of the splits "train" and "val".
      saved: the sides of the run to resume. A palette found in the images then stays the same, because the networks
        have a channel for each of its colors.

    Raises:
      InputError: pairs cannot be used, images differ in depth, or images do not fit the config.
    """
    for split, found in surveys.items():
        _check_bad_pairs(split, found, config.max_bad_images)
    _warn_of_layout(config, surveys["train"])
    target = _resolve_side(TARGET, config, surveys, saved and saved.target.palette)
    _note_scale(config, surveys["train"].sides[TARGET].image_size)
    if config.task is None:
        return Sides(_resolve_side(INPUT, config, surveys, saved and saved.input.palette), target)
    task = TASKS[config.task]
    if task.needs_color and not surveys["train"].sides[TARGET].has_colors:
        raise InputError(
            f"--task={config.task}: requires color photos, but all are gray, such as "
            f"{surveys['train'].pairs.names[0]}; pass other photos or another task"
        )
    channels = task.input_channels or target.channels
    if config.input_channels not in (None, channels):
        raise InputError(f"--input_channels={config.input_channels}: {config.task} makes {channels}; leave it out")
    return Sides(dataclasses.replace(target, channels=channels), target)


def _check_bad_pairs(split: str, found: Survey, max_bad: int) -> None:
    """Raises InputError if all pairs are bad, or more than max_bad; prints the skipped ones."""
    bad, good = len(found.bad), len(found.pairs)
    counts, reasons = f"{bad} of {bad + good} {split} pairs", format_list(found.bad, "; ")
    if bad > max_bad or (bad and not good):
        skip = f", or skip them with --max_bad_images={bad}" if good else ""
        raise InputError(f"{counts} cannot be used: {reasons}. Fix or remove them{skip}")
    if bad:
        print(f"skipped {counts}: {reasons}", file=sys.stderr)


def _warn_of_layout(config: TrainConfig, train: Survey) -> None:
    """Prints that --task seems to be missing, or to be given by mistake."""
    if config.task is None and look_single(train.seams):
        print(
            "warning: the files look like single images cut in half, not like pairs; for plain photos pass --task=TASK "
            f"({', '.join(TASKS)})",
            file=sys.stderr,
        )
    if config.task and look_joined(train.seams):
        print(
            "warning: the files look like side-by-side pairs, not like photos; to train on pairs leave out "
            f"--task={config.task}",
            file=sys.stderr,
        )


def _note_scale(config: TrainConfig, size: tuple[int, int]) -> None:
    """Prints the scale at which the networks see the images, if it is far from that of the files."""
    scale = training_scale(size, config.jitter_size, config.fit)
    if not is_far(scale):
        return
    is_large = all(own >= crop for own, crop in zip(size, config.crop_size, strict=True))
    advice = "--fit=none trains at full size" if is_large else "a smaller --crop_size enlarges them less"
    relation = "of" if scale < 1 else "times"
    print(f"{size[1]}x{size[0]} images are seen at {scale:.2g} {relation} their size; {advice}")


def _resolve_side(side: str, config: TrainConfig, surveys: dict[str, Survey], saved: Palette | None) -> Side:
    facts = {split: found.sides[side] for split, found in surveys.items()}
    resize = config.resize_methods[side == TARGET]
    if side in config.palette_sides:
        palette = _resolve_palette(side, config, facts, saved)
        return Side(len(palette.colors[0]), palette=palette, resize="nearest", image_size=facts["train"].image_size)
    depth = _resolve_depth(side, config, facts)
    value_range = _resolve_range(side, config, facts["train"], depth, surveys["train"].complete)
    channels = _resolve_channels(side, config, facts, depth)
    if value_range and depth != "float32" and channels == 4:
        raise InputError(f"--{_FLAGS[side]}_range: alpha channels always use all values; leave it out for RGBA images")
    try:
        return Side(channels, depth, value_range, resize=resize, image_size=facts["train"].image_size)
    except InputError as error:
        raise InputError(f"--{_FLAGS[side]}_range={error}") from None


def _resolve_channels(side: str, config: TrainConfig, facts: dict[str, SideFacts], depth: str = "uint8") -> int:
    """The channels in the config, or the most of any image. Channels are only added: gray becomes RGB or RGBA."""
    wanted, flag = getattr(config, f"{_FLAGS[side]}_channels"), f"--{_FLAGS[side]}_channels"
    found = {channels: name for one in facts.values() for channels, name in one.channels.items()}
    most = max(found)
    channels = wanted or most
    if channels < most:
        raise InputError(f"{flag}={wanted}: {found[most]} has {most} channels; leave out {flag}, or convert the images")
    for own, name in found.items():
        try:
            images.with_channels(np.zeros([1, 1, own], depth), channels)
        except ValueError as error:  # floats do not gain an alpha channel
            raise InputError(f"{name}: {error}" + (f", or leave out {flag}={wanted}" if wanted else "")) from None
    return channels


def _resolve_depth(side: str, config: TrainConfig, facts: dict[str, SideFacts]) -> str:
    flag = f"--{_FLAGS[side]}_depth"
    wanted, value_range = (getattr(config, f"{_FLAGS[side]}_{what}") for what in ("depth", "range"))
    found: dict[str, str] = {}
    for one in facts.values():
        found = one.depths | found
    if wanted is None and len(found) > 1:
        several = " but ".join(f"{name} has {images.DEPTH_NAMES[depth]}" for depth, name in found.items())
        widen = "" if "float32" in found else f", or widen 8 bits to 16 with {flag}=uint16"
        raise InputError(f"{several}; all {side} images need one depth: convert them{widen}")
    depth = wanted or next(iter(found))
    for own, name in found.items():
        try:
            images.with_depth(np.zeros([1, 1, 1], own), depth, value_range)
        except ValueError as error:
            raise InputError(f"{flag}={depth}: {name}: {error}, or leave out {flag}") from None
    return depth


def _resolve_range(side: str, config: TrainConfig, facts: SideFacts, depth: str, complete: bool):
    """The range in the config; without one, floats have the extremes of the training images."""
    wanted, flag = getattr(config, f"{_FLAGS[side]}_range"), f"--{_FLAGS[side]}_range"
    low, high = map(float, facts.extremes)
    if depth == "float32" and wanted is None:
        if low == high:
            raise InputError(f"all {side} images have the single value {low:g}; set {flag}=LOW,HIGH")
        print(f"{side} images are floats from {images.format_range((low, high))}; {flag}=LOW,HIGH sets another range")
        return low, high
    if wanted is None and [*facts.depths] == ["uint16"] and complete and high < _FEW_VALUES:
        print(
            f"no 16-bit {side} image has a value above {high:.0f}; if that is the greatest they can have, "
            f"{flag}=0,{high:.0f} trains with more contrast"
        )
    return wanted


def _resolve_palette(side: str, config: TrainConfig, facts: dict[str, SideFacts], saved: Palette | None) -> Palette:
    """The palette in the config, of the resumed run, of the published set, or found; with its pixel counts."""
    channels = _resolve_channels(side, config, facts)
    palette = read_palette(config.palette) if config.palette else saved or PALETTES.get(config.dataset)
    if palette is None:
        palette = find_palette(facts["train"].colors, side)
        print(f"{side} images have {len(palette.colors)} colors; sides.json in the run directory lists them")
    elif palette is saved:
        channels = max(channels, len(saved.colors[0]))
    try:
        palette = palette.with_channels(channels)
    except ValueError:
        kind = {1: "gray", 3: "RGB", 4: "RGBA"}[channels]
        problem = f"--palette={config.palette}: its colors are not {kind}, as the {side} images are"
        raise InputError(f"{problem}; list {kind} colors") from None
    for split, one in facts.items():
        counted, unknown = count_classes(palette, one.colors)
        if split == "train":
            palette = counted
        if unknown:
            share = sum(unknown.values()) / sum(counted.counts)
            names = format_list([f"{name} ({format_count(count, 'pixel')})" for name, count in unknown.items()], most=3)
            print(
                f"{side} images ({split}): {share:.2%} of the pixels have colors that the palette lacks and get the "
                f"nearest one, first in {names}; --palette=FILE sets another palette",
                file=sys.stderr,
            )
    return palette
