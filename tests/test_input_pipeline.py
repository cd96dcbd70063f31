import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import random_picture

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import held_out_batches, prepare, training_batches, with_channels
from tf_pix2pix.tasks import input_maker

JITTER = dict(batch_size=2, crop_size=(16, 24), flip=True, seed=3)


def coordinates(index: int) -> np.ndarray:
    """[40, 50, 3], a pixel's row, column and picture: what was done to a picture can be read off its pixels."""
    rows, columns = np.mgrid[:40, :50]
    return np.stack([rows, columns, np.full_like(rows, index)], axis=2).astype(np.uint8)


def coordinate_pairs(count=5):
    """Pairs whose B is 200 minus A: aligned as long as A + B is 200 everywhere."""
    return Pairs([f"{i}" for i in range(count)], lambda i: (coordinates(i), 200 - coordinates(i)), verified=True)


def as_coordinates(batch) -> np.ndarray:
    return np.round((np.asarray(batch) + 1) * 127.5).astype(int)


def take(pairs, count, **options):
    return [tuple(map(as_coordinates, batch)) for batch in training_batches(pairs, **JITTER | options).take(count)]


def indices(batches):
    return [int(picture[0, 0, 2]) for inputs, _ in batches for picture in inputs]


def test_pairs_stay_aligned_under_jitter():
    offsets, mirrored = set(), set()
    for inputs, targets in take(coordinate_pairs(), 40):
        np.testing.assert_array_equal(inputs + targets, 200)
        for picture in inputs:
            rows, columns = picture[:, :, 0], picture[:, :, 1]
            step = columns[0, 1] - columns[0, 0]
            assert step in (1, -1)
            np.testing.assert_array_equal(rows, rows[0, 0] + np.arange(16)[:, None] + np.zeros((1, 24), int))
            np.testing.assert_array_equal(
                columns, columns[0, 0] + step * np.arange(24)[None, :] + np.zeros((16, 1), int)
            )
            offsets.add((rows.min(), columns.min()))
            mirrored.add(step)
    assert mirrored == {1, -1}
    rows, columns = (set(values) for values in zip(*offsets, strict=True))
    assert min(rows) <= 2 and max(rows) >= 22 and max(rows) <= 24  # 0..24 are possible, and 80 were drawn
    assert min(columns) <= 2 and max(columns) >= 24 and max(columns) <= 26


def test_every_crop_position_can_occur_and_none_outside():
    pairs = Pairs(["x"], lambda i: (coordinates(0)[:18, :17],) * 2, verified=True)
    batches = take(pairs, 60, crop_size=(16, 16), flip=False)
    seen = {(int(picture[0, 0, 0]), int(picture[0, 0, 1])) for inputs, _ in batches for picture in inputs}
    assert seen == {(row, column) for row in range(3) for column in range(2)}


def test_without_flip_and_jitter_pictures_come_as_they_are():
    for inputs, _ in take(coordinate_pairs(), 5, crop_size=(40, 50), flip=False):
        for picture in inputs:
            np.testing.assert_array_equal(picture, coordinates(picture[0, 0, 2]))


