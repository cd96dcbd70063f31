import json

import numpy as np
import pytest
from helpers import write_image

from tf_pix2pix.cli.check_data import main
from tf_pix2pix.datasets.synthetic_facades import facade


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six pairs side by side, in a folder beside which the command runs."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        write_image(tmp_path / "set" / f"{number}.png", np.hstack(facade(0, number, (64, 64))))
    return tmp_path / "set"


@pytest.fixture
def run(capsys):
    def run(*words):
        code = main(["check_data", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_a_fine_data_set(folder, run):
    before = sorted(folder.iterdir())
    code, out, err = run("set/")
    assert code == 0, err
    assert out.splitlines()[-1] == "set/ is fine"
    assert "train        5  A      64x64                  uint8 x 3" in out and "left half" in out
    assert sorted(folder.iterdir()) == before
    assert json.loads((folder.parent / "data_check_set" / "report.json").read_text())["verdict"] == "fine"
    write_image(folder / "5.tga", facade(0, 0, (64, 64))[0])
    code, out, _ = run("set")
    assert code == 0  # in spite of a warning
    assert "\nwarning: 1 file: " in out and "\n    5.tga\n" in out
    assert out.splitlines()[-1] == "set is fine; look at the warnings"


def test_a_harmful_data_set(folder, run):
    (folder / "3.png").write_bytes(b"text")
    for number in range(8):
        write_image(folder / f"copy{number}.png", np.hstack(facade(0, 2, (64, 64))))
    code, out, err = run("set", "--output_dir=out")
    assert code == 1
    assert err.startswith("error: set would harm training: ") and len(err.splitlines()) == 1
    assert "1 pair: unreadable" in err and "train" in err and "val" in err
    assert "\n    3.png (3.png: " in out
    assert json.loads((folder.parent / "out" / "report.json").read_text())["verdict"] == "harmful"


def test_long_lists_are_cut_on_the_terminal_only(folder, run):
    for number in range(9):
        (folder / f"bad{number}.png").write_bytes(b"text")
    _, out, _ = run("set")
    assert out.count("    bad") == 5 and "and 4 more" in out
    report = json.loads((folder.parent / "data_check_set" / "report.json").read_text())
    assert len(report["findings"][0]["files"]) == 9


@pytest.mark.parametrize(
    "words, message",
    [
        (("set", "--task=draw"), "--task=draw: must be one of colorize"),
        (("set", "--mask_dir=m"), "set/m"),
        (("set", "--crop_size=0"), "--crop_size=0x0: must be at least 1"),
        ((), "requires one data set, a folder or a name, not 0"),
        (("nowhere",), "nowhere"),
        (("set", "--output_dir=set/out"), ": inside the data set set; choose another folder"),
        (("set", "--output_dir=set/0.png"), ": inside the data set set; choose another folder"),
        (("set", "--input_dir=a"), "--input_dir requires --target_dir"),
        (("set", "--input_dir=a", "--target_dir=b"), "sub-folder"),
    ],
)
def test_wrong_usage_is_one_line(folder, run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["set"]


def test_help_fits_a_terminal(run):
    code, out, _ = run("--help")
    assert code == 0 and "--output_dir" in out and max(map(len, out.splitlines())) <= 100


def test_photos_for_a_task(folder, run):
    """Photos smaller than the training size are reported; --crop_size sets another size."""
    code, out, err = run("set", "--task=colorize")
    assert code == 0, err
    assert "train        5  photo  128x64                 uint8 x 3" in out
    assert "256x256" in out and "left half" not in out
    assert "warning: photos: most look like side-by-side pairs; leave out --task" in out  # as the files are
    for number in range(6):
        write_image(folder / f"{number}.png", facade(0, number, (64, 128))[0])
    out = run("set", "--task=colorize", "--crop_size=64x128")[1]
    assert out.splitlines()[-1] == "set is fine" and "256x256" not in out
