"""Comparison: paired differences, verdicts, the page, and runs that do not compare."""

import dataclasses
import functools
import json
import re
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import make_run, random_image, write_image

from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation import comparison
from tf_pix2pix.evaluation import options as evaluation_options
from tf_pix2pix.evaluation.comparison import compare, verdict
from tf_pix2pix.trivial_answers import trivial_answers


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of different seeds, and the folder of their parents: both are named `run`."""
    root = tmp_path_factory.mktemp("compared")
    for split, seeds in {"train": range(3), "val": range(3, 5), "test": range(5, 9)}.items():
        for name in ("a", "b"):
            for seed in seeds:
                write_image(root / "set" / split / name / f"{seed}.png", random_image(seed + 50, 40, 48))
    own = dict(dataset=str(root / "set"), direction="AtoB", resize_b="bicubic", depth=3)
    return root, [make_run(root / f"seed {seed}" / "run", seed=seed, **own).directory for seed in (1, 2)]


@pytest.fixture(scope="module")
def compared(runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_options, "trivial_answers", functools.partial(trivial_answers, max_pairs=2))
        return compare(runs[1])


def test_differences_are_paired(compared):
    first, second = ([row["l1"] for row in one.rows] for one in compared.evaluations)
    (found,) = compared.facts["differences"]["l1"]
    differences = np.subtract(second, first)
    assert found["value"] == pytest.approx(differences.mean())
    half = 3.182446 * differences.std(ddof=1) / 2  # Student's t with 3 degrees of freedom, 4 images
    assert (found["low"], found["high"]) == pytest.approx((differences.mean() - half, differences.mean() + half))
    assert [one["value"] for one in compared.facts["metrics"]["l1"]] == pytest.approx([np.mean(first), np.mean(second)])
    assert json.loads((compared.directory / "comparison.json").read_text()) == compared.facts


def test_files_lie_in_the_folders_of_the_runs(compared, runs):
    assert compared.directory == runs[1][0] / "evaluation" / "test-comparison"
    assert all((run / "evaluation" / "test" / "report.html").exists() for run in runs[1])
    page = compared.report.read_text()
    links = re.findall('src="([^"]*)"', page)
    assert len(links) == 4 * 4 and not re.search("https?://", page)
    assert all((compared.directory / unquote(link)).exists() for link in links)
    assert comparison.labels([one["run"] for one in compared.facts["runs"]]) == ["seed 1/run", "seed 2/run"]
    assert "seed 1/run" in page and "seed%202" in page


def test_each_data_set_is_loaded_once(runs, tmp_path, monkeypatch, capsys):
    loaded = []
    original = comparison.load_pairs
    monkeypatch.setattr(
        comparison, "load_pairs", lambda *args, **kwargs: loaded.append(args) or original(*args, **kwargs)
    )
    monkeypatch.setattr(evaluation_options, "trivial_answers", lambda *args, **kwargs: {})
    found = compare(runs[1], output_dir=tmp_path / "out", max_images=1)
    assert len(loaded) == 1
    assert [one.directory.name for one in found.evaluations] == ["seed 1-run", "seed 2-run"]
    assert all(one.directory.parent == tmp_path / "out" for one in found.evaluations)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("evaluating ")]
    assert len(printed) == 2 and all(str(run) in line for run, line in zip(runs[1], printed, strict=True))


def test_label_consistencies_stand_beside_each_other(compared):
    def with_consistency(network):
        return {
            "label_consistency": {"generated": {"mean_iou": network}, "targets": {"mean_iou": 9}, "network": network}
        }

    def gathered(*networks):
        changed = [
            dataclasses.replace(one, facts=one.facts | with_consistency(network))
            for one, network in zip(compared.evaluations, networks, strict=True)
        ]
        return comparison._gather(changed)

    facts = gathered("n", "n")
    assert facts["label_consistency"] == {"runs": [{"mean_iou": "n"}] * 2, "targets": {"mean_iou": 9}}
    assert not [line for line in facts["warnings"] if "label consistency" in line]
    assert [line for line in gathered("n", "m")["warnings"] if line.startswith("label consistency does not compare: ")]


def test_a_verdict_needs_an_interval_without_zero():
    assert verdict("l1", {"value": 0.1, "low": -0.1, "high": 0.3}) == "no clear difference"
    assert verdict("l1", {"value": 0.1, "n": 1}) == "no clear difference"
    assert verdict("l1", {"value": 0.1, "low": 0.05, "high": 0.15}) == "worse"
    assert verdict("psnr", {"value": 0.1, "low": 0.05, "high": 0.15}) == "better"
    assert verdict("psnr", {"value": -0.1, "low": -0.15, "high": -0.05}) == "worse"
    assert verdict("alternation", {"value": -9.0, "low": -10.0, "high": -8.0}) == "different"  # its ideal: the targets'


def test_runs_on_other_images_are_refused(runs, tmp_path):
    root, (first, _) = runs
    own = dict(dataset=str(root / "set"), direction="AtoB", resize_b="bicubic", depth=3)
    cases = {
        r"the image sizes differ \(32x32 and 64x64\)": own | dict(crop_size=(64, 64)),
        "the targets differ": own | dict(fit="none"),
        "the names of images differ": own | dict(dataset=str(root / "other")),
    }
    for split, seeds in {"train": range(3), "test": range(4)}.items():
        for name in ("a", "b"):
            for seed in seeds:
                write_image(root / "other" / split / name / f"{seed}.png", random_image(seed, 40, 48))
    for number, (message, fields) in enumerate(cases.items()):
        run = make_run(tmp_path / f"{number}", **fields)
        with pytest.raises(InputError, match=f"run and .*{number}: {message}.*compare runs on the same images"):
            compare([first, run.directory], output_dir=tmp_path / "out")
    with pytest.raises(InputError, match="named twice"):
        compare([first, first])
    assert not (tmp_path / "out").exists()
