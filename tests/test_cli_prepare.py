import subprocess
import sys

import pytest
from conftest import REPOSITORY, random_picture, write_picture

from tf_pix2pix.cli.prepare import COMMANDS, main


@pytest.fixture
def run(capsys):
    """Runs the command in this process -> exit code, stdout, stderr."""

    def run(*words):
        code = main(["prepare", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_help_has_every_command_and_that_of_one_only_its_own():
    code = "import sys; from tf_pix2pix.cli.prepare import main; main(sys.argv); print('tensorflow' in sys.modules)"
    said = [
        subprocess.run(
            [sys.executable, "-c", code, *words, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout
        for words in ([], ["split"])
    ]
    assert all(f"python -m tf_pix2pix.cli.prepare {command} " in said[0] for command in COMMANDS)
    assert all(flag in said[0] for flag in ("--quality", "--longest_side", "--group", "--shard_mb", "--sides"))
    assert "--group" in said[1] and "--shard_mb" not in said[1]
    assert [text.splitlines()[-1] for text in said] == ["False", "False"]


def test_every_command_runs_with_its_flags(run, side_by_side_folder, tmp_path):
    """One after the other, and what comes out can be trained on."""
    steps = [
        ("cut", side_by_side_folder, "--sides=x,y"),
        ("resize", tmp_path / "cut", "--size=8x6", "--resize_a=nearest"),
        ("split", tmp_path / "resize", "--counts=rest,2,1", "--group=^([0-9])", "--seed=3", "--hard_link"),
        ("combine", tmp_path / "split"),
        ("shards", tmp_path / "combine", "--shard_mb=1"),
    ]
    for command, folder, *flags in steps:
        code, out, err = run(command, folder, *flags, f"--output={tmp_path / command}")
        assert (code, err) == (0, "")
    assert f"10 pairs in 3 shards in {tmp_path}/shards; train with --dataset={tmp_path}/shards" in out
    from tf_pix2pix.datasets import load_pairs

    splits = load_pairs(str(tmp_path / "shards"))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [7, 2, 1]
    assert splits["train"].read(0)[0].shape == (8, 6, 3)
    code, _, err = run("combine", tmp_path / "cut" / "x", tmp_path / "cut" / "y", f"--output={tmp_path}/again")
    assert (code, err) == (0, "")


def test_sides_that_sort_the_other_way_are_said(run, side_by_side_folder, tmp_path):
    code, out, _ = run("cut", side_by_side_folder, "--sides=photo,label", f"--output={tmp_path}/out")
    assert "train with --input_dir=photo --target_dir=label" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the command is missing; the first word is one of combine, cut, resize, split, shards"),
        (["--output=x"], "--output=x is no command; the first word is one of"),
        (["cut", "IN"], "--output is missing"),
        (["cut", "--output=OUT"], "cut takes one folder, not 0"),
        (["cut", "IN", "IN", "--output=OUT"], "cut takes one folder, not 2"),
        (["combine", "a", "b", "c", "--output=OUT"], "combine takes one folder or two, not 3"),
        (["cut", "IN", "--output=OUT", "--quality=101"], "--quality=101: from 1 to 100"),
        (["cut", "IN", "--output=OUT", "--sides=a"], "--sides=a: two names"),
        (["cut", "IN", "--output=OUT", "--sides=a,../b"], "--sides=a,../b: two names"),
        (["cut", "IN", "--output=OUT", "--fractions=1"], "--help lists the flags"),
        (["cut", "nowhere", "--output=OUT"], "nowhere is no folder"),
        (["resize", "IN", "--output=OUT"], "resize needs --size or --longest_side, one of them"),
        (["resize", "IN", "--output=OUT", "--size=4", "--longest_side=4"], "resize needs --size or --longest_side"),
        (["resize", "IN", "--output=OUT", "--size=0x4"], "--size: the least is 1"),
        (["resize", "IN", "--output=OUT", "--size=4", "--resize_a=best"], "resize_a=best is unknown; choose one of"),
        (["resize", "IN", "--output=OUT", "--size=4", "--single", "--resize_b=nearest"], "--resize_b is of no use"),
        (["split", "IN", "--output=OUT", "--fractions=1", "--seed=2"], "--fractions=1: two or three numbers"),
        (["split", "IN", "--output=OUT", "--fractions=a,b"], "--fractions=a,b: numbers, with commas"),
        (["split", "IN", "--output=OUT", "--fractions=.5,.5", "--counts=5,5"], "--fractions and --counts both say"),
        (["split", "IN", "--output=OUT", "--input_dir=a"], "--input_dir and --target_dir go together"),
        (["shards", "IN", "--output=OUT", "--single", "--input_dir=a", "--target_dir=b"], "of no use with --single"),
        (["shards", "IN", "--output=OUT", "--shard_mb=0"], "--shard_mb=0: from 1"),
        (["shards", "IN", "--output=IN/shards"], "lie in each other; choose another folder"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_written(run, side_by_side_folder, tmp_path, words, message):
    before = sorted(tmp_path.rglob("*"))
    words = [word.replace("IN", str(side_by_side_folder)).replace("OUT", f"{tmp_path}/out") for word in words]
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_picture_is_one_line(run, side_by_side_folder, tmp_path):
    (side_by_side_folder / "3.png").write_bytes(b"nonsense")
    write_picture(side_by_side_folder / "4.png", random_picture(0, 5, 5))
    code, out, err = run("resize", side_by_side_folder, "--size=4", f"--output={tmp_path}/out")
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"2 of 10 could not be done: {side_by_side_folder}/3.png: it is not a PNG" in err
    assert "4.png: it is 5 pixels wide, an odd number" in err and "--single takes it as one picture" in err


def test_transparent_pictures_are_no_jpegs(run, tmp_path):
    write_picture(tmp_path / "in" / "1.png", random_picture(0, 4, 8, 4))
    (tmp_path / "in" / "1.png").rename(tmp_path / "in" / "1.jpg")
    code, _, err = run("cut", tmp_path / "in", "--quality=80", f"--output={tmp_path}/out")
    assert code == 2 and "A/1.jpg is to be of a picture with a palette, transparency or more than 8 bits" in err
