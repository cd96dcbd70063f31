"""The command evaluate: its table, its flags, and errors in one line."""

import functools
import shutil

import pytest
from helpers import make_run, random_image, write_image

from tf_pix2pix.cli.evaluate import comparison_table, main, table
from tf_pix2pix.evaluation import options as evaluation_options
from tf_pix2pix.trivial_answers import trivial_answers


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluated")
    for split, seeds in {"train": range(3), "val": range(3, 5), "test": range(5, 8)}.items():
        for name in ("a", "b"):
            for seed in seeds:
                write_image(root / "set" / split / name / f"{seed}.png", random_image(seed, 40, 48))
    own = dict(dataset=str(root / "set"), direction="AtoB", resize_b="bicubic", depth=3)
    return make_run(root / "run", **own).directory


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command in this process; returns the exit code, stdout and stderr."""
    monkeypatch.setattr(evaluation_options, "trivial_answers", functools.partial(trivial_answers, max_pairs=2))

    def run(*words):
        code = main(["evaluate", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_a_run_gets_a_table_and_the_path_of_the_report(run, run_dir):
    code, out, err = run(run_dir, "--max_images=2")
    assert code == 0 and "error" not in err
    lines = out.splitlines()
    title = f"{run_dir}, best checkpoint, step 1: 2 images of the test split of {run_dir.parent}/set, 32x32 pixels"
    assert f"evaluating {title}" in lines
    lines = lines[lines.index(title) :]
    assert lines[1].startswith("No better than nothing: L1 ") and "of the best trivial answer (" in lines[1]
    assert " ".join(lines[3].split()) == "metric value 95 % interval unit better targets best trivial answer verdict"
    labels = [line[:20].strip() for line in lines[4:]]
    assert labels[:3] == ["L1", "MSE", "PSNR"] and "grid energy" in labels
    assert [line for line in lines if line.startswith("left out: fid_keras, kid_keras: ")]
    assert [line for line in lines if line.startswith("warning: no better than a trivial answer: L1 ")]
    assert lines[-1] == "report: " + str(run_dir / "evaluation" / "test" / "report.html")


def test_two_runs_get_one_table(run, run_dir, tmp_path):
    other = shutil.copytree(run_dir, tmp_path / "other")
    code, out, _ = run(run_dir, other, "--max_images=2", f"--output_dir={tmp_path}/out")
    assert code == 0
    assert "2 images of the test split of " in out and "difference from run" in out
    assert out.count("no clear difference") == 6
    assert out.splitlines()[-1] == f"report: {tmp_path}/out/comparison.html"
    for name in ("run", "other"):
        assert (tmp_path / "out" / name / "report.html").exists()


def test_two_folders_need_no_run(run, tmp_path):
    for name in ("g", "t"):
        write_image(tmp_path / name / "x.png", random_image(len(name), 8, 8))
    code, out, _ = run(f"--generated={tmp_path}/g", f"--targets={tmp_path}/t", f"--output_dir={tmp_path}/out")
    assert code == 0
    assert f"\n{tmp_path}/g: 1 image of {tmp_path}/t\n" in out
    assert out.splitlines()[-1] == f"report: {tmp_path}/out/report.html"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no run given: name a run directory after the flags; --help shows examples"),
        (["absent"], "absent: not found; name a run directory"),
        (["--generated=a"], "--generated requires --targets"),
        (["--generated=a", "--targets=b"],
         "--output_dir is missing; with --generated, name the folder for the results"),
        (["--generated=a", "--targets=b", "--output_dir=c", "--split=val"],
         "--generated=a: excludes --split; two folders need no model or data set"),
        (["--model=a", "--checkpoint=3"],
         "--checkpoint: of a run, but --model is evaluated instead; leave one of them out"),
        (["--split=valid"], "--split=valid: must be one of test, val, train"),
        (["--max_images=0"], "--max_images=0: must be at least 1"),
        (["a", "b", "--model=c"], "--model=c: excludes a comparison; name one run"),
    ],
)  # fmt: skip
def test_wrong_flags_are_one_line(run, words, message):
    assert run(*words) == (2, "", f"error: {message}\n")


def test_unusable_files_are_one_line_and_write_nothing(run, run_dir, tmp_path):
    (tmp_path / "weights").write_bytes(b"damaged")
    (tmp_path / "palette.txt").write_text("no palette")
    for flag in (f"--inception_weights={tmp_path}/weights", f"--lpips_weights={tmp_path}/weights",
                 f"--palette={tmp_path}/palette.txt", "--label_consistency", "--checkpoint=7"):  # fmt: skip
        code, _, err = run(run_dir, flag, f"--output_dir={tmp_path}/out")
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, len(errors)) == (2, 1), (flag, err)
        assert not (tmp_path / "out").exists()


FACTS = {
    "source": {
        "run": "runs/a", "checkpoint": "best", "step": 9, "model": None, "split": "test", "dataset": "set",
        "size": [8, 16], "note": "a note",
    },
    "images": 1,
    "metrics": {
        "l1": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 4},
        "psnr": {"value": 20.0, "n": 1},
        "grid_energy": {"value": 3.14159, "targets": -0.5},
    },
    "trivial": {
        "median color": {"l1": {"value": 0.4}, "psnr": {"value": 20.0}},
        "input image": {"l1": {"value": 0.2}, "psnr": {"value": None}},
    },
    "label_consistency": {
        "generated": {"mean_iou": {"value": 0.25, "low": 0.2, "high": 0.3}},
        "targets": {"mean_iou": {"value": 0.5}},
    },
    "left_out": ["fid: why"],
    "warnings": ["line"],
}  # fmt: skip


def test_the_table_begins_with_the_verdict_and_marks_better_and_worse():
    assert table(FACTS).splitlines() == [
        "runs/a, best checkpoint, step 9: 1 image of the test split of set, 8x16 pixels",
        "No better than nothing: L1 0.25, of the best trivial answer (input image) 0.2",
        "",
        "metric       value  95 % interval  unit  better  targets  best trivial answer  verdict",
        "L1           0.25   0.2 to 0.3           lower            0.2 (input image)    worse",
        "PSNR         20                    dB    higher           20 (median color)    worse",
        "grid energy  3.142                 dB    lower   -0.5",
        "",
        "label consistency  mean IoU  95 % interval",
        "generated photos   0.25      0.2 to 0.3",
        "real photos        0.5",
        "",
        "note: a note",
        "left out: fid: why",
        "warning: line",
    ]


def test_the_comparison_table_has_differences_from_the_first_run():
    facts = {
        "runs": [FACTS["source"], FACTS["source"] | {"run": "runs/b"}],
        "images": 4,
        "metrics": {"l1": [{"value": 0.25}, {"value": 0.2}], "fid": [None, {"value": 30.0}]},
        "differences": {"l1": [{"value": -0.05, "low": -0.06, "high": -0.04, "n": 4}]},
        "label_consistency": {"runs": [{"mean_iou": {"value": x}} for x in (0.1, 0.2)],
                              "targets": {"mean_iou": {"value": 0.3, "low": 0.2, "high": 0.4}}},
        "warnings": ["runs/b: line"],
    }  # fmt: skip
    assert comparison_table(facts).splitlines() == [
        "4 images of the test split of set",
        "",
        "metric  better  run  value  difference from a  95 % interval   verdict",
        "L1      lower   a    0.25",
        "                b    0.2    -0.05              -0.06 to -0.04  better",
        "FID     lower   a",
        "                b    30",
        "",
        "label consistency  mean IoU  95 % interval",
        "real photos        0.3       0.2 to 0.4",
        "a                  0.1",
        "b                  0.2",
        "",
        "warning: runs/b: line",
    ]
