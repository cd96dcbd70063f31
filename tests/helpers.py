"""Functions that several test modules share."""

from typing import NamedTuple

import numpy as np


class _Palette(NamedTuple):
    array: np.ndarray  # uint8 [k, c]


class _Side(NamedTuple):
    channels: int
    palette: _Palette | None


class _Sides(NamedTuple):
    input: _Side
    target: _Side


def make_sides(input_side, target_side) -> _Sides:
    """Both sides of pairs of 8-bit images; each argument is a number of channels or the palette's colors [k, c]."""

    def side(given):
        return _Side(given, None) if isinstance(given, int) else _Side(given.shape[1], _Palette(given))

    return _Sides(side(input_side), side(target_side))
