"""The layers of the codecs: label maps as one-hot channels and classes, holes, residuals and the CIE Lab color space.

Images are [n, h, w, c] in [-1, 1]. The layers have no weights and use only operations that TFLite and ONNX have, of at
most 4 dimensions. Layers with two inputs take a list, as keras.layers.Add does. Inputs and outputs have the layer's
compute dtype, so exact pixels require float32; the color arithmetic itself is always float32.
"""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_pix2pix")
class OneHotLabels(keras.layers.Layer):
    """Images -> one-hot channels [n, h, w, k] in {0, 1} of the nearest palette color (the first of equals).

    The arithmetic is in whole numbers, exact even in files with quantized weights and activations.

    Args:
      colors: the palette, uint8 [k, c].
    """

    def __init__(self, colors, **kwargs):
        super().__init__(**kwargs)
        self.colors = np.asarray(colors, np.int32)

    def call(self, image):
        # A pixel is (level - 127.5) / 127.5; rounded down this is level - 128. TFLite does not quantize FLOOR_DIV.
        levels = tf.cast(tf.math.floordiv(tf.cast(image, tf.float32), np.float32(1 / 127.5)), tf.int32)
        channels = range(self.colors.shape[1])
        parts = [tf.square(levels[..., c : c + 1] - (self.colors[:, c] - 128)) for c in channels]
        label = tf.argmin(sum(parts), axis=-1, output_type=tf.int32)
        # Rows of a table: in int8 files, tf.one_hot, and what TFLite's converter fuses into it, have 0.5 instead of 0.
        return tf.cast(tf.gather(np.eye(len(self.colors), dtype=np.int32), label), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], len(self.colors)

    def get_config(self):
        return {**super().get_config(), "colors": self.colors.tolist()}


@keras.saving.register_keras_serializable("tf_pix2pix")
class PaletteColors(keras.layers.Layer):
    """Logits [n, h, w, k] -> images [n, h, w, c] in the palette color of the highest logit (the first of equals).

    Args:
      colors: the palette, uint8 [k, c].
    """

    def __init__(self, colors, **kwargs):
        super().__init__(**kwargs)
        self.colors = np.asarray(colors, np.int32)

    def call(self, logits):
        # The pixel values are angles of whole-number vectors, correct to 1/30,000. int8 files would hold a float table,
        # a product with a constant or a quotient in 8 bits, half a level off. TFLite does not quantize ATAN2.
        values = self.colors / 127.5 - 1.0
        rows = [tf.constant(np.round(30000 * side), tf.int32) for side in (np.sin(values), np.cos(values))]
        label = tf.argmax(logits, axis=-1, output_type=tf.int32)
        image = tf.atan2(*(tf.cast(tf.gather(row, label), tf.float32) for row in rows))
        return tf.cast(image, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], self.colors.shape[1]

    def get_config(self):
        return {**super().get_config(), "colors": self.colors.tolist()}


OPAQUE = 0.994  # the least opaque alpha: 255 is 1 and 254 is 0.992, but int8 files have 0.996 instead of 1


def _is_opaque(image):
    return tf.cast(image[..., 3:], tf.float32) >= OPAQUE


