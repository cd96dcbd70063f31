import shutil

import pytest
from PIL import Image

from tf_pix2pix.cli.plot import main
from tf_pix2pix.run import Run


@pytest.fixture
def run(tiny_run, tmp_path, monkeypatch, capsys):
    """Runs the command beside two runs, "one" and "two"."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(tiny_run, name, ignore=shutil.ignore_patterns("checkpoints", "curves.png"))

    def run(*words):
        code = main(["plot", *words])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (("one",), "one/curves.png"),
        (("one", "two"), "comparison.png"),
        (("one", "--output=new/folder/a.png"), "new/folder/a.png"),
    ],
)
def test_the_curves_are_written_where_the_command_says(run, tmp_path, words, written):
    assert run(*words) == (0, f"written: {written}\n", "")
    with Image.open(tmp_path / written) as image:
        assert (image.format, image.width) == ("PNG", 1200)
    assert not list(tmp_path.glob("**/*.partial"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "plot requires a run, "),
        (("nowhere",), "nowhere: not a run directory, config.json is missing; pass a run's --output_dir"),
        (("one", "two", "."), ".: not a run directory, config.json is missing; it contains the runs one, two"),
        (("one", "--output=a.pdf"), "--output=a.pdf: must end in .png"),
        (("one", "--output=one/config.json/a.png"), "--output=one/config.json: cannot be written"),
        (("one", "--smooth=3"), "unknown flag --smooth"),
    ],
)
def test_wrong_usage_is_one_line(run, tmp_path, words, message):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and len(err.splitlines()) == 1
    assert not (tmp_path / "comparison.png").exists()


def test_a_run_without_records_is_refused(run, tmp_path):
    (tmp_path / "two" / "metrics.jsonl").unlink()
    code, _, err = run("one", "two")
    assert code == 2
    assert err == "error: two/metrics.jsonl: no records yet; train for 2 steps (--log_every) first\n"
    Run.open("two").append_record({"step": 0, "train_pairs": 4})
    assert run("two")[0] == 2
