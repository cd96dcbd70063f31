import json

import numpy as np
import pytest
from helpers import random_image

from tf_pix2pix import images
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import Palette
from tf_pix2pix.sides import Side, Sides

LABELS = Palette(((0, 0, 170), (255, 85, 0)), names=("wall", "sky"), counts=(3, 4))


@pytest.mark.parametrize(
    ("depth", "value_range", "message"),
    [
        ("float32", None, "floats need a range LOW,HIGH: the values that become -1 and 1"),
        ("float32", (9.0, 9.0), "9,9: LOW must be below HIGH$"),
        ("uint8", (9.0, 8.0), r"9,8: LOW must be below HIGH, both within 0,255 \(8 bits a channel\)"),
        ("uint16", (0.0, 70000.0), r"0,70000: LOW must be below HIGH, both within 0,65535 \(16 bits a channel\)"),
    ],
)
def test_impossible_value_ranges_are_refused(depth, value_range, message):
    with pytest.raises(InputError, match=message):
        Side(3, depth, value_range)


@pytest.mark.parametrize(
    ("side", "bounds", "levels"),
    [
        (Side(3), (0, 255), 255),
        (Side(3, "uint16", (1000.0, 5095.0)), (1000, 5095), 4095),
        (Side(1, "float32", (-1.0, 3.0)), (-1, 3), 65535),
    ],
)
def test_values_become_minus_one_to_one_and_return(side, bounds, levels):
    assert (side.bounds, side.levels) == (bounds, levels)
    values = np.linspace(*bounds, 7).round().astype(side.depth).reshape(1, 7, 1)
    floats = side.to_float(values)
    assert (floats.numpy().min(), floats.numpy().max()) == (-1, 1)
    np.testing.assert_array_equal(side.to_float_array(values), floats)
    back = side.from_float(floats).numpy()
    assert back.dtype == side.depth
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(side.from_float([-3.0, 3.0]), bounds)
    if side.value_range:
        beyond = np.array([bounds[1] + 500], side.depth)
        assert side.to_float(beyond) == 1
        assert side.to_float_array(beyond) == 1


def test_images_are_converted_without_loss():
    gray = random_image(0, 4, 4, 1)
    np.testing.assert_array_equal(Side(3, "uint16").convert(gray), np.repeat(gray * np.uint16(257), 3, axis=2))
    np.testing.assert_array_equal(Side(1).convert(images.with_channels(gray, 4)), gray)
    nearly = np.array([[[255, 80, 9], [0, 0, 170]]], np.uint8)
    np.testing.assert_array_equal(Side(3, palette=LABELS).convert(nearly), [[[255, 85, 0], [0, 0, 170]]])
    with pytest.raises(ValueError, match="8 bits a channel, expected 16 bits a channel in 0,4095"):
        Side(1, "uint16", (0.0, 4095.0)).convert(gray)


def test_sides_return_from_json():
    sides = Sides(Side(3, palette=LABELS, resize="nearest"), Side(1, "float32", (-0.1, float(np.float32(1 / 3)))))
    again = Sides.from_json(json.loads(json.dumps(sides.to_json())))
    assert again == sides
    assert again.input.palette.counts == LABELS.counts  # which == ignores
    for damage in (
        {"image_size": 5},
        {"channels": 2},
        {"depth": "int8"},
        {"value_range": [3, 1]},
        {"palette": [1]},
        {"new": 1},
    ):
        damaged = sides.to_json()
        damaged["input"] |= damage
        with pytest.raises((ValueError, TypeError)):
            Sides.from_json(damaged)


def test_the_image_size_is_kept_and_makes_no_other_side():
    sides = Sides(Side(3, image_size=(600, 400)), Side(1))
    assert sides == Sides(Side(3, image_size=(9, 9)), Side(1)) and hash(sides.input) == hash(Side(3))
    written = json.loads(json.dumps(sides.to_json()))
    again = Sides.from_json(written)
    assert (again.input.image_size, again.target.image_size) == ((600, 400), None)
    del written["input"]["image_size"]  # as in the files of older releases
    assert Sides.from_json(written).input == sides.input and Sides.from_json(written).input.image_size is None
