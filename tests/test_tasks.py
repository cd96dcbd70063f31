import functools
import inspect
from collections import deque

import numpy as np
import pytest
import tensorflow as tf
from conftest import pillow_bicubic, random_picture
from PIL import Image

from tf_pix2pix import images, tasks
from tf_pix2pix.config import TASK_SETTINGS, TrainConfig
from tf_pix2pix.tasks import TASKS, input_maker, is_gray


@functools.cache
def maker(task, channels, **settings):
    """input_maker, with the task's own settings where none are given."""
    return input_maker(task, **TrainConfig(task=task).task_settings | settings)


def made(task, photo, seed=None, **settings):
    """uint8 [h, w, c']."""
    make_input = maker(task, photo.shape[2], **settings)
    return make_input(tf.constant(photo), None if seed is None else tf.constant(seed)).numpy()


def smooth_photo(seed=0, height=60, width=80):
    """uint8 [h, w, 3] with shapes in it, like a photo and unlike noise."""
    small = Image.fromarray(random_picture(seed, 9, 12))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_keeps_its_size(task, channels):
    wanted = TASKS[task].input_channels or channels
    for size in [(1, 1), (1, 9), (7, 5), (33, 40)]:
        picture = made(task, random_picture(0, *size, channels))
        assert (picture.dtype, picture.shape) == (np.uint8, (*size, wanted))


@pytest.mark.parametrize("task", TASKS)
def test_settings_are_the_configs(task):
    """What a task's function asks for is what the config has for it, and nothing else."""
    asked = {
        name for name, one in inspect.signature(TASKS[task].make).parameters.items() if one.kind == one.KEYWORD_ONLY
    }
    has = {name.removeprefix("task_") for name, defaults in TASK_SETTINGS.items() if task in defaults}
    assert asked == has == set(TrainConfig(task=task).task_settings)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_drawn_depends_on_the_seed_or_the_photo_alone(task):
    photo, other = smooth_photo(), smooth_photo(1)
    random = task in ("denoise", "inpaint")
    np.testing.assert_array_equal(made(task, photo, [3, 4]), made(task, photo, [3, 4]))
    assert np.array_equal(made(task, photo, [3, 4]), made(task, photo, [3, 5])) != random
    np.testing.assert_array_equal(made(task, photo), made(task, photo.copy()))
    assert np.array_equal(made(task, photo), made(task, photo, [3, 4])) != random
    difference = made(task, photo).astype(int) - made(task, other), photo.astype(int) - other
    if task == "denoise":  # another photo, other noise
        assert np.abs(difference[0] - difference[1]).mean() > 10


def test_inside_tf_data_it_is_the_same():
    photo = smooth_photo()
    for task in TASKS:
        photos = tf.data.Dataset.from_generator(
            lambda: [photo], output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
        )
        (picture,) = photos = photos.map(maker(task, 3))
        assert photos.element_spec.shape[2] == (TASKS[task].input_channels or 3)
        assert (picture.numpy() != made(task, photo)).mean() < 1e-3  # TensorFlow rounds elsewhere there


def test_without_a_task_there_is_nothing_to_make():
    assert input_maker(None) is None


def test_colorize_gives_the_gray_that_pillow_gives():
    photo = random_picture(0, 40, 50)
    gray = np.asarray(Image.fromarray(photo).convert("L")).astype(int)
    assert np.abs(made("colorize", photo)[:, :, 0] - gray).max() <= 1  # Pillow counts in 16 bits


def gaussian_matrix(side, sigma):
    """[side, side]: row i has what each pixel gives to the blurred pixel i, borders repeated; by its definition."""
    matrix = np.zeros((side, side))
    for row in range(side):
        for at in range(row - 60, row + 61):
            matrix[row, np.clip(at, 0, side - 1)] += np.exp(-0.5 * ((at - row) / sigma) ** 2)
    return matrix / matrix.sum(axis=1, keepdims=True)


