"""From pairs of pictures to tf.data batches of (input_image, target_image), float32 [n, h, w, c] in [-1, 1].

Two stages. `prepare` does what is the same each time a pair is seen (decode, direction, resize) and keeps the result
in memory where it fits. `training_batches` does what is drawn afresh each time (order, crop, mirror, and where there is
a task the input picture, which it makes from the target), inside tf.data.

Example i of a run is a pure function of (seed, i), and batch s holds the examples s * batch_size onwards: a run starts
at any step at no cost, gets the same batches whatever the number of threads, and shards by index.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, listed

TASK_STREAM = -1  # of the seed of an example: the jitter's is unfolded, those of the training step are from 0 on


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
            f"{len(bad)} of {count} pairs cannot be used: {listed(bad, '; ')}. Mend or remove them, "
            "or leave so many out with --max_bad_images"
        )
    print(f"left out {len(bad)} of {count} pairs (--max_bad_images={max_bad}): {listed(bad, '; ')}", file=sys.stderr)


def training_batches(
    pairs: Pairs,  # from `prepare`
    *,
    batch_size: int,  # of all shards together
    crop_size: tuple[int, int],  # (height, width), at most the pairs' own
    flip: bool,  # mirror half of the pairs
    seed: int,
    start_step: int = 0,  # the first batch is that of this step
    steps: int | None = None,  # the step to stop before; None: go on for ever
    shard: int = 0,  # this worker's number of
    shards: int = 1,  # so many workers, each getting batch_size / shards of each batch
    make_input: Callable[..., tf.Tensor] | None = None,  # a task's, from tasks.input_maker
) -> tf.data.Dataset:
    """Endless shuffled epochs of jittered pairs (paper, appendix 6.2), each pair once per epoch.

    Returns:
      A dataset of (input_image, target_image), float32 [batch_size / shards, *crop_size, c] in [-1, 1], and where the
      pairs have them the pixels' weights, float32 [batch_size / shards, *crop_size, 1] in [0, 1].

    Raises:
      ValueError: batch_size is no multiple of shards.
    """
    if batch_size % shards:
        raise ValueError(f"batch_size={batch_size} cannot be shared by {shards} workers; use a multiple")
    count = len(pairs)

    def example(i):
        epoch, position = i // count, i % count
        index = tf.random.experimental.index_shuffle(position, [seed, epoch], count - 1)
        top, left, mirror = tf.unstack(tf.random.stateless_uniform([3], [seed, i]))
        pair = []
        for picture in _read_in_graph(pairs, index):
            picture = _crop(picture, crop_size, top, left)
            pair.append(tf.reverse(picture, axis=[1]) if flip and mirror < 0.5 else picture)
        if make_input:
            pair[0] = make_input(pair[1], tf.random.fold_in([seed, i], TASK_STREAM))
        return _to_float(pairs, pair)

    stop = np.iinfo(np.int64).max // 2 if steps is None else steps * batch_size
    examples = tf.data.Dataset.range(start_step * batch_size, stop).shard(shards, shard)
    return (
        examples.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size // shards, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def held_out_batches(
    pairs: Pairs, *, batch_size: int, crop_size: tuple[int, int], make_input: Callable[..., tf.Tensor] | None = None
) -> tf.data.Dataset:
    """Every pair once, in order, the central crop, not mirrored; the last batch may be smaller.

    make_input is a task's, from tasks.input_maker: it makes the same input of the same target each time.

    Returns:
      A dataset of (input_image, target_image), float32 [n, *crop_size, c] in [-1, 1].
    """

    def example(index):
        pair = [_crop(picture, crop_size, 0.5, 0.5) for picture in _read_in_graph(pairs, index)[:2]]
        if make_input:
            pair[0] = make_input(pair[1])
        return _to_float(pairs, pair)

    examples = tf.data.Dataset.range(len(pairs))
    return examples.map(example, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(1)


def _to_float(pairs: Pairs, pair: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    sides = zip(pair[:2], pairs.formats, strict=True)
    masks = (tf.cast(mask, tf.float32) / 255.0 for mask in pair[2:])
    return *(images.to_float(side, format.range) for side, format in sides), *masks


def _read_in_graph(pairs: Pairs, index: tf.Tensor) -> list[tf.Tensor]:
    """pairs.read inside tf.data -> [input, target] or [input, target, mask], [h, w, c]."""
    examples = pairs.read(0)
    pair = tf.numpy_function(lambda i: pairs.read(int(i)), [index], [example.dtype for example in examples])
    for picture, example in zip(pair, examples, strict=True):
        picture.set_shape([None, None, example.shape[2]])
    return pair


def _crop(picture: tf.Tensor, size: tuple[int, int], top, left) -> tf.Tensor:
    """[h, w, c] -> [*size, c]; top and left in [0, 1) say where among the places possible."""
    shape = tf.shape(picture)
    places = tf.cast(shape[:2] - size + 1, tf.float32)
    offsets = tf.unstack(tf.cast(places * [top, left], tf.int32))
    return tf.slice(picture, [*offsets, 0], [*size, picture.shape[2]])
