import numpy as np
import pytest
from helpers import random_deep, random_image

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.datasets.synthetic_facades import facade
from tf_pix2pix.errors import InputError
from tf_pix2pix.seams import JOINED, SINGLE
from tf_pix2pix.survey import SAMPLE, SEAMS, survey

GRAY, RGB, RGBA = (random_image(channels, 8, 8, channels) for channels in (1, 3, 4))
FLOATS = random_deep(0, 8, 8, 1, "float32")


def look(*inputs, targets=None, parts=("input", "target"), uniform=False, **options):
    """The survey of pairs of these images, on both sides unless targets are given, and which pairs it has read.

    An exception among the inputs is raised instead of returned.
    """
    reads = []

    def read(index):
        reads.append(index)
        if isinstance(inputs[index], Exception):
            raise inputs[index]
        return tuple({"input": inputs, "target": targets or inputs, "mask": inputs}[part][index] for part in parts)

    pairs = Pairs([f"file{i}.png" for i in range(len(inputs))], read, parts, uniform=uniform)
    return survey(pairs, description="testing", **options), sorted(reads)


def test_every_fact_of_both_sides():
    targets = [FLOATS, FLOATS - 9000, FLOATS + 9000]
    found, reads = look(GRAY, RGB, GRAY, targets=targets, parts=("input", "target", "mask"))
    assert reads == [0, 1, 2]
    assert (found.complete, found.bad, len(found.pairs)) == (True, [], 3)
    assert found.sides.keys() == {"input", "target"}  # masks are read, but are not a side
    inputs, targets = found.sides.values()
    assert inputs.channels == {1: "file0.png", 3: "file1.png"}
    assert inputs.depths == {"uint8": "file0.png"}
    assert targets.depths == {"float32": "file0.png"}
    assert targets.extremes == (FLOATS.min() - 9000, FLOATS.max() + 9000)
    assert inputs.colors.counts == {}  # not asked for


def test_bad_pairs_are_left_out_with_their_reasons():
    found, _ = look(RGB, InputError("file1.png: damaged"), RGB[:5], RGB, min_size=(6, 8))
    message = "file2.png: 5x8 is smaller than the crop's 6x8 (height x width); --fit=cover enlarges it"
    assert found.bad == ["file1.png: damaged", message]
    assert found.pairs.names == ["file0.png", "file3.png"]
    np.testing.assert_array_equal(found.pairs.read(1)[0], RGB)


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        ({}, False),
        ({"label_sides": ["target"]}, True),  # every color counts
        ({"image": FLOATS}, True),  # every value counts
        ({"bad": InputError("file1.png: damaged")}, True),  # not so uniform after all
        ({"uniform": False}, True),
    ],
)
def test_of_uniform_sets_a_sample_is_read_if_it_tells_all(changes, complete):
    image = changes.pop("image", RGB)
    files = [image, changes.pop("bad", image), *[image] * 48]
    found, reads = look(*files, **{"uniform": True} | changes)
    assert (found.complete, len({*reads})) == (complete, 50 if complete else SAMPLE)
    assert len(found.pairs) + len(found.bad) == 50


def test_photos_lose_an_opaque_alpha_and_show_whether_they_have_colors():
    opaque = images.with_channels(RGB, 4)
    found, _ = look(GRAY, opaque, RGBA, parts=("target",))
    assert found.sides.keys() == {"target"}
    assert found.sides["target"].channels == {1: "file0.png", 3: "file1.png"}
    assert found.bad == ["file2.png: transparency does not fit into 3 channels; save it without"]
    assert found.sides["target"].has_colors
    gray, _ = look(GRAY, np.repeat(GRAY, 3, axis=2), parts=("target",))
    assert not gray.sides["target"].has_colors


def test_colors_are_counted_with_the_first_pair_that_has_them():
    black, white = np.zeros((2, 2, 1), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    found, _ = look(black, white, black, label_sides=["input"])
    colors = found.sides["input"].colors
    assert colors.counts == {0x000000FF: 8, 0xFFFFFFFF: 6}  # RGBA
    assert colors.first == {0x000000FF: "file0.png", 0xFFFFFFFF: "file1.png"}
    assert (colors.channels, colors.images) == (3, 3)
    deep, _ = look(random_deep(0, 8, 8, 1), label_sides=["input"])
    assert deep.bad == ["file0.png: 16 bits a channel: a palette requires label maps of 8 bits a channel"]


def test_the_image_size_is_the_median_of_usable_images():
    found, _ = look(RGB, random_image(0, 20, 9), random_image(1, 12, 40), InputError("bad"), random_image(2, 13, 41))
    assert [facts.image_size for facts in found.sides.values()] == [(12, 24)] * 2


def test_seams_are_measured_in_a_sample_of_large_sets():
    assert [len(look(*[RGB] * count)[0].seams) for count in (SEAMS, SEAMS + 1, 5 * SEAMS)] == [64, 33, 64]


def test_seams_of_pairs_and_of_photos():
    photo, labels = facade(0, 1, (128, 128))
    halves = [photo[:, :64], photo[:, 64:]]
    found, _ = look(photo, halves[0], halves[1], RGB, targets=[labels, halves[1], halves[0], RGB])
    pair, single, swapped, unclear = found.seams
    assert pair > JOINED and single == swapped < SINGLE and np.isnan(unclear)
    photos, _ = look(photo, np.hstack([photo, labels]), photo[:, 1:], parts=("target",))
    single, joined, odd = photos.seams
    assert single < SINGLE and joined > JOINED and np.isnan(odd)
