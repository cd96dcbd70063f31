import itertools
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from helpers import random_image

from tf_pix2pix.errors import RunError
from tf_pix2pix.tiling import BLEND, OVERLAP, alignment, spans, tile_side, translate_tiled


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("tile", [16, 33, 64, 96])
def test_tiles_cover_an_axis_and_their_weights_sum_to_one(tile, fixed):
    for length, multiple in itertools.product([1, 15, 16, 17, 31, 64, 65, 100, 128, 333, 1025], [1, 4, 32]):
        found = spans(length, tile, multiple, fixed)
        total = np.zeros(length)
        for span in found:
            total[span.start : span.stop] += span.weights
            assert 0 < span.stop - span.start <= tile
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert (found[0].start, found[-1].stop) == (0, length)
        if len(found) > 1 and fixed:
            assert {span.stop - span.start for span in found} == {tile}


@pytest.mark.parametrize(
    ("tile", "multiple", "step"), [(1024, 256, 256), (512, 256, 128), (256, 256, 64), (96, 32, 16), (64, 4, 4)]
)
def test_tiles_begin_at_multiples_of_the_alignment(tile, multiple, step):
    assert alignment(tile, multiple) == step
    for tiles in range(1, 40):
        found = spans(tile + tiles * step, tile, multiple, fixed=True)
        assert not any(span.start % step for span in found)
        for first, second in zip(found, found[1:], strict=False):
            assert first.stop - second.start >= tile * OVERLAP


def test_tiles_are_no_larger_than_their_number_requires():
    """An image slightly above the limit gets two tiles of little more than half its length, not two whole ones."""
    first, second = spans(272, 256, 16)
    assert (first.stop, second.start) == (176, 96)  # (272 + 64) / 2 = 168, up to a multiple of 16
    assert [tile_side(pixels, 256) for pixels in (2**20, 2**20 - 1, 10)] == [1024, 768, 256]


def test_tiles_are_blended_over_half_of_the_least_overlap():
    """The border of a tile has no weight, then the weights fall as those of the next tile rise."""
    dropped = int(64 * OVERLAP * (1 - BLEND) / 2)
    for first, second in zip(spans(500, 64), spans(500, 64)[1:], strict=False):
        shared = first.stop - second.start
        assert not first.weights[-dropped:].any() and not second.weights[:dropped].any()
        np.testing.assert_allclose(first.weights[-shared:], second.weights[:shared][::-1], atol=1e-6)
        assert ((second.weights[:shared] > 0) & (second.weights[:shared] < 1)).sum() == 8


def test_tiles_are_put_together_exactly():
    image = random_image(0, 203, 150)
    gray = translate_tiled(lambda tile: tile[..., :1], image, spans(203, 64), spans(150, 48), None)
    np.testing.assert_array_equal(gray, image[..., :1])


def test_a_model_that_changes_the_size_is_refused():
    with pytest.raises(RunError, match="the model returned 29x64 pixels for a tile of 58x64; it must keep the size"):
        translate_tiled(lambda tile: tile[:, ::2], random_image(0, 100, 64), spans(100, 64), spans(64, 64), None)


def test_a_filter_smaller_than_the_dropped_border_gives_the_untiled_result():
    """A 7x7 filter with zero padding, as in the networks, reaches 3 pixels; tiles of 64 drop 4 at their borders."""
    kernel = np.random.default_rng(0).uniform(0, 2 / 49, (7, 7, 1, 1)).astype(np.float32)
    smooth = lambda tile: tf.nn.conv2d(tile, kernel, 1, "SAME").numpy()  # noqa: E731
    image = random_image(1, 200, 190, 1)
    whole = translate_tiled(smooth, image, spans(200, 200), spans(190, 190), None)
    tiled = translate_tiled(smooth, image, spans(200, 64), spans(190, 64), None)
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # blending rounds differently


def peak_memory_besides_the_result(height):
    image = np.zeros((height, 300, 3), np.uint8)
    tracemalloc.start()
    translate_tiled(lambda tile: tile, image, spans(height, 64), spans(300, 64), None)
    peak = tracemalloc.get_traced_memory()[1] - image.nbytes
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_height():
    peak_memory_besides_the_result(100)  # first use
    assert peak_memory_besides_the_result(4000) < 1.5 * peak_memory_besides_the_result(400)


def test_without_blending_each_pixel_comes_from_one_tile():
    numbers = iter(range(1, 100))
    rows, columns = (spans(*axis, blended=False) for axis in ((203, 64), (150, 48)))
    number_tiles = lambda tile: np.full(tile.shape, next(numbers) / 127.5 - 1, np.float32)  # noqa: E731
    whole = translate_tiled(number_tiles, random_image(0, 203, 150), rows, columns, None)
    assert {*whole.flat} == set(range(1, next(numbers)))
