"""Prepared pairs -> tf.data batches of them. What is drawn afresh each time is done here, inside tf.data: order, crop,
mirror, and where there is a task the input picture, which is made from the target.

Example i of a run is a pure function of (seed, i), and batch s holds the examples s * batch_size onwards: a run starts
at any step at no cost, gets the same batches whatever the number of threads, and shards by index.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs

TASK_STREAM = -1  # of the seed of an example: the jitter's is unfolded, those of the training step are from 0 on


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
