"""A pair of images of any size, depth and channels -> the arrays that training reads, kept in memory."""

import dataclasses
import threading

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import INPUT, MASK, TARGET, Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.sides import Sides


def make_example(
    pair: tuple[np.ndarray, ...], parts: tuple[str, ...], sides: Sides, size: tuple[int, int], fit: str
) -> tuple[np.ndarray, ...]:
    """Converts the images of a pair to their sides and resizes them.

    Args:
      pair, parts: the images [h, w, c] and their names, as in Pairs.
      size: (height, width) to resize to.
      fit: one of images.FITS.

    Returns:
      An array for each part, [h, w, c]: inputs and targets as their sides require, masks uint8 with 1 channel.

    Raises:
      ValueError: an image cannot be converted to its side, or is too small for fit="none".
    """
    arrays = []
    for part, image in zip(parts, pair, strict=True):
        target_size = images.fitted_size(image.shape[:2], size, fit)
        side = {INPUT: sides.input, TARGET: sides.target, MASK: None}[part]
        image = image if side is None else side.convert(image, restore=part == TARGET)
        arrays.append(images.resize(image, target_size, "bilinear" if side is None else side.resize))
    return tuple(arrays)


def prepare_examples(
    pairs: Pairs,
    sides: Sides,
    *,
    size: tuple[int, int],  # (height, width) to resize to
    fit: str = "stretch",  # one of images.FITS
    cache_bytes: float = 2e9,  # limit of the examples kept in memory
) -> Pairs:
    """The pairs as examples. The first read makes an example and keeps it while the cache has room.

    `read` raises InputError, which names the pair, if the pair cannot be used.
    """
    cache: dict[int, tuple[np.ndarray, ...]] = {}
    lock, room = threading.Lock(), cache_bytes

    def read(index: int) -> tuple[np.ndarray, ...]:
        nonlocal room
        if (example := cache.get(index)) is not None:
            return example
        try:
            example = make_example(pairs.read(index), pairs.parts, sides, size, fit)
        except InputError:  # names the pair already
            raise
        except ValueError as error:
            raise InputError(f"{pairs.names[index]}: {error}") from None
        size_bytes = sum(array.nbytes for array in example)
        with lock:
            if index not in cache and size_bytes <= room:
                room -= size_bytes
                cache[index] = tuple(map(np.ascontiguousarray, example))  # not views of larger images
        return example

    return dataclasses.replace(pairs, read=read, uniform=True)
