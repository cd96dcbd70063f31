"""From pairs of pictures to tf.data batches of (input_image, target_image), float32 [n, h, w, c] in [-1, 1].

Two stages. `prepare`, here, does what is the same each time a pair is seen (decode, direction, resize) and keeps the
result in memory where it fits. batches.py does what is drawn afresh each time.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.input_pipeline.batches import held_out_batches, training_batches  # noqa: F401, public here


@dataclass(frozen=True)
class PreparedPairs(Pairs):
    """Pairs of (input, target), resized. What is told of both sides is of the pairs that were read."""

    channels: tuple[int, int] = (0, 0)  # the most that an input and a target have
    widest: tuple[str, str] = ("", "")  # which pairs those are
    depths: tuple[dict[str, str], dict[str, str]] = ({}, {})  # of an input and a target, and the first pair of each
    extremes: tuple[tuple | None, tuple | None] = (None, None)  # (the least, the most) value, where all were read


def prepare(
    pairs: Pairs,
    *,
    direction: str,  # "AtoB" or "BtoA"
    size: tuple[int, int],  # (height, width) to resize to
    fit: str = "stretch",  # "stretch" to size; "cover" it, keeping the aspect; "none": own size, at least `size`
    resize_a: str = "bicubic",  # one of images.RESIZE_METHODS
    resize_b: str = "bicubic",
    photos: bool = False,  # targets alone: a task makes the inputs; each is its own input until then
    max_bad: int = 0,  # so many bad pairs are left out
    cache_bytes: float = 2e9,  # the resized set is kept in memory when it is no larger
) -> PreparedPairs:
    """Pairs as the source has them -> Pairs of (input, target), resized, each with its own channels and depth.

    Photos lose an alpha channel, which must be opaque.

    A set that was not verified yet is read once as a whole, with a progress bar, so that what is wrong with it shows
    before training and not after hours. A verified one is read, and kept, as training comes to its pairs.

    Raises:
      InputError: more than max_bad pairs cannot be used; up to 20 are named.
    """

    methods = (resize_a, resize_b) if direction == "AtoB" else (resize_b, resize_a)

    def read_own(index: int) -> tuple[np.ndarray, ...]:
        a, b, *masks = pairs.read(index)
        return (a, b, *masks) if direction == "AtoB" else (b, a, *masks)

    def resized(index: int, pair: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        try:
            if photos:
                photo = images.with_channels(pair[1], min(pair[1].shape[2], 3))
                return (_fit(photo, size, fit, methods[1]),) * 2
            ways = (*methods, "bilinear")  # of masks
            return tuple(_fit(picture, size, fit, way) for picture, way in zip(pair, ways, strict=False))
        except ValueError as error:
            raise InputError(f"{pairs.names[index]}: {error}") from None

    found = (_read_first if pairs.verified else _read_whole)(read_own, resized, pairs, cache_bytes)
    _report_bad(found.bad, max_bad, len(pairs))

    def read(position: int) -> tuple[np.ndarray, ...]:
        index = found.good[position]
        pair = found.kept.get(index) or resized(index, read_own(index))
        if found.keeps:
            found.kept[index] = pair
        return pair

    # A large set's names may be read from the disk one by one: they are not all asked for.
    names = pairs.names if len(found.good) == len(pairs) else [pairs.names[index] for index in found.good]
    return PreparedPairs(
        names,
        read,
        verified=True,
        channels=tuple(found.channels),
        widest=tuple(found.widest),
        depths=tuple(found.depths),
        extremes=tuple(found.extremes),
    )


def with_channels(
    prepared: Sequence[PreparedPairs], input_channels: int | None, output_channels: int | None
) -> list[Pairs]:
    """The splits of a set with the same channels in all pictures: those asked for, or the most that any picture has.

    Channels are only added: gray becomes RGB, and gets an opaque alpha, where another picture or the caller wants it.

    Raises:
      InputError: pictures have more channels than asked for, or others that cannot be made those.
    """
    channels = []
    for side, (flag, asked) in enumerate((("input_channels", input_channels), ("output_channels", output_channels))):
        widest = max(prepared, key=lambda pairs, side=side: pairs.channels[side])
        most = widest.channels[side]
        if asked is not None and asked != most and (most > asked or asked not in (3, 4)):
            raise InputError(
                f"{flag}={asked}, but {widest.widest[side]} has {most} channels; leave out {flag} to take the files' "
                "own, or convert the files"
            )
        channels.append(asked or most)

    def widened(pairs: PreparedPairs) -> Pairs:
        def read(index: int) -> tuple[np.ndarray, np.ndarray]:
            pair = pairs.read(index)
            try:
                sides = zip(pair[:2], channels, strict=True)
                return *(images.with_channels(picture, wanted) for picture, wanted in sides), *pair[2:]
            except ValueError as error:
                raise InputError(f"{pairs.names[index]}: {error}") from None

        return Pairs(pairs.names, read, pairs.verified, pairs.formats)

    return [widened(pairs) for pairs in prepared]


def _fit(picture: np.ndarray, size: tuple[int, int], fit: str, method: str) -> np.ndarray:
    """Resizes [h, w, c] to `size` or, where `fit` says so, to what covers it."""
    own = picture.shape[:2]
    if fit == "cover":
        scale = max(side / own_side for side, own_side in zip(size, own, strict=True))
        size = tuple(max(side, round(own_side * scale)) for side, own_side in zip(size, own, strict=True))
    elif fit == "none":
        if own[0] < size[0] or own[1] < size[1]:
            raise ValueError(
                f"it is {own[0]}x{own[1]}, less than the crop's {size[0]}x{size[1]}; fit=cover enlarges it"
            )
        size = own
    return images.resize(picture, size, method)


@dataclass
class _Found:
    """What reading a set as a whole told."""

    good: Sequence[int]  # indices of the pairs that can be used
    bad: list[str]  # what is wrong with the others
    channels: list[int]  # the most that an input and a target have
    widest: list[str]  # which pairs those are
    depths: list[dict[str, str]]  # of an input and a target, and the first pair of each
    extremes: list[tuple[float, float] | None]  # the least and the most value of all inputs and targets, not resized
    kept: dict[int, tuple[np.ndarray, np.ndarray]]  # pairs in memory
    keeps: bool  # all of them fit there


def _read_first(read: Callable, resized: Callable, pairs: Pairs, cache_bytes: float) -> _Found:
    """Reads the first pair of a set whose pairs are alike; all of them where they are floats, to know their range."""
    pair = resized(0, read(0))
    if any(side.dtype == np.float32 for side in pair):
        return _read_whole(read, resized, pairs, cache_bytes)
    keeps = _bytes(pair) * len(pairs) <= cache_bytes
    channels, depths = [side.shape[2] for side in pair[:2]], [{side.dtype.name: pairs.names[0]} for side in pair[:2]]
    return _Found(range(len(pairs)), [], channels, [pairs.names[0]] * 2, depths, [None, None], {0: pair}, keeps)


def _read_whole(read: Callable, resized: Callable, pairs: Pairs, cache_bytes: float) -> _Found:
    """Reads every pair."""
    found = _Found([], [], [0, 0], ["", ""], [{}, {}], [(np.inf, -np.inf)] * 2, {}, keeps=True)

    def read_resized(index):
        pair = read(index)
        return resized(index, pair), [(side.min(), side.max()) for side in pair[:2]]

    total_bytes = 0
    for index, read_one in enumerate(_read_ahead(read_resized, len(pairs))):
        if isinstance(read_one, InputError):
            found.bad.append(str(read_one))
            continue
        pair, extremes = read_one
        found.good.append(index)
        for side, picture in enumerate(pair[:2]):
            found.depths[side].setdefault(picture.dtype.name, pairs.names[index])
            (least, most), (low, high) = found.extremes[side], extremes[side]
            found.extremes[side] = min(least, low), max(most, high)
        for side, picture in enumerate(pair[:2]):
            if picture.shape[2] > found.channels[side]:
                found.channels[side], found.widest[side] = picture.shape[2], pairs.names[index]
        total_bytes += _bytes(pair)
        found.keeps = total_bytes <= cache_bytes
        if found.keeps:
            found.kept[index] = pair
    if not found.keeps:
        found.kept = {}
    return found


def _bytes(pair: tuple[np.ndarray, ...]) -> int:
    return sum(side.nbytes for side in pair[pair[0] is pair[1] :])  # a photo is both sides


def _read_ahead(read: Callable, count: int) -> Iterator[tuple | InputError]:
    """Yields read(0), read(1), ... in order, with a progress bar, read by as many threads as there are cores; an
    InputError is yielded, not raised."""

    def attempt(index):
        try:
            return read(index)
        except InputError as error:
            return error

    ahead = 8 * (os.cpu_count() or 1)  # enough for every thread, few enough for any memory
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=count, desc="reading pairs", disable=None) as bar:
        for index in range(count + ahead):
            if index < count:
                waiting.append(pool.submit(attempt, index))
            if index >= ahead and waiting:
                yield waiting.popleft().result()
                bar.update()


def _report_bad(bad: list[str], max_bad: int, count: int) -> None:
    """Says which pairs are left out, or raises InputError where they are more than max_bad, or all."""
    if not bad:
        return
    if len(bad) > max_bad or len(bad) == count:
        raise InputError(
            f"{len(bad)} of {count} pairs cannot be used: {format_list(bad, '; ')}. Mend or remove them, "
            "or leave so many out with --max_bad_images"
        )
    print(
        f"left out {len(bad)} of {count} pairs (--max_bad_images={max_bad}): {format_list(bad, '; ')}", file=sys.stderr
    )
