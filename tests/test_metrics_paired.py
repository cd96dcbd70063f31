import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.metrics.paired import PAIRED_METRICS, gradient_correlation, l1, paired_metrics, psnr, ssim


def smooth_images(seed=0, n=2, side=24):
    coarse = np.random.default_rng(seed).uniform(-1, 1, (n, side // 4, side // 4, 3)).astype(np.float32)
    return tf.image.resize(coarse, [side, side])


def test_l1_and_psnr_of_a_known_difference():
    target = tf.zeros([2, 24, 24, 3])
    output = target + tf.constant([0.2, 0.02])[:, None, None, None]
    np.testing.assert_allclose(l1(output, target), [0.2, 0.02], rtol=1e-5)
    np.testing.assert_allclose(psnr(output, target), [20.0, 40.0], atol=1e-3)  # 20 log10(2 / difference)


def test_ssim_is_1_for_equal_images_and_lower_for_others():
    np.testing.assert_allclose(ssim(smooth_images(), smooth_images()), [1, 1], atol=1e-6)
    assert (ssim(smooth_images(), smooth_images(1)) < 0.5).all()
    dark, bright = (tf.fill([1, 24, 24, 3], value / 127.5 - 1) for value in (120.0, 135.0))
    means, c1 = (120 / 255, 135 / 255), 0.01**2  # flat images leave only the luminance term
    expected = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    np.testing.assert_allclose(ssim(dark, bright), [expected], atol=1e-4)
    assert ssim(smooth_images(side=8), smooth_images(side=8)).shape == (2,)  # smaller than the window


def test_gradient_correlation_sees_edges_and_not_colors():
    target = smooth_images()
    np.testing.assert_allclose(gradient_correlation(0.3 * target - 0.1, target), [1, 1], atol=1e-5)
    assert (np.abs(gradient_correlation(smooth_images(1), target)) < 0.5).all()
    np.testing.assert_allclose(gradient_correlation(-target, target), [-1, -1], atol=1e-5)
    np.testing.assert_array_equal(gradient_correlation(tf.zeros_like(target), target), [0, 0])


def test_metrics_are_averaged_over_examples_not_batches():
    targets = smooth_images(n=3)
    batches = [(targets[:2], targets[:2]), (targets[2:], targets[2:] + 0.3)]
    values = paired_metrics(lambda x: x, batches)
    assert values.keys() == PAIRED_METRICS.keys()
    assert values["l1"] == pytest.approx(0.1, rel=1e-4)


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
