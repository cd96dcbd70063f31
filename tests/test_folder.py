import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import random_picture, write_picture

from tf_pix2pix import images
from tf_pix2pix.datasets import DATASETS, load_pairs
from tf_pix2pix.errors import InputError


def two_folders(root, names=("a", "b"), stems=range(10), endings=("png", "bmp")):
    for stem in stems:
        for side, (name, ending) in enumerate(zip(names, endings, strict=True)):
            write_picture(root / name / f"{stem}.{ending}", random_picture(100 * side + int(stem), 12, 16))
    return root


def test_side_by_side_pictures_are_cut(side_by_side_folder):
    pairs = load_pairs(str(side_by_side_folder))["train"]
    for index, name in enumerate(pairs.names):
        whole = images.decode(Path(name).read_bytes())
        np.testing.assert_array_equal(np.hstack(pairs.read(index)), whole)


def test_without_splits_a_tenth_is_held_out_and_said(tmp_path, capsys):
    root = two_folders(tmp_path / "set", stems=range(20))
    splits = load_pairs(str(root))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [18, 2, 2]
    assert not set(splits["train"].names) & set(splits["val"].names)
    said = capsys.readouterr().out
    assert "2 pairs held out by file name, 18 to train on" in said
    assert "no test folder; val is used as test" in said
    held_out = {Path(name.split(" and ")[0]).stem for name in splits["val"].names}
    assert held_out == {"8", "9"}  # whatever the machine and the version: these hashes are the smallest
    elsewhere = load_pairs(str(shutil.copytree(root, tmp_path / "copy")))  # the split depends on the names alone
    for split in splits:
        assert [n.replace("copy", "set") for n in elsewhere[split].names] == list(splits[split].names)


def test_two_folders_are_paired_by_stem(tmp_path, capsys):
    root = two_folders(tmp_path, names=("photos", "labels"))
    splits = load_pairs(str(root))
    assert "A is labels, B is photos" in capsys.readouterr().out
    for pairs in splits.values():
        for index, name in enumerate(pairs.names):
            stem = int(name.rsplit("/", 1)[1].split(".")[0])
            a, b = pairs.read(index)
            np.testing.assert_array_equal(a, random_picture(100 + stem, 12, 16))
            np.testing.assert_array_equal(b, random_picture(stem, 12, 16))


def test_sides_can_be_named(tmp_path):
    root = two_folders(two_folders(tmp_path, names=("x", "y")), names=("y", "z"))
    pairs = load_pairs(str(root), input_dir="z", target_dir="x")["train"]
    stem = int(pairs.names[0].rsplit("/", 1)[1].split(".")[0])
    np.testing.assert_array_equal(pairs.read(0)[1], random_picture(stem, 12, 16))
    with pytest.raises(
        InputError, match="the sub-folders with pictures are x, y, z; say with --input_dir and --target_dir"
    ):
        load_pairs(str(root))
    with pytest.raises(
        InputError, match="has no pictures in a sub-folder q; the sub-folders with pictures are x, y, z"
    ):
        load_pairs(str(root), input_dir="x", target_dir="q")


@pytest.mark.parametrize("given", [("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")])
@pytest.mark.parametrize("side_by_side", [True, False])
def test_split_folders(tmp_path, given, side_by_side):
    for number, split in enumerate(given):
        stems = range(20 * number, 20 * number + 20)
        if side_by_side:
            for stem in stems:
                write_picture(tmp_path / split / f"{stem}.png", random_picture(stem, 8, 16))
        else:
            two_folders(tmp_path / split, stems=stems)
    splits = load_pairs(str(tmp_path))
    expected = {"train": 20 if "val" in given else 18, "val": 20 if "val" in given else 2}
    expected["test"] = 20 if "test" in given else expected["val"]
    assert {split: len(pairs) for split, pairs in splits.items()} == expected
    assert all(pairs.read(0)[0].shape == pairs.read(0)[1].shape for pairs in splits.values())


@pytest.mark.parametrize("given", [(), ("train",), ("train", "val", "test")])
def test_plain_photos_are_both_sides(tmp_path, given, capsys):
    """Whole, also those of an even width, read once, and held out as pairs of these names would be."""
    for number, split in enumerate(given or [""]):
        for stem in range(20 * number, 20 * number + 20):
            write_picture(tmp_path / split / f"{stem}.png", random_picture(stem, 8, 16))
    splits, pairs = load_pairs(str(tmp_path), photos=True), load_pairs(str(tmp_path))
    for split, photos in splits.items():
        assert photos.names == pairs[split].names
        a, b = photos.read(1)
        assert a is b
        np.testing.assert_array_equal(a, random_picture(int(Path(photos.names[1]).stem), 8, 16))
    assert ("2 photos held out by file name" in capsys.readouterr().out) == ("val" not in given)


