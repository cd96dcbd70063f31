"""Trivial answers against medians and means by NumPy, and on the kinds of pairs that they have to recognize."""

import io

import numpy as np
import pytest
import tensorflow as tf
from helpers import make_sides, random_image
from PIL import Image

from tf_pix2pix import tasks
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.trivial_answers import fill_holes, trivial_answers

COLORS = np.array([[0, 0, 0], [250, 20, 30], [40, 240, 250]], np.uint8)


def make_pairs(inputs, targets):
    return Pairs([f"{number}.png" for number in range(len(inputs))], lambda i: (inputs[i], targets[i]), uniform=True)


def label_maps(count, size=24):
    """Label maps in 8-pixel blocks of the three COLORS, with each color's share different."""
    rng = np.random.default_rng(3)
    blocks = rng.choice(3, p=[0.6, 0.3, 0.1], size=(count, size // 8, size // 8))
    return [block.repeat(8, 0).repeat(8, 1) for block in blocks]


def levels(answer, image, side):
    """The answer to one image of a side, uint8 [h, w, c]."""
    return tf.cast(tf.round((answer(side.to_float(image[np.newaxis])) + 1.0) * 127.5), tf.uint8).numpy()[0]


def test_the_median_color_is_that_of_all_target_pixels():
    """Each channel for itself, and with no more than MAX_PAIRS read."""
    targets = [random_image(number, 20, 30) // np.uint8(number + 1) for number in range(7)]
    inputs = [random_image(number, 20, 30, 1) for number in range(7)]
    answers = trivial_answers(make_pairs(inputs, targets), make_sides(1, 3))
    assert [*answers] == ["median color"]  # gray input images are no RGB answer
    expected = np.sort(np.concatenate([target.reshape(-1, 3) for target in targets]), axis=0)[7 * 600 // 2 - 1]
    generated = levels(answers["median color"], random_image(0, 5, 9, 1), Side(1))
    np.testing.assert_array_equal(generated, np.broadcast_to(expected, (5, 9, 3)))
    few = trivial_answers(make_pairs(inputs, targets), make_sides(1, 3), max_pairs=1)
    assert levels(few["median color"], inputs[0], Side(1)).mean() > expected.mean() + 20  # the first is the brightest


@pytest.mark.parametrize("encoding", ["PNG", "JPEG", "palette"])
def test_each_label_has_the_median_color_of_its_target_pixels(encoding):
    maps = label_maps(12)
    inputs = [COLORS[label] for label in maps]
    if encoding == "JPEG":
        for number, image in enumerate(inputs):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=90)
            inputs[number] = np.asarray(Image.open(buffer))
    targets = [random_image(n, 24, 24) // 4 + (60 * label[..., None]).astype(np.uint8) for n, label in enumerate(maps)]
    sides = make_sides(COLORS if encoding == "palette" else 3, 3)
    answers = trivial_answers(make_pairs(inputs, targets), sides)
    assert [*answers] == ["median color", "median color of each label", "input image"]
    painted = levels(answers["median color of each label"], inputs[0], sides.input)
    every = np.concatenate([target[label == 1] for label, target in zip(maps, targets, strict=True)])
    off = np.abs(painted[maps[0] == 1].astype(int) - np.median(every, axis=0))
    assert np.median(off) <= 1 and (encoding == "JPEG" or off.max() <= 1)
    np.testing.assert_array_equal(levels(answers["input image"], inputs[0], sides.input), inputs[0])


def test_photos_are_not_taken_for_label_maps():
    photos = [random_image(number, 32, 32) for number in range(4)]
    assert [*trivial_answers(make_pairs(photos, photos), make_sides())] == ["median color", "input image"]


def test_a_label_without_pixels_gets_the_median_color_of_all():
    inputs, targets = [np.zeros((8, 8, 3), np.uint8)] * 2, [np.full((8, 8, 3), 200, np.uint8)] * 2
    sides = make_sides(COLORS, 3)
    answer = trivial_answers(make_pairs(inputs, targets), sides)["median color of each label"]
    assert (levels(answer, np.broadcast_to(COLORS[2], (4, 4, 3)), sides.input) == 200).all()


def test_class_targets_get_their_most_frequent_class():
    maps = label_maps(12)
    targets = [COLORS[label] for label in maps]
    inputs = [random_image(0, 24, 24, 1) for _ in maps]
    sides = make_sides(1, COLORS)
    (answer,) = trivial_answers(make_pairs(inputs, targets), sides).values()
    assert (levels(answer, inputs[0], sides.input) == COLORS[0]).all()
    shifted = [COLORS[(label + 1) % 3] for label in maps]  # each label's class is known from the input's
    answers = trivial_answers(make_pairs(shifted, targets), make_sides(COLORS, COLORS))
    assert [*answers] == ["most frequent class", "most frequent class of each label"]
    painted = levels(answers["most frequent class of each label"], shifted[0], make_sides(COLORS, 3).input)
    np.testing.assert_array_equal(painted, targets[0])


@pytest.mark.parametrize("depth", ["uint16", "float32"])
def test_deep_targets_in_their_own_range(depth):
    rng = np.random.default_rng(0)
    targets = [rng.gamma(2.0, 0.1, (16, 16, 1)) for _ in range(5)]
    value_range = (-1.0, 1.0) if depth == "float32" else None
    stored = [(t * 65535).clip(0, 65535).astype("uint16") if depth == "uint16" else t.astype("f4") for t in targets]
    sides = Sides(Side(3), Side(1, depth, value_range))
    answer = trivial_answers(make_pairs([random_image(0, 16, 16)] * 5, stored), sides)["median color"]
    expected = np.median([sides.target.to_float(image) for image in stored])
    np.testing.assert_allclose(answer(np.zeros((2, 3, 4, 3), np.float32)), np.full((2, 3, 4, 1), expected), atol=1e-3)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_task_has_answers_in_the_targets_channels(task):
    settings = {"sigma": 1.0} if task in ("edges", "soft_edges", "sketch", "denoise", "deblur") else {}
    settings |= {"scale": 2} if task == "super_resolution" else {"share": 0.2} if task == "inpaint" else {}
    for channels in (1, 3):
        if task == "colorize" and channels == 1:
            continue
        photos = [random_image(number, 16, 16, channels) for number in range(3)]
        pairs = Pairs(["a", "b", "c"], lambda index: (photos[index],), parts=("target",))  # noqa: B023
        side = Side(channels)
        answers = trivial_answers(pairs, make_sides(tasks.TASKS[task].input_channels or channels, channels), task=task)
        made = [tasks.input_maker(task, side, **settings)(photo) for photo in photos[:2]]
        batch = tf.stack([side.to_float(image) for image in made])
        for answer in answers.values():
            generated = answer(batch)
            assert (generated.shape, generated.dtype) == ((2, 16, 16, channels), "float32")
            np.testing.assert_allclose(generated[1:], answer(batch[1:]), atol=1e-6)  # each image for itself
            assert np.abs(generated).max() <= 1.0


def test_the_mean_tint_is_that_of_the_photos():
    photo = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    pairs = Pairs(["a"], lambda index: (photo,), parts=("target",))
    answer = trivial_answers(pairs, make_sides(1, 3), task="colorize")["gray input in the mean tint"]
    gray = tasks.colorize(Side(3).to_float(photo), None)
    np.testing.assert_allclose((answer(gray[np.newaxis])[0] + 1.0) * 127.5, photo, atol=1e-3)


def test_holes_get_the_mean_color_of_the_rest():
    rgba = np.full((1, 2, 2, 4), 1.0, np.float32)
    rgba[0, 0, 0], rgba[0, 0, 1, :3] = (0, 0, 0, -1), -0.5
    both = np.concatenate([rgba, np.full_like(rgba, -1.0)])  # the second image is one hole
    np.testing.assert_allclose(fill_holes(both)[0, 0, 0], [0.5] * 3)
    np.testing.assert_allclose(fill_holes(both)[1], 0.0)


def test_the_built_in_set_answers_the_same_every_time():
    examples = prepare_examples(
        load_pairs("synthetic_facades", direction="BtoA", size=(32, 32))["train"], make_sides(), size=(32, 32)
    )
    first, second = (trivial_answers(examples, make_sides(), max_pairs=20) for _ in range(2))
    assert [*first] == ["median color", "median color of each label", "input image"]
    batch = make_sides().input.to_float(examples.read(0)[0])[tf.newaxis]
    for name, answer in first.items():
        np.testing.assert_array_equal(answer(batch), second[name](batch))
