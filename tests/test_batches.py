import time

import numpy as np
import pytest
import tensorflow as tf
from helpers import random_deep, random_image

from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import prepare_examples, training_batches, validation_batches
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.tasks import input_maker

JITTER = dict(batch_size=2, crop_size=(16, 24), flip=True, seed=3)
SIDES = Sides(Side(3), Side(3))


def coordinates(index: int) -> np.ndarray:
    """[40, 50, 3]: each pixel's row, column and pair, from which the crop and the mirroring can be read."""
    rows, columns = np.mgrid[:40, :50]
    return np.stack([rows, columns, np.full_like(rows, index)], axis=2).astype(np.uint8)


def coordinate_pairs(count=5):
    """Pairs whose target is 200 minus the input: aligned if they sum to 200 everywhere."""
    return Pairs([f"{i}" for i in range(count)], lambda i: (coordinates(i), 200 - coordinates(i)))


def as_coordinates(batch) -> np.ndarray:
    return np.round((np.asarray(batch) + 1) * 127.5).astype(int)


def take(examples, count, **options):
    """The first batches of training, as coordinates [count, input or target, batch_size, h, w, 3]."""
    batches = training_batches(examples, SIDES, **JITTER | options).take(count)
    return np.array([tuple(map(as_coordinates, batch)) for batch in batches])


def pair_order(batches):
    return [int(image[0, 0, 2]) for inputs, _ in batches for image in inputs]


def test_pairs_stay_aligned_under_jitter():
    batches = take(coordinate_pairs(), 40)
    np.testing.assert_array_equal(batches.sum(axis=1), 200)
    inputs = batches[:, 0].reshape(80, 16, 24, 3)
    rows, columns = inputs[..., 0], inputs[..., 1]
    steps = columns[:, 0, 1] - columns[:, 0, 0]
    assert {*steps} == {1, -1}
    np.testing.assert_array_equal(rows, rows[:, :1, :1] + np.arange(16)[:, None] + np.zeros(24, int))
    expected = columns[:, :1, :1] + steps[:, None, None] * np.arange(24) + np.zeros((16, 1), int)
    np.testing.assert_array_equal(columns, expected)
    few = Pairs(["x"], lambda i: (coordinates(0)[:18, :17],) * 2)  # every crop occurs
    corners = take(few, 60, crop_size=(16, 16), flip=False)[:, 0, :, 0, 0, :2].reshape(-1, 2)
    assert {*map(tuple, corners.tolist())} == {(row, column) for row in range(3) for column in range(2)}