def test_a_folder_of_pairs_is_none_of_photos(tmp_path):
    two_folders(tmp_path / "pairs")
    with pytest.raises(
        InputError, match="pairs has no pictures .*, its sub-folders a, b have; a task takes a folder of"
    ):
        load_pairs(str(tmp_path / "pairs"), photos=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match="empty has no pictures .*, nor have its sub-folders; a task takes a folder of"
    ):
        load_pairs(str(tmp_path / "empty"), photos=True)


def test_other_files_and_hidden_ones_are_passed_over(side_by_side_folder):
    (side_by_side_folder / "Thumbs.db").write_text("x")
    (side_by_side_folder / "._3.png").write_text("x")
    (side_by_side_folder / ".cache").mkdir()
    assert sum(len(load_pairs(str(side_by_side_folder))[split]) for split in ("train", "val")) == 10


def test_sub_folders_without_pictures_or_beside_them_do_not_matter(side_by_side_folder, tmp_path):
    (side_by_side_folder / "notes").mkdir()
    write_picture(side_by_side_folder / "run" / "samples" / "x.png", random_picture(0, 8, 8))
    assert len(load_pairs(str(side_by_side_folder))["train"]) == 9
    write_picture(side_by_side_folder / "thumbs" / "x.png", random_picture(0, 8, 8))
    assert len(load_pairs(str(side_by_side_folder))["train"]) == 9
    root = two_folders(tmp_path / "two")
    (root / "runs" / "two").mkdir(parents=True)
    assert len(load_pairs(str(root))["train"]) == 9


def test_a_folder_named_as_a_set_is_said_to_be_passed_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    two_folders(tmp_path / "synthetic_facades")
    assert len(load_pairs("synthetic_facades", size=(8, 8))["train"]) == 400
    assert "the folder here is --dataset=./synthetic_facades" in capsys.readouterr().out
    assert len(load_pairs("./synthetic_facades")["train"]) == 9


def test_what_is_neither_folder_nor_set_names_the_sets():
    with pytest.raises(InputError, match=f"facadez is neither a folder nor .*{', '.join(DATASETS)}"):
        load_pairs("facadez")


def test_an_empty_folder(tmp_path):
    with pytest.raises(
        InputError,
        match=r"has no pictures \(.png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff, .npy\), nor have its sub-folders",
    ):
        load_pairs(str(tmp_path))
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="has a sub-folder test but none called train"):
        load_pairs(str(tmp_path))


def test_a_folder_of_data_sets_names_them(tmp_path):
    two_folders(tmp_path / "two_folders", names=("a", "b"))
    two_folders(tmp_path / "splits" / "train", names=("a", "b"))
    write_picture(tmp_path / "side_by_side" / "1.png", random_picture(0, 4, 8))
    (tmp_path / "empty").mkdir()
    names = ", ".join(f"{tmp_path}/{name}" for name in ("side_by_side", "splits", "two_folders"))
    with pytest.raises(InputError, match=f"^{tmp_path}: .*; choose a data set in it: {names}$"):
        load_pairs(str(tmp_path))


def test_a_single_pair_is_too_few(tmp_path):
    write_picture(tmp_path / "1.png", random_picture(0, 8, 16))
    with pytest.raises(InputError, match="has a single pair or photo; two are needed"):
        load_pairs(str(tmp_path))


def test_pictures_without_a_partner_are_all_listed_up_to_twenty(tmp_path):
    root = two_folders(tmp_path)
    (root / "a" / "3.png").unlink()
    write_picture(root / "a" / "lonely.png", random_picture(0, 8, 8))
    with pytest.raises(InputError, match="2 pictures without a partner .*a/lonely.png, .*b/3.bmp. Add the partners"):
        load_pairs(str(root))
    two_folders(root / "more")
    for stem in range(30):
        write_picture(root / "a" / f"extra{stem}.png", random_picture(0, 2, 2))
    with pytest.raises(InputError, match="32 pictures .* and 12 more"):
        load_pairs(str(root), input_dir="a", target_dir="b")


