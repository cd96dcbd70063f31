"""Codecs: how images become the networks' inputs and targets, and how the generator's output becomes an image.

An image is float32 [n, h, w, c] in [-1, 1], as everywhere. Training encodes its batches; everything after training uses
one Keras model from images to images, which `with_codec` makes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tf_pix2pix import layers
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import HOLE_VALUE


def _identity(x):
    return x


@dataclass(frozen=True)
class Codec:
    """Functions between images and networks. The defaults pass the images through.

    Attributes:
      encode_input: input image -> the networks' input, float32 [n, h, w, input_channels].
      encode_target: (target image, input image) -> the target of the generator's output, which the discriminator sees
        as real, float32 [n, h, w, output_channels].
      as_target: the generator's output -> the same form as encode_target's result, which the discriminator sees.
      decode_output: (the generator's output, input image) -> generated image.
      activation: of the generator's last layer.
      input_channels, output_channels: of the networks. None: as many as the images have.
    """

    encode_input: Callable[[tf.Tensor], tf.Tensor] = _identity
    encode_target: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda target_image, input_image: target_image
    as_target: Callable[[tf.Tensor], tf.Tensor] = _identity
    decode_output: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda gen_output, input_image: gen_output
    activation: str = "tanh"
    input_channels: int | None = None
    output_channels: int | None = None


IMAGES = Codec()  # the networks see the images themselves


def palette_codec(sides) -> Codec:
    """One-hot channels for inputs with a palette, classes for targets with one.

    A pixel is 1 in the channel of its color and 0, not -1, in the others: a convolution then sees the kernel of one
    color, however many there are, and its zero padding means "no color". The generator's output for classes are logits;
    the discriminator compares their softmax with the one-hot targets.
    """
    fields: dict[str, Any] = {}
    if sides.input.palette:
        one_hot_input = layers.OneHotLabels(sides.input.palette.array, dtype="float32")
        fields |= dict(encode_input=one_hot_input, input_channels=len(sides.input.palette.array))
    if sides.target.palette:
        one_hot = layers.OneHotLabels(sides.target.palette.array, dtype="float32")
        colors = layers.PaletteColors(sides.target.palette.array, dtype="float32")
        fields |= dict(
            encode_target=lambda target_image, input_image: one_hot(target_image),
            as_target=tf.nn.softmax,
            decode_output=lambda gen_output, input_image: colors(gen_output),
            activation="linear",
            output_channels=len(sides.target.palette.array),
        )
    return Codec(**fields)


def lab_codec(sides) -> Codec:
    """The networks see the input's L and predict a and b; the generated image combines the input's L with both."""
    if sides.target.channels != 3:
        raise InputError(
            f"--color_space=lab: the generator predicts colors, but target images have {sides.target.channels} "
            "channels; provide RGB targets, or leave the flag out"
        )
    chroma, to_rgb = layers.Chroma(dtype="float32"), layers.LabToRgb(dtype="float32")
    return Codec(
        encode_input=layers.Lightness(dtype="float32"),
        encode_target=lambda target_image, input_image: chroma(target_image),
        decode_output=lambda gen_output, input_image: to_rgb([gen_output, input_image]),
        input_channels=1,
        output_channels=2,
    )


def residual_codec(sides) -> Codec:
    """The generator predicts target minus input (Kim et al. 2016, arXiv 1511.04587), so it need not learn to copy."""
    if sides.input.channels != sides.target.channels:
        raise InputError(
            f"--residual: inputs have {sides.input.channels} channels and targets {sides.target.channels}, so their "
            "difference is undefined; pass --noresidual, or equal --input_channels and --output_channels"
        )
    add = layers.AddResidual(dtype="float32")
    return Codec(
        encode_target=lambda target_image, input_image: target_image - input_image,
        decode_output=lambda gen_output, input_image: add([gen_output, input_image]),
        activation="linear",
    )


def holes_codec(sides) -> Codec:
    """The networks see every pixel that is not opaque as a transparent pixel of HOLE_VALUE; the generated image has the
    generator's pixels there and the input's own, exactly, elsewhere."""
    if sides.input.channels != 4:
        raise InputError(
            f"--task=inpaint: holes are transparent pixels, but input images have {sides.input.channels} channels; "
            "provide RGBA inputs"
        )
    keep_known = layers.KeepKnown(dtype="float32")
    return Codec(
        encode_input=layers.MarkHoles(HOLE_VALUE, dtype="float32"),
        decode_output=lambda gen_output, input_image: keep_known([gen_output, input_image]),
    )


# Codecs by name: functions of both sides of the pairs (sides.Sides). They raise InputError if the channels do not fit.
CODECS = {
    "images": lambda sides: IMAGES,
    "palette": palette_codec,
    "lab": lab_codec,
    "residual": residual_codec,
    "holes": holes_codec,
}


def with_codec(generator: keras.Model, codec: Codec, channels: int) -> keras.Model:
    """A model from images to images: the codec's encoding, the generator, the codec's decoding.

    It shares the generator's layers and their weights, and lists them as its own, so that code which looks at a model's
    layers finds them.

    Args:
      channels: of the input images.

    Returns:
      A model float32 [n, h, w, channels] -> generated images, both in [-1, 1]; with IMAGES the generator itself.
    """
    if codec is IMAGES:
        return generator
    input_image = keras.Input((None, None, channels), name="input_image")
    gen_output = generator.call(codec.encode_input(input_image))
    return keras.Model(input_image, codec.decode_output(gen_output, input_image), name=f"{generator.name}_with_codec")
