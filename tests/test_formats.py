"""What the pictures of each side are outside: found in the files, asked for, and what does not fit."""

import numpy as np
import pytest
from conftest import TINY, random_deep, random_picture
from tf_pix2pix.formats import formats_of, with_formats

from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.images import EIGHT_BITS, Format
from tf_pix2pix.input_pipeline import held_out_batches, prepare, training_batches, with_channels

SHALLOW, DEEP, FLOATS = random_picture(0, 8, 8, 1), random_deep(1, 8, 8, 1), random_deep(2, 8, 8, 1, "float32")


def prepared(*inputs, targets=None, **options):
    """Pairs of these inputs, and of these targets or else the same."""
    targets = targets or inputs
    names = [f"file{number}" for number in range(len(inputs))]
    pairs = Pairs(names, lambda index: (inputs[index], targets[index]), options.pop("verified", False))
    return prepare(pairs, **{"direction": "AtoB", "size": (8, 8)} | options)


def test_formats_are_the_files_own():
    train, held_out = with_formats([prepared(DEEP, targets=[SHALLOW]), prepared(DEEP, targets=[SHALLOW])], TINY)
    assert train.formats == held_out.formats == (Format("uint16"), EIGHT_BITS)
    np.testing.assert_array_equal(train.read(0)[0], DEEP)
    turned = prepared(DEEP, targets=[SHALLOW], direction="BtoA")
    assert with_formats([turned], TINY)[0].formats == (EIGHT_BITS, Format("uint16"))


@pytest.mark.parametrize("batches", [training_batches, held_out_batches])
def test_batches_are_of_the_pictures_own_depth(batches):
    pairs = with_channels(with_formats([prepared(DEEP, targets=[FLOATS])], TINY), None, None)[0]
    options = dict(flip=False, seed=0) if batches is training_batches else {}
    ((deep, floats),) = batches(pairs.spread(1), batch_size=1, crop_size=(8, 8), **options).take(1)
    np.testing.assert_allclose(deep[0], DEEP / 32767.5 - 1, atol=1e-6)
    low, high = FLOATS.min(), FLOATS.max()
    np.testing.assert_allclose(floats[0], (FLOATS - low) / (high - low) * 2 - 1, atol=1e-6)


def test_the_range_of_floats_is_that_of_what_is_trained_on_before_it_is_resized(capsys):
    speck = np.zeros((32, 32, 1), np.float32)
    speck[5, 5] = 9000.0
    beyond = np.full((8, 8, 1), 9001, np.float32)
    train, held_out = with_formats([prepared(-FLOATS, speck), prepared(beyond)], TINY)
    expected = Format("float32", (float(-FLOATS.max()), 9000.0))
    assert train.formats == (expected, expected)
    said = capsys.readouterr().out
    assert f"input pictures are floats from {-FLOATS.max():.9g},9000; --input_range=LOW,HIGH sets others" in said
    ((inputs, _),) = held_out_batches(held_out, batch_size=1, crop_size=(8, 8))
    assert (inputs.numpy() == 1.0).all()  # what is beyond the range


def test_of_a_task_the_photos_are_said_once_and_as_targets(capsys, changed):
    """A task refuses another range or depth of its inputs than of its photos."""
    photos = prepared(FLOATS, FLOATS + 1)
    low, high = float(FLOATS.min()), float((FLOATS + 1).max())
    [train] = with_formats([photos], changed(task="deblur"))
    assert train.formats == (Format("float32", (low, high)),) * 2
    said = capsys.readouterr().out
    assert "output pictures are floats" in said and "input" not in said
    with pytest.raises(InputError, match="^output_depth=uint16, but"):
        with_formats([photos], changed(task="deblur", output_depth="uint16"))


def test_floats_of_a_set_too_large_to_keep_are_read_for_their_range():
    large = prepared(FLOATS, FLOATS + 1, verified=True, cache_bytes=1)
    assert with_formats([large], TINY)[0].formats[0].range == (float(FLOATS.min()), float((FLOATS + 1).max()))
    assert prepared(DEEP, DEEP, verified=True, cache_bytes=1).extremes == (None, None)


def test_what_is_asked_for_is_taken(changed):
    asked = changed(input_depth="uint16", input_range=None, output_depth="float32", output_range=(0, 10))
    (pairs,) = with_formats([prepared(SHALLOW, DEEP, targets=[FLOATS, FLOATS])], asked)
    assert pairs.formats == (Format("uint16"), Format("float32", (0.0, 10.0)))
    np.testing.assert_array_equal(pairs.read(0)[0], SHALLOW * np.uint16(257))
    np.testing.assert_array_equal(pairs.read(1)[0], DEEP)


@pytest.mark.parametrize(
    ("pictures", "fields", "message"),
    [
        (
            [SHALLOW, DEEP],
            {},
            "file0 has 8 bits a channel but file1 has 16 bits a channel: a side needs one depth; convert the files, or "
            "give --input_depth=uint16, which the 8 bits become",
        ),
        (
            [DEEP, FLOATS],
            {},
            "file0 has 16 bits a channel but file1 has floats: a side needs one depth; convert the files$",
        ),
        (
            [DEEP],
            {"input_depth": "uint8"},
            "input_depth=uint8, but file0: it has 16 bits a channel, not 8 bits a channel; save it as an 8-bit "
            "picture, or leave out input_depth",
        ),
        ([DEEP], {"input_depth": "float32", "input_range": (0, 1)}, "input_depth=float32, but file0: it has 16 bits a"),
        ([np.zeros_like(FLOATS)], {}, "the input pictures are all 0, no range; give --input_range=LOW,HIGH"),
        ([random_deep(0, 8, 8, 4)], {"input_range": (0, 4095)}, "--input_range: it would be one of the alpha, too"),
        ([DEEP], {"input_range": (0, 70000)}, "--input_range: 0,70000 is no range, from low to high, of 16 bits"),
    ],
)
def test_what_does_not_fit_is_named(changed, pictures, fields, message):
    with pytest.raises(InputError, match=message):
        with_formats([prepared(*pictures)], changed(**fields))


def test_depths_of_two_splits_are_compared():
    with pytest.raises(InputError, match="file0 has 8 bits a channel but file0 has 16 bits a channel"):
        with_formats([prepared(SHALLOW), prepared(DEEP)], TINY)


def test_a_picture_of_a_large_set_of_another_depth_is_named_when_it_comes():
    large = prepared(SHALLOW, DEEP, verified=True, cache_bytes=1)
    (pairs,) = with_formats([large], TINY)
    with pytest.raises(InputError, match="file1: it has 16 bits a channel, not 8 bits a channel"):
        pairs.read(1)


def test_few_bits_in_16_are_said(capsys, changed):
    with_formats([prepared(DEEP // 16)], TINY)
    most = (DEEP // 16).max()
    assert f"no input picture of 16 bits has a value above {most}: if that is all they can" in capsys.readouterr().out
    with_formats([prepared(DEEP // 16, targets=[DEEP])], changed(input_range=(0, 4095)))
    assert capsys.readouterr().out == ""


def test_a_run_of_before_has_8_bits():
    config = TrainConfig.from_json('{"dataset": "x", "input_channels": 3}')
    assert (config.input_depth, config.output_depth) == ("uint8", "uint8")
    assert formats_of(config) == (EIGHT_BITS, EIGHT_BITS)
    assert formats_of(TrainConfig()) == (EIGHT_BITS, EIGHT_BITS)
