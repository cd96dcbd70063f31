import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_data_source import ArrayRecordDataSource
from helpers import REPOSITORY, random_image, write_image

from tf_pix2pix import preparing
from tf_pix2pix.datasets import load_pairs, shards
from tf_pix2pix.errors import InputError


def assert_same_pairs(folder, other, **options):
    other_splits = load_pairs(str(other), **options)
    for split, pairs in load_pairs(str(folder), **options).items():
        assert len(pairs) == len(other_splits[split])
        for index in range(len(pairs)):
            for side, other_side in zip(pairs.read(index), other_splits[split].read(index), strict=True):
                np.testing.assert_array_equal(side, other_side)


@pytest.fixture
def two_folders(tmp_path):
    """20 pairs of gray PNGs and JPEGs; 2 of them become the validation split."""
    for number in range(20):
        write_image(tmp_path / "two" / "a" / f"{number}.png", random_image(number, 12, 16, 1))
        write_image(tmp_path / "two" / "b" / f"{number}.jpg", random_image(50 + number, 12, 16))
    return tmp_path / "two"


@pytest.fixture
def packed(two_folders, tmp_path):
    """two_folders in several shards."""
    preparing.shards(str(two_folders), str(tmp_path / "shards"), shard_mb=0.004)
    return tmp_path / "shards"


def test_shards_of_two_folders_hold_the_same_pairs(two_folders, packed, capsys):
    assert len(list(packed.glob("train-*.array_record"))) > 3
    assert_same_pairs(two_folders, packed)
    assert "no test split; val is used as test" in capsys.readouterr().out
    assert load_pairs(str(packed))["val"].names[0] == f"{packed}: a/8.png and b/8.jpg"


@pytest.mark.parametrize("given", [(), ("train", "val"), ("train", "val", "test")])
def test_shards_of_side_by_side_files_hold_the_same_pairs(tmp_path, given):
    for number, split in enumerate(given or ("",)):
        for name in range(12):
            write_image(tmp_path / "in" / split / f"{name}.png", random_image(20 * number + name, 8, 16))
    preparing.shards(str(tmp_path / "in"), str(tmp_path / "out"))
    assert_same_pairs(tmp_path / "in", tmp_path / "out")


def test_records_are_examples_with_the_files_byte_for_byte(two_folders, packed):
    """The documented format, for other readers."""
    records = ArrayRecordDataSource([str(path) for path in packed.glob("*.array_record")])
    found = {}
    for index in range(len(records)):
        features = tf.train.Example.FromString(records[index]).features.feature
        found |= zip(features["names"].bytes_list.value, features["files"].bytes_list.value, strict=True)
    files = {path.relative_to(two_folders).as_posix().encode(): path for path in two_folders.rglob("*.*")}
    assert found == {name: path.read_bytes() for name, path in files.items()}
    index = json.loads((packed / shards.INDEX).read_text())
    assert index["format"] == "tf_pix2pix shards 1"
    assert sum(shard["pairs"] for shard in index["shards"].values()) == 20


def test_a_split_with_several_kinds_is_not_uniform(two_folders, tmp_path):
    """Training must read all its pairs to find the channels."""
    write_image(two_folders / "a" / "3.png", random_image(1, 12, 16, 3))
    for megabytes in (0.004, 1):
        preparing.shards(str(two_folders), str(tmp_path / str(megabytes)), shard_mb=megabytes)
        splits = load_pairs(str(tmp_path / str(megabytes)))
        assert (splits["train"].uniform, splits["val"].uniform) == (False, True)


def test_interrupted_packing_continues_and_keeps_complete_shards(two_folders, packed, capsys):
    def times():
        return {path.name: path.stat().st_mtime_ns for path in packed.glob("*.array_record")}

    before = times()
    lost = sorted(before)[2]
    (packed / lost).unlink()
    preparing.shards(str(two_folders), str(packed), shard_mb=0.004)
    assert f"{len(before) - 1} of {len(before)} were done before" in capsys.readouterr().out
    assert {name for name, time in times().items() if before[name] != time} == {lost}
    for side in ("a/2.png", "b/2.jpg"):  # a renamed pair: the same number of shards with other pairs
        (two_folders / side).rename(two_folders / side.replace("2.", "200."))
        os.utime(two_folders / side.replace("2.", "200."), (1, 1))
    try:
        preparing.shards(str(two_folders), str(packed), shard_mb=0.004)
    except InputError:
        preparing.shards(str(two_folders), str(packed), shard_mb=0.004, overwrite=True)
    assert_same_pairs(two_folders, packed)


