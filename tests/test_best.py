"""Which evaluation is the best, and the plain words about it."""

import math

import pytest
from tf_pix2pix.training.best import (
    best_evaluation,
    best_trivial,
    describe,
    evaluations_since_best,
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
    "better than a constant color, but no better than median color of each label: l1 0.25 at best, median color of "
    "each label 0.2"
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
    found = records(*values)
    assert evaluations_since_best(found, "l1") == since
    assert [stops_early(found, "l1", early_stop) for early_stop in (0, 1, 2, 3)] == [
        False, since >= 1, since >= 2, since >= 3
    ]  # fmt: skip


def test_trivial_answers_come_from_the_records():
    assert saved_trivial([{"step": 0, "trivial": TRIVIAL}, {"step": 1}]) == TRIVIAL
    assert saved_trivial([{"step": 0}]) == {}
    assert [best_trivial(TRIVIAL, metric) for metric in ("l1", "psnr")] == ["median color of each label"] * 2


def test_an_evaluation_is_described_in_one_line():
    best, later, blank = evaluation(3, 0.15), evaluation(6, 0.25), evaluation(1, 0.199, contrast=0.0)
    assert describe(best, best, TRIVIAL, "l1") == (
        "best so far; better than median color of each label, l1 0.2; l1 0.1 on training pairs"
    )
    assert describe(later, best, TRIVIAL, "l1") == (
        "best so far is step 3, l1 0.15; no better than median color of each label, l1 0.2; l1 0.1 on training pairs"
    )
    assert describe(blank, blank, TRIVIAL, "l1") == (  # less than 1 % better
        "best so far; featureless images; no better than median color of each label, l1 0.2; l1 0.1 on training pairs"
    )


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (dict(l1=0.15), "better than every trivial answer: l1 0.15 at best, median color of each label 0.2"),
        (dict(l1=0.31), f"no better than a constant color: l1 0.31 at best, median color 0.3{TRY}"),
        (dict(l1=0.25, ssim=0.6), f"{BETTER_THAN_CONSTANT}; better by ssim"),
        (dict(l1=0.25), f"{BETTER_THAN_CONSTANT}{TRY}"),
        (dict(l1=0.1, contrast=0.0), f"nothing but featureless images: l1 0.1 at best, median color 0.3{TRY}"),
    ],
)
def test_a_run_ends_with_a_verdict(fields, line):
    assert verdict(evaluation(1, **fields), TRIVIAL, "l1") == line


def test_restorations_and_classes_have_other_trivial_answers():
    line = verdict(evaluation(1, 0.4), {"bicubic": {"l1": 0.3}}, "l1")
    assert line == f"no better than bicubic: l1 0.4 at best, bicubic 0.3{TRY}"
    classes = {"most frequent class": {"l1": 0.5, "mean_iou": 0.25}}
    line = verdict(evaluation(1, 0.1, mean_iou=0.2), classes, "mean_iou")
    assert line == f"no better than a constant class: mean_iou 0.2 at best, most frequent class 0.25{TRY}"
