import itertools
import json
import os

import numpy as np
import pytest
from conftest import random_picture, write_picture

from tf_pix2pix import preparing
from tf_pix2pix.datasets import load_pairs, shards
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import held_out_batches, prepare, training_batches


def assert_same_pairs(folder, other):
    for split, pairs in load_pairs(str(folder)).items():
        others = load_pairs(str(other))[split]
        assert len(pairs) == len(others)
        for index in range(len(pairs)):
            for side, other_side in zip(pairs.read(index), others.read(index), strict=True):
                np.testing.assert_array_equal(side, other_side)


@pytest.fixture
def two_folders(tmp_path):
    """20 pairs of two kinds of file, of which training holds 2 out."""
    for number in range(20):
        write_picture(tmp_path / "two" / "a" / f"{number}.png", random_picture(number, 12, 16, 1))
        write_picture(tmp_path / "two" / "b" / f"{number}.jpg", random_picture(50 + number, 12, 16))
    return tmp_path / "two"


@pytest.fixture
def packed(two_folders, tmp_path):
    """two_folders in several shards."""
    preparing.shards(str(two_folders), str(tmp_path / "shards"), shard_mb=0.004)
    return tmp_path / "shards"


def test_shards_of_two_folders_hold_the_same_pairs(two_folders, packed, capsys):
    assert len(list(packed.glob("train-*.array_record"))) > 3
    assert_same_pairs(two_folders, packed)
    assert "no test shards; val is used as test" in capsys.readouterr().out
    assert load_pairs(str(packed))["val"].names[0] == f"{packed}: a/8.png and b/8.jpg"


@pytest.mark.parametrize("given", [(), ("train", "val"), ("train", "val", "test")])
def test_shards_of_side_by_side_files_hold_the_same_pairs(tmp_path, given):
    for number, split in enumerate(given or ("",)):
        for name in range(12):
            write_picture(tmp_path / "in" / split / f"{name}.png", random_picture(20 * number + name, 8, 16))
    preparing.shards(str(tmp_path / "in"), str(tmp_path / "out"))
    assert_same_pairs(tmp_path / "in", tmp_path / "out")


def test_training_gets_the_same_batches(two_folders, packed):
    """Also where a verified set, too large to be kept, is not read as a whole before."""
    batches = []
    for folder, cache_bytes in ((two_folders, 1e9), (packed, 1e9), (packed, 0)):
        splits = load_pairs(str(folder))
        options = dict(direction="BtoA", size=(10, 10), cache_bytes=cache_bytes)
        train, val = (prepare(splits[split], **options) for split in ("train", "val"))
        drawn = training_batches(train, batch_size=4, crop_size=(8, 8), flip=True, seed=3, steps=12)
        batches.append([*drawn, *held_out_batches(val, batch_size=4, crop_size=(8, 8))])
    assert len(batches[0]) == 13
    for one, *others in zip(*batches, strict=True):
        for other, side in itertools.product(others, (0, 1)):
            np.testing.assert_array_equal(one[side], other[side])


def test_the_files_are_in_the_shards_byte_for_byte_for_whoever_reads_them(two_folders, packed):
    """As docstring and README say: ArrayRecord files of tf.train.Example records."""
    import tensorflow as tf
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    found = {}
    for record in ArrayRecordDataSource([str(path) for path in packed.glob("*.array_record")]):
        features = tf.train.Example.FromString(record).features.feature
        found |= zip(features["names"].bytes_list.value, features["files"].bytes_list.value, strict=True)
    expected = {
        path.relative_to(two_folders).as_posix().encode(): path.read_bytes() for path in two_folders.rglob("*.*")
    }
    assert found == expected


def test_the_index_says_what_there_is(packed):
    index = json.loads((packed / "shards.json").read_text())
    assert index["format"] == "tf_pix2pix shards 1"
    assert sum(shard["pairs"] for shard in index["shards"].values()) == 20
    for name, shard in index["shards"].items():
        assert shard["bytes"] == (packed / name).stat().st_size
        assert shard["kind"] == [["uint8", 1], ["uint8", 3]]
        assert len(shard["names"]) == shard["pairs"]


def test_pairs_of_several_kinds_are_not_verified(two_folders, tmp_path):
    """Training must read them all to know the channels."""
    write_picture(two_folders / "a" / "3.png", random_picture(1, 12, 16, 3))
    for megabytes in (0.004, 1):
        preparing.shards(str(two_folders), str(tmp_path / str(megabytes)), shard_mb=megabytes)
        splits = load_pairs(str(tmp_path / str(megabytes)))
        assert (splits["train"].verified, splits["val"].verified) == (False, True)


