import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tf_pix2pix.metrics.grid import alternation
from tf_pix2pix.metrics.paired import (
    PAIRED_METRICS,
    gradient_correlation,
    l1,
    measure_pairs,
    ms_ssim,
    ms_ssim_scales,
    mse,
    paired_metrics,
    psnr,
    ssim,
)


def smooth_images(seed=0, n=2, side=24):
    coarse = np.random.default_rng(seed).uniform(-1, 1, (n, side // 4, side // 4, 3)).astype(np.float32)
    return tf.image.resize(coarse, [side, side])


def degraded_pair(height, width, channels, seed=0):
    """Two different float32 [2, h, w, c] in [-1, 1]: textured targets, and the same with noise and less contrast."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.7, 0.7, (2, height // 8 + 1, width // 8 + 1, channels)).astype(np.float32)
    target = tf.image.resize(coarse, [height, width], "bicubic").numpy() + 0.1 * rng.normal(size=(height, width, 1))
    noise = 0.2 * rng.normal(size=target.shape) * np.linspace(0, 1, width)[:, np.newaxis]
    return np.clip(0.8 * target + noise, -1, 1).astype(np.float32), np.clip(target, -1, 1).astype(np.float32)


def test_l1_and_psnr_of_a_known_difference():
    target = tf.zeros([2, 24, 24, 3])
    output = target + tf.constant([0.2, 0.02])[:, None, None, None]
    np.testing.assert_allclose(l1(output, target), [0.2, 0.02], rtol=1e-5)
    np.testing.assert_allclose(mse(output, target), [0.04, 0.0004], rtol=1e-5)
    np.testing.assert_allclose(psnr(output, target), [20.0, 40.0], atol=1e-3)  # 20 log10(2 / difference)
    np.testing.assert_array_equal(psnr(target, target), [np.inf, np.inf])


def test_ssim_is_1_for_equal_images_and_lower_for_others():
    np.testing.assert_allclose(ssim(smooth_images(), smooth_images()), [1, 1], atol=1e-6)
    assert (ssim(smooth_images(), smooth_images(1)) < 0.5).all()
    dark, bright = (tf.fill([1, 24, 24, 3], value / 127.5 - 1) for value in (120.0, 135.0))
    means, c1 = (120 / 255, 135 / 255), 0.01**2  # flat images leave only the luminance term
    expected = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    np.testing.assert_allclose(ssim(dark, bright), [expected], atol=1e-4)
    assert ssim(smooth_images(side=8), smooth_images(side=8)).shape == (2,)  # smaller than the window


@pytest.mark.parametrize(("height", "width", "channels"), [(64, 64, 1), (50, 83, 3), (97, 40, 4), (11, 200, 3)])
def test_ssim_and_psnr_equal_those_of_scikit_image(height, width, channels):
    """Over the pixels whose whole window lies in the image; scikit-image continues it by reflection."""
    output, target = degraded_pair(height, width, channels)
    for index, (a, b) in enumerate(zip(np.float64(output), np.float64(target), strict=True)):
        options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, full=True)
        _, similarity = structural_similarity((a + 1) / 2, (b + 1) / 2, data_range=1.0, **options)
        assert ssim(output, target)[index] == pytest.approx(similarity[5:-5, 5:-5].mean(), abs=2e-6)
        assert psnr(output, target)[index] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=2.0), abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_five_scales_equal_those_of_tensorflow(channels):
    output, target = degraded_pair(192, 176, channels)
    target[:, :80] *= -1.0  # negative terms in some channels at some scales
    output[1] = -target[1]
    expected = tf.image.ssim_multiscale((output + 1) / 2, (target + 1) / 2, max_val=1.0)
    np.testing.assert_allclose(ms_ssim(output, target), expected, atol=5e-5)
    assert ms_ssim(output, target)[1] == 0.0


def test_fewer_scales_are_weighted_to_a_sum_of_1():
    sizes = [(256, 256), (176, 400), (175, 400), (128, 128), (43, 99), (22, 22), (21, 21), (11, 11), (5, 8)]
    assert [ms_ssim_scales(size) for size in sizes] == [5, 5, 4, 4, 2, 2, 1, 1, 1]
    output, target = degraded_pair(44, 44, 3)
    weights = np.array([0.0448, 0.2856, 0.3001]) / (0.0448 + 0.2856 + 0.3001)
    expected = tf.image.ssim_multiscale((output + 1) / 2, (target + 1) / 2, max_val=1.0, power_factors=weights)
    np.testing.assert_allclose(ms_ssim(output, target), expected, atol=5e-5)
    output, target = degraded_pair(20, 14, 3)
    np.testing.assert_allclose(ms_ssim(output, target), ssim(output, target), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gradient_correlation_equals_tensorflows_gradients_in_numpys_correlation(channels):
    output, target = degraded_pair(30, 41, channels)

    def gradients(batch):
        return np.concatenate(tf.image.image_gradients(tf.reduce_mean(batch, axis=3, keepdims=True)), axis=3)

    for index, value in enumerate(gradient_correlation(output, target)):
        pair = gradients(output)[index].ravel(), gradients(target)[index].ravel()
        assert value == pytest.approx(np.corrcoef(*pair)[0, 1], abs=1e-5)


def test_gradient_correlation_sees_edges_and_not_colors():
    target = smooth_images()
    np.testing.assert_allclose(gradient_correlation(0.3 * target - 0.1, target), [1, 1], atol=1e-5)
    assert (np.abs(gradient_correlation(smooth_images(1), target)) < 0.5).all()
    np.testing.assert_allclose(gradient_correlation(-target, target), [-1, -1], atol=1e-5)
    np.testing.assert_array_equal(gradient_correlation(tf.zeros_like(target), target), [0, 0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_all_metrics_of_each_image_at_once(channels):
    pair = degraded_pair(70, 48, channels)
    values = measure_pairs(*pair)
    functions = (l1, mse, psnr, ssim, ms_ssim, gradient_correlation, alternation)
    assert list(values) == [function.__name__ for function in functions]
    for function in functions:
        assert (values[function.__name__].dtype, values[function.__name__].shape) == (np.float32, (2,))
        np.testing.assert_array_equal(values[function.__name__], function(*pair), err_msg=function.__name__)
    assert PAIRED_METRICS.keys() < values.keys()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 20)])
def test_metrics_of_tiny_images(size):
    pair = degraded_pair(*size, 3)
    values = measure_pairs(*pair)
    assert all(np.isfinite(values[name]).all() for name in values.keys() - {"alternation"})
    assert np.isnan(values["alternation"]).all()  # smaller than a block


def test_metrics_are_averaged_over_examples_not_batches():
    targets = smooth_images(n=3)
    batches = [(targets[:2], targets[:2]), (targets[2:], targets[2:] + 0.3)]
    values = paired_metrics(lambda x: x, batches)
    assert values.keys() == PAIRED_METRICS.keys()
    assert values["l1"] == pytest.approx(0.1, rel=1e-4)


def test_every_batch_can_be_observed():
    batches = [(smooth_images(seed), smooth_images(seed + 5)) for seed in range(2)]
    observed = []
    paired_metrics(lambda x: x + 0.1, batches, observe=lambda *images: observed.append(images))
    for (input_image, gen_output, target_image), batch in zip(observed, batches, strict=True):
        np.testing.assert_array_equal(input_image, batch[0])
        np.testing.assert_array_equal(gen_output, batch[0] + 0.1)
        np.testing.assert_array_equal(target_image, batch[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_accuracy_and_mean_iou_of_label_maps(channels):
    """Over two batches. The IoU is 0 for a class that only a target or only a generated image has; two classes that
    neither has do not count."""
    colors = np.uint8([[9, 9, 9], [255, 9, 9], [200, 7, 255], [0, 255, 255], [7, 8, 9], [8, 8, 8]])
    palette = colors[:, :channels]

    def label_map(*ids):  # 12x48, of a strip of pixels for each id
        return np.repeat(palette[None, None, list(ids)] / np.float32(127.5) - 1, 12, axis=2).repeat(12, axis=1)

    targets = [label_map(0, 0, 0, 1), label_map(1, 1, 2, 2)]
    outputs = iter([label_map(0, 0, 1, 1), label_map(1, 0, 3, 3)])
    values = paired_metrics(lambda _: next(outputs), [(target, target) for target in targets], palette)
    assert values["pixel_accuracy"] == pytest.approx(4 / 8)
    assert values["mean_iou"] == pytest.approx((2 / 4 + 2 / 4 + 0 + 0) / 4)