def test_each_epoch_has_every_pair_once_in_another_order():
    order = pair_order(take(coordinate_pairs(), 10))  # 20 examples: four epochs of five, across batches of two
    epochs = [tuple(order[start : start + 5]) for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({*epochs}) > 1
    first, second = take(coordinate_pairs(1), 2, batch_size=1)  # of one pair each step is an epoch
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("count", [5, 1])  # one pair has no order: the jitter differs
def test_batches_depend_on_the_seed_and_a_start_at_any_step_returns_the_same(count):
    whole, other = (take(coordinate_pairs(count), 6, seed=seed) for seed in (3, 4))
    assert not np.array_equal(whole, other)
    for start in (0, 1, 3, 4):
        np.testing.assert_array_equal(take(coordinate_pairs(count), 6 - start, start_step=start), whole[start:])
    assert len(list(training_batches(coordinate_pairs(), SIDES, **JITTER, start_step=2, steps=7))) == 5


def test_threads_do_not_change_the_batches():
    def read(index):
        time.sleep(0.004 * (index % 3))  # examples are ready in another order
        return coordinates(index), 200 - coordinates(index)

    examples = prepare_examples(Pairs([*map(str, range(20))], read), SIDES, size=(40, 50), cache_bytes=9 * 12_000)
    found = []
    for threads in (1, 8):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        batches = training_batches(examples, SIDES, **JITTER).with_options(options).take(40)
        found.append([tuple(map(np.asarray, batch)) for batch in batches])
    np.testing.assert_array_equal(*found)


def test_validation_pairs_come_once_in_order_from_the_center():
    batches = [
        tuple(map(as_coordinates, batch))
        for batch in validation_batches(coordinate_pairs(), SIDES, batch_size=2, crop_size=(16, 24))
    ]
    assert [len(inputs) for inputs, _ in batches] == [2, 2, 1]
    assert pair_order(batches) == [0, 1, 2, 3, 4]
    for inputs, targets in batches:
        np.testing.assert_array_equal(inputs + targets, 200)
        assert (inputs[:, 0, 0, :2] == [12, 13]).all()  # (40 - 16) / 2 and (50 - 24) / 2


@pytest.mark.parametrize("batches", [training_batches, validation_batches])
def test_every_depth_becomes_floats_by_its_own_range(batches):
    deep, floats = random_deep(1, 8, 8, 1), random_deep(2, 8, 8, 3, "float32")
    sides = Sides(Side(1, "uint16"), Side(3, "float32", (-500.0, 3000.0)))
    options = dict(flip=False, seed=0) if batches is training_batches else {}
    pairs = Pairs(["x"], lambda i: (deep, floats))
    ((a, b),) = batches(pairs, sides, batch_size=1, crop_size=(8, 8), **options).take(1)
    np.testing.assert_allclose(a[0], deep / 32767.5 - 1, atol=1e-6)
    np.testing.assert_allclose(b[0], np.clip((floats + 500) / 1750 - 1, -1, 1), atol=1e-6)


def test_an_image_that_becomes_unreadable_is_named():
    reads = iter([(random_image(0, 8, 8),) * 2])

    def read(index):
        for pair in reads:
            return pair
        raise InputError("x.png: No such file or directory")

    batches = iter(training_batches(Pairs(["x"], read), SIDES, batch_size=1, crop_size=(8, 8), flip=False, seed=0))
    with pytest.raises(tf.errors.OpError, match="InputError: x.png: No such file or directory"):
        for _ in range(100):
            next(batches)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_masks_are_resized_cropped_and_mirrored_with_their_pair(direction):
    """The mask equals side A before, and still does after."""
    smooth = np.linspace(0, 255, 40 * 50).reshape(40, 50, 1).astype(np.uint8)
    pairs = Pairs(["x"], lambda i: (smooth, 255 - smooth, smooth), ("input", "target", "mask")).oriented(direction)
    sides = Sides(Side(1, resize="bilinear"), Side(1, resize="bilinear"))
    examples = prepare_examples(pairs, sides, size=(30, 36))
    for *pair, mask in training_batches(examples, sides, **JITTER).take(5):
        assert mask.shape == (2, 16, 24, 1)
        np.testing.assert_allclose(mask, (pair[direction == "BtoA"] + 1) / 2, atol=1e-6)
    assert [len(batch) for batch in validation_batches(examples, sides, batch_size=1, crop_size=(16, 24))] == [2]


def task_batches(task, start_step=0, seed=3, flip=False, **settings):
    """Six steps of a task and one photo: pairs of (input [1, 16, 24, c], photo [1, 16, 24, 3])."""
    sides = Sides(Side({"colorize": 1, "inpaint": 4}.get(task, 3)), Side(3))
    size = (40, 50) if flip else (16, 24)  # without jitter only the task draws
    photos = Pairs(["x"], lambda i: (random_image(0, *size),), ("target",))
    options = JITTER | dict(batch_size=1, flip=flip, seed=seed, start_step=start_step, steps=6)
    batches = training_batches(photos, sides, **options, make_input=input_maker(task, sides.target, **settings))
    return [tuple(image.numpy() for image in batch) for batch in batches]


def test_a_task_makes_the_input_from_the_jittered_target():
    batches = task_batches("colorize", flip=True)
    for gray, photo in batches:
        assert (gray.shape, photo.shape) == ((1, 16, 24, 1), (1, 16, 24, 3))
        assert np.abs(gray[..., 0] - photo @ [0.299, 0.587, 0.114]).max() < 0.6 / 127.5
    assert len({photo.tobytes() for _, photo in batches}) == 6


@pytest.mark.parametrize(("task", "settings"), [("denoise", {"sigma": 25.0}), ("inpaint", {"share": 0.2})])
def test_a_task_draws_afresh_by_seed_and_example(task, settings):
    first, later, other = (
        [made.tobytes() for made, _ in task_batches(task, **options, **settings)]
        for options in ({}, {"start_step": 4}, {"seed": 4})
    )
    assert len({*first}) == 6
    assert later == first[4:]
    assert not {*first} & {*other}


def test_validation_photos_have_the_same_input_each_time():
    photos = Pairs([*"abcd"], lambda i: (random_image(i, 18, 26),), ("target",))

    def noise(pairs):
        options = dict(batch_size=1, crop_size=(16, 24), make_input=input_maker("denoise", SIDES.target, sigma=25.0))
        return [(made - photo).numpy().tobytes() for made, photo in validation_batches(pairs, SIDES, **options)]

    once = noise(photos)
    assert noise(photos) == once and len({*once}) == 4
    assert noise(photos.spread(2)) == once[::2]  # whichever other photos there are
