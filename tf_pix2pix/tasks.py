"""Tasks: each makes, from a plain photo, the input picture that the photo is the target of.

A task's function takes a photo, float32 [h, w, c] in [-1, 1], c = 1 (gray) or 3 (RGB), of any height and width, a seed,
int32 [2], and the task's settings; it returns the input picture, float32 [h, w, c'] in [-1, 1]. Borders are repeated
where it looks beyond them. Drawings (edges, soft_edges, sketch) are dark lines on white.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_pix2pix import images

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and JPEG make gray of colours
CANNY_THRESHOLDS = (0.1, 0.3)  # of the gradient by Sobel's kernels, where a step from black to white is 4
HOLES = 4  # boxes, and as many strokes, in a picture with holes
HOLE_VALUE = 0.0  # mid-gray: the colour of what is missing
HIGHEST_CHROMA = 3 / 255  # of white: a photo with no pixel over it is gray


def colorize(photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The photo in gray, [h, w, 1]."""
    return _gray(photo)


def edges(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """Thin edges (Canny 1986), black on white, [h, w, 1]; sigma of the blur before, in pixels.

    Where the gradient is largest across the edge: all above the high threshold, and what touches them, through others,
    above the low one.
    """
    down, right = _sobel(_blur((_gray(photo) + 1.0) / 2.0, sigma))
    strength = tf.sqrt(down**2 + right**2)
    low, high = CANNY_THRESHOLDS
    weak = _is_ridge(strength, down, right) & (strength >= low)
    return tf.where(_connected(weak, weak & (strength >= high)), -1.0, 1.0)


def soft_edges(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The strength of the gradient, dark on white, [h, w, 1]; sigma of the blur before, in pixels."""
    down, right = _sobel(_blur((_gray(photo) + 1.0) / 2.0, sigma))
    return 1.0 - 2.0 * tf.tanh(tf.sqrt(down**2 + right**2))


def sketch(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """As drawn with a pencil, [h, w, 1]: the gray photo dodged by its inverted blur; sigma of that, in pixels.

    What is no darker than its surroundings becomes white.
    """
    gray = (_gray(photo) + 1.0) / 2.0
    return 2.0 * tf.minimum((gray + 0.02) / (_blur(gray, sigma) + 0.02), 1.0) - 1.0  # 0.02: noise in black stays faint


def super_resolution(photo: tf.Tensor, seed: tf.Tensor, *, scale: int) -> tf.Tensor:
    """The photo made `scale` times smaller, antialiased, and enlarged again to its size, both bicubic, [h, w, c]."""
    size = tf.shape(photo)[:2]
    small = tf.image.resize(photo, (size + scale - 1) // scale, "bicubic", antialias=True)
    return enlarge(tf.clip_by_value(small, -1.0, 1.0), size)


def enlarge(picture: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """float32 [h, w, c] in [-1, 1] -> [*size, c], bicubic: what super_resolution's network is given."""
    return tf.clip_by_value(tf.image.resize(picture, size, "bicubic"), -1.0, 1.0)


def denoise(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The photo under Gaussian noise, [h, w, c]; sigma in levels of 255."""
    noise = tf.random.stateless_normal(tf.shape(photo), seed)
    return tf.clip_by_value(photo + noise * (sigma / 127.5), -1.0, 1.0)


def inpaint(photo: tf.Tensor, seed: tf.Tensor, *, share: float) -> tf.Tensor:
    """The photo with holes, boxes and strokes at random, over about `share` of it: RGBA, [h, w, 4].

    In a hole the colour is HOLE_VALUE and alpha -1 (transparent), elsewhere alpha is 1.
    """
    rgb = photo if photo.shape[-1] == 3 else tf.repeat(photo, 3, axis=-1)
    hole = _holes(tf.shape(photo)[:2], seed, share)[..., tf.newaxis]
    return tf.concat([tf.where(hole, HOLE_VALUE, rgb), tf.where(hole, -1.0, 1.0)], axis=-1)


def deblur(photo: tf.Tensor, seed: tf.Tensor, *, sigma: float) -> tf.Tensor:
    """The photo blurred by a Gaussian, [h, w, c]; sigma in pixels."""
    return _blur(photo, sigma)


@dataclass(frozen=True)
class Task:
    """What makes the inputs of a task.

    Attributes:
      make: (photo, seed, **settings) -> input picture.
      input_channels: of the input picture; None: as many as the photo has.
      needs_color: gray photos teach it nothing.
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
    """A task as a function of pictures: (photo, seed=None) -> input picture, [h, w, c] of the format; None: no task.

    It is traced once for sizes not seen before, and takes photos of one number of channels. The input is rounded as it
    would be in a file. Without a seed it is drawn by one that the photo itself gives: the same photo has the same input
    always.
    """
    if task is None:
        return None

    @tf.function(reduce_retracing=True, autograph=False)
    def make_input(photo, seed=None):
        seed = _seed_of(photo) if seed is None else seed
        return side.from_float(TASKS[task].make(side.to_float(photo), seed, **settings))

    return make_input


def is_gray(photo: np.ndarray) -> bool:
    """Whether [h, w, c] has no colours, but for what JPEG may make of a gray picture."""
    colours = photo[:, :, : min(photo.shape[2], 3)].astype(np.float32)
    white = (images.DEPTHS[photo.dtype.name] or (0.0, np.abs(colours).max()))[1]
    return np.ptp(colours, axis=2).max() <= HIGHEST_CHROMA * white


def _gray(photo):
    """[h, w, 1 or 3] -> [h, w, 1]."""
    return photo if photo.shape[-1] == 1 else tf.reduce_sum(photo * LUMA, axis=-1, keepdims=True)


def _bordered(picture, width):
    """[h, w, c] -> [h + 2 width, w + 2 width, c], the borders repeated outwards."""
    for axis in (0, 1):
        side = tf.shape(picture)[axis]
        picture = tf.gather(picture, tf.clip_by_value(tf.range(-width, side + width), 0, side - 1), axis=axis)
    return picture


def _blur(picture, sigma):
    """Gaussian blur of [h, w, c], to 4 sigma."""
    width = math.ceil(4 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-width, width + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    planes = tf.transpose(_bordered(picture, width), [2, 0, 1])[..., tf.newaxis]
    for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
        planes = tf.nn.conv2d(planes, kernel.reshape(shape), strides=1, padding="VALID")
    return tf.transpose(planes[..., 0], [1, 2, 0])


def _neighbours(picture):
    """[h, w, c] -> a function: (down, right), each -1, 0 or 1 -> each pixel's neighbour there."""
    height, width = tf.unstack(tf.shape(picture)[:2])
    wide = _bordered(picture, 1)
    return lambda down, right: wide[1 + down : 1 + down + height, 1 + right : 1 + right + width]


def _sobel(gray):
    """The gradient of [h, w, 1] downwards and to the right, by Sobel's kernels, not normalised."""
    at = _neighbours(gray)
    down = sum(weight * (at(1, side) - at(-1, side)) for side, weight in ((-1, 1.0), (0, 2.0), (1, 1.0)))
    right = sum(weight * (at(side, 1) - at(side, -1)) for side, weight in ((-1, 1.0), (0, 2.0), (1, 1.0)))
    return down, right


def _is_ridge(strength, down, right):
    """Where the gradient is no weaker than one step along it to either side, between the two pixels nearest to that."""
    at = _neighbours(strength)
    steep = tf.abs(down) >= tf.abs(right)
    lean = tf.math.divide_no_nan(tf.minimum(tf.abs(down), tf.abs(right)), tf.maximum(tf.abs(down), tf.abs(right)))
    same_sign = down * right >= 0.0

    def stepped(sign):
        straight = tf.where(steep, at(sign, 0), at(0, sign))
        against = tf.where(steep, at(sign, -sign), at(-sign, sign))
        return (1.0 - lean) * straight + lean * tf.where(same_sign, at(sign, sign), against)

    return (strength >= stepped(1)) & (strength >= stepped(-1))


def _connected(weak, strong):
    """What of bool [h, w, 1] `weak` is connected, also by corners, to `strong`, which is part of it."""

    def grow(found, _):
        near = tf.nn.max_pool2d(tf.cast(found, tf.float32)[tf.newaxis], 3, 1, "SAME")[0] > 0.0
        return near & weak, tf.reduce_any((near & weak) != found)

    return tf.while_loop(lambda _, changed: changed, grow, (strong, tf.constant(True)))[0]


def _holes(size, seed, share):
    """bool [h, w], True in HOLES boxes and as many strokes, which have about the same share of the picture each."""
    height, width = tf.unstack(tf.cast(size, tf.float32))
    row, column = tf.range(height)[:, tf.newaxis] + 0.5, tf.range(width)[tf.newaxis, :] + 0.5
    area = share * height * width / (2 * HOLES)  # overlaps, and strokes that leave the picture, make it less
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


def _seed_of(photo):
    """int32 [2] from the pixels of [h, w, c]."""
    pixels = tf.reshape(photo, [1, -1])
    return tf.bitcast(tf.reshape(tf.raw_ops.Fingerprint(data=pixels, method="farmhash64"), [2, 4]), tf.int32)
