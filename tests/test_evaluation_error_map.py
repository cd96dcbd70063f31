import time

import numpy as np
import pytest

from tf_pix2pix.evaluation.error_map import error_colors, error_map


def test_the_error_of_known_images_gets_the_colors_of_magma():
    """The colors are those of the published magma table at 0, 1/2 and 1."""
    target = np.zeros((2, 3, 3), np.float32)
    generated = target.copy()
    generated[0, 1] = [0.5, -0.5, 0.5]  # the mean over the channels is 0.5
    generated[1, 2] = -1
    levels = error_map(generated, target)
    assert (levels.shape, levels.dtype) == ((2, 3, 1), np.uint8)
    colors = error_colors()[levels[..., 0]]
    assert (colors.shape, colors.dtype) == ((2, 3, 3), np.uint8)
    assert colors[0, 0].tolist() == [0, 0, 3]
    np.testing.assert_allclose(colors[0, 1], [183, 55, 121], atol=3)
    assert colors[1, 2].tolist() == [251, 252, 191]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_larger_errors_are_lighter_until_the_limit(channels):
    target = np.full((1, 101, channels), -1, np.float32)
    generated = target + np.linspace(0, 2, 101, dtype=np.float32)[:, np.newaxis]
    luminance = error_colors()[error_map(generated, target)[0, :, 0]].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[:51:5]) > 0).all()
    assert (luminance[51:] == luminance[50]).all()


def test_it_costs_little_beside_translating():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 256, 256, 3)).astype(np.float32)
    error_map(a, b)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        error_map(a, b)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.02  # 1 ms on an idle machine
