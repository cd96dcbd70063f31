"""Tasks: each makes the input image from a plain photo; the photo itself is the target.

Each task is a function of a photo, float32 [h, w, c] in [-1, 1] with c = 1 (gray) or 3 (RGB), a seed, int32 [2], and
settings of its own. It returns the input image, float32 [h, w, c'] in [-1, 1]. Blurs and gradients repeat the border
pixels beyond the border. Drawings (edges, soft_edges, sketch) are dark lines on white.

Edges and blurs call scikit-image outside of the graph, since no exported graph contains a task. Measured in training's
input pipeline on 2 busy cores with real photos of 256x256, our own TensorFlow operations against scikit-image: edges 19
and 184 images a second, soft_edges 151 and 169, sketch 478 and 649, deblur 188 and 284. 0.12 % of the edge pixels
differ, nearly all of them at the border, and blurs differ by at most 1 of 255.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skimage
import tensorflow as tf

from tf_pix2pix import images

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow and JPEG
CANNY_THRESHOLDS = (0.1, 0.3)  # of the gradient by Sobel's kernels, where a step from black to white is 4
HOLES = 4  # boxes in an image with holes; there are also 4 strokes
HOLE_VALUE = 0.0  # the color inside holes: mid-gray
MAX_GRAY_CHROMA = 3 / 255  # of white: a photo in which no pixel exceeds it is gray


def colorize(photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The photo in gray, [h, w, 1]."""
    return _gray(photo)


