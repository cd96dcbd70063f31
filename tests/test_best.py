"""Which evaluation is the best, and the plain words about it."""

import math

import pytest

from tf_pix2pix.best import (
    best_evaluation,
    best_trivial,
    compare,
    format_metrics,
    rank,
    saved_trivial,
    stops_early,
    verdict,
)

TRIVIAL = {
    "median color": {"l1": 0.30, "psnr": 14.0, "ssim": 0.3},
    "median color of each label": {"l1": 0.20, "psnr": 17.0, "ssim": 0.5},
}
TRY = "; try more --steps, check the pairs with pix2pix check-data, and see docs/troubleshooting.md"

BETTER_THAN_CONSTANT = (
    "better than a constant color, but no better than median color of each label: L1 0.25, "
    "median color of each label 0.2"
)


def evaluation(step, l1, **others):
    others = {"psnr": 15.0, "ssim": 0.4, "contrast": 0.8} | others
    return {"step": step, "val_l1": l1, "train_l1": 0.1} | {f"val_{name}": value for name, value in others.items()}


def records(*values):
    """Evaluations with these L1, each after a record of losses."""
    return [
        record for step, l1 in enumerate(values) for record in ({"step": step, "gen_l1_loss": 1}, evaluation(step, l1))
    ]


def test_the_best_has_the_least_or_the_greatest_value_and_comes_first_of_equals():
    assert best_evaluation(records(0.5, 0.3, 0.4, 0.3), "l1")["step"] == 1
    rising = [evaluation(step, 0.3, ssim=ssim) for step, ssim in enumerate((0.5, 0.7, 0.6))]
    assert best_evaluation(rising, "ssim")["step"] == 1
    assert best_evaluation([{"step": 2, "gen_l1_loss": 0.1}], "l1") is None
    assert best_evaluation(records(math.nan, 0.9), "l1")["step"] == 1


def test_a_featureless_generator_ranks_behind_every_other():
    blank, worse, blanker = evaluation(1, 0.2, contrast=0.01), evaluation(2, 0.5), evaluation(3, 0.1, contrast=0.0)
    assert best_evaluation([blank, worse, blanker], "l1") is worse
    assert best_evaluation([blank, blanker], "l1") is blanker
    older = {"step": 4, "val_l1": 0.4}  # a record of a version that did not measure contrast
    assert rank(older, "l1") < rank(worse, "l1") < rank(blank, "l1")


@pytest.mark.parametrize(
    ("values", "since"), [((), 0), ((0.5,), 0), ((0.5, 0.4), 0), ((0.4, 0.5, 0.6), 2), ((0.4, 0.4), 1)]
)
def test_evaluations_since_the_best_decide_about_an_early_stop(values, since):
    stops = [stops_early(records(*values), "l1", early_stop) for early_stop in (0, 1, 2, 3)]
    assert stops == [False, since >= 1, since >= 2, since >= 3]


def test_trivial_answers_come_from_the_records():
    assert saved_trivial([{"step": 0, "trivial": TRIVIAL}, {"step": 1}]) == TRIVIAL
    assert saved_trivial([{"step": 0, "trivial": {}}, {"step": 4, "trivial": TRIVIAL}]) == TRIVIAL  # the latest
    assert saved_trivial([{"step": 0}]) == {}
    assert best_trivial(TRIVIAL, "l1") == ("median color of each label", 0.2)
    assert best_trivial(TRIVIAL, "psnr") == ("median color of each label", 17.0)
    assert best_trivial(TRIVIAL, "mean_iou") is None


def test_an_evaluation_is_compared_with_the_best_trivial_answer():
    answer = "than median color of each label (L1 0.2)"
    assert compare(evaluation(3, 0.15), TRIVIAL, "l1") == f"better {answer}"
    assert compare(evaluation(6, 0.25), TRIVIAL, "l1") == f"no better {answer}"
    assert compare(evaluation(1, 0.199), TRIVIAL, "l1") == f"no better {answer}"  # less than 1 % better
    assert compare(evaluation(1, math.nan), TRIVIAL, "l1") == f"no better {answer}"
    assert compare(evaluation(1, 0.1), {}, "l1") == ""


def test_metrics_have_names_and_units():
    assert format_metrics({"l1": 0.30941, "psnr": 14.212}) == "L1 0.3094, PSNR 14.21 dB"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (dict(l1=0.15), "better than every trivial answer: L1 0.15, median color of each label 0.2"),
        (dict(l1=0.31), f"no better than a constant color: L1 0.31, median color 0.3{TRY}"),
        (dict(l1=0.25, ssim=0.6), f"{BETTER_THAN_CONSTANT}; but better by SSIM"),
        (dict(l1=0.25), f"{BETTER_THAN_CONSTANT}{TRY}"),
        (dict(l1=0.1, contrast=0.0), f"nothing but featureless images: L1 0.1, median color 0.3{TRY}"),
    ],
)
def test_a_run_ends_with_a_verdict(fields, line):
    assert verdict(evaluation(1, **fields), TRIVIAL, "l1") == line


def test_restorations_and_classes_have_other_trivial_answers():
    line = verdict(evaluation(1, 0.4), {"bicubic": {"l1": 0.3}}, "l1")
    assert line == f"no better than bicubic: L1 0.4, bicubic 0.3{TRY}"
    classes = {"most frequent class": {"l1": 0.5, "mean_iou": 0.25}}
    line = verdict(evaluation(1, 0.1, mean_iou=0.2), classes, "mean_iou")
    assert line == f"no better than a constant class: mean IoU 0.2, most frequent class 0.25{TRY}"
