"""Counts the multiply-adds of convolutions from the layers of Keras models.

A convolution costs output pixels x kernel elements x input channels x output channels; a transposed convolution counts
its input pixels instead. The gradients with respect to the kernel and to the input cost the same again, each.
"""

import math

import keras


def count_layers(model: keras.Model, *input_shapes: tuple[int, ...]) -> list[int]:
    """Multiply-adds of each convolution in one forward pass, in the order of the layers.

    Args:
      model: a functional model that calls each layer once.
      input_shapes: (n, h, w, c) of each input of the model.
    """
    kinds = keras.layers.Conv2D | keras.layers.Conv2DTranspose
    layers = [layer for layer in model.layers if isinstance(layer, kinds)]
    sides = [layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output for layer in layers]
    inputs = [keras.Input(batch_shape=shape) for shape in input_shapes]
    sized = keras.Model(model.inputs, sides)(inputs)
    return [
        math.prod(side.shape[:3]) * math.prod(layer.kernel.shape) for side, layer in zip(sized, layers, strict=True)
    ]


def count_step(generator: list[int], discriminator: list[int], *, discriminator_calls: int = 3) -> int:
    """Multiply-adds of one training step.

    Generator: the forward pass, the kernel gradients, and the input gradients except the first layer's.
    Discriminator: the forward passes on real and generated images; the kernel gradients of its two losses; the input
    gradients of these losses except the first layer's; and the input gradients of the generator's loss, for which the
    first layer needs only the half of its channels that holds the generated image.

    Args:
      generator: multiply-adds of its layers in one forward pass, from `count_layers`.
      discriminator: the same of the discriminator.
      discriminator_calls: 3 if the generator learns from the updated discriminator, which needs another forward pass
        on generated images; 2 if both networks learn from the same pass.
    """
    generator_passes = 3 * sum(generator) - generator[0]
    kernels = 2 * sum(discriminator)
    inputs = 2 * sum(discriminator[1:]) + sum(discriminator[1:]) + discriminator[0] // 2
    return generator_passes + discriminator_calls * sum(discriminator) + kernels + inputs