def test_a_stopped_packing_goes_on_and_what_is_packed_is_left(two_folders, packed, tmp_path, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in packed.glob("*.array_record")}
    lost = sorted(before)[2]
    (packed / lost).unlink()
    preparing.shards(str(two_folders), str(packed), shard_mb=0.004)
    assert f"{len(before) - 1} of {len(before)} were done before" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in packed.glob("*.array_record")}
    assert {name for name in before if before[name] != after[name]} == {lost}
    for side in ("a/2.png", "b/2.jpg"):  # a pair of another name: the same number of shards, other pairs in them
        (two_folders / side).rename(two_folders / side.replace("2.", "200."))
        os.utime(two_folders / side.replace("2.", "200."), (1, 1))
    try:
        preparing.shards(str(two_folders), str(packed), shard_mb=0.004)
    except InputError:
        preparing.shards(str(two_folders), str(packed), shard_mb=0.004, overwrite=True)
    assert_same_pairs(two_folders, packed)


def test_bad_pairs_are_named_and_no_shard_is_written_with_them(two_folders, tmp_path):
    write_picture(two_folders / "a" / "3.png", random_picture(1, 5, 5))
    (two_folders / "b" / "7.jpg").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"a/3.png is 5x5 but .*b/7.jpg: it is not a PNG"):
        preparing.shards(str(two_folders), str(tmp_path / "out"))
    assert not list((tmp_path / "out").glob("train*"))
    with pytest.raises(InputError, match="out is unfinished"):
        load_pairs(str(tmp_path / "out"))


def test_missing_cut_and_damaged_shards_are_named(packed):
    path = sorted(packed.glob("train*"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=f"{path} has {len(whole) - 9} bytes, not {len(whole)}; copy the folder"):
        load_pairs(str(packed))
    path.unlink()
    with pytest.raises(InputError, match=f"{path} is missing"):
        load_pairs(str(packed))
    position = whole.index(b"\x89PNG") + 20
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
    with pytest.raises(InputError, match="a/.*.png and b/.*.jpg cannot be read from its shard: Corrupted"):
        load_pairs(str(packed))["train"].read(0)
    path.write_bytes(bytes(len(whole)))
    with pytest.raises(InputError, match=f"{packed}: a shard is damaged"):
        load_pairs(str(packed))


def test_an_index_without_held_out_pairs_is_named(packed):
    index = json.loads((packed / shards.INDEX).read_text())
    index["shards"] = {name: shard for name, shard in index["shards"].items() if shard["split"] == "train"}
    (packed / shards.INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="shards.json has no shards to train on or none held out"):
        load_pairs(str(packed))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x", "shards": {}}', '{"format": "tf_pix2pix shards 1"}'])
def test_a_damaged_index_is_named_and_made_again(two_folders, packed, text):
    (packed / shards.INDEX).write_text(text)
    with pytest.raises(InputError, match="shards.json is (no index of shards|of the format 'x')"):
        load_pairs(str(packed))
    preparing.shards(str(two_folders), str(packed), shard_mb=0.004, overwrite=True)
    assert_same_pairs(two_folders, packed)


def test_shards_of_photos_are_for_tasks(tmp_path, packed):
    for number in range(6):
        write_picture(tmp_path / "photos" / f"{number}.png", random_picture(number, 8, 9))  # an odd width: no pair
    with pytest.raises(InputError, match="9 pixels wide, an odd number"):
        preparing.shards(str(tmp_path / "photos"), str(tmp_path / "out"))
    preparing.shards(str(tmp_path / "photos"), str(tmp_path / "out"), photos=True, overwrite=True)
    splits = load_pairs(str(tmp_path / "out"), photos=True)
    for split, pairs in load_pairs(str(tmp_path / "photos"), photos=True).items():
        assert splits[split].verified
        for index in range(len(pairs)):
            for side in (0, 1):
                np.testing.assert_array_equal(pairs.read(index)[side], splits[split].read(index)[side])
    with pytest.raises(InputError, match="out holds plain photos, not pairs; give the --task"):
        load_pairs(str(tmp_path / "out"))
    with pytest.raises(InputError, match="shards holds pairs of files; a task takes plain photos"):
        load_pairs(str(packed), photos=True)


def test_sides_are_in_the_shards(packed):
    with pytest.raises(InputError, match="the shards in .* have their sides"):
        load_pairs(str(packed), input_dir="a", target_dir="b")


def test_the_real_facades_are_the_same_from_shards(real_facades, tmp_path):
    import tarfile

    with tarfile.open(real_facades / "facades.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    preparing.shards(str(tmp_path / "facades"), str(tmp_path / "shards"), shard_mb=8)
    splits = load_pairs(str(tmp_path / "shards"))
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 400, "val": 40, "test": 28}
    assert all(pairs.verified for pairs in splits.values())
    folder = load_pairs(str(tmp_path / "facades"))
    for split, pairs in splits.items():
        for index in range(0, len(pairs), 9):
            np.testing.assert_array_equal(np.hstack(pairs.read(index)), np.hstack(folder[split].read(index)))
