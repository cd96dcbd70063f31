"""What lies between pictures and networks: palettes as one-hot channels and classes, the CIE Lab colour space, holes,
and what is to be added to a picture.

A picture is float32 [n, h, w, c] in [-1, 1], as everywhere; the networks take and give what is encoded here. Training
encodes its batches; all that comes after is one Keras model from pictures to pictures, made by `with_codec`.

The layers are of ops that TFLite and ONNX have, of 4 dimensions at most.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf


def _same(x):
    return x


@dataclass(frozen=True)
class Codec:
    """Between pictures and networks. Without arguments: the networks take and give the pictures themselves.

    Attributes:
      encode_input: input picture -> what the networks take of it, float32 [n, h, w, input_channels].
      encode_target: (target picture, input picture) -> what the generator's output is drawn to, and the discriminator
        is shown, [n, h, w, output_channels].
      as_target: the generator's output -> what the discriminator is shown of that, the like of encode_target.
      decode_output: (the generator's output, the input picture) -> the picture.
      activation: of the generator's last layer.
      input_channels, output_channels: of the networks. None: the pictures' own.
    """

    encode_input: Callable[[tf.Tensor], tf.Tensor] = _same
    encode_target: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda target, picture: target
    as_target: Callable[[tf.Tensor], tf.Tensor] = _same
    decode_output: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda gen_output, picture: gen_output
    activation: str = "tanh"
    input_channels: int | None = None
    output_channels: int | None = None


IMAGES = Codec()


def palettes_encoding(input_colors: np.ndarray | None, target_colors: np.ndarray | None) -> Codec:
    """One-hot channels for inputs, classes for targets: palettes, uint8 [k, c], or None for a side left as it is.

    A pixel is 1 in the channel of its colour and 0 in the others, not -1: what a convolution sees is the kernel of one
    colour, however many there are, and the zeros that it pads with are "no colour". The generator's output for classes
    are logits; the discriminator compares their softmax with the one-hot targets.
    """
    parts = {}
    if input_colors is not None:
        parts |= dict(encode_input=OneHot(input_colors), input_channels=len(input_colors))
    if target_colors is not None:
        one_hot, colors = OneHot(target_colors), PaletteColors(target_colors)
        parts |= dict(
            encode_target=lambda target, picture: one_hot(target),
            as_target=tf.nn.softmax,
            decode_output=lambda gen_output, picture: colors(gen_output),
            activation="linear",
            output_channels=len(target_colors),
        )
    return Codec(**parts)


def lab_encoding() -> Codec:
    """The networks see L of the input and predict a and b; the picture has the input's L and those."""
    chroma = Chroma()
    return Codec(
        encode_input=Lightness(),
        encode_target=lambda target, picture: chroma(target),
        decode_output=LabPicture(),
        input_channels=1,
        output_channels=2,
    )


def holes_encoding(hole_value: float) -> Codec:
    """The networks see holes, which are what is not opaque, as transparent and of hole_value in each channel; the
    picture has the input's own pixels outside of them, exactly, and the network's inside."""
    return Codec(HolesMarked(hole_value), decode_output=KnownKept())


def residual_encoding() -> Codec:
    """The network gives what is to be added to the input picture (Kim et al. 2016, arXiv 1511.04587): what is there
    already it need not learn to repeat."""
    return Codec(encode_target=lambda target, picture: target - picture, decode_output=Added(), activation="linear")


CODECS = {
    "images": lambda sides: IMAGES,
    "palette": lambda sides: palettes_encoding(*(side.palette and side.palette.array for side in sides)),
    "lab": lambda sides: lab_encoding(),
    "residual": lambda sides: residual_encoding(),
    "holes": lambda sides: holes_encoding(0.0),
}


def with_codec(generator: keras.Model, codec: Codec, channels: int) -> keras.Model:
    """The generator with encoding before and decoding behind: pictures of so many channels -> pictures, in [-1, 1].

    It has the generator's own layers, not the generator as one layer, so that what goes over a model's layers finds
    them. Their weights are shared.
    """
    if codec is IMAGES:
        return generator
    picture = keras.Input((None, None, channels), name="picture")
    gen_output = generator.call(codec.encode_input(picture))
    return keras.Model(picture, codec.decode_output(gen_output, picture), name=f"{generator.name}_with_codec")


class _Conversion(keras.layers.Layer):
    """A layer without weights that computes in float32 whatever the networks do."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})


class OneHot(_Conversion):
    """Pictures [n, h, w, c] -> one-hot channels [n, h, w, k] in {0, 1}, of the nearest colour (the first of equals).

    In whole numbers, exact also in files whose weights and activations are quantised.

    Args:
      colors: uint8 [k, c].
    """

    def __init__(self, colors, **kwargs):
        super().__init__(**kwargs)
        self.colors = np.asarray(colors, np.int32)

    def call(self, picture):
        # (level - 127.5) / 127.5 is what a picture holds, rounded down: level - 128. TFLite quantises no FLOOR_DIV.
        levels = tf.cast(tf.math.floordiv(picture, np.float32(1 / 127.5)), tf.int32)
        channels = range(self.colors.shape[1])
        parts = [tf.square(levels[..., c : c + 1] - (self.colors[:, c] - 128)) for c in channels]
        label = tf.argmin(sum(parts), axis=-1, output_type=tf.int32)
        # Rows of a table, not tf.one_hot, nor what TFLite's converter takes for it: in int8 files its zero is 0.5.
        return tf.cast(tf.gather(np.eye(len(self.colors), dtype=np.int32), label), tf.float32)

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], len(self.colors)

    def get_config(self):
        return {**super().get_config(), "colors": self.colors.tolist()}


class PaletteColors(_Conversion):
    """Logits [n, h, w, k] -> pictures [n, h, w, c] of the colour with the highest, exactly (the first of equals).

    Args:
      colors: uint8 [k, c].
    """

    def __init__(self, colors, **kwargs):
        super().__init__(**kwargs)
        self.colors = np.asarray(colors, np.int32)

    def call(self, logits):
        # The angles of whole-numbered vectors, right to 1/30,000, are the values. Looked up as floats, or multiplied by
        # a constant, or divided, int8 files would have them in 8 bits, half a level off; TFLite quantises no ATAN2.
        values = self.colors / 127.5 - 1.0
        rows = [tf.constant(np.round(30000 * side), tf.int32) for side in (np.sin(values), np.cos(values))]
        label = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return tf.atan2(*(tf.cast(tf.gather(row, label), tf.float32) for row in rows))

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], self.colors.shape[1]

    def get_config(self):
        return {**super().get_config(), "colors": self.colors.tolist()}


OPAQUE = 0.994  # the least alpha that is: 255 is 1, 254 is 0.992; int8 files have no 1, but 0.996


class HolesMarked(_Conversion):
    """RGBA pictures [n, h, w, 4] -> the same; what is not opaque has hole_value as its colour, and alpha -1."""

    def __init__(self, hole_value, **kwargs):
        super().__init__(**kwargs)
        self.hole_value = hole_value

    def call(self, picture):
        mark = np.float32([*[self.hole_value] * 3, -1.0])
        return tf.where(picture[..., 3:] >= OPAQUE, picture, mark)

    def get_config(self):
        return {**super().get_config(), "hole_value": self.hole_value}


class KnownKept(_Conversion):
    """(Gray or RGB pictures, RGBA pictures with holes) -> the first in the holes, elsewhere the second."""

    def call(self, gen_output, picture):
        known = picture[..., :3]
        if gen_output.shape[3] == 1:  # so written, a gray stays the same bit for bit
            red, green, blue = tf.split(known, 3, axis=3)
            known = red + 0.587 * (green - red) + 0.114 * (blue - red)
        return tf.where(picture[..., 3:] >= OPAQUE, known, gen_output)


class Added(_Conversion):
    """(What is to be added, pictures of as many channels) -> their sum, in [-1, 1]."""

    def call(self, gen_output, picture):
        return tf.clip_by_value(picture + gen_output, -1.0, 1.0)


# sRGB (IEC 61966-2-1): linear RGB -> XYZ under D65. White is that of (1, 1, 1), so that grays have a = b = 0.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _XYZ.sum(axis=1)
_TO_XYZ = (_XYZ / _WHITE[:, np.newaxis]).T.astype(np.float32)  # of white: 1, 1, 1
_FROM_XYZ = np.linalg.inv(_TO_XYZ).astype(np.float32)
_DELTA = 6 / 29  # where CIE Lab's cube root becomes a line
CHROMA = 110.0  # sRGB's a and b are in -86..98 and -108..94; divided by this they are what tanh gives


def rgb_to_lab(picture: tf.Tensor) -> tf.Tensor:
    """sRGB pictures [n, h, w, 3] in [-1, 1] -> CIE Lab (CIE 15, D65): L in 0..100, a and b in -108..98."""
    x, y, z = tf.split(_root(_times(_linear(picture), _TO_XYZ)), 3, axis=3)
    return tf.concat([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=3)


def lab_to_rgb(lab: tf.Tensor) -> tf.Tensor:
    """CIE Lab [n, h, w, 3], L in 0..100 -> sRGB pictures [n, h, w, 3] in [-1, 1].

    A colour that sRGB does not have becomes the most colourful one on the way to the gray of its luminance, in linear
    light. So L stays as it is, and hue nearly; clipping each channel would change L by up to tens.
    """
    lightness, a, b = tf.split(lab, 3, axis=3)
    root = (lightness + 16.0) / 116.0
    cube = _cube(tf.concat([root + a / 500.0, root, root - b / 200.0], axis=3))
    gray = tf.clip_by_value(cube[..., 1:2], 0.0, 1.0)
    away = _times(cube, _FROM_XYZ) - gray
    room = tf.where(away > 0.0, 1.0 - gray, gray)
    share = room / tf.maximum(tf.abs(away), tf.maximum(room, 1e-6))  # of the way from the gray, at most 1
    linear = gray + tf.reduce_min(share, axis=3, keepdims=True) * away
    return _gamma(tf.clip_by_value(linear, 0.0, 1.0))


class Lightness(_Conversion):
    """Gray, RGB or RGBA pictures -> their L, [n, h, w, 1], 0..100 as [-1, 1]."""

    def call(self, picture):
        return _lightness(picture) / 50.0 - 1.0


class Chroma(_Conversion):
    """RGB pictures -> their a and b, [n, h, w, 2], divided by CHROMA."""

    def call(self, picture):
        return rgb_to_lab(picture)[..., 1:] / CHROMA


class LabPicture(_Conversion):
    """(a and b divided by CHROMA, the input picture) -> RGB pictures with the input's L."""

    def call(self, gen_output, picture):
        return lab_to_rgb(tf.concat([_lightness(picture), CHROMA * gen_output], axis=3))


def _lightness(picture):
    if picture.shape[3] == 1:  # R = G = B
        return 116.0 * _root(_linear(picture)) - 16.0
    return rgb_to_lab(picture[..., :3])[..., :1]


def _times(pictures, matrix):
    return tf.nn.conv2d(pictures, matrix[np.newaxis, np.newaxis], strides=1, padding="SAME")


def _linear(picture):
    value = tf.clip_by_value((picture + 1.0) / 2.0, 0.0, 1.0)
    return tf.where(value <= 0.04045, value / 12.92, tf.pow((value + 0.055) / 1.055, 2.4))


def _gamma(linear):
    curved = 1.055 * tf.pow(tf.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return 2.0 * tf.where(linear <= 0.0031308, 12.92 * linear, curved) - 1.0


def _root(value):
    line = value / (3 * _DELTA**2) + 4 / 29
    return tf.where(value > _DELTA**3, tf.pow(tf.maximum(value, _DELTA**3), 1 / 3), line)


def _cube(root):
    return tf.where(root > _DELTA, root * root * root, 3 * _DELTA**2 * (root - 4 / 29))