def test_bad_pairs_are_named_and_their_shards_are_not_written(two_folders, tmp_path):
    write_image(two_folders / "a" / "3.png", random_image(1, 5, 5))
    (two_folders / "b" / "7.jpg").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"a/3.png is 5x5 but .*b/7.jpg: not a PNG"):
        preparing.shards(str(two_folders), str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("train*"))
    with pytest.raises(InputError, match="out: preparing it was stopped"):
        load_pairs(str(tmp_path / "out"))


def test_missing_truncated_and_damaged_shards_are_named(packed):
    def refused(message, **options):
        with pytest.raises(InputError, match=message):
            load_pairs(str(packed), **options)["train"].read(0)

    refused("--input_dir requires a folder of images, but .* holds shards", input_dir="a", target_dir="b")
    path = sorted(packed.glob("train*"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    refused(f"{path}: {len(whole) - 9} bytes, but the index states {len(whole)}; copy")
    path.unlink()
    refused(f"{path}: missing")
    position = whole.index(b"\x89PNG") + 20
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
    refused("cannot read a/.*.png and b/.*.jpg .Corrupted")
    path.write_bytes(bytes(len(whole)))
    refused(f"{packed}: damaged shard")


def test_a_damaged_index_is_named_and_can_be_overwritten(two_folders, packed):
    index = json.loads((packed / shards.INDEX).read_text())
    index["shards"] = {name: shard for name, shard in index["shards"].items() if shard["split"] == "train"}
    for text, message in {
        "": "damaged",
        "[]": "damaged",
        '{"format": "x", "shards": {}}': "format 'x' is not",
        '{"format": "tf_pix2pix shards 1"}': "damaged",
        json.dumps(index): "the train or val split is missing",
    }.items():
        (packed / shards.INDEX).write_text(text)
        with pytest.raises(InputError, match=f"shards.json: {message}"):
            load_pairs(str(packed))
    preparing.shards(str(two_folders), str(packed), shard_mb=0.004, overwrite=True)
    assert_same_pairs(two_folders, packed)


def test_shards_of_photos_require_a_task(tmp_path, packed):
    for number in range(6):
        write_image(tmp_path / "photos" / f"{number}.png", random_image(number, 8, 9))  # an odd width
    with pytest.raises(InputError, match="9 pixels wide; a side-by-side image"):
        preparing.shards(str(tmp_path / "photos"), str(tmp_path / "out"))
    preparing.shards(str(tmp_path / "photos"), str(tmp_path / "out"), photos=True, overwrite=True)
    splits = load_pairs(str(tmp_path / "out"), photos=True)
    assert all(pairs.uniform for pairs in splits.values())
    assert_same_pairs(tmp_path / "photos", tmp_path / "out", photos=True)
    with pytest.raises(InputError, match="out: holds plain photos, not pairs; pass the --task"):
        load_pairs(str(tmp_path / "out"))
    with pytest.raises(InputError, match="shards: holds pairs, but a task requires plain photos"):
        load_pairs(str(packed), photos=True)


def test_folders_train_without_array_record(two_folders, packed):
    """On Windows, which has no build of it. Shards and published sets report the way out."""
    code = """
import sys
sys.modules["array_record"] = None  # makes its import fail
from tf_pix2pix import training
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.errors import InputError
for dataset in sys.argv[1:]:
    try:
        print(len(load_pairs(dataset)["train"]))
    except InputError as error:
        print(error)
"""
    command = [sys.executable, "-c", code, str(two_folders), str(packed), "facades"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reason = "requires the package array_record, which has no Windows build;"
    assert done.stdout.splitlines()[-3:] == [
        "18",
        f"{packed}: {reason} train on the folder that the shards were made from",
        f"facades: {reason} unpack facades.tar.gz and pass --dataset=FOLDER --preset=facades",
    ]
