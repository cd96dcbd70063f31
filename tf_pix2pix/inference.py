"""The inference policy: how every part of the package applies a generator to images of any height and width.

Dropout is off, unless a seed asks for noise; batch norm uses its running statistics.
"""

import itertools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

MIN_SIDE = 16  # pixels: the least height and width that every generator accepts
ACTIVATION_BYTES = 2e9  # default limit on the memory of one translation
WORKSPACE = 1.6  # resident memory / activations: measured 1.3 (U-Net, 2048 pixels a side) to 1.7 (ResNet, 1024)


def size_multiple(generator: keras.Model) -> int:
    """The number that divides all heights and widths that the network accepts: a factor of 2 for each halving."""
    multiple = 1
    for layer in generator.layers:
        if isinstance(layer, keras.layers.Conv2D):
            multiple *= layer.strides[0]
    return multiple


def padded_side(side, multiple: int):
    """The next height or width, in pixels, that fits the network: int -> int, or scalar tensors."""
    rounded = (side + multiple - 1) // multiple * multiple
    return tf.maximum(rounded, MIN_SIDE) if tf.is_tensor(side) else max(rounded, MIN_SIDE)


def reflect_to(images: tf.Tensor, height, width) -> tf.Tensor:
    """Pads [n, h, w, c] to [n, height, width, c] by mirroring at the borders, evenly on both sides.

    It mirrors as often as needed, where tf.pad mirrors once: a single pixel fills the whole image.
    """
    for axis, wanted in ((1, height), (2, width)):
        side = tf.shape(images)[axis]
        period = tf.maximum(2 * side - 2, 1)
        before = (wanted - side) // 2
        position = (
            tf.range(wanted) + period - before % period
        ) % period  # no % of negatives, which converters round differently
        images = tf.gather(images, tf.minimum(position, period - position), axis=axis)
    return images


def crop_from(images, padded, size):
    """Undoes reflect_to: [n, *padded, c] -> [n, *size, c], for ints or scalar tensors."""
    top, left = [(wanted - side) // 2 for side, wanted in zip(size, padded, strict=True)]
    return images[:, top : top + size[0], left : left + size[1]]


def any_size(generator: keras.Model, training: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """The generator for images of any size: mirrors them to the next size that fits, and crops the result back.

    Returns:
      float32 [n, h, w, input channels] in [-1, 1] -> float32 [n, h, w, target channels] in [-1, 1].
    """
    multiple = size_multiple(generator)

    def translate(image):
        static = list(image.shape[1:3])
        if None not in static and static == [padded_side(side, multiple) for side in static]:
            return generator(image, training=training)
        size = tf.unstack(tf.shape(image)[1:3])
        padded = [padded_side(side, multiple) for side in size]
        return crop_from(generator(reflect_to(image, *padded), training=training), padded, size)

    return translate


def make_translate(generator: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """`any_size` as a tf.function, traced once for all sizes."""
    return tf.function(any_size(generator), reduce_retracing=True, autograph=False)


def make_noisy_translate(generator: keras.Model) -> Callable[[tf.Tensor, np.ndarray], tf.Tensor]:
    """`make_translate` with dropout, the generator's noise (paper, section 3.2), drawn from a seed of two int32.

    The same image and seed produce the same result, if threads call it one at a time. It freezes the batch norm of the
    generator, which then uses its running statistics.

    Raises:
      ValueError: the generator has no dropout.
    """
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    if not dropouts:
        raise ValueError("trained without dropout, which draws the noise; leave out samples")
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    noisy = any_size(generator, training=True)

    @tf.function(reduce_retracing=True, autograph=False)
    def translate(image, seed):
        for number, layer in enumerate(dropouts):
            layer.seed_generator.state.assign(tf.random.fold_in(seed, number))
        return noisy(image)

    return translate


def max_pixels(generator: keras.Model) -> int:
    """The pixels (height x width) of an image whose translation needs ACTIVATION_BYTES of memory.

    In the traced graph, memory holds a tensor from the operation that computes it to the last one that reads it.
    WORKSPACE allows for the buffers of convolutions.
    """
    side = 2 * padded_side(1, size_multiple(generator))
    image = tf.TensorSpec([1, side, side, generator.input_shape[-1]], tf.float32)
    operations = tf.function(any_size(generator)).get_concrete_function(image).graph.get_operations()
    order = {operation.name: number for number, operation in enumerate(operations)}
    changes = [0] * (len(operations) + 1)
    for number, operation in enumerate(operations):
        for tensor in operation.outputs:
            if tensor.shape.rank == 4 and tensor.shape[0] == 1:  # activations, not kernels
                values = tensor.shape.num_elements()
                changes[number] += values
                changes[max([number, *(order[reader.name] for reader in tensor.consumers())]) + 1] -= values
    bytes_per_pixel = WORKSPACE * 4 * max(itertools.accumulate(changes)) / side**2
    return int(ACTIVATION_BYTES / bytes_per_pixel)
