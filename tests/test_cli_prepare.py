import pytest
from helpers import random_image, write_image
from PIL import Image

from tf_pix2pix.cli.prepare import OPERATIONS, main
from tf_pix2pix.datasets import load_pairs


@pytest.fixture
def run(capsys):
    """Runs the command in this process; returns the exit code, stdout and stderr."""

    def run(*words):
        code = main(["prepare", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_help_lists_every_operation_or_one(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(f"pix2pix prepare {operation} " in out for operation in OPERATIONS)
    assert all(flag in out for flag in ("--quality", "--longest_side", "--group", "--shard_mb", "--sides"))
    assert max(map(len, out.splitlines())) <= 100
    out = run("split", "--help")[1]
    assert "--group" in out and "--shard_mb" not in out


def test_operations_can_be_chained(run, side_by_side_folder, tmp_path):
    """Each with its flags; the result of shards is a data set."""
    for operation, *folders, flags in (
        ("cut", side_by_side_folder, "--sides=x,y"),
        ("resize", tmp_path / "cut", "--size=8x6 --resize_a=nearest"),
        ("split", tmp_path / "resize", "--counts=rest,2,1 --group=^([0-9]) --seed=3 --hard_link"),
        ("combine", tmp_path / "split" / "train" / "x", tmp_path / "split" / "train" / "y", "--quality=90"),
        ("combine", tmp_path / "split", "--overwrite"),
        ("shards", tmp_path / "combine", "--shard_mb=1"),
    ):
        code, out, err = run(operation, *folders, *flags.split(), f"--output={tmp_path / operation}")
        assert (code, err) == (0, "")
    assert f"10 pairs in 3 shards in {tmp_path}/shards; train with --dataset={tmp_path}/shards" in out
    splits = load_pairs(str(tmp_path / "shards"))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [7, 2, 1]
    assert splits["train"].read(0)[0].shape == (8, 6, 3)
    code, _, err = run("resize", tmp_path / "cut" / "x", "--size=8x6", "--photos", f"--output={tmp_path}/photos")
    with Image.open(tmp_path / "photos" / "0.png") as photo:
        assert (code, err, photo.size) == (0, "", (6, 8))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the operation is missing; choose one of combine, cut, resize, split, shards"),
        (["spilt"], "unknown operation spilt; did you mean split? choose one of combine, "),
        (["cut", "IN"], "--output is missing"),
        (["cut", "IN", "IN", "--output=OUT"], "cut requires one folder, not 2"),
        (["combine", "a", "b", "c", "--output=OUT"], "combine requires one folder or two, not 3"),
        (["cut", "IN", "--output=OUT", "--quality=101"], "--quality=101: must be at most 100"),
        (["cut", "IN", "--output=OUT", "--sides=a,../b"], "--sides=a,../b: must be two folder names"),
        (["cut", "nowhere", "--output=OUT"], "nowhere"),
        (["resize", "IN", "--output=OUT"], "resize requires --size or --longest_side, one of them"),
        (["resize", "IN", "--output=OUT", "--size=4", "--photos", "--resize_b=nearest"], "--resize_b does not work"),
        (["split", "IN", "--output=OUT", "--fractions=1", "--seed=2"], "--fractions=1: must be two or three numbers"),
        (["split", "IN", "--output=OUT", "--fractions=.5,.5", "--counts=5,5"], "--fractions and --counts both set"),
        (["shards", "IN", "--output=OUT", "--photos", "--input_dir=a", "--target_dir=b"], "--photos does not work"),
        (["shards", "IN", "--output=IN/shards"], "choose another"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, side_by_side_folder, tmp_path, words, message):
    before = sorted(tmp_path.rglob("*"))
    words = [word.replace("IN", str(side_by_side_folder)).replace("OUT", f"{tmp_path}/out") for word in words]
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_unusable_images_are_one_line(run, side_by_side_folder, tmp_path):
    (side_by_side_folder / "3.png").write_bytes(b"nonsense")
    write_image(side_by_side_folder / "4.png", random_image(0, 5, 5))
    write_image(side_by_side_folder / "10.png", random_image(0, 4, 8, 4)).rename(side_by_side_folder / "10.jpg")
    code, _, err = run("cut", side_by_side_folder, "--quality=80", f"--output={tmp_path}/out")
    assert (code, len(err.splitlines())) == (2, 1)
    assert all(f"{side_by_side_folder}/{name}.png: " in err for name in (3, 4)) and "5 pixels wide" in err
    assert "A/10.jpg" in err and "transparen" in err
