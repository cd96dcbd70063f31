import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import random_image, write_image

from tf_pix2pix import images
from tf_pix2pix.datasets import DATASETS, load_pairs
from tf_pix2pix.errors import InputError


def write_folders(root, names=("a", "b"), stems=range(10), extensions=("png", "bmp")):
    """Two folders of 12x16 pixels; A's image of a stem is random_image(stem), B's random_image(100 + stem)."""
    for stem in stems:
        for side, (name, extension) in enumerate(zip(names, extensions, strict=True)):
            write_image(root / name / f"{stem}.{extension}", random_image(100 * side + stem, 12, 16))
    return root


def stem_of(name):
    """The file stem, a number, of a pair's name."""
    return int(Path(name.split(" and ")[0]).stem)


def test_without_val_a_tenth_is_used_for_validation(tmp_path, capsys):
    root = write_folders(tmp_path / "set", stems=range(20))
    splits = load_pairs(str(root))
    assert [len(splits[split]) for split in ("train", "val", "test")] == [18, 2, 2]
    assert not set(splits["train"].names) & set(splits["val"].names)
    printed = capsys.readouterr().out
    assert "no val folder; 2 of 20 pairs are used for validation, chosen by file name" in printed
    assert "no test folder; val is used as test" in printed
    assert {*map(stem_of, splits["val"].names)} == {8, 9}  # the least hashes, on any machine and in any version
    elsewhere = load_pairs(str(shutil.copytree(root, tmp_path / "copy")))  # the split depends on the names alone
    for split in splits:
        assert [name.replace("copy", "set") for name in elsewhere[split].names] == list(splits[split].names)


def test_two_folders_are_paired_by_stem_and_other_files_are_halved(tmp_path, side_by_side_folder, capsys):
    splits = load_pairs(str(write_folders(tmp_path / "two", names=("photos", "labels"))))
    assert "A is labels, B is photos" in capsys.readouterr().out
    for pairs in splits.values():
        for index, name in enumerate(pairs.names):
            a, b = pairs.read(index)
            np.testing.assert_array_equal(a, random_image(100 + stem_of(name), 12, 16))
            np.testing.assert_array_equal(b, random_image(stem_of(name), 12, 16))
    pairs = load_pairs(str(side_by_side_folder))["train"]
    for index, name in enumerate(pairs.names):
        np.testing.assert_array_equal(np.hstack(pairs.read(index)), images.decode(Path(name).read_bytes()))


def test_sides_can_be_named(tmp_path):
    root = write_folders(write_folders(tmp_path, names=("x", "y")), names=("y", "z"))
    pairs = load_pairs(str(root), input_dir="z", target_dir="x")["train"]
    np.testing.assert_array_equal(pairs.read(0)[1], random_image(stem_of(pairs.names[0]), 12, 16))
    with pytest.raises(InputError, match="sub-folders with images are x, y, z; name the two sides with --input_dir"):
        load_pairs(str(root))
    with pytest.raises(
        InputError, match="the sub-folder q is missing or has no images; the sub-folders with images are x, y, z"
    ):
        load_pairs(str(root), input_dir="x", target_dir="q")


@pytest.mark.parametrize("given", [(), ("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")])
@pytest.mark.parametrize("kind", ["side by side", "folders", "photos"])
def test_split_folders(tmp_path, given, kind, capsys):
    for number, split in enumerate(given or [""]):
        stems = range(20 * number, 20 * number + 20)
        if kind == "folders":
            write_folders(tmp_path / split, stems=stems)
        else:
            for stem in stems:
                write_image(tmp_path / split / f"{stem}.png", random_image(stem, 8, 16))
    splits = load_pairs(str(tmp_path), photos=kind == "photos")
    counts = {"train": 20 if "val" in given else 18, "val": 20 if "val" in given else 2}
    counts["test"] = 20 if "test" in given else counts["val"]
    assert {split: len(pairs) for split, pairs in splits.items()} == counts
    for pairs in splits.values():
        if kind == "photos":  # whole, although each could be cut into two halves
            assert pairs.parts == ("target",)
            np.testing.assert_array_equal(pairs.read(1)[0], random_image(stem_of(pairs.names[1]), 8, 16))
        else:
            assert [image.shape for image in pairs.read(0)] == [(12, 16, 3) if kind == "folders" else (8, 8, 3)] * 2
    noun = "photos" if kind == "photos" else "pairs"
    assert (f"2 of 20 {noun} are used for validation" in capsys.readouterr().out) == ("val" not in given)


