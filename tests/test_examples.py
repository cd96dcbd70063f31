import numpy as np
import pytest
from helpers import random_image

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import make_example, prepare_examples
from tf_pix2pix.palettes import PALETTES, Palette
from tf_pix2pix.sides import Side, Sides

RGB_SIDES = Sides(Side(3), Side(3))
PARTS = ("input", "target")


def test_each_side_is_converted_and_resized_its_own_way():
    photo = random_image(1, 40, 40)
    labels = np.where(random_image(0, 40, 40, 1) > 127, np.uint8(255), np.uint8(0))
    sides = Sides(Side(4), Side(3, "uint16", resize="nearest"))
    made = make_example((photo, labels), PARTS, sides, (20, 30), "stretch")
    np.testing.assert_array_equal(made[0], images.with_channels(images.resize(photo, (20, 30), "bicubic"), 4))
    assert (made[1].shape, made[1].dtype, {*made[1].flat}) == ((20, 30, 3), np.uint16, {0, 65535})


def test_colors_are_mapped_before_resizing():
    """Every second column is one level off the palette; nearest resizing picks some of them."""
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, ::2] = 1
    image[4:] += 100
    side = Side(1, palette=Palette(((0,), (100,))), resize="nearest")
    (made,) = make_example((image,), ("target",), Sides(side, side), (4, 5), "stretch")
    np.testing.assert_array_equal(made, np.repeat([0, 0, 100, 100], 5).reshape(4, 5, 1))


def test_blurred_labels_are_restored_in_targets_alone():
    """Inputs get the nearest color, pixel by pixel, as in exported models."""
    palette = PALETTES["facades"]
    labels = palette.array[[[9] * 6 + [6] * 6] * 6]
    labels[:, 6] = [230, 185, 30]  # blur between red-orange and lime, nearest to orange
    sides = Sides(*[Side(3, palette=palette, resize="nearest")] * 2)
    input_image, target_image = make_example((labels, labels), PARTS, sides, (6, 12), "stretch")
    np.testing.assert_array_equal(input_image, palette.map_colors(labels))
    np.testing.assert_array_equal(
        np.unique(target_image.reshape(-1, 3), axis=0), np.unique(palette.array[[9, 6]], axis=0)
    )
    assert (input_image != target_image).any(axis=2).sum() == 6


@pytest.mark.parametrize(("fit", "shape"), [("stretch", (20, 20)), ("cover", (20, 40)), ("none", (30, 60))])
def test_fits(fit, shape):
    pair = (random_image(0, 30, 60), random_image(1, 30, 60), random_image(2, 30, 60, 1))
    made = make_example(pair, (*PARTS, "mask"), RGB_SIDES, (20, 20), fit)
    assert [image.shape for image in made] == [(*shape, 3), (*shape, 3), (*shape, 1)]
    np.testing.assert_array_equal(made[2], images.resize(pair[2], shape, "bilinear"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (random_image(0, 8, 8, 4), "file1: transparency does not fit into 3 channels"),
        (random_image(0, 7, 8), r"file1: 7x8 is smaller than the crop's 8x8 .*; --fit=cover enlarges it"),
        (InputError("b.png: damaged"), "^b.png: damaged"),
    ],
)
def test_an_image_of_a_uniform_set_that_does_not_fit_is_named_when_it_is_read(image, message):
    def read(index):
        if index and isinstance(image, Exception):
            raise image
        return (image if index else random_image(0, 8, 8),) * 2

    examples = prepare_examples(Pairs(["file0", "file1"], read, uniform=True), RGB_SIDES, size=(8, 8), fit="none")
    examples.read(0)
    with pytest.raises(InputError, match=message):
        examples.read(1)


@pytest.mark.parametrize(("cache_bytes", "kept"), [(1e6, 3), (500, 1), (100, 0)])  # an example has 384 bytes
@pytest.mark.parametrize("parts", [PARTS, ("target",)])
def test_as_many_examples_are_kept_as_the_cache_holds(cache_bytes, kept, parts):
    reads = []

    def read(index):
        reads.append(index)
        whole = random_image(index, 8, 16)  # halves of it are views
        return images.split_side_by_side(whole)[-len(parts) :]

    pairs = Pairs(["a", "b", "c"], read, parts)
    examples = prepare_examples(pairs, RGB_SIDES, size=(8, 8), cache_bytes=cache_bytes * len(parts) / 2)
    assert (reads, len(examples), examples.uniform) == ([], 3, True)
    made = [examples.read(index) for index in (0, 1, 2, 0, 1, 2)]
    assert reads == [0, 1, 2, *range(kept, 3)]
    for index, example in zip((0, 1, 2, 0, 1, 2), made, strict=True):
        np.testing.assert_array_equal(example[-1], random_image(index, 8, 16)[:, 8:])
    if kept == 3:
        assert all(image.base is None for image in examples.read(0))  # a view would keep the whole image in memory
