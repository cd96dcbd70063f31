import numpy as np
import pytest

from tf_pix2pix import images
from tf_pix2pix.metrics.labels import ConfusionMatrix, class_ids


def label_maps(seed, count=4, size=(9, 13)):
    """Targets and generated label maps of classes 0 to 5, without 2 in targets, 4 in generated ones, and 3 in both."""
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 4, 5], (count, *size))
    generated = np.where(rng.uniform(size=target.shape) < 0.6, target, rng.choice([0, 1, 2, 5], target.shape))
    return target, np.where(generated == 4, 2, generated)


def test_every_metric_equals_its_definition():
    batches = [label_maps(seed) for seed in range(3)]
    matrix = ConfusionMatrix(6)
    for target, generated in batches:
        matrix.update(target, generated)
    target, generated = (np.concatenate(side).ravel() for side in zip(*batches, strict=True))
    accuracy, iou = [], []
    for own in range(6):
        a, b = target == own, generated == own
        accuracy.append((a & b).sum() / a.sum() if a.any() else np.nan)
        iou.append((a & b).sum() / (a | b).sum() if (a | b).any() else np.nan)
        for other in range(6):
            assert matrix.counts[own, other] == (a & (generated == other)).sum()
    np.testing.assert_allclose(matrix.per_class()["accuracy"], accuracy)
    np.testing.assert_allclose(matrix.per_class()["iou"], iou)
    assert np.isnan(accuracy).tolist() == [False, False, True, True, False, False]
    assert np.isnan(iou).tolist() == [False, False, False, True, False, False]
    assert matrix.results() == {
        "pixel_accuracy": pytest.approx((target == generated).mean()),
        "class_accuracy": pytest.approx(np.nanmean(accuracy)),
        "mean_iou": pytest.approx(np.nanmean(iou)),
    }
    assert matrix.counts.dtype == np.int64


def test_a_matrix_without_pixels():
    matrix = ConfusionMatrix(3)
    assert all(np.isnan(value) for value in matrix.results().values())
    assert all(np.isnan(value).all() for value in matrix.per_class().values())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_class_ids_are_the_rows_of_the_palette(channels):
    palette = np.random.default_rng(1).permutation(256)[: 7 * channels].reshape(7, channels).astype(np.uint8)
    ids = np.random.default_rng(2).integers(0, 7, (2, 5, 6))
    np.testing.assert_array_equal(class_ids(images.to_float(palette[ids]), palette), ids)