def test_other_files_and_folders_are_ignored(side_by_side_folder, tmp_path):
    for name in ("Thumbs.db", "._3.png", ".cache"):
        (side_by_side_folder / name).write_text("x")
    write_image(side_by_side_folder / "thumbs" / "x.png", random_image(0, 8, 8))
    root = write_folders(tmp_path / "two")
    write_image(root / "runs" / "samples" / "x.png", random_image(0, 8, 8))
    for folder in (side_by_side_folder, root):
        assert [len(load_pairs(str(folder))[split]) for split in ("train", "val")] == [9, 1]


def test_a_named_set_hides_a_folder_of_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_folders(tmp_path / "synthetic_facades")
    assert len(load_pairs("synthetic_facades", size=(8, 8))["train"]) == 400
    assert "the named set; for the folder of this name pass --dataset=./synthetic_facades" in capsys.readouterr().out
    assert len(load_pairs("./synthetic_facades")["train"]) == 9


def test_direction_and_photos_choose_the_sides(tmp_path, monkeypatch):
    write_folders(tmp_path / "set")
    a_to_b, b_to_a = (load_pairs(str(tmp_path / "set"), direction=direction)["val"] for direction in ("AtoB", "BtoA"))
    np.testing.assert_array_equal(a_to_b.read(0), b_to_a.read(0)[::-1])
    monkeypatch.setitem(DATASETS, "own", lambda name, data_dir, size: {"val": a_to_b})
    for direction, target in (("AtoB", 1), ("BtoA", 0)):
        photos = load_pairs("own", direction=direction, photos=True)["val"]
        assert photos.parts == ("target",)
        np.testing.assert_array_equal(photos.read(0), a_to_b.read(0)[target : target + 1])


def test_unusable_folders_are_explained(tmp_path):
    def refused(message, dataset=tmp_path, **options):
        with pytest.raises(InputError, match=message):
            load_pairs(str(dataset), **options)

    refused(f"--dataset=facadez: neither a folder nor .*{', '.join(DATASETS)}", "facadez")
    refused(r": no images \(.png, .jpg, .*, .npy\) here or in its sub-folders")
    refused("nor in its sub-folders; a task requires a folder of plain photos", photos=True)
    pairs = write_folders(tmp_path / "pairs")
    refused("only its sub-folders a, b have; a task requires a folder of plain photos", pairs, photos=True)
    single = write_image(tmp_path / "one" / "1.png", random_image(0, 8, 16)).parent
    refused("only one pair or photo; add more", single)
    (tmp_path / "test").mkdir()
    refused("has a sub-folder test but not train; put the training pairs into")
    for name in ("input_dir", "target_dir", "mask_dir"):
        refused(f"--{name} requires a folder of images, but facades is a named set; leave it", "facades", **{name: "a"})


def test_a_folder_of_data_sets_names_them(tmp_path):
    write_folders(tmp_path / "two_folders", names=("a", "b"))
    write_folders(tmp_path / "splits" / "train", names=("a", "b"))
    write_image(tmp_path / "side_by_side" / "1.png", random_image(0, 4, 8))
    (tmp_path / "empty").mkdir()
    names = ", ".join(f"{tmp_path}/{name}" for name in ("side_by_side", "splits", "two_folders"))
    with pytest.raises(InputError, match=f"^{tmp_path}: .*; choose a data set in it: {names}$"):
        load_pairs(str(tmp_path))