@keras.saving.register_keras_serializable("tf_pix2pix")
class MarkHoles(keras.layers.Layer):
    """RGBA images [n, h, w, 4] -> the same shape. Pixels that are not opaque become [hole_value] * 3 with alpha -1.

    Args:
      hole_value: in [-1, 1].
    """

    def __init__(self, hole_value: float, **kwargs):
        super().__init__(**kwargs)
        self.hole_value = hole_value

    def call(self, image):
        return tf.where(_is_opaque(image), image, tf.constant([*[self.hole_value] * 3, -1.0], image.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "hole_value": self.hole_value}


@keras.saving.register_keras_serializable("tf_pix2pix")
class KeepKnown(keras.layers.Layer):
    """[gray or RGB image, RGBA image with holes] -> the first image in the holes, the second one elsewhere."""

    def call(self, inputs):
        gen_output, input_image = inputs
        known = input_image[..., :3]
        if gen_output.shape[3] == 1:  # in this form R = G = B keeps its value bit for bit
            red, green, blue = tf.split(known, 3, axis=3)
            known = red + 0.587 * (green - red) + 0.114 * (blue - red)
        return tf.where(_is_opaque(input_image), known, gen_output)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.saving.register_keras_serializable("tf_pix2pix")
class AddResidual(keras.layers.Layer):
    """[residual, image], both [n, h, w, c] -> their sum, clipped to [-1, 1]."""

    def call(self, inputs):
        gen_output, input_image = inputs
        return tf.clip_by_value(input_image + gen_output, -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


# sRGB (IEC 61966-2-1): linear RGB -> XYZ under D65. White is the XYZ of (1, 1, 1), so that grays have a = b = 0.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _XYZ.sum(axis=1)
_TO_XYZ = (_XYZ / _WHITE[:, np.newaxis]).T.astype(np.float32)  # white becomes 1, 1, 1
_FROM_XYZ = np.linalg.inv(_TO_XYZ).astype(np.float32)
_DELTA = 6 / 29  # below it CIE Lab's cube root is a line
CHROMA_SCALE = 110.0  # sRGB's a is in -86..98 and b in -108..94; divided by this they fit the range of tanh


def rgb_to_lab(image: tf.Tensor) -> tf.Tensor:
    """sRGB images, float32 [n, h, w, 3] in [-1, 1] -> CIE Lab (CIE 15, D65): L in 0..100, a and b in -108..98."""
    x, y, z = tf.split(_cube_root(_multiply(_linear(image), _TO_XYZ)), 3, axis=3)
    return tf.concat([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=3)


def lab_to_rgb(lab: tf.Tensor) -> tf.Tensor:
    """CIE Lab, float32 [n, h, w, 3], L in 0..100 -> sRGB images [n, h, w, 3] in [-1, 1].

    A color outside sRGB moves in linear light towards the gray of its luminance until it is inside. L stays the same,
    hue nearly so; clipping each channel would change L by up to tens.
    """
    lightness, a, b = tf.split(lab, 3, axis=3)
    root = (lightness + 16.0) / 116.0
    xyz = _cube(tf.concat([root + a / 500.0, root, root - b / 200.0], axis=3))
    gray = tf.clip_by_value(xyz[..., 1:2], 0.0, 1.0)
    away = _multiply(xyz, _FROM_XYZ) - gray
    room = tf.where(away > 0.0, 1.0 - gray, gray)
    share = room / tf.maximum(tf.abs(away), tf.maximum(room, 1e-6))  # of the way from gray to the color, at most 1
    linear = gray + tf.reduce_min(share, axis=3, keepdims=True) * away
    return _gamma(tf.clip_by_value(linear, 0.0, 1.0))


@keras.saving.register_keras_serializable("tf_pix2pix")
class Lightness(keras.layers.Layer):
    """Gray, RGB or RGBA images -> their L [n, h, w, 1], 0..100 scaled to [-1, 1]."""

    def call(self, image):
        return tf.cast(_lightness(image) / 50.0 - 1.0, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], 1


@keras.saving.register_keras_serializable("tf_pix2pix")
class Chroma(keras.layers.Layer):
    """RGB images -> their a and b [n, h, w, 2], divided by CHROMA_SCALE."""

    def call(self, image):
        return tf.cast(rgb_to_lab(tf.cast(image, tf.float32))[..., 1:] / CHROMA_SCALE, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return *input_shape[:3], 2


@keras.saving.register_keras_serializable("tf_pix2pix")
class LabToRgb(keras.layers.Layer):
    """[a and b divided by CHROMA_SCALE, gray, RGB or RGBA image] -> RGB images with the second one's L."""

    def call(self, inputs):
        gen_output, input_image = inputs
        chroma = CHROMA_SCALE * tf.cast(gen_output, tf.float32)
        return tf.cast(lab_to_rgb(tf.concat([_lightness(input_image), chroma], axis=3)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return *input_shape[0][:3], 3


def _lightness(image):
    image = tf.cast(image, tf.float32)
    if image.shape[3] == 1:  # R = G = B
        return 116.0 * _cube_root(_linear(image)) - 16.0
    return rgb_to_lab(image[..., :3])[..., :1]


def _multiply(images, matrix):
    return tf.nn.conv2d(images, matrix[np.newaxis, np.newaxis], strides=1, padding="SAME")


def _linear(image):
    value = tf.clip_by_value((image + 1.0) / 2.0, 0.0, 1.0)
    return tf.where(value <= 0.04045, value / 12.92, tf.pow((value + 0.055) / 1.055, 2.4))


def _gamma(linear):
    curved = 1.055 * tf.pow(tf.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return 2.0 * tf.where(linear <= 0.0031308, 12.92 * linear, curved) - 1.0


def _cube_root(value):
    line = value / (3 * _DELTA**2) + 4 / 29
    return tf.where(value > _DELTA**3, tf.pow(tf.maximum(value, _DELTA**3), 1 / 3), line)


def _cube(root):
    return tf.where(root > _DELTA, root * root * root, 3 * _DELTA**2 * (root - 4 / 29))
