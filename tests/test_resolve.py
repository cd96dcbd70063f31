import dataclasses
import json

import numpy as np
import pytest
from helpers import change, random_deep, random_image

from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import resolve
from tf_pix2pix.palettes import Palette
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.survey import survey

GRAY, RGB, RGBA = (random_image(channels, 8, 8, channels) for channels in (1, 3, 4))
DEEP, FLOATS = random_deep(1, 8, 8, 1), random_deep(2, 8, 8, 1, "float32")
LOW, HIGH = float(FLOATS.min()), float(FLOATS.max())
LABELS = np.array([[[0, 0, 170], [255, 85, 0]]], np.uint8).repeat(4, 0)


def config(**fields):
    return change(**{"direction": "AtoB", "resize_b": "bicubic"} | fields)


def look(split, inputs, targets, config, **fields):
    """The survey of pairs called train0, ..., or with a task of photos; exceptions among the inputs are raised."""
    parts = ("target",) if config.task else ("input", "target")

    def read(index):
        if isinstance(inputs[index], Exception):
            raise inputs[index]
        return (inputs[index], targets[index])[-len(parts) :]

    pairs = Pairs([f"{split}{number}" for number in range(len(inputs))], read, parts, **fields)
    return survey(pairs, label_sides=config.palette_sides, description="testing")


def resolved(*inputs, targets=None, val=None, saved=None, uniform=False, **fields):
    """The sides of pairs of these inputs, and of these targets or else the same; the validation pairs are the same."""
    targets, settings = targets or inputs, config(**fields)
    train = look("train", inputs, targets, settings, uniform=uniform)
    return resolve(settings, {"train": train, "val": look("val", val, val, settings) if val else train}, saved)


def test_sides_are_as_the_images_are_or_as_asked_for():
    assert resolved(DEEP, targets=[RGB]) == Sides(Side(1, "uint16"), Side(3))
    assert resolved(RGB, resize_a="nearest") == Sides(Side(3, resize="nearest"), Side(3))
    assert resolved(RGB, resize_a="nearest", direction="BtoA") == Sides(Side(3), Side(3, resize="nearest"))
    assert resolved(GRAY, RGB, task="colorize") == Sides(Side(1), Side(3))  # some gray photos suit every task
    fields = dict(input_depth="uint16", output_depth="float32", output_range=(0, 10), input_channels=3)
    expected = Sides(Side(3, "uint16"), Side(1, "float32", (0.0, 10.0)))
    assert resolved(GRAY, DEEP, targets=[FLOATS] * 2, **fields) == expected


@pytest.mark.parametrize(
    ("train", "val", "wanted", "channels"),
    [
        ([GRAY, RGB], [GRAY], None, 3),
        ([GRAY], [RGB], None, 3),  # whichever split has it
        ([GRAY], [GRAY], 4, 4),
        ([GRAY, RGBA], [RGB], None, 4),
    ],
)
def test_channels_are_only_added(train, val, wanted, channels):
    assert resolved(*train, val=val, output_channels=wanted).target.channels == channels


@pytest.mark.parametrize(
    ("images", "fields", "message"),
    [
        ([GRAY, RGB], {"input_channels": 1}, "--input_channels=1: train1 has 3 channels; leave out --input_channels"),
        ([RGBA], {"output_channels": 3}, "--output_channels=3: train0 has 4 channels; .*or convert the images"),
        ([FLOATS], {"output_channels": 4}, "train0: floats of 1 channel, .*, or leave out --output_channels=4"),
        ([FLOATS, random_deep(0, 8, 8, 4, "float32")], {}, "train0: floats of 1 channel, expected 4; save it with 4$"),
        (
            [GRAY, DEEP],
            {},
            "train0 has 8 bits a channel but train1 has 16 bits a channel; all input images need one depth: convert "
            "them, or widen 8 bits to 16 with --input_depth=uint16",
        ),
        ([DEEP, FLOATS], {}, "train0 has 16 bits a channel but train1 has floats; .* need one depth: convert them$"),
        (
            [DEEP],
            {"input_depth": "uint8"},
            "--input_depth=uint8: train0: 16 bits a channel, .* as an 8-bit image, or leave out --input_depth",
        ),
        ([FLOATS * 0 + 7], {}, "all input images have the single value 7; set --input_range=LOW,HIGH"),
        ([random_deep(0, 8, 8, 4)], {"input_range": (0, 4095)}, "--input_range: alpha channels always use all values"),
        ([DEEP], {"input_range": (0, 70000)}, "--input_range=0,70000: LOW must be below HIGH, both within 0,65535"),
        ([DEEP], {"input_encoding": "onehot"}, "1 of 1 train pairs .*16 bits a channel: a palette requires .* 8 bits"),
        ([GRAY], {"val": [DEEP]}, "val0 has 16 bits a channel but train0 has 8 bits a channel"),
    ],
)
def test_what_does_not_fit_is_refused(images, fields, message):
    targets = [GRAY] * len(images) if not any(name.startswith("output") for name in fields) else None
    with pytest.raises(InputError, match=message):
        resolved(*images, targets=targets, **fields)