def edges(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """Thin edges (Canny 1986), black on white, [h, w, 1]. The outermost pixels are never edges.

    Args:
      sigma: of the Gaussian blur before, in pixels.
    """

    def draw(gray):
        found = skimage.feature.canny(gray[:, :, 0], sigma, *CANNY_THRESHOLDS, mode="nearest")
        return np.where(found, np.float32(-1.0), np.float32(1.0))[:, :, np.newaxis]

    return _outside_graph(draw, (_gray(photo) + 1.0) / 2.0)


def soft_edges(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The strength of the gradient, dark on white, [h, w, 1].

    Args:
      sigma: of the Gaussian blur before, in pixels.
    """

    def draw(gray):
        blurred = skimage.filters.gaussian(gray[:, :, 0], sigma, mode="nearest")
        strength = 4.0 * math.sqrt(2.0) * skimage.filters.sobel(blurred, mode="nearest")  # sobel normalizes; undo that
        return 1.0 - 2.0 * np.tanh(strength)[:, :, np.newaxis]

    return _outside_graph(draw, (_gray(photo) + 1.0) / 2.0)


def sketch(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The photo as a pencil drawing, [h, w, 1]: gray, divided by its own blur.

    Pixels as bright as their surroundings, or brighter, become white.

    Args:
      sigma: of the Gaussian blur, in pixels.
    """
    gray = (_gray(photo) + 1.0) / 2.0
    return 2.0 * tf.minimum((gray + 0.02) / (_blur(gray, sigma) + 0.02), 1.0) - 1.0  # 0.02: noise in black stays faint


def super_resolution(photo: tf.Tensor, seed: tf.Tensor, *, scale: int) -> tf.Tensor:
    """The photo reduced `scale` times, antialiased, and enlarged to its size again, both bicubic, [h, w, c]."""
    size = tf.shape(photo)[:2]
    small = tf.image.resize(photo, (size + scale - 1) // scale, "bicubic", antialias=True)
    return enlarge(tf.clip_by_value(small, -1.0, 1.0), size)


def enlarge(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resizes float32 [h, w, c] in [-1, 1] to [*size, c], bicubic: the input of a super_resolution network."""
    return tf.clip_by_value(tf.image.resize(image, size, "bicubic"), -1.0, 1.0)


def denoise(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The photo with Gaussian noise, [h, w, c]; sigma in levels of 255."""
    noise = tf.random.stateless_normal(tf.shape(photo), seed)
    return tf.clip_by_value(photo + noise * (sigma / 127.5), -1.0, 1.0)


def inpaint(photo: tf.Tensor, seed: tf.Tensor, *, share: float) -> tf.Tensor:
    """The photo with random holes, boxes and strokes, over about `share` of its area: RGBA, [h, w, 4].

    A hole has the color HOLE_VALUE and alpha -1 (transparent); alpha is 1 elsewhere.
    """
    rgb = photo if photo.shape[-1] == 3 else tf.repeat(photo, 3, axis=-1)
    hole = _holes(tf.shape(photo)[:2], seed, share)[..., tf.newaxis]
    return tf.concat([tf.where(hole, HOLE_VALUE, rgb), tf.where(hole, -1.0, 1.0)], axis=-1)


def deblur(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The photo with a Gaussian blur, [h, w, c]; sigma in pixels."""
    return _blur(photo, sigma)


@dataclass(frozen=True)
class Task:
    """How to make the input images of a task.

    Attributes:
      make: (photo, seed, **settings) -> input image.
      input_channels: channels of the input image; None: those of the photo.
      needs_color: the task learns nothing from gray photos.
    """

    make: Callable[..., tf.Tensor]
    input_channels: int | None = None
    needs_color: bool = False


TASKS = {
    "colorize": Task(colorize, input_channels=1, needs_color=True),
    "edges": Task(edges, input_channels=1),
    "soft_edges": Task(soft_edges, input_channels=1),
    "sketch": Task(sketch, input_channels=1),
    "super_resolution": Task(super_resolution),
    "denoise": Task(denoise),
    "inpaint": Task(inpaint, input_channels=4),
    "deblur": Task(deblur),
}


def input_maker(task: str | None, side, **settings) -> Callable[..., tf.Tensor] | None:
    """Returns a function (photo, seed=None) -> input image that makes a task's inputs as they would be in a file.

    The function is traced once for all image sizes but expects one number of channels. Without a seed, it derives one
    from the photo's pixels, so that the same photo always gets the same input.

    Args:
      task: a key of TASKS, or None, for which the result is None.
      side: the sides.Side of the photos, [h, w, c]; the input images have the same depth and value range.
      settings: the keyword arguments of the task's function.
    """
    if task is None:
        return None

    @tf.function(reduce_retracing=True, autograph=False)
    def make_input(photo, seed=None):
        seed = _seed_from_pixels(photo) if seed is None else seed
        return side.from_float(TASKS[task].make(side.to_float(photo), seed, **settings))

    return make_input


def is_gray(photo: np.ndarray) -> bool:
    """Whether an image [h, w, c] is gray, apart from the traces of color that JPEG may leave."""
    colors = photo[:, :, : min(photo.shape[2], 3)].astype(np.float32)
    white = (images.DEPTHS[photo.dtype.name] or (0.0, np.abs(colors).max()))[1]
    return np.ptp(colors, axis=2).max() <= MAX_GRAY_CHROMA * white


def _gray(photo):
    """[h, w, 1 or 3] -> [h, w, 1]."""
    return photo if photo.shape[-1] == 1 else tf.reduce_sum(photo * LUMA, axis=-1, keepdims=True)


def _blur(image, sigma):
    """Gaussian blur of [h, w, c], cut off at 4 sigma."""
    return _outside_graph(lambda array: skimage.filters.gaussian(array, sigma, mode="nearest", channel_axis=2), image)


def _outside_graph(function, image):
    """Calls a NumPy function on float32 [h, w, c]; it returns the same shape and dtype."""
    result = tf.numpy_function(function, [image], tf.float32)
    result.set_shape(image.shape)
    return result


def _holes(size, seed, share):
    """bool [*size], True inside HOLES boxes and HOLES strokes, all of about the same area."""
    height, width = tf.unstack(tf.cast(size, tf.float32))
    row, column = tf.range(height)[:, tf.newaxis] + 0.5, tf.range(width)[tf.newaxis, :] + 0.5
    area = share * height * width / (2 * HOLES)  # overlaps, and strokes across the border, reduce the total
    drawn = tf.random.stateless_uniform([2, HOLES, 4], seed)
    hole = tf.zeros(size, tf.bool)
    for y, x, amount, shape in (tf.unstack(numbers) for numbers in tf.unstack(drawn[0])):
        aspect = 2.0 ** (2.0 * shape - 1.0)  # 1/2 to 2
        box_height = tf.clip_by_value(tf.sqrt((0.5 + amount) * area * aspect), 1.0, height)
        box_width = tf.clip_by_value(tf.sqrt((0.5 + amount) * area / aspect), 1.0, width)
        below, beside = row - y * (height - box_height), column - x * (width - box_width)
        hole |= (below >= 0.0) & (below <= box_height) & (beside >= 0.0) & (beside <= box_width)
    for y, x, amount, shape in (tf.unstack(numbers) for numbers in tf.unstack(drawn[1])):
        length = (0.3 + 0.5 * amount) * tf.sqrt(height * width)
        down, right = tf.sin(math.pi * shape), tf.cos(math.pi * shape)
        below, beside = row - y * height, column - x * width
        along, across = tf.abs(below * down + beside * right), tf.abs(below * right - beside * down)
        hole |= (along <= length / 2) & (across <= area / length / 2)
    return hole


def _seed_from_pixels(photo):
    """[h, w, c] -> int32 [2]."""
    pixels = tf.reshape(photo, [1, -1])
    return tf.bitcast(tf.reshape(tf.raw_ops.Fingerprint(data=pixels, method="farmhash64"), [2, 4]), tf.int32)