def test_two_pictures_of_one_stem(tmp_path):
    root = two_folders(tmp_path)
    write_picture(root / "a" / "3.jpg", random_picture(0, 8, 8))
    with pytest.raises(InputError, match="a/3.jpg and .*a/3.png have the same name but for the ending"):
        load_pairs(str(root))


def test_reading_names_the_file_that_is_wrong(tmp_path):
    root = two_folders(tmp_path)
    for split_names, damage, message in (
        (("train",), lambda p: p.write_bytes(p.read_bytes()[:100]), "cannot be decoded"),
        (("train",), lambda p: p.unlink(), "No such file"),
        (("train",), lambda p: write_picture(p, random_picture(0, 12, 17)), "is 17x12 but .* is 16x12"),
    ):
        pairs = load_pairs(str(root))[split_names[0]]
        path = Path(pairs.names[0].split(" and ")[0])
        before = path.read_bytes()
        damage(path)
        with pytest.raises(InputError, match=f"{path}.*{message}"):
            pairs.read(0)
        path.write_bytes(before)


def test_an_odd_width_is_named(tmp_path):
    for number in range(2):
        write_picture(tmp_path / f"{number}.png", random_picture(0, 8, 15))
    with pytest.raises(InputError, match=r"[01].png: it is 15 pixels wide, an odd number"):
        load_pairs(str(tmp_path))["train"].read(0)


def test_sides_are_for_folders():
    with pytest.raises(InputError, match="input_dir and target_dir are for folders; facades has its sides already"):
        load_pairs("facades", input_dir="a", target_dir="b")


def test_spread_takes_pairs_at_even_distances(side_by_side_folder):
    pairs = load_pairs(str(side_by_side_folder))["train"]
    few = pairs.spread(3)
    assert few.names == [pairs.names[0], pairs.names[3], pairs.names[6]]
    np.testing.assert_array_equal(few.read(2), pairs.read(6))
    assert len(pairs.spread(100)) == len(pairs) == 9


def with_masks(root, stems=range(10), size=(12, 16)):
    two_folders(root)
    for stem in stems:
        write_picture(root / "masks" / f"{stem}.png", random_picture(stem, *size, 1))
    return root


def test_masks_come_with_the_training_pairs_alone(tmp_path):
    root = with_masks(tmp_path / "set")
    splits = load_pairs(str(root), mask_dir="masks")
    assert len(splits["train"]) == 9
    for index, name in enumerate(splits["train"].names):
        a, b, mask = splits["train"].read(index)
        stem = int(Path(name.split(" and ")[0]).stem)
        np.testing.assert_array_equal(mask, random_picture(stem, 12, 16, 1))
        np.testing.assert_array_equal(a, random_picture(stem, 12, 16))
    assert len(splits["val"].read(0)) == 2


def test_masks_of_side_by_side_pairs_and_of_another_place(side_by_side_folder, tmp_path):
    for number in range(10):
        write_picture(tmp_path / "masks" / f"{number}.png", random_picture(number, 40, 40, 1))
    pairs = load_pairs(str(side_by_side_folder), mask_dir=str(tmp_path / "masks"))["train"]
    np.testing.assert_array_equal(pairs.read(0)[2], random_picture(int(Path(pairs.names[0]).stem), 40, 40, 1))


def test_masks_that_are_missing_or_do_not_fit_are_named(tmp_path):
    root = with_masks(tmp_path / "set", stems=range(1, 10))
    with pytest.raises(InputError, match="set/masks has no mask for 1 of 9 training pairs: 0; "):
        load_pairs(str(root), mask_dir="masks")
    with pytest.raises(InputError, match="mask_dir: .*/nowhere is no folder"):
        load_pairs(str(root), input_dir="a", target_dir="b", mask_dir="nowhere")
    write_picture(root / "masks" / "0.png", random_picture(0, 12, 17, 1))
    pairs = load_pairs(str(root), mask_dir="masks")["train"]
    with pytest.raises(InputError, match=r"mask .*/0.png is 17x12, its pair 16x12 .width x height."):
        pairs.read(0)
    write_picture(root / "masks" / "0.png", random_picture(0, 12, 16))
    with pytest.raises(InputError, match="mask .*/0.png is no gray picture of 8 bits"):
        pairs.read(0)
    with pytest.raises(InputError, match="mask_dir is for folders; synthetic_facades has no masks"):
        load_pairs("synthetic_facades", mask_dir="masks")
