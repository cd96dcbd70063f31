"""Measures: what stands in metrics.json beside the means."""

import numpy as np
import pytest
from helpers import random_image
from scipy import stats

from tf_pix2pix.evaluation import measuring
from tf_pix2pix.evaluation.measuring import Measures, Part
from tf_pix2pix.sides import Side

SIDE = Side(3)


def measured(answers, image_count=0, count=5):
    """Measures of `count` random images, one by one."""
    measures = Measures(SIDE, None, SIDE, answers, image_count=image_count)
    for seed in range(count):
        inputs, generated, target = (random_image(seed + 50 * number, 16, 16)[np.newaxis] for number in range(3))
        part = Part(inputs, generated, target)
        measures.add(measures.measure(part))
        measures.accumulate(part)
    return measures


def test_an_answer_is_behind_image_by_image():
    measures = measured({"gray": lambda inputs: np.zeros_like(inputs), "input": lambda inputs: inputs})
    trivial = measures.trivial()
    own = np.array(measures.values["l1"])
    targets = [SIDE.to_float(random_image(seed + 100, 16, 16)).numpy() for seed in range(5)]
    ahead = np.array([np.abs(target).mean() for target in targets]) - own
    behind = trivial["gray"]["l1"]["behind"]
    assert behind["value"] == pytest.approx(ahead.mean(), rel=1e-4) and ahead.mean() < 0  # gray is better than noise
    low, high = stats.t.interval(0.95, 4, ahead.mean(), stats.sem(ahead))
    assert (behind["low"], behind["high"]) == pytest.approx((low, high), rel=1e-3)
    psnr = trivial["gray"]["psnr"]
    assert psnr["behind"]["value"] == pytest.approx(measures.metrics()["psnr"]["value"] - psnr["value"], rel=1e-4)
    assert "behind" not in measured({"gray": np.zeros_like}, count=1).trivial()["gray"]["l1"]


def test_many_images_leave_out_slow_metrics_of_answers():
    few, many = (measured({"input": lambda x: x}, count).trivial()["input"] for count in (200, 201))
    assert few.keys() - many.keys() == {"ssim"} and measuring.THOROUGH == 200
    assert few["l1"] == many["l1"]


def test_metrics_without_a_value_are_left_out_with_the_reason():
    measures = measured({})
    assert "alternation" not in measures.metrics() and "grid_energy" not in measures.metrics()
    lines = measures.left_out(measures.metrics())
    assert [line.split(":")[0] for line in lines] == ["grid_energy", "alternation"]
    assert measures.labels() is None and measures.label_consistency() is None
