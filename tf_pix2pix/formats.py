"""What the pictures of each side are outside: found in the files, or asked for; kept in a run's config."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError
from tf_pix2pix.images import Format
from tf_pix2pix.input_pipeline import PreparedPairs

_LITTLE = 2**14  # of 16 bits, a quarter: above nothing, they may be fewer bits in 16


def formats_of(config: TrainConfig) -> tuple[Format, Format]:
    """Of the inputs and the targets of a run."""
    sides = (config.input_depth, config.input_range), (config.output_depth, config.output_range)
    return tuple(Format(depth or "uint8", range) for depth, range in sides)


def with_formats(prepared: Sequence[PreparedPairs], config: TrainConfig) -> list[PreparedPairs]:
    """The splits of a set, that to train on first, with one format on each side: as the config asks, or as the files.

    Floats without a range asked for get that of the pairs to train on, from their least to their most value.

    Raises:
      InputError: the pictures of a side have several depths, or not the one asked for and none that becomes it
        (images.with_depth); or floats are all of one value.
    """
    asked = (config.input_depth, config.input_range), (config.output_depth, config.output_range)
    found = [_format(prepared, side, *asked[side]) for side in ((1,) if config.task else (0, 1))]
    formats = found[0], found[-1]  # the inputs of a task are as its photos

    def converted(pairs: PreparedPairs) -> PreparedPairs:
        def read(index: int) -> tuple[np.ndarray, np.ndarray]:
            pair = pairs.read(index)
            try:
                return *map(images.with_depth, pair, formats), *pair[2:]
            except ValueError as error:
                raise InputError(f"{pairs.names[index]}: {error}") from None

        return dataclasses.replace(pairs, read=read, formats=formats)

    return [converted(pairs) for pairs in prepared]


def _format(prepared: Sequence[PreparedPairs], side: int, depth: str | None, range: tuple | None) -> Format:
    """That of the inputs (side 0) or the targets (1). depth, range: what is asked for, None: as in the files."""
    name = ("input", "output")[side]
    found: dict[str, str] = {}  # depths, and the first pair of each
    for pairs in prepared:
        found |= {own: pair for own, pair in pairs.depths[side].items() if own not in found}
    if depth is None and len(found) > 1:
        several = " but ".join(f"{pair} has {images.SPOKEN[depth]}" for depth, pair in found.items())
        widened = "" if "float32" in found else f", or give --{name}_depth=uint16, which the 8 bits become"
        raise InputError(f"{several}: a side needs one depth; convert the files{widened}")
    depth = depth or next(iter(found))
    extremes = prepared[0].extremes[side]
    if depth == "float32" and range is None:
        if extremes[0] == extremes[1]:
            raise InputError(f"the {name} pictures are all {extremes[0]:g}, no range; give --{name}_range=LOW,HIGH")
        range = tuple(map(float, extremes))
        print(f"{name} pictures are floats from {images.format_range(range)}; --{name}_range=LOW,HIGH sets others")
    try:
        format = Format(depth, range)
    except InputError as error:
        raise InputError(f"--{name}_range: {error}") from None
    if range and depth != "float32" and any(pairs.channels[side] == 4 for pairs in prepared):
        raise InputError(f"--{name}_range: it would be one of the alpha, too, of which all values count; leave it out")
    for own, pair in found.items():
        try:
            images.with_depth(np.zeros([1, 1, 1], own), format)
        except ValueError as error:
            raise InputError(f"{name}_depth={depth}, but {pair}: {error}, or leave out {name}_depth") from None
    if range is None and found.keys() == {"uint16"} and extremes and extremes[1] < _LITTLE:
        print(
            f"no {name} picture of 16 bits has a value above {extremes[1]}: if that is all they can have, "
            f"--{name}_range=0,{extremes[1]} shows the networks more of it"
        )
    return format
