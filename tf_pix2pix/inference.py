"""The inference policy: a generator as a function of pictures of any height and width, the same one everywhere.

No dropout, unless noise is asked for with a seed; batch norm, where there is any, with its running statistics.
"""

import itertools
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix.cpu.convolutions import KERNEL, LARGE_KERNEL, interleaved_kernel
from tf_pix2pix.layers import Convolution2D, Convolution2DTranspose, InterleavedConvolution2D

LEAST_SIDE = 16  # pixels, the least that every generator takes
ACTIVATION_BYTES = 2e9  # of memory that one translation may take, unless it is said otherwise
WORKSPACE = 1.6  # resident memory over activations: measured 1.3 (U-Net, 2048 pixels a side) to 1.7 (ResNet, 1024)


def size_multiple(generator: keras.Model) -> int:
    """What heights and widths must be multiples of inside the network: 2 for each of its halvings."""
    strided = (layer.strides[0] for layer in generator.layers if isinstance(layer, keras.layers.Conv2D))
    multiple = 1
    for stride in strided:
        multiple *= stride
    return multiple


def max_pixels(generator: keras.Model) -> int:
    """How many pixels (height x width) a picture may have for its translation to take ACTIVATION_BYTES of memory.

    Of the traced graph, in its order: a tensor is held from the operation that gives it to the last one that takes it.
    What convolutions take for themselves is allowed for with WORKSPACE.
    """
    side = 2 * fitting_side(1, size_multiple(generator))
    picture = tf.TensorSpec([1, side, side, generator.input_shape[-1]], tf.float32)
    operations = tf.function(any_size(generator)).get_concrete_function(picture).graph.get_operations()
    order = {operation.name: number for number, operation in enumerate(operations)}
    changes = [0] * (len(operations) + 1)
    for number, operation in enumerate(operations):
        for tensor in operation.outputs:
            if tensor.shape.rank == 4 and tensor.shape[0] == 1:  # not the kernels
                values = tensor.shape.num_elements()
                changes[number] += values
                changes[max([number, *(order[taker.name] for taker in tensor.consumers())]) + 1] -= values
    bytes_per_pixel = WORKSPACE * 4 * max(itertools.accumulate(changes)) / side**2
    return int(ACTIVATION_BYTES / bytes_per_pixel)


def for_tensorflow(generator: keras.Model) -> keras.Model:
    """The same function for TensorFlow on CPUs, at sizes not known when it is traced; the weights are copied."""

    def rebuilt(layer):
        large = isinstance(layer, Convolution2DTranspose) and math.prod(layer.kernel.shape) > LARGE_KERNEL
        return _interleaved(layer, products=True) if large else _same(layer)

    return _rebuilt(generator, rebuilt)


def for_other_runtimes(generator: keras.Model) -> keras.Model:
    """The same function for LiteRT and ONNX Runtime, without transposed convolutions; the weights are copied.

    Those take them two to ten times as long as convolutions of as many multiplications.
    """

    def rebuilt(layer):
        if isinstance(layer, keras.layers.Conv2DTranspose):
            return _interleaved(layer, products=False)
        if isinstance(layer, keras.layers.Cropping2D):  # of a transposed convolution with an odd kernel
            return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy)
        return keras.layers.Conv2D.from_config(layer.get_config()) if isinstance(layer, Convolution2D) else _same(layer)

    return _rebuilt(generator, rebuilt)


def _rebuilt(generator, rebuilt):
    copy = keras.models.clone_model(generator, clone_function=rebuilt)
    for layer in [layer for layer in generator.layers if layer.weights]:
        twin, weights = copy.get_layer(layer.name), layer.get_weights()
        if isinstance(twin, InterleavedConvolution2D):
            missing = [[0, KERNEL - side] for side in weights[0].shape[:2]]  # an odd kernel's last row and column
            weights[0] = interleaved_kernel(np.pad(weights[0], [*missing, [0, 0], [0, 0]])).numpy()
        twin.set_weights(weights)
    return copy


def _same(layer):
    return type(layer).from_config(layer.get_config())


def _interleaved(layer, products):
    return InterleavedConvolution2D(layer.filters, layer.use_bias, products, name=layer.name, dtype=layer.dtype_policy)


def fitting_side(side, multiple: int):
    """The least side, in pixels, that is no less than `side` and fits the network: int -> int, or scalar tensors."""
    rounded = (side + multiple - 1) // multiple * multiple
    return tf.maximum(rounded, LEAST_SIDE) if tf.is_tensor(side) else max(rounded, LEAST_SIDE)


def reflect_to(pictures: tf.Tensor, height, width) -> tf.Tensor:
    """Mirrors [n, h, w, c] at its borders, which are not repeated, evenly on both sides, to [n, height, width, c].

    As often as it takes: a picture of one pixel fills the whole with it. (tf.pad mirrors once only.)
    """
    for axis, wanted in ((1, height), (2, width)):
        side = tf.shape(pictures)[axis]
        period = tf.maximum(2 * side - 2, 1)
        before = (wanted - side) // 2
        position = (tf.range(wanted) + period - before % period) % period  # never of a negative: converters round it
        pictures = tf.gather(pictures, tf.minimum(position, period - position), axis=axis)
    return pictures


def any_size(generator: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The generator on pictures of any size: mirrored to the next size that fits, translated, cropped to their own.

    Returns:
      float32 [n, h, w, input_channels] in [-1, 1] -> float32 [n, h, w, output_channels] in [-1, 1].
    """
    return _any_size(generator, training=False)


def _any_size(generator, training):
    multiple = size_multiple(generator)

    def translate(image):
        static = list(image.shape[1:3])
        if None not in static and static == [fitting_side(side, multiple) for side in static]:
            return generator(image, training=training)
        sides = tf.unstack(tf.shape(image)[1:3])
        fitting = [fitting_side(side, multiple) for side in sides]
        generated = generator(reflect_to(image, *fitting), training=training)
        top, left = [(wanted - side) // 2 for side, wanted in zip(sides, fitting, strict=True)]
        return generated[:, top : top + sides[0], left : left + sides[1], :]

    return translate


def make_translate(generator: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """`any_size` as a tf.function, traced once for sizes not seen before."""
    return tf.function(any_size(generator), reduce_retracing=True, autograph=False)


def make_noisy_translate(generator: keras.Model) -> Callable[[tf.Tensor, tuple[int, int]], tf.Tensor]:
    """`make_translate` with dropout, the generator's noise (paper, section 3.2), drawn from a seed of two int32.

    The same picture and seed give the same result. The generator is changed: its batch norm, where there is any, keeps
    to its running statistics from here on.

    Raises:
      ValueError: the generator has no dropout.
    """
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    if not dropouts:
        raise ValueError("it was trained without dropout and has no noise to vary")
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    noisy = _any_size(generator, training=True)

    @tf.function(reduce_retracing=True, autograph=False)
    def translate(image, seed):
        for number, layer in enumerate(dropouts):
            layer.seed_generator.state.assign(tf.random.fold_in(seed, number))
        return noisy(image)

    return translate
