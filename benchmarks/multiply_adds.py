"""Multiply-adds of the convolutions, counted from the layers of the Keras models themselves.

A convolution takes output pixels x kernel elements x input channels x output channels of them, a transposed one the
same of input pixels; its gradient by the kernel and the one by its input take as many each.
"""

import math

import keras


def of_layers(model: keras.Model, *input_shapes: tuple[int, ...]) -> list[int]:
    """Multiply-adds of each convolution, in the order of the layers, of a forward pass.

    Args:
      model: a functional model in which each layer is called once.
      input_shapes: (n, h, w, c), one for each of the model's inputs.
    """
    kinds = keras.layers.Conv2D | keras.layers.Conv2DTranspose
    layers = [layer for layer in model.layers if isinstance(layer, kinds)]
    sides = [layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output for layer in layers]
    inputs = [keras.Input(batch_shape=shape) for shape in input_shapes]
    sized = keras.Model(model.inputs, sides)(inputs)
    return [
        math.prod(side.shape[:3]) * math.prod(layer.kernel.shape) for side, layer in zip(sized, layers, strict=True)
    ]


def of_step(generator: list[int], discriminator: list[int], *, discriminator_calls: int = 3) -> int:
    """Multiply-adds of a training step, from those of the layers of both networks in one forward pass.

    Generator: forward, gradients by kernels, gradients by inputs but for the first layer, whose input is data.
    Discriminator: forward on real, on generated, and once more on generated where the generator learns from the updated
    one; two gradients by kernels; gradients by inputs for its own two losses, but for the first layer, and for the
    generator's, of the first layer those of the generated picture, half of its channels.

    Args:
      discriminator_calls: 3; 2 where both networks are updated from the same pass.
    """
    own = 3 * sum(generator) - generator[0]
    kernels = 2 * sum(discriminator)
    inputs = 2 * sum(discriminator[1:]) + sum(discriminator[1:]) + discriminator[0] // 2
    return own + discriminator_calls * sum(discriminator) + kernels + inputs
