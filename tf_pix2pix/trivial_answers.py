"""Trivial answers: what needs no network, such as one constant color. A trained generator has to be better.

The colors come from the training pairs alone. Counting levels keeps the memory small and makes medians exact.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from tf_pix2pix import tasks
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import ColorCounts, NoisyColors, Palette, color_codes, count_colors, find_palette
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.threads import map_in_threads

MAX_PAIRS = 200  # training pairs to read; of 400 facades the median color is the same, a rare label's 12 levels off
MAX_PIXELS = 2**17  # of each image, evenly spaced
LABEL_PAIRS = 16  # input images in which to look for labels
LEVELS = {"uint8": 256}  # counted levels of a channel; 4096 for deeper images
SIGMAS = (0.5, 0.8, 1.2)  # pixels; Gaussian blurs against noise

# The answers that ignore the input: name -> words for it.
CONSTANTS = {"median color": "a constant color", "most frequent class": "a constant class"}

Answer = Callable[[tf.Tensor], tf.Tensor]  # input images -> generated images, float32 [n, h, w, c] in [-1, 1]


def trivial_answers(
    examples: Pairs, sides: Sides, *, task: str | None = None, max_pairs: int = MAX_PAIRS
) -> dict[str, Answer]:
    """The trivial answers by name; the first is a constant color, except for restorations of photos.

    Args:
      examples: the training pairs from prepare_examples; with a task, photos.
      task: a key of tasks.TASKS.
      max_pairs: how many of the pairs to read, evenly spaced.

    Returns:
      Functions from input images to generated images, float32 [n, h, w, c] in [-1, 1], of any n, h and w.
    """
    pairs, target = examples.spread(max_pairs), sides.target
    labels = None if task else sides.input.palette or _find_labels(pairs, sides.input)
    counts = _count_levels(pairs, sides, labels)
    total = counts.sum(axis=0, keepdims=True)
    constant = partial(_fill, color=_typical(total, target)[0])
    if task:
        return _task_answers(task, constant, _means(total[0]))
    name = "most frequent class" if target.palette else "median color"
    answers: dict[str, Answer] = {name: constant}
    if labels:
        unseen = counts.sum(axis=(1, 2)) == 0
        colors = _typical(np.where(unseen[:, None, None], total, counts), target)
        answers[f"{name} of each label"] = partial(_paint, side=sides.input, labels=labels, colors=colors)
    if sides.input.channels == target.channels and not target.palette:
        answers["input image"] = tf.convert_to_tensor
    return answers


def _find_labels(pairs: Pairs, side: Side) -> Palette | None:
    """The colors of label maps, JPEG noise or not; None if the input images are photos."""
    if side.depth != "uint8":
        return None
    counted = ColorCounts()
    few = pairs.spread(LABEL_PAIRS)
    for index in range(len(few)):
        counted.add(count_colors(_thinned(few.read(index)[few.parts.index(INPUT)])), few.names[index])
    try:
        return find_palette(counted, INPUT)
    except NoisyColors as error:
        return Palette(tuple(map(tuple, error.colors))) if len(error.colors) > 1 else None
    except InputError:
        return None


def _thinned(image: np.ndarray) -> np.ndarray:
    """Every n-th pixel of [h, w, c] in both directions, at most MAX_PIXELS in all."""
    step = int(np.ceil(np.sqrt(image.shape[0] * image.shape[1] / MAX_PIXELS)))
    return image[::step, ::step]


def _count_levels(pairs: Pairs, sides: Sides, labels: Palette | None) -> np.ndarray:
    """The target pixels of each level, int64 [labels, channels, levels]; of a palette [labels, 1, classes]."""
    target = sides.target
    channels = 1 if target.palette else target.channels
    levels = len(target.palette.colors) if target.palette else LEVELS.get(target.depth, 4096)

    def read(index):
        example = dict(zip(pairs.parts, pairs.read(index), strict=True))
        label = labels.classify(color_codes(_thinned(example[INPUT])))[0] if labels else np.zeros((), int)
        image = _thinned(example[TARGET])
        if target.palette:
            level = target.palette.classify(color_codes(image))[0][..., np.newaxis]
        else:
            level = np.rint((target.to_float(image).numpy() + 1.0) / 2.0 * (levels - 1)).astype(int)
        return ((label[..., np.newaxis] * channels + np.arange(channels)) * levels + level).ravel()

    shape = len(labels.colors) if labels else 1, channels, levels
    counts = np.zeros(np.prod(shape), np.int64)
    for codes in map_in_threads(read, range(len(pairs)), "median colors", unit="pair"):
        counts += np.bincount(codes, minlength=counts.size)
    return counts.reshape(shape)


def _typical(counts: np.ndarray, target: Side) -> np.ndarray:
    """The median color of each label, or its most frequent class, float32 [labels, c] in [-1, 1]."""
    if target.palette:
        return target.to_float(target.palette.array[counts[:, 0].argmax(axis=1)]).numpy()
    below = counts.cumsum(axis=2)
    level = (below * 2 >= below[..., -1:]).argmax(axis=2)
    return (level / (counts.shape[2] - 1) * 2.0 - 1.0).astype(np.float32)


def _means(counts: np.ndarray) -> np.ndarray:
    """The mean of each channel, float32 [c] in [-1, 1], from the counts [c, levels]."""
    level = counts @ np.arange(counts.shape[1]) / counts.sum(axis=1)
    return (level / (counts.shape[1] - 1) * 2.0 - 1.0).astype(np.float32)


def _task_answers(task: str, constant: Answer, mean_color: np.ndarray) -> dict[str, Answer]:
    channels = len(mean_color)
    repeat: Answer = partial(_repeat, channels=channels)
    answers: dict[str, dict[str, Answer]] = {
        "colorize": {"gray input": repeat, "gray input in the mean tint": partial(_tint, mean_color=mean_color)},
        "super_resolution": {"bicubic": tf.convert_to_tensor},
        "denoise": {
            "noisy input": tf.convert_to_tensor,
            **{f"noisy input, blurred with sigma {sigma}": partial(_blur, sigma=sigma) for sigma in SIGMAS},
        },
        "inpaint": {"holes filled with the mean color": lambda rgba: fill_holes(rgba)[..., :channels]},
        "deblur": {"blurred input": tf.convert_to_tensor},
    }
    drawing: dict[str, Answer] = {"median color": constant, "drawing itself": repeat}
    return answers.get(task, drawing)


def _fill(input_image, color):
    """[n, h, w, c] -> [n, h, w, len(color)], all of one color."""
    return tf.broadcast_to(color, [*input_image.shape[:3], len(color)])


def _paint(input_image, side, labels, colors):
    """Label maps [n, h, w, c] -> [n, h, w, c'], each label, or its nearest, in its row of `colors`."""
    codes = color_codes(side.from_float(input_image).numpy())
    return tf.constant(colors[labels.classify(codes)[0]])


def _repeat(gray, channels):
    return tf.repeat(gray, channels, axis=-1)


def _tint(gray, mean_color):
    return tf.clip_by_value(_repeat(gray, 3) + (mean_color - np.dot(mean_color, tasks.LUMA)), -1.0, 1.0)


def _blur(noisy, sigma):
    """Blurs [n, h, w, c] with a Gaussian of `sigma` pixels."""
    return tf.stack([tasks.deblur(image, None, sigma=sigma) for image in tf.unstack(noisy)])


def fill_holes(rgba: tf.Tensor) -> tf.Tensor:
    """RGBA, float32 [n, h, w, 4] -> [n, h, w, 3]: the transparent pixels in the mean color of the others."""
    known = rgba[..., 3:] > 0.0
    color = tf.reduce_sum(tf.where(known, rgba[..., :3], 0.0), axis=[1, 2], keepdims=True)
    count = tf.reduce_sum(tf.cast(known, tf.float32), axis=[1, 2], keepdims=True)
    return tf.where(known, rgba[..., :3], tf.math.divide_no_nan(color, count))