def test_the_range_of_floats_is_that_of_the_training_images(capsys):
    assert resolved(-FLOATS, FLOATS * 0 + 9000, val=[FLOATS + 5]).input.value_range == (-HIGH, 9000.0)
    printed = capsys.readouterr().out
    assert f"input images are floats from {-HIGH:.9g},9000; --input_range=LOW,HIGH sets another range" in printed
    uniform = resolved(*[FLOATS] * 30, FLOATS + 1, uniform=True)  # of floats all are read
    assert uniform.target.value_range == (LOW, float((FLOATS + 1).max()))


def test_unused_values_of_16_bits_are_reported(capsys):
    few = DEEP // 16
    resolved(few, targets=[DEEP])
    expected = f"no 16-bit input image has a value above {few.max()}; if that is the greatest they can have, --input_ra"
    assert expected in capsys.readouterr().out
    resolved(few, targets=[DEEP], input_range=(0, 4095), fit="none")
    assert capsys.readouterr().out == ""


def test_bad_pairs_are_listed_and_up_to_max_bad_images_skipped(capfd):
    pairs = [RGB, InputError("bad1.png: damaged"), RGB, InputError("bad3.png: empty")]
    message = "2 of 4 train pairs cannot be used: bad1.png: damaged; bad3.png: empty. Fix or remove them, or skip them"
    for allowed in (0, 1):
        with pytest.raises(InputError, match=f"{message} with --max_bad_images=2"):
            resolved(*pairs, max_bad_images=allowed)
    resolved(*pairs, max_bad_images=2)
    assert "skipped 2 of 4 train pairs: bad1.png: damaged; bad3.png: empty" in capfd.readouterr().err
    with pytest.raises(InputError, match="30 of 30 train pairs cannot be used: .* and 10 more. Fix or remove them$"):
        resolved(*(InputError(f"bad{number}: x") for number in range(30)), max_bad_images=30)


@pytest.mark.parametrize(("task", "channels"), [("deblur", 1), ("inpaint", 4), ("edges", 1)])
def test_the_inputs_of_a_task_are_as_its_photos(capsys, task, channels):
    side = Side(1, "float32", (LOW, HIGH))
    assert resolved(FLOATS, task=task) == Sides(dataclasses.replace(side, channels=channels), side)
    printed = capsys.readouterr().out
    assert "target images are floats" in printed and "input" not in printed


@pytest.mark.parametrize(
    ("photo", "fields", "message"),
    [
        (FLOATS, {"task": "deblur", "output_depth": "uint16"}, "--output_depth=uint16: train0: floats, expected"),
        (RGB, {"task": "colorize", "input_channels": 3}, "--input_channels=3: colorize makes 1; leave it out"),
        (GRAY, {"task": "colorize"}, "--task=colorize: requires color photos, but all are gray, such as train0; "),
    ],
)
def test_photos_that_do_not_suit_the_task_are_refused(photo, fields, message):
    with pytest.raises(InputError, match=message):
        resolved(photo, **fields)


@pytest.fixture
def palette_file(tmp_path):
    def write(*colors):
        (tmp_path / "p.json").write_text(json.dumps({"colors": colors}))
        return str(tmp_path / "p.json")

    return write


def test_a_palette_is_found_and_its_pixels_counted(capsys):
    side = resolved(LABELS, LABELS[:, :1], targets=[RGB] * 2, input_encoding="onehot").input
    assert side == Side(3, palette=Palette(((0, 0, 170), (255, 85, 0))), resize="nearest")
    assert side.palette.counts == (8, 4)
    assert "input images have 2 colors; sides.json in the run directory lists them" in capsys.readouterr().out


def test_unknown_colors_are_reported_for_each_split(palette_file, capsys):
    val = LABELS[:2].copy()
    val[0, 0] = 1
    fields = dict(targets=[LABELS], target_encoding="classes", palette=palette_file([255, 85, 0], [0, 0, 170]))
    palette = resolved(RGB, val=[val], **fields).target.palette
    assert (palette.colors, palette.counts) == (((255, 85, 0), (0, 0, 170)), (4, 4))  # counts are of train alone
    printed = capsys.readouterr().err
    assert "target images (val): 25.00% of the pixels have colors that the palette lacks and get the nearest" in printed
    assert "first in val0 (1 pixel); --palette=FILE sets another palette" in printed
    assert "(train)" not in printed


def test_a_given_palette_gets_the_channels_of_the_images(palette_file):
    def found(image, *colors, **fields):
        options = dict(targets=[RGB], input_encoding="onehot", palette=palette_file(*colors))
        return resolved(image, **options | fields).input.palette.colors

    assert found(LABELS, 0, 9) == ((0, 0, 0), (9, 9, 9))
    assert found(GRAY, 0, 9, input_channels=4)[1] == (9, 9, 9, 255)
    with pytest.raises(InputError, match="p.json: its colors are not gray, as the input images are; list gray colors"):
        found(GRAY, [0, 0, 1], [9, 9, 9])


def test_a_resumed_run_keeps_the_palette_that_it_found():
    fields = dict(targets=[RGB], input_encoding="onehot")
    first = resolved(LABELS, **fields)
    more = LABELS.copy()
    more[0, 0] = 1
    assert resolved(more, saved=first, **fields) == first
    assert len(resolved(more, **fields).input.palette.colors) == 3
