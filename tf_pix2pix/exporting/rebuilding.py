"""The generator rebuilt from the layers that are fastest in each runtime: the same function and weights."""

import math

import keras
import numpy as np

from tf_pix2pix.cpu.convolutions import KERNEL, LARGE_KERNEL, interleaved_kernel
from tf_pix2pix.layers import Convolution2D, Convolution2DTranspose, InterleavedConvolution2D


def for_tensorflow(generator: keras.Model) -> keras.Model:
    """For TensorFlow on CPUs, traced for unknown sizes."""

    def rebuild(layer):
        is_large = isinstance(layer, Convolution2DTranspose) and math.prod(layer.kernel.shape) > LARGE_KERNEL
        return _interleaved(layer, products=True) if is_large else _same(layer)

    return _rebuild(generator, rebuild)


def for_other_runtimes(generator: keras.Model) -> keras.Model:
    """For LiteRT and ONNX Runtime, without transposed convolutions, which are two to ten times slower there than
    convolutions with equally many multiplications."""

    def rebuild(layer):
        if isinstance(layer, keras.layers.Conv2DTranspose):
            return _interleaved(layer, products=False)
        if isinstance(layer, keras.layers.Cropping2D):  # behind a transposed convolution with an odd kernel
            return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy)
        return keras.layers.Conv2D.from_config(layer.get_config()) if isinstance(layer, Convolution2D) else _same(layer)

    return _rebuild(generator, rebuild)


def _rebuild(generator, rebuild):
    copy = keras.models.clone_model(generator, clone_function=rebuild)
    for layer in [layer for layer in generator.layers if layer.weights]:
        twin, weights = copy.get_layer(layer.name), layer.get_weights()
        if isinstance(twin, InterleavedConvolution2D):
            missing = [[0, KERNEL - side] for side in weights[0].shape[:2]]  # last row and column of an odd kernel
            weights[0] = interleaved_kernel(np.pad(weights[0], [*missing, [0, 0], [0, 0]])).numpy()
        twin.set_weights(weights)
    return copy


def _same(layer):
    return type(layer).from_config(layer.get_config())


def _interleaved(layer, products):
    return InterleavedConvolution2D(layer.filters, layer.use_bias, products, name=layer.name, dtype=layer.dtype_policy)
