import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.metrics import PAIRED_METRICS, LabelCounts, gradient_correlation, l1, paired_metrics, psnr, ssim


def picture(seed=0, n=2, side=24):
    smooth = np.random.default_rng(seed).uniform(-1, 1, (n, side // 4, side // 4, 3)).astype(np.float32)
    return tf.image.resize(smooth, [side, side])


def test_l1_and_psnr_of_a_known_difference():
    target = tf.zeros([2, 24, 24, 3])
    output = target + tf.constant([0.2, 0.02])[:, None, None, None]
    np.testing.assert_allclose(l1(output, target), [0.2, 0.02], rtol=1e-5)
    np.testing.assert_allclose(psnr(output, target), [20.0, 40.0], atol=1e-3)  # 20 log10(2 / difference)


def test_ssim_is_1_for_the_same_and_lower_for_others():
    np.testing.assert_allclose(ssim(picture(), picture()), [1, 1], atol=1e-6)
    assert (ssim(picture(), picture(1)).numpy() < 0.5).all()
    dark, bright = (tf.fill([1, 24, 24, 3], value / 127.5 - 1) for value in (120.0, 135.0))
    means, c1 = (120 / 255, 135 / 255), 0.01**2  # of flat pictures, only the luminance term is left
    expected = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    np.testing.assert_allclose(ssim(dark, bright), [expected], atol=1e-4)
    assert ssim(picture(side=8), picture(side=8)).shape == (2,)  # smaller than the window


def test_gradient_correlation_feels_edges_and_not_colours():
    target = picture()
    np.testing.assert_allclose(gradient_correlation(0.3 * target - 0.1, target), [1, 1], atol=1e-5)
    assert (np.abs(gradient_correlation(picture(1), target)) < 0.5).all()
    np.testing.assert_allclose(gradient_correlation(-target, target), [-1, -1], atol=1e-5)
    np.testing.assert_array_equal(gradient_correlation(tf.zeros_like(target), target), [0, 0])


def test_metrics_are_averaged_over_examples_not_batches():
    targets = picture(n=3)
    batches = [(targets[:2], targets[:2]), (targets[2:], targets[2:] + 0.3)]
    values = paired_metrics(lambda x: x, batches)
    assert values.keys() == PAIRED_METRICS.keys()
    assert values["l1"] == pytest.approx(0.1, rel=1e-4)


def test_label_maps_have_their_accuracy_and_mean_iou():
    """Three classes, over two batches; of one that is nowhere generated, and one that is in no target, the IoU is 0."""
    colors = np.array([[-1, -1, -1], [1, -1, -1], [1, -1, 1], [-1, 1, 1]], np.float32)
    targets = [np.array([[[0, 0, 0, 1]]]), np.array([[[1, 1, 2, 2]]])]
    generated = [np.array([[[0, 0, 1, 1]]]), np.array([[[1, 0, 3, 3]]])]
    counts = LabelCounts()
    for output, target in zip(generated, targets, strict=True):
        counts.add(colors[output], colors[target])
    found = counts.metrics()
    assert found["pixel_accuracy"] == 4 / 8
    assert found["mean_iou"] == pytest.approx((2 / 4 + 2 / 4 + 0 + 0) / 4)


def test_label_metrics_are_there_where_asked_for():
    batches = [(tf.ones([1, 12, 12, 1]), -tf.ones([1, 12, 12, 3]))]
    translate = lambda image: tf.repeat(-image, 3, axis=3)  # noqa: E731
    assert paired_metrics(translate, batches, has_classes=True)["mean_iou"] == 1
    assert "mean_iou" not in paired_metrics(translate, batches)