def blurred(picture, sigma):
    rows, columns = (gaussian_matrix(side, sigma) for side in picture.shape[:2])
    return np.einsum("ij,jkc,lk->ilc", rows, picture, columns)


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_deblur_gives_a_gaussian_blur(sigma):
    photo = random_picture(0, 25, 40)
    assert np.abs(made("deblur", photo, sigma=sigma) - blurred(photo, sigma)).max() < 0.6  # 0.5 is rounding


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_super_resolution_gives_what_pillow_gives(scale):
    photo = random_picture(0, 40, 64)
    expected = pillow_bicubic(pillow_bicubic(photo, (40 // scale, 64 // scale)), (40, 64))
    assert np.abs(made("super_resolution", photo, scale=scale) - expected).max() < 0.6  # 0.5 is rounding


def test_denoise_adds_gaussian_noise():
    photo = np.full((100, 100, 3), 128, np.uint8)
    noise = made("denoise", photo, [0, 1], sigma=20.0) - 128.0
    assert abs(noise.mean()) < 0.5 and abs(noise.std() - 20) < 0.5
    assert abs((np.abs(noise) < 20).mean() - 0.683) < 0.02  # of a Gaussian
    flat = noise - noise.mean()
    for one, other in ((flat[1:], flat[:-1]), (flat[:, 1:], flat[:, :-1]), (flat[..., 1:], flat[..., :-1])):
        assert abs((one * other).mean()) < 0.03 * flat.var()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_inpaint_has_holes_over_about_its_share(share):
    photo = smooth_photo()
    shares, seen = [], set()
    for number in range(40):
        picture = made("inpaint", photo, [0, number], share=share)
        hole = picture[:, :, 3] == 0
        assert set(np.unique(picture[:, :, 3])) == {0, 255}
        np.testing.assert_array_equal(picture[hole][:, :3], 128)
        np.testing.assert_array_equal(picture[~hole][:, :3], photo[~hole])
        shares.append(hole.mean())
        seen.add(hole.tobytes())
    assert len(seen) == 40
    assert 0.6 * share < np.mean(shares) < 1.1 * share  # holes overlap, and strokes leave the picture
    assert max(shares) < 1.6 * share and min(shares) > 0.2 * share


def test_holes_are_everywhere():
    holes = [made("inpaint", smooth_photo(), [0, number])[:, :, 3] == 0 for number in range(300)]
    parts = np.mean(holes, axis=0).reshape(6, 10, 8, 10).mean(axis=(1, 3))
    assert parts.min() > 0.05 and parts.max() < 0.3


def plain_canny(gray, sigma, low, high):
    """Canny's edges of [h, w] in [0, 1], pixel by pixel -> bool [h, w]."""
    smooth = np.pad(blurred(gray[:, :, None], sigma)[:, :, 0], 1, mode="edge")
    height, width = gray.shape
    down, right = np.zeros((height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = smooth[y : y + 3, x : x + 3]
            down[y, x] = window[2] @ [1, 2, 1] - window[0] @ [1, 2, 1]
            right[y, x] = window[:, 2] @ [1, 2, 1] - window[:, 0] @ [1, 2, 1]
    strength = np.hypot(down, right)
    around = np.pad(strength, 1, mode="edge")

    def between(y, x):  # linear along the row or column of pixels that the gradient meets first
        y0, x0 = int(np.floor(y)), int(np.floor(x))
        fy, fx = y - y0, x - x0
        y1, x1 = y0 + (fy > 0), x0 + (fx > 0)
        return (1 - fy - fx) * around[y0, x0] + fy * around[y1, x0] + fx * around[y0, x1]

    weak = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            size = max(abs(down[y, x]), abs(right[y, x]))
            if size == 0 or strength[y, x] < low:
                continue
            dy, dx = round(down[y, x] / size, 12), round(right[y, x] / size, 12)
            sides = between(y + 1 + dy, x + 1 + dx), between(y + 1 - dy, x + 1 - dx)
            weak[y, x] = strength[y, x] >= max(sides)
    found = np.zeros_like(weak)
    todo = deque(zip(*np.nonzero(weak & (strength >= high)), strict=True))
    while todo:
        y, x = todo.popleft()
        if 0 <= y < height and 0 <= x < width and weak[y, x] and not found[y, x]:
            found[y, x] = True
            todo.extend((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_edges_are_cannys(seed):
    photo = smooth_photo(seed)
    found = made("edges", photo, sigma=1.2)[:, :, 0]
    assert set(np.unique(found)) == {0, 255}
    expected = plain_canny(photo / 255 @ np.array(tasks.LUMA), 1.2, *tasks.CANNY_THRESHOLDS)
    assert 0.02 < expected.mean() < 0.3
    assert ((found == 0) != expected).mean() < 0.002  # rounding, where neighbours are nearly equal


def test_edges_are_thin_and_where_they_are():
    step = np.zeros((30, 40, 1), np.uint8)
    step[:, 20:] = 200
    found = made("edges", step)[:, :, 0] == 0
    assert found.any(axis=1).all()
    assert set(np.nonzero(found)[1]) <= {19, 20}  # the two pixels of the step are equally near
    assert made("edges", np.full((30, 40, 1), 90, np.uint8)).min() == 255  # none where nothing is


def test_weak_edges_need_a_strong_one():
    """A bar that fades from left to right, and one that is as faint as its end all along."""
    photo = np.zeros((60, 200, 1), np.float32)
    photo[12:24] = np.linspace(120, 20, 200)[:, None]
    photo[40:52] = 20
    found = made("edges", photo.astype(np.uint8), sigma=1.0)[:, :, 0] == 0
    assert found[8:28, -15].any()
    assert not found[33:59, 20:180].any()


def test_soft_edges_follow_the_gradient():
    photo = smooth_photo()
    gray = blurred((photo / 255 @ np.array(tasks.LUMA))[:, :, None], 1.0)[:, :, 0]
    down, right = (8 * slope for slope in np.gradient(np.pad(gray, 1, mode="edge")))  # Sobel's weights are 8 in all
    strength = np.hypot(down, right)[1:-1, 1:-1]
    drawn = made("soft_edges", photo, sigma=1.0)[:, :, 0]
    assert np.corrcoef(drawn.ravel(), -np.tanh(strength).ravel())[0, 1] > 0.99
    assert made("soft_edges", np.full((9, 9, 3), 77, np.uint8)).min() == 255


def test_a_sketch_draws_what_is_darker_than_around_it():
    photo = np.full((40, 60, 1), 150, np.uint8)
    photo[:, 15:17], photo[:, 40:42] = 60, 240
    drawn = made("sketch", photo)[20, :, 0]
    assert drawn[15:17].max() < 140
    assert drawn[40:42].min() == 255
    assert drawn[28] > 250
    gray = photo / 255.0
    expected = 255 * np.minimum((gray + 0.02) / (blurred(gray, 4.0) + 0.02), 1)
    assert np.abs(expected - made("sketch", photo)).max() < 0.7


@pytest.mark.parametrize("task", TASKS)
def test_deeper_photos_have_deeper_inputs(task):
    """The same ones, but for rounding."""
    photo, settings = smooth_photo(), TrainConfig(task=task).task_settings
    seed, expected = tf.constant([1, 2]), made(task, photo, [1, 2]) / 255
    deep = input_maker(task, images.Format("uint16"), **settings)(tf.constant(photo * np.uint16(257)), seed).numpy()
    floats = input_maker(task, images.Format("float32", (-1.0, 3.0)), **settings)(photo / np.float32(255 / 4) - 1, seed)
    assert deep.dtype == np.uint16 and floats.dtype == tf.float32
    for other in (deep / 65535, (floats.numpy() + 1) / 4):
        assert (np.abs(other - expected) > 0.51 / 255).mean() < 1e-3  # an edge may be lost in rounding
    if task != "edges":
        assert len(np.unique(deep)) > len(np.unique(expected))


def test_gray_is_told_from_colour():
    gray = random_picture(0, 10, 10, 1)
    assert is_gray(gray) and is_gray(np.repeat(gray, 3, axis=2)) and is_gray(images.with_channels(gray, 4))
    one_red = np.repeat(gray, 3, axis=2)
    one_red[3, 3] = 200, 10, 10
    assert not is_gray(one_red)
    for scale, dtype in ((257, np.uint16), (0.1, np.float32)):
        deep_gray, deep_red = (picture.astype(dtype) * dtype(scale) for picture in (gray.repeat(3, axis=2), one_red))
        assert is_gray(deep_gray) and not is_gray(deep_red)