def test_each_epoch_has_every_pair_once_in_another_order():
    order = indices(take(coordinate_pairs(), 10))  # 20 examples: four epochs of five, across batches of two
    epochs = [order[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_two_epochs_jitter_differently():
    pairs = coordinate_pairs(1)
    (first, _), (second, _) = take(pairs, 2, batch_size=1)
    assert not np.array_equal(first, second)


def test_the_same_seed_repeats_and_another_does_not():
    for count in (5, 1):  # of one pair, the order says nothing: the jitter has to differ
        first, again, other = (take(coordinate_pairs(count), 6, seed=seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("start", [1, 3, 4])
def test_a_start_at_any_step_gives_the_batches_from_there(start):
    np.testing.assert_array_equal(
        take(coordinate_pairs(), 6)[start:], take(coordinate_pairs(), 6 - start, start_step=start)
    )


def test_it_ends_before_the_step_told():
    assert len(list(training_batches(coordinate_pairs(), **JITTER, start_step=2, steps=7))) == 5


def test_shards_share_each_batch():
    whole = take(coordinate_pairs(), 4, batch_size=4)
    parts = [take(coordinate_pairs(), 4, batch_size=4, shard=shard, shards=2) for shard in range(2)]
    for step in range(4):
        together = sorted(picture.tobytes() for part in parts for picture in part[step][0])
        assert together == sorted(picture.tobytes() for picture in whole[step][0])
    with pytest.raises(ValueError, match="batch_size=4 cannot be shared by 3 workers"):
        training_batches(coordinate_pairs(), **JITTER | dict(batch_size=4), shards=3)


def test_threads_do_not_change_the_batches():
    def with_threads(threads):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        batches = training_batches(coordinate_pairs(), **JITTER).with_options(options).take(20)
        return [tuple(map(np.asarray, batch)) for batch in batches]

    np.testing.assert_array_equal(with_threads(1), with_threads(8))


def test_held_out_pairs_come_once_in_order_from_the_centre():
    batches = [
        tuple(map(as_coordinates, batch))
        for batch in held_out_batches(coordinate_pairs(), batch_size=2, crop_size=(16, 24))
    ]
    assert [len(inputs) for inputs, _ in batches] == [2, 2, 1]
    assert indices(batches) == [0, 1, 2, 3, 4]
    for inputs, targets in batches:
        np.testing.assert_array_equal(inputs + targets, 200)
        assert (inputs[:, 0, 0, :2] == [12, 13]).all()  # (40 - 16) / 2 and (50 - 24) / 2


def pairs_of(*pictures, verified=False):
    """Pairs of these pictures on both sides; an exception is raised instead."""

    def read(index):
        if isinstance(pictures[index], Exception):
            raise pictures[index]
        return pictures[index], pictures[index]

    return Pairs([f"file{i}.png" for i in range(len(pictures))], read, verified)


def test_preparing_resizes_each_side_by_its_method_and_turns_the_direction():
    label = np.where(random_picture(0, 40, 40, 1) > 127, np.uint8(255), np.uint8(0))
    pairs = Pairs(["x"], lambda i: (random_picture(1, 40, 40), label))
    photo, labels = prepare(pairs, direction="AtoB", size=(20, 30), resize_b="nearest").read(0)
    assert photo.shape == (20, 30, 3) and labels.shape == (20, 30, 1)
    assert set(np.unique(labels)) == {0, 255}
    swapped = prepare(pairs, direction="BtoA", size=(20, 30), resize_b="nearest").read(0)
    np.testing.assert_array_equal(swapped[0], labels)
    np.testing.assert_array_equal(swapped[1], photo)


@pytest.mark.parametrize(("fit", "shape"), [("stretch", (20, 20)), ("cover", (20, 40)), ("none", (30, 60))])
def test_fits(fit, shape):
    pair = prepare(pairs_of(random_picture(0, 30, 60)), direction="AtoB", size=(20, 20), fit=fit).read(0)
    assert pair[0].shape[:2] == shape


def test_a_picture_smaller_than_the_crop_is_named():
    with pytest.raises(InputError, match="file0.png: it is 30x60, less than the crop's 40x40; fit=cover enlarges it"):
        prepare(pairs_of(random_picture(0, 30, 60)), direction="AtoB", size=(40, 40), fit="none")


def test_a_set_that_fits_is_read_once_and_one_that_does_not_each_time():
    reads = []

    def read(index):
        reads.append(index)
        return random_picture(index, 8, 8), random_picture(index, 8, 8)

    for cache_bytes, again in ((1e6, 0), (100, 3), (500, 3)):  # 384 bytes a pair: of 500, one fits
        reads.clear()
        prepared = prepare(Pairs(["a", "b", "c"], read), direction="AtoB", size=(8, 8), cache_bytes=cache_bytes)
        assert sorted(reads) == [0, 1, 2]
        for index in range(3):
            np.testing.assert_array_equal(prepared.read(index)[0], random_picture(index, 8, 8))
        assert len(reads) == 3 + again


@pytest.mark.parametrize(("cache_bytes", "again"), [(1e6, 0), (100, 2)])
def test_a_verified_set_is_read_when_training_comes_to_it(cache_bytes, again):
    reads = []

    def read(index):
        reads.append(index)
        return random_picture(index, 8, 8), random_picture(index, 8, 8)

    pairs = Pairs(["a"] * 50, read, verified=True)
    prepared = prepare(pairs, direction="AtoB", size=(8, 8), cache_bytes=cache_bytes)
    assert reads == [0]
    assert len(prepared) == 50
    for _ in range(3):
        np.testing.assert_array_equal(prepared.read(49)[0], random_picture(49, 8, 8))
    assert reads == [0, 49] + again * [49]


def test_bad_pairs_are_named_and_so_many_left_out(capfd):
    good = random_picture(0, 8, 8)
    pairs = pairs_of(good, InputError("bad1.png: cut short"), good, InputError("bad3.png: no picture"))
    message = r"2 of 4 pairs cannot be used: bad1.png: cut short; bad3.png: no picture\. .*--max_bad_images"
    for allowed in (0, 1):
        with pytest.raises(InputError, match=message):
            prepare(pairs, direction="AtoB", size=(8, 8), max_bad=allowed)
    prepared = prepare(pairs, direction="AtoB", size=(8, 8), max_bad=2)
    assert prepared.names == ["file0.png", "file2.png"]
    assert "left out 2 of 4 pairs (--max_bad_images=2): bad1.png: cut short; bad3.png" in capfd.readouterr().err


def test_at_most_twenty_bad_pairs_are_listed():
    pairs = pairs_of(*(InputError(f"bad{i}.png: x") for i in range(30)))
    with pytest.raises(InputError, match="30 of 30 pairs .*and 10 more") as raised:
        prepare(pairs, direction="AtoB", size=(8, 8), max_bad=30)
    assert len(re.findall("bad[0-9]+.png", str(raised.value))) == 20


def prepared_pairs(*pictures):
    return prepare(pairs_of(*pictures), direction="AtoB", size=(8, 8))


def test_channels_are_the_files_and_gray_joins_rgb():
    gray, rgb = random_picture(0, 8, 8, 1), random_picture(1, 8, 8, 3)
    (alone,) = with_channels([prepared_pairs(gray)], None, None)
    assert [side.shape for side in alone.read(0)] == [(8, 8, 1), (8, 8, 1)]
    mixed, other_split = with_channels([prepared_pairs(gray, rgb), prepared_pairs(gray)], None, None)
    np.testing.assert_array_equal(mixed.read(0)[0], np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(other_split.read(0)[1], np.repeat(gray, 3, axis=2))
    first, _ = with_channels([prepared_pairs(gray), prepared_pairs(rgb)], None, None)  # whichever split has it
    assert first.read(0)[0].shape == (8, 8, 3)
    (asked,) = with_channels([prepared_pairs(gray)], 3, 4)
    assert [side.shape[2] for side in asked.read(0)] == [3, 4]


@pytest.mark.parametrize(("picture_channels", "asked"), [(3, 1), (4, 3)])
def test_channels_that_do_not_match_the_files_are_refused(picture_channels, asked):
    splits = [prepared_pairs(random_picture(0, 8, 8, 1)), prepared_pairs(random_picture(0, 8, 8, picture_channels))]
    message = f"output_channels={asked}, but file0.png has {picture_channels} channels; leave out output_channels"
    with pytest.raises(InputError, match=message):
        with_channels(splits, None, asked)


def test_a_picture_of_a_large_set_with_more_channels_is_named_when_it_comes():
    pictures = [random_picture(0, 8, 8, 1), random_picture(1, 8, 8, 3)]
    large = prepare(pairs_of(*pictures, verified=True), direction="AtoB", size=(8, 8), cache_bytes=100)
    (pairs,) = with_channels([large], None, None)
    with pytest.raises(InputError, match="file1.png: it has colours, which 1 channel does not hold"):
        pairs.read(1)


def test_a_picture_that_goes_missing_later_is_named_by_tf_data():
    pairs = Pairs(["x"], lambda i: (random_picture(0, 8, 8),) * 2, verified=True)
    batches = iter(training_batches(pairs, batch_size=1, crop_size=(8, 8), flip=False, seed=0))
    next(batches)
    gone = []

    def read(index):
        if gone:
            raise InputError("x.png: No such file or directory")
        return random_picture(0, 8, 8), random_picture(0, 8, 8)

    batches = iter(training_batches(Pairs(["x"], read), batch_size=1, crop_size=(8, 8), flip=False, seed=0))
    gone.append(True)
    with pytest.raises(tf.errors.OpError, match="InputError: x.png: No such file or directory"):
        for _ in range(100):
            next(batches)


def photos_of(*pictures):
    """Prepared photos, as a task gets them."""
    return prepare(pairs_of(*pictures), direction="AtoB", size=pictures[0].shape[:2], photos=True)


def task_batches(photos, task, start_step=0, seed=3, crop_size=(16, 24), flip=True, **settings):
    make_input = input_maker(task, **settings)
    options = dict(batch_size=1, crop_size=crop_size, flip=flip, seed=seed, start_step=start_step)
    return [
        tuple(side.numpy() for side in batch)
        for batch in training_batches(photos, **options, steps=6, make_input=make_input)
    ]


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_photos_are_the_targets_alone(direction):
    target, other = random_picture(0, 30, 40), random_picture(1, 30, 40, 1)
    sides = (other, images.with_channels(target, 4))[:: 1 if direction == "AtoB" else -1]
    options = dict(direction=direction, size=(20, 20), resize_a="nearest", resize_b="bilinear", photos=True)
    a, b = prepare(Pairs(["x"], lambda i: sides), **options).read(0)
    assert a is b
    np.testing.assert_array_equal(b, images.resize(target, (20, 20), "bilinear" if direction == "AtoB" else "nearest"))
    with pytest.raises(InputError, match="file0.png: it has transparency, which 3 channels do not hold"):
        photos_of(random_picture(0, 8, 8, 4))


def test_photos_take_the_memory_of_one_side():
    reads = []

    def read(index):
        reads.append(index)
        return (random_picture(index, 8, 8),) * 2

    photos = prepare(Pairs(["a", "b"], read), direction="AtoB", size=(8, 8), photos=True, cache_bytes=400)  # of 384
    photos.read(1)
    assert reads == [0, 1]


def test_a_task_makes_the_input_from_the_jittered_target():
    seen = set()
    for gray, photo in task_batches(photos_of(random_picture(0, 40, 50)), "colorize"):
        assert (gray.shape, photo.shape) == ((1, 16, 24, 1), (1, 16, 24, 3))
        assert np.abs(gray[..., 0] - photo @ [0.299, 0.587, 0.114]).max() < 0.6 / 127.5
        seen.add(photo.tobytes())
    assert len(seen) == 6


@pytest.mark.parametrize("task", ["denoise", "inpaint"])
def test_what_a_task_draws_is_drawn_afresh_by_seed_and_example(task):
    settings = dict(sigma=25.0) if task == "denoise" else dict(share=0.2)
    photos = photos_of(random_picture(0, 16, 24))
    whole = dict(crop_size=(16, 24), flip=False, **settings)  # no jitter: what differs is what the task draws
    first = task_batches(photos, task, **whole)
    assert len({photo.tobytes() for _, photo in first}) == 1
    assert len({made.tobytes() for made, _ in first}) == 6  # one pair: each step is an epoch
    np.testing.assert_array_equal(
        [made for made, _ in first[4:]], [made for made, _ in task_batches(photos, task, start_step=4, **whole)]
    )
    other = task_batches(photos, task, seed=4, **whole)
    assert not {made.tobytes() for made, _ in first} & {made.tobytes() for made, _ in other}


def test_held_out_photos_have_the_same_input_always():
    photos = photos_of(*(random_picture(number, 18, 26) for number in range(4)))

    def noise(pairs):
        options = dict(batch_size=1, crop_size=(16, 24), make_input=input_maker("denoise", sigma=25.0))
        return [(made - photo).numpy().tobytes() for made, photo in held_out_batches(pairs, **options)]

    assert noise(photos) == noise(photos)
    assert len(set(noise(photos))) == 4
    assert noise(photos.spread(2)) == noise(photos)[::2]  # whichever others there are


def test_masks_are_resized_cropped_and_mirrored_with_their_pair():
    """The mask is the red of A: after all that was done to both, it still is."""
    smooth = np.linspace(0, 255, 40 * 50).reshape(40, 50, 1).astype(np.uint8)
    source = Pairs(["x"], lambda i: (smooth, 255 - smooth, smooth), verified=True)
    for options in ({}, {"direction": "BtoA"}):
        options = {"direction": "AtoB", "size": (30, 36), "resize_a": "bilinear", "resize_b": "bilinear"} | options
        prepared = with_channels([prepare(source, **options)], None, None)[0]
        for pair in training_batches(prepared, **JITTER).take(5):
            side = pair[options["direction"] == "BtoA"]
            np.testing.assert_allclose(pair[2], (side + 1) / 2, atol=1e-6)
            assert pair[2].shape == (2, 16, 24, 1)
        assert [len(pair) for pair in held_out_batches(prepared, batch_size=1, crop_size=(16, 24))] == [2]
