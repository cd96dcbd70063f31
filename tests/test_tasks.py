import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers import pillow_bicubic, random_image
from PIL import Image

from tf_pix2pix import images, tasks
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.sides import Side
from tf_pix2pix.tasks import TASKS, input_maker, is_gray


@functools.cache
def maker(task, channels, **settings):
    """input_maker with the task's default settings, unless others are given."""
    return input_maker(task, Side(3), **TrainConfig(task=task).task_settings | settings)


def make(task, photo, seed=None, **settings):
    """uint8 [h, w, c] -> the task's input image, uint8 [h, w, c']."""
    make_input = maker(task, photo.shape[2], **settings)
    return make_input(tf.constant(photo), None if seed is None else tf.constant(seed)).numpy()


def smooth_photo(seed=0):
    """uint8 [60, 80, 3] with shapes in it, like a photo and unlike noise."""
    return np.asarray(Image.fromarray(random_image(seed, 9, 12)).resize((80, 60), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_input_has_the_size_of_the_photo(task, channels):
    for size in [(1, 1), (1, 9), (33, 40)]:
        made = make(task, random_image(0, *size, channels))
        assert (made.dtype, made.shape) == (np.uint8, (*size, TASKS[task].input_channels or channels))


@pytest.mark.parametrize("task", TASKS)
def test_randomness_comes_from_the_seed_or_the_photo_alone(task):
    photo, random = smooth_photo(), task in ("denoise", "inpaint")
    np.testing.assert_array_equal(make(task, photo, [3, 4]), make(task, photo, [3, 4]))
    np.testing.assert_array_equal(make(task, photo), make(task, photo.copy()))
    for seed in ([3, 5], None):
        assert np.array_equal(make(task, photo, seed), make(task, photo, [3, 4])) != random


def test_inputs_inside_tf_data_are_the_same():
    photo = smooth_photo()
    for task in TASKS:
        signature = tf.TensorSpec([None, None, 3], tf.uint8)
        inputs = tf.data.Dataset.from_generator(lambda: [photo], output_signature=signature).map(maker(task, 3))
        assert inputs.element_spec.shape[2] == (TASKS[task].input_channels or 3)
        (made,) = inputs
        assert (made.numpy() != make(task, photo)).mean() < 1e-3  # TensorFlow rounds differently there


def test_colorize_agrees_with_pillow():
    photo = random_image(0, 40, 50)
    gray = np.asarray(Image.fromarray(photo).convert("L")).astype(int)
    assert np.abs(make("colorize", photo)[:, :, 0] - gray).max() <= 1  # Pillow computes in 16 bits


def blurred(image, sigma):
    """float [h, w, c] -> its Gaussian blur with repeated borders, by matrices of the weights."""

    def weights(length):
        matrix = np.zeros((length, length))
        for row in range(length):
            for at in range(row - 60, row + 61):
                matrix[row, np.clip(at, 0, length - 1)] += np.exp(-0.5 * ((at - row) / sigma) ** 2)
        return matrix / matrix.sum(axis=1, keepdims=True)

    return np.einsum("ij,jkc,lk->ilc", weights(image.shape[0]), image, weights(image.shape[1]))


@pytest.mark.parametrize("sigma", [0.7, 5.0])
def test_deblur_input_is_a_gaussian_blur(sigma):
    photo = random_image(0, 25, 40)
    assert np.abs(make("deblur", photo, sigma=sigma) - blurred(photo, sigma)).max() < 0.6  # 0.5 is rounding


@pytest.mark.parametrize("scale", [2, 8])
def test_super_resolution_agrees_with_pillow(scale):
    photo = random_image(0, 40, 64)
    expected = pillow_bicubic(pillow_bicubic(photo, (40 // scale, 64 // scale)), (40, 64))
    assert np.abs(make("super_resolution", photo, scale=scale) - expected).max() < 0.6  # 0.5 is rounding


def test_denoise_adds_gaussian_noise():
    noise = make("denoise", np.full((100, 100, 3), 128, np.uint8), [0, 1], sigma=20.0) - 128.0
    assert abs(noise.mean()) < 0.5 and abs(noise.std() - 20) < 0.5
    assert abs((np.abs(noise) < 20).mean() - 0.683) < 0.02  # as for a Gaussian
    for axis in range(3):  # neighbors and channels are independent
        one, other = np.moveaxis(noise, axis, 0)[1:], np.moveaxis(noise, axis, 0)[:-1]
        assert abs((one * other).mean()) < 0.03 * noise.var()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_inpaint_holes_cover_about_their_share(share):
    photo, holes = smooth_photo(), []
    for number in range(40):
        made = make("inpaint", photo, [0, number], share=share)
        hole = made[:, :, 3] == 0
        assert {*made[:, :, 3].flat} == {0, 255}
        assert (made[hole][:, :3] == 128).all() and (made[~hole][:, :3] == photo[~hole]).all()
        holes.append(hole)
    shares = np.mean(holes, axis=(1, 2))
    assert len({hole.tobytes() for hole in holes}) == 40
    assert 0.6 * share < shares.mean() < 1.1 * share  # holes overlap, and strokes cross the border
    assert max(shares) < 1.6 * share and min(shares) > 0.2 * share
    parts = np.mean(holes, axis=0).reshape(2, 30, 2, 40).mean(axis=(1, 3))
    assert parts.min() > share / 2  # they are everywhere


def test_edges_are_thin_and_in_place():
    step = np.zeros((30, 40, 1), np.uint8)
    step[:, 20:] = 200
    made = make("edges", step)[:, :, 0]
    assert {*made.flat} == {0, 255} and (made[1:-1] == 0).any(axis=1).all()
    assert {*np.nonzero(made == 0)[1]} <= {19, 20}  # both pixels of the step are equally near
    assert make("edges", np.full((30, 40, 1), 90, np.uint8)).min() == 255


def test_weak_edges_need_a_strong_one():
    """One bar fades from left to right; the other is everywhere as faint as the end of the first."""
    photo = np.zeros((60, 200, 1), np.float32)
    photo[12:24] = np.linspace(120, 20, 200)[:, None]
    photo[40:52] = 20
    found = make("edges", photo.astype(np.uint8), sigma=1.0)[:, :, 0] == 0
    assert found[8:28, -15].any()
    assert not found[33:59].any()


def test_soft_edges_are_the_strength_of_the_gradient():
    """By Sobel's filters."""
    photo = smooth_photo()
    gray = blurred((photo / 255 @ np.array(tasks.LUMA))[:, :, None], 1.0)[:, :, 0]
    wide = np.pad(gray, 1, mode="edge")
    across = wide[:-2] + 2 * wide[1:-1] + wide[2:], wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    strength = np.hypot(across[0][:, 2:] - across[0][:, :-2], across[1][2:] - across[1][:-2])
    assert np.abs(make("soft_edges", photo, sigma=1.0)[:, :, 0] - 255 * (1 - np.tanh(strength))).max() < 0.6


def test_a_sketch_draws_whatever_is_darker_than_its_surroundings():
    photo = np.full((40, 60, 1), 150, np.uint8)
    photo[:, 15:17], photo[:, 40:42] = 60, 240
    made = make("sketch", photo)
    gray = photo / 255.0
    assert np.abs(made - 255 * np.minimum((gray + 0.02) / (blurred(gray, 4.0) + 0.02), 1)).max() < 0.7
    assert made[20, 15:17].max() < 140 and made[20, 40:42].min() == 255 and made[20, 28] > 250


@pytest.mark.parametrize("task", TASKS)
def test_deeper_photos_have_deeper_inputs(task):
    photo, settings = smooth_photo(), TrainConfig(task=task).task_settings
    seed, expected = tf.constant([1, 2]), make(task, photo, [1, 2]) / 255
    deep = input_maker(task, Side(3, "uint16"), **settings)(tf.constant(photo * np.uint16(257)), seed).numpy()
    floats = input_maker(task, Side(3, "float32", (-1.0, 3.0)), **settings)(photo / np.float32(255 / 4) - 1, seed)
    assert deep.dtype == np.uint16 and floats.dtype == tf.float32
    for other in (deep / 65535, (floats.numpy() + 1) / 4):
        assert (np.abs(other - expected) > 0.51 / 255).mean() < 1e-3  # rounding may lose an edge
    if task != "edges":
        assert len(np.unique(deep)) > len(np.unique(expected))


def test_is_gray():
    gray = random_image(0, 10, 10, 1)
    assert is_gray(gray) and is_gray(images.with_channels(gray, 4))
    one_red = np.repeat(gray, 3, axis=2)
    one_red[3, 3] = 200, 10, 10
    for scale, dtype in ((1, np.uint8), (257, np.uint16), (0.1, np.float32)):
        assert is_gray(gray.repeat(3, axis=2).astype(dtype) * dtype(scale))
        assert not is_gray(one_red.astype(dtype) * dtype(scale))
