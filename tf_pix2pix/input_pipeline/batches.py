"""Examples -> tf.data batches. Everything random happens here: order, crop, mirroring, and the inputs that tasks make.

Example i of a run is a pure function of (seed, i), and batch s begins with example s * batch_size. So a run starts at
any step at no cost and gets the same batches with any number of threads.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_pix2pix.datasets.pairs import INPUT, MASK, TARGET, Pairs
from tf_pix2pix.sides import Sides

TASK_STREAM = -1  # folded into an example's seed; the jitter uses the seed itself, the training step folds in 0, 1, ...


def training_batches(
    examples: Pairs,  # from prepare_examples
    sides: Sides,
    *,
    batch_size: int,
    crop_size: tuple[int, int],  # (height, width), at most that of the examples
    flip: bool,  # mirror half of the pairs
    seed: int,
    start_step: int = 0,  # the step of the first batch
    steps: int | None = None,  # the step to stop before; None: endless
    make_input: Callable[..., tf.Tensor] | None = None,  # the task's function, from tasks.input_maker
) -> tf.data.Dataset:
    """Shuffled epochs of jittered pairs (paper, appendix 6.2), each pair once per epoch.

    Returns:
      A dataset of (input_image, target_image), float32 [batch_size, *crop_size, c] in [-1, 1], followed by the pixels'
      weights, float32 [batch_size, *crop_size, 1] in [0, 1], if the pairs have masks.
    """
    count = len(examples)

    def make(i):
        index = example_index(i, count, seed)
        top, left, mirror = tf.unstack(tf.random.stateless_uniform([3], [seed, i]))
        example = {}
        for part, image in _read(examples, sides, index).items():
            image = _crop(image, crop_size, top, left)
            example[part] = tf.reverse(image, axis=[1]) if flip and mirror < 0.5 else image
        if make_input:
            example[INPUT] = make_input(example[TARGET], tf.random.fold_in([seed, i], TASK_STREAM))
        return _to_float(example, sides)

    stop = np.iinfo(np.int64).max // 2 if steps is None else steps * batch_size
    numbers = tf.data.Dataset.range(start_step * batch_size, stop)
    return (
        numbers.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def example_index(i, count: int, seed: int) -> tf.Tensor:
    """The index, among `count` pairs, of the pair from which example i of a run is made."""
    epoch, position = i // count, i % count
    return tf.random.experimental.index_shuffle(position, [seed, epoch], count - 1)


def validation_batches(
    examples: Pairs,
    sides: Sides,
    *,
    batch_size: int,
    crop_size: tuple[int, int],
    make_input: Callable[..., tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Every pair once, in order, cropped at the center, without masks; the last batch may be smaller.

    A task makes the same input from the same target each time.

    Returns:
      A dataset of (input_image, target_image), float32 [n, *crop_size, c] in [-1, 1].
    """

    def make(index):
        example = {part: center_crop(image, crop_size) for part, image in _read(examples, sides, index).items()}
        if make_input:
            example[INPUT] = make_input(example[TARGET])
        return _to_float(example, sides)[:2]

    numbers = tf.data.Dataset.range(len(examples))
    return numbers.map(make, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(1)


def _read(examples: Pairs, sides: Sides, index: tf.Tensor) -> dict[str, tf.Tensor]:
    """examples.read inside tf.data -> the image [h, w, c] of each part."""
    depths = {INPUT: sides.input.depth, TARGET: sides.target.depth, MASK: "uint8"}
    channels = {INPUT: sides.input.channels, TARGET: sides.target.channels, MASK: 1}
    read = tf.numpy_function(lambda i: examples.read(int(i)), [index], [depths[part] for part in examples.parts])
    for part, image in zip(examples.parts, read, strict=True):
        image.set_shape([None, None, channels[part]])
    return dict(zip(examples.parts, read, strict=True))


def _to_float(example: dict[str, tf.Tensor], sides: Sides) -> tuple[tf.Tensor, ...]:
    masks = [tf.cast(example[MASK], tf.float32) / 255.0] if MASK in example else []
    return sides.input.to_float(example[INPUT]), sides.target.to_float(example[TARGET]), *masks


def center_crop(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """[h, w, c] -> its middle, [*size, c]."""
    return _crop(image, size, 0.5, 0.5)


def _crop(image: tf.Tensor, size: tuple[int, int], top, left) -> tf.Tensor:
    """[h, w, c] -> [*size, c]; top and left in [0, 1) choose among the possible positions."""
    positions = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    offsets = tf.unstack(tf.cast(positions * [top, left], tf.int32))
    return tf.slice(image, [*offsets, 0], [*size, image.shape[2]])
