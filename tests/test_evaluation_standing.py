"""Standing: the best trivial answer, and whether the interval of the difference from it allows a worse model."""

import pytest

from tf_pix2pix.evaluation.standing import compare, verdict

TRIVIAL = {
    "black": {"l1": {"value": 0.6}, "psnr": {"value": 7.0}, "ssim": {"value": None}},
    "median": {"l1": {"value": 0.3}, "psnr": {"value": 14.0}},
}


@pytest.mark.parametrize(
    ("name", "found", "best", "standing"),
    [
        ("l1", {"value": 0.2, "low": 0.1, "high": 0.29}, "median", "better"),
        ("l1", {"value": 0.2, "low": 0.1, "high": 0.31}, "median", "unclear"),
        ("l1", {"value": 0.2}, "median", "better"),
        ("l1", {"value": 0.3}, "median", "worse"),
        ("psnr", {"value": 15.0, "low": 14.5, "high": 15.5}, "median", "better"),
        ("psnr", {"value": 15.0, "low": 13.5, "high": 16.5}, "median", "unclear"),
        ("psnr", {"value": None}, None, None),
        ("ssim", {"value": 0.5}, None, None),
        ("mse", {"value": 0.5}, None, None),
        ("unlisted", {"value": 0.5}, None, None),
    ],
)
def test_a_metric_stands_beside_the_best_answer(name, found, best, standing):
    compared = compare(name, found, TRIVIAL)
    assert (compared["best_answer"], compared["standing"]) == (best, standing)


@pytest.mark.parametrize(("low", "standing"), [(0.01, "better"), (-0.01, "unclear")])
def test_the_interval_of_the_paired_difference_decides(low, standing):
    behind = {"median": {"l1": {"value": 0.3, "behind": {"value": 0.05, "low": low, "high": 0.1, "n": 9}}}}
    assert compare("l1", {"value": 0.25, "low": 0.1, "high": 0.4}, behind)["standing"] == standing


def test_one_metric_stands_for_all():
    metrics = {"psnr": {"value": 15.0}, "l1": {"value": 0.4}}
    found = verdict({"metrics": metrics, "trivial": TRIVIAL})
    assert (found["metric"].label, found["heading"], found["value"]) == ("L1", "No better than nothing", 0.4)
    classes = {"mean_iou": {"value": 0.5}, "pixel_accuracy": {"value": 0.9}, "l1": {"value": 0.4}}
    answer = {"most frequent class": {name: {"value": 0.6} for name in classes}}
    assert verdict({"metrics": classes, "trivial": answer})["metric"].label == "pixel accuracy"
    assert verdict({"metrics": {"ssim": {"value": 0.5}}, "trivial": TRIVIAL}) is None