def test_images_without_one_partner_are_listed(tmp_path):
    root = write_folders(tmp_path)
    write_image(root / "a" / "3.jpg", random_image(0, 8, 8))
    with pytest.raises(InputError, match="a/3.jpg and .*a/3.png differ only in the extension; rename or remove one"):
        load_pairs(str(root))
    for extension in ("jpg", "png"):
        (root / "a" / f"3.{extension}").unlink()
    with pytest.raises(InputError, match="1 image has no partner of the same name in the other folder: .*b/3.bmp; add"):
        load_pairs(str(root))
    for stem in range(30):
        write_image(root / "a" / f"extra{stem}.png", random_image(0, 2, 2))
    with pytest.raises(InputError, match="31 images have no partner .*a/extra0.png.* and 11 more; add the partners or"):
        load_pairs(str(root))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "damaged or truncated"),
        (lambda path: path.write_bytes(b""), "the file is empty; replace it"),
        (lambda path: path.unlink(), "No such file or directory; check the file's name and permissions"),
        (lambda path: write_image(path, random_image(0, 12, 17)), r"is 17x12 but .* is 16x12 \(width x height\); both"),
    ],
)
def test_reading_names_the_file_that_is_wrong(tmp_path, damage, message):
    pairs = load_pairs(str(write_folders(tmp_path)))["train"]
    path = Path(pairs.names[0].split(" and ")[0])
    damage(path)
    with pytest.raises(InputError, match=f"^{path}.*{message}"):
        pairs.read(0)


def test_spread_selects_pairs_at_even_distances(side_by_side_folder):
    pairs = load_pairs(str(side_by_side_folder))["train"]
    few = pairs.spread(3)
    assert few.names == [pairs.names[0], pairs.names[3], pairs.names[6]]
    np.testing.assert_array_equal(few.read(2), pairs.read(6))
    assert len(pairs.spread(100)) == len(pairs) == 9


def write_masks(folder, stems=range(10)):
    for stem in stems:
        write_image(folder / f"{stem}.png", random_image(stem, 12, 16, 1))


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_masks_belong_to_the_training_pairs_alone(tmp_path, direction, elsewhere):
    mask_dir = str(tmp_path / "masks") if elsewhere else "masks"
    root = write_folders(tmp_path / "set")
    write_masks(root / mask_dir)
    splits = load_pairs(str(root), mask_dir=mask_dir, direction=direction)
    assert (splits["train"].parts, len(splits["train"])) == (("input", "target", "mask"), 9)
    for index, name in enumerate(splits["train"].names):
        *pair, mask = splits["train"].read(index)
        np.testing.assert_array_equal(mask, random_image(stem_of(name), 12, 16, 1))
        np.testing.assert_array_equal(pair[direction == "BtoA"], random_image(stem_of(name), 12, 16))
    assert splits["val"].parts == ("input", "target")


def test_masks_that_are_missing_or_do_not_fit_are_named(tmp_path):
    write_masks(write_folders(tmp_path) / "masks", stems=range(1, 10))
    with pytest.raises(InputError, match="/masks: 1 of 9 training pairs have no mask: 0; add them"):
        load_pairs(str(tmp_path), mask_dir="masks")
    with pytest.raises(InputError, match="--mask_dir: .*/nowhere is not a folder; pass the name of a sub-folder"):
        load_pairs(str(tmp_path), input_dir="a", target_dir="b", mask_dir="nowhere")
    for mask, message in (
        (random_image(0, 12, 17, 1), r"0.png is 17x12 but its pair 16x12 \(width x height\); resize the mask"),
        (random_image(0, 12, 16), r"0.png: not a gray 8-bit image \(black for weight 0, white for 1\); convert it"),
    ):
        write_image(tmp_path / "masks" / "0.png", mask)
        with pytest.raises(InputError, match=f"mask .*{message}"):
            load_pairs(str(tmp_path), mask_dir="masks")["train"].read(0)
