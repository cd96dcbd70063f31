"""Translates large images in overlapping tiles and blends them. The network needs only the memory for one tile.

A tile sees, and is normalized over, only its own pixels. With per-image norm, the result is therefore close to the
untiled one but not equal, and tiles should be as large as memory allows. Neighbors overlap by a quarter of a tile: the
outer quarters of the overlap, which a tile's border affects, are dropped, and the middle half blends the two tiles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import RunError
from tf_pix2pix.sides import Side, Sides

OVERLAP = 1 / 4  # the least share of a tile that its neighbor covers too
BLEND = 1 / 2  # the share of the overlap in which neighbors are blended


@dataclass(frozen=True)
class Span:
    """The extent of a tile along one axis, in pixels, and the weight of each pixel, float32 [stop - start]."""

    start: int
    stop: int
    weights: np.ndarray


def tile_side(max_pixels: int, multiple: int) -> int:
    """Returns the side of the largest square tile of at most max_pixels: a multiple of `multiple`, at least that."""
    return max(math.isqrt(max_pixels) // multiple, 1) * multiple


def alignment(tile: int, multiple: int) -> int:
    """Returns the number at whose multiples tiles begin, so that the network halves all tiles at the same pixels.

    Args:
      tile: the tile's length in pixels.
      multiple: the network requires sizes that are multiples of it. It is returned unchanged, or halved until tiles of
        this length can overlap.
    """
    while multiple > max(tile * OVERLAP, 1):
        multiple = -(-multiple // 2)
    return multiple


def spans(length: int, tile: int, multiple: int = 1, fixed: bool = False, blended: bool = True) -> list[Span]:
    """Spreads tiles evenly along an axis of `length` pixels. The weights sum to 1 at each pixel.

    Args:
      length: in pixels. The last tile is aligned like the others if length - tile is a multiple of the alignment.
      tile: the most pixels of a tile, at least 4.
      multiple: the network requires sizes that are multiples of it.
      fixed: several tiles have exactly `tile` pixels each; otherwise they are as small as their number allows.
      blended: neighbors blend into each other; otherwise each pixel comes from one tile, as label maps need, which have
        no colors between those of the classes.
    """
    if length <= tile:
        return [Span(0, length, np.ones(length, np.float32))]
    step = alignment(tile, multiple)
    overlap = tile - int(tile * (1 - OVERLAP)) // step * step  # the least: tiles lie whole steps apart
    count = math.ceil((length - overlap) / (tile - overlap))
    if not fixed:
        least = math.ceil((length + (count - 1) * overlap) / count)
        tile = min(tile, math.ceil(least / multiple) * multiple, length)
    starts = [round(number * (length - tile) / (count - 1) / step) * step for number in range(count - 1)]
    starts.append(length - tile)
    weights = [np.ones(tile, np.float32) for _ in starts]
    for number in range(count - 1):  # blend each tile with the next in the middle of their overlap
        shared = starts[number] + tile - starts[number + 1]
        blend = max(int(overlap * BLEND), 1) if blended else 0
        before = (shared - blend) // 2
        rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(blend) + 0.5) / blend)
        rise = np.concatenate([np.zeros(before), rise, np.ones(shared - blend - before)])
        weights[number][-shared:] *= 1.0 - rise
        weights[number + 1][:shared] *= rise
    return [Span(start, start + tile, weight) for start, weight in zip(starts, weights, strict=True)]


def translate_tiled(
    generate: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    rows: list[Span],
    columns: list[Span],
    sides: Sides | None,
) -> np.ndarray:
    """Translates an image tile by tile, [h, w, c] of the input side -> [h, w, c'] of the target side.

    Args:
      generate: translates a tile, float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'], the same. If it returns unsigned
        integers, as a server does, the result has their dtype.
      rows, columns: from `spans`.
      sides: of the model. None if they are unknown: the result then has 8 bits, or the dtype that `generate` returns.

    Raises:
      RunError: `generate` returned another size.
    """
    to_float = sides.input.to_float if sides else images.to_float
    translated = band = np.empty((0, 0, 0))  # allocated when the first tile has shown the channels
    carried = np.zeros((0, 1, 1))  # sums below the finished rows, to which the next row of tiles adds
    for number, row in enumerate(rows):
        for place, column in enumerate(columns):
            tile = to_float(image[row.start : row.stop, column.start : column.stop][np.newaxis])
            generated = generate(tile.numpy())[0]
            target = sides.target if sides else Side(generated.shape[2])
            if generated.dtype.kind == "u":
                target = Side(generated.shape[2], generated.dtype.name)
                generated = images.to_float(generated).numpy()
            if generated.shape[:2] != tile.shape[1:3]:
                made, wanted = ("x".join(map(str, shape)) for shape in (generated.shape[:2], tile.shape[1:3]))
                raise RunError(f"the model returned {made} pixels for a tile of {wanted}; it must keep the size")
            if place == 0:  # the weighted sum of this row of tiles
                band = np.zeros((row.stop - row.start, image.shape[1], generated.shape[2]), np.float32)
            weights = row.weights[:, np.newaxis, np.newaxis] * column.weights[:, np.newaxis]
            band[:, column.start : column.stop] += generated * weights
        band[: len(carried)] += carried
        if number == 0:
            translated = np.empty((*image.shape[:2], band.shape[2]), target.depth)
        done = rows[number + 1].start - row.start if number + 1 < len(rows) else len(band)
        translated[row.start : row.start + done] = target.from_float(band[:done]).numpy()
        carried = band[done:]
    return translated
