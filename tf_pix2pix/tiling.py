"""Large pictures in overlapping tiles, blended smoothly. What the network takes in memory is that of one tile.

A tile is normalised over its own pixels, not the picture's, and sees only them: with per-image norm a tiled picture is
near the whole one's, not equal to it. Tiles are therefore as large as memory allows. They overlap by a quarter: the
outer quarters of that, where a tile feels its border, are dropped, and over the middle half one becomes the other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import RunError
from tf_pix2pix.sides import Side, Sides

OVERLAP = 1 / 4  # of a tile, shared with its neighbour, at least
BLEND = 1 / 2  # of the overlap, over which neighbours are blended


@dataclass(frozen=True)
class Span:
    """One tile's extent along an axis, in pixels, and the weight of each of its pixels, float32 [stop - start]."""

    start: int
    stop: int
    weights: np.ndarray


def tile_side(max_pixels: int, multiple: int) -> int:
    """The side of the largest square tile of at most max_pixels that is a multiple of `multiple`, at least that."""
    return max(math.isqrt(max_pixels) // multiple, 1) * multiple


def alignment(tile: int, multiple: int) -> int:
    """What tiles of a network begin at multiples of, so that its halvings fall on the same pixels in all of them.

    `multiple`, as without tiles, or where tiles are too small for it, so many halvings of it that they can overlap.
    """
    while multiple > max(tile * OVERLAP, 1):
        multiple = -(-multiple // 2)
    return multiple


def spans(length: int, tile: int, multiple: int = 1, fixed: bool = False, blended: bool = True) -> list[Span]:
    """Tiles along an axis of `length` pixels, of at most `tile` each, evenly spread; weights sum to 1 at each pixel.

    Args:
      length: the last tile is aligned as the others are where length - tile is a multiple of the alignment.
      tile: at least 4.
      multiple: what the network takes multiples of.
      blended: without, a pixel is of one tile alone: label maps have no colours between theirs.
      fixed: tiles are of exactly `tile` pixels, where there are several; otherwise as small as their number allows.
    """
    if length <= tile:
        return [Span(0, length, np.ones(length, np.float32))]
    step = alignment(tile, multiple)
    overlap = tile - int(tile * (1 - OVERLAP)) // step * step  # the least: from tile to tile it is whole steps
    count = math.ceil((length - overlap) / (tile - overlap))
    if not fixed:
        least = math.ceil((length + (count - 1) * overlap) / count)
        tile = min(tile, math.ceil(least / multiple) * multiple, length)
    starts = [round(number * (length - tile) / (count - 1) / step) * step for number in range(count - 1)]
    starts.append(length - tile)
    weights = [np.ones(tile, np.float32) for _ in starts]
    for number in range(count - 1):  # from one tile to the next over the middle of what they share
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
    """[h, w, c] of the input side -> [h, w, c'] of the target side, tile by tile.

    Args:
      generate: float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'], for one tile. A server's returns whole numbers, which
        become the result.
      rows, columns: from `spans`.
      sides: None: unknown; the result then has 8 bits, or what `generate` returns.

    Raises:
      RunError: `generate` returns another size.
    """
    to_float = sides.input.to_float if sides else images.to_float
    translated = carried = None
    for number, row in enumerate(rows):
        band = None  # the weighted sum of this row's tiles
        for column in columns:
            tile = to_float(image[row.start : row.stop, column.start : column.stop][np.newaxis])
            generated = generate(tile.numpy())[0]
            target = sides.target if sides else Side(generated.shape[2])
            if generated.dtype.kind == "u":
                target = Side(generated.shape[2], generated.dtype.name)
                generated = images.to_float(generated).numpy()
            if generated.shape[:2] != tile.shape[1:3]:
                made, wanted = ("x".join(map(str, shape)) for shape in (generated.shape[:2], tile.shape[1:3]))
                raise RunError(f"the model returned {made} pixels for {wanted}; it does not support this size")
            if band is None:
                band = np.zeros((row.stop - row.start, image.shape[1], generated.shape[2]), np.float32)
            weights = row.weights[:, np.newaxis, np.newaxis] * column.weights[:, np.newaxis]
            band[:, column.start : column.stop] += generated * weights
        if carried is not None:
            band[: len(carried)] += carried
        else:
            translated = np.empty((*image.shape[:2], band.shape[2]), target.depth)
        done = rows[number + 1].start - row.start if number + 1 < len(rows) else len(band)
        translated[row.start : row.start + done] = target.from_float(band[:done]).numpy()
        carried = band[done:]
    return translated
