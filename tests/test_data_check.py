import json
import re
import shutil
import tarfile

import numpy as np
import pytest
from helpers import write_image
from PIL import Image

from tf_pix2pix import images, preparing
from tf_pix2pix.data_check import check, duplicates, registration
from tf_pix2pix.data_check.inspection import as_rgb, shrink
from tf_pix2pix.datasets import DATASETS, RECORD
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.datasets.synthetic_facades import facade
from tf_pix2pix.errors import InputError

SIZE = (128, 112)
FACADES = [facade(3, index, SIZE) for index in range(40)]  # photo and labels, uint8 [128, 112, 3]


def write_pair(root, split, number, photo=None, labels=None):
    """Writes a clean pair in two folders, unless other images are given."""
    own_photo, own_labels = FACADES[number]
    write_image(root / split / "a" / f"{number}.png", own_photo if photo is None else photo)
    write_image(root / split / "b" / f"{number}.png", own_labels if labels is None else labels)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A folder of thirty pairs for training and ten for validation."""
    root = tmp_path_factory.mktemp("clean") / "set"
    for number in range(40):
        write_pair(root, "train" if number < 30 else "val", number)
    return root


@pytest.fixture(scope="module")
def clean_report(clean):
    return check(clean, clean.parent / "out")


def found(report):
    """kind -> (severity, files)."""
    return {finding["kind"]: (finding["severity"], finding["files"]) for finding in report["findings"]}


def train_files(side, *names):
    return [f"train/{side}/{name}" for name in names]


def pair(name, split="train"):
    return f"{split}/a/{name}.png and {split}/b/{name}.png"


def test_a_clean_set_is_fine(clean, clean_report):
    report, output = clean_report, clean.parent / "out"
    assert (found(report), report["verdict"]) == ({"label_maps_B": ("note", [])}, "fine")
    assert report["splits"]["train"] == {"pairs": 30, "smallest": [[112, 128]] * 2, "largest": [[112, 128]] * 2}
    assert report["registration"]["measured"] == 1
    np.testing.assert_allclose(report["registration"]["median_shift"], 0, atol=0.3)
    assert sorted(path.name for path in output.iterdir()) == ["contact_sheet.png", "report.json"]
    assert json.loads((output / "report.json").read_text()) == report
    rows = report["statistics"]
    expected = [(split, side, "uint8 x 3") for split in ("train", "val") for side in "AB"]
    assert [(row["split"], row["side"], row["kind"]) for row in rows] == expected
    pixels = np.stack([photo for photo, _ in FACADES[:30]]).reshape(-1, 3)
    assert rows[0]["pixels"] == len(pixels)
    np.testing.assert_allclose(rows[0]["mean"], pixels.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(rows[0]["std"], pixels.std(axis=0), atol=1e-3)


def test_every_planted_defect_is_found_and_nothing_else(clean, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(clean, root)
    a, b = root / "train" / "a", root / "train" / "b"
    # Files that training refuses.
    write_image(a / "alone.png", FACADES[0][0])
    (a / "0.png").write_bytes((a / "0.png").read_bytes()[:4000])
    (b / "1.png").write_text("not an image")
    write_image(b / "2.png", FACADES[2][1][:100])
    (b / "22.png").write_bytes(b"")
    write_image(b / "3.jpg", FACADES[3][1])  # beside 3.png
    write_image(a / "3.tga", FACADES[3][0])
    # Unusual files.
    Image.fromarray(FACADES[4][1]).convert("P", palette=Image.Palette.ADAPTIVE).save(b / "4.png")
    (a / "5.png").unlink()
    Image.fromarray(FACADES[5][0]).convert("CMYK").save(a / "5.jpg", quality=95)
    (a / "6.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(FACADES[6][0])).save(a / "6.jpg", exif=exif, quality=95)
    write_image(a / "7.png", np.dstack([FACADES[7][0], np.full(SIZE, 200, np.uint8)]))
    write_image(a / "8.png", FACADES[8][0][:, :, :1])
    (b / "9.png").unlink()
    frames = [Image.fromarray(FACADES[9][1]), Image.fromarray(FACADES[8][1])]
    frames[0].save(b / "9.webp", save_all=True, append_images=frames[1:], lossless=True)
    for constant in (b / "10.png", b / "20.png", a / "21.png"):
        write_image(constant, np.full((*SIZE, 3), 77, np.uint8))
    write_image(b / "11.png", np.uint8(255 * (FACADES[11][1][:, :, 1:2] > 80)))
    # More than once.
    for side, image in ((a, FACADES[14][0]), (b, FACADES[14][1])):
        shutil.copy(side / "12.png", side / "copy.png")
        shutil.copy(side / "13.png", root / "val" / side.name / "leak.png")
        write_image(side / "mirrored.png", np.fliplr(image))
    Image.fromarray(FACADES[15][0]).save(root / "val" / "a" / "near.jpg", quality=30)
    Image.fromarray(FACADES[15][1]).resize((56, 64)).resize((112, 128)).save(root / "val" / "b" / "near.png")
    shutil.copy(a / "16.png", a / "17.png")
    shutil.copy(b / "18.png", a / "18.png")
    # Shifted by 6 pixels to the right and 4 up.
    write_image(b / "19.png", np.roll(FACADES[19][1], (-4, 6), axis=(0, 1)))

    report = check(root, tmp_path / "out")
    assert report["verdict"] == "harmful"
    found_now = found(report)
    expected = {
        "unmatched": ("error", train_files("a", "alone.png")),
        "same_name": ("error", [train_files("b", "3.jpg", "3.png")]),
        "leak_exact": ("error", [[pair("13"), pair("leak", "val")]]),
        "leak_near": ("error", [[pair("15"), "val/a/near.jpg and val/b/near.png"]]),
        "duplicate_exact": ("warning", [[pair("12"), pair("copy")]]),
        "duplicate_near": ("warning", [[pair("14"), pair("mirrored")]]),
        "shared_A": ("warning", [[pair("16"), pair("17")]]),
        "both_sides": ("warning", [pair("18")]),
        "constant_A": ("warning", train_files("a", "21.png")),
        "constant_B": ("warning", train_files("b", "10.png", "20.png")),
        "ignored": ("warning", train_files("a", "3.tga")),
        "palette_B": ("warning", train_files("b", "4.png")),
        "CMYK_A": ("warning", train_files("a", "5.jpg")),
        "EXIF-rotated_A": ("warning", train_files("a", "6.jpg")),
        "alpha_A": ("warning", train_files("a", "7.png")),
        "gray_A": ("note", train_files("a", "8.png")),
        "animated_B": ("warning", train_files("b", "9.webp")),
        "alpha_B": ("warning", train_files("b", "9.webp")),  # as Pillow decodes animations
        "binary_B": ("note", train_files("b", "11.png")),
        "gray_B": ("note", train_files("b", "11.png")),
        "label_maps_B": ("note", []),
    }
    named = {"unreadable": [pair("0"), pair("1"), pair("22")], "sizes": [pair("2")], "shifted": [pair("19")]}
    assert found_now.keys() == expected.keys() | named.keys()
    assert {kind: found_now[kind] for kind in expected} == expected
    for kind, names in named.items():
        assert [text.split(" (")[0] for text in found_now[kind][1]] == names
    assert "0.png: " in found_now["unreadable"][1][0]
    texts = {finding["kind"]: (finding["title"], finding["advice"]) for finding in report["findings"]}
    assert texts["unreadable"] == ("3 pairs: unreadable", "repair or remove the files")
    assert texts["binary_B"][1] == "the resize method nearest keeps them: train/b/11.png"
    assert "A is 112x128 but B is 112x100" in found_now["sizes"][1][0]
    right, up = found_now["shifted"][1][0].split("B lies ")[1].split(" px ")[:2]
    assert float(right) == pytest.approx(6, abs=0.5) and float(up.split()[-1]) == pytest.approx(4, abs=0.5)
    severities = [finding["severity"] for finding in report["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    drawn = images.decode((tmp_path / "out" / "misregistration.png").read_bytes())
    assert drawn.shape[1] > 4 * 256 and drawn.std() > 10


def test_defects_of_many_pairs_are_errors(tmp_path):
    """Shifted targets, constant inputs, and a shift of all pairs that is too small to be certain for a single one."""
    for number in range(20):
        photo, labels = FACADES[number]
        is_bad = number < 10
        write_pair(tmp_path / "shifted", "train", number, labels=np.roll(labels, 5, axis=1) if is_bad else None)
        constant = np.full((*SIZE, 3), number, np.uint8)
        moved = np.roll(labels, 1, axis=0)
        write_pair(tmp_path / "moved", "train", number, photo=constant if is_bad else None, labels=moved)
        write_pair(tmp_path / "all_moved", "train", number, labels=moved)
    assert found(check(tmp_path / "shifted", tmp_path / "1"))["shifted"][0] == "error"
    half_moved = found(check(tmp_path / "moved", tmp_path / "2"))
    assert (half_moved["constant_A"][0], len(half_moved["constant_A"][1])) == ("error", 10)
    assert "all_shifted" not in half_moved  # measured in too few pairs
    assert found(check(tmp_path / "all_moved", tmp_path / "3"))["all_shifted"][0] == "error"


@pytest.mark.parametrize("splits", [("",), ("train", "val", "test")])
def test_side_by_side_folders(tmp_path, splits):
    for number in range(20):
        joined = images.join_side_by_side(*FACADES[number])
        write_image(tmp_path / "set" / splits[number % len(splits)] / f"{number}.png", joined)
    write_image(tmp_path / "set" / splits[0] / "odd.png", joined[:, 1:])
    Image.fromarray(joined).convert("P").save(tmp_path / "set" / splits[19 % len(splits)] / "19.png")
    report = check(tmp_path / "set", tmp_path / "out")
    assert list(report["splits"]) == (["train", "val"] if splits == ("",) else list(splits))
    assert sum(split["pairs"] for split in report["splits"].values()) == 21
    kinds = found(report)
    assert list(kinds) == ["halves", "palette_A", "label_maps_B"]
    assert "odd.png: 223 pixels wide" in kinds["halves"][1][0]


def test_pairs_of_a_named_set_are_checked_once(tmp_path, monkeypatch):
    def read(index):
        if index == 2:
            raise InputError("set/2 is damaged")
        return FACADES[index]

    val = Pairs(["set/8"], lambda index: FACADES[8])
    splits = {"train": Pairs([f"set/{n}" for n in range(5)], read), "val": val, "test": val}
    monkeypatch.setitem(DATASETS, "facades", lambda name, data_dir, size: splits)
    report = check("facades", tmp_path)
    assert {split: row["pairs"] for split, row in report["splits"].items()} == {"train": 5, "val": 1}
    expected = {"unreadable": ("error", ["set/2 (set/2 is damaged)"]), "label_maps_B": ("note", [])}
    assert found(report) == expected


def test_unusable_folders_are_refused(clean, tmp_path):
    write_image(tmp_path / "unmatched" / "a" / "1.png", FACADES[0][0])
    write_image(tmp_path / "unmatched" / "b" / "2.png", FACADES[0][1])
    write_pair(tmp_path / "single", "train", 0)
    shutil.copytree(clean, tmp_path / "unfinished")
    (tmp_path / "unfinished" / RECORD).write_text('{"finished": false}')
    for name, message in (
        ("unmatched", "no pairs; give these images partners of the same name: a/1.png, b/2.png"),
        ("single", "only one pair or photo"),
        ("unfinished", "unfinished: preparing it was stopped"),
    ):
        with pytest.raises(InputError, match=message):
            check(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_near_hashes_are_found_among_many():
    """Up to 15 of 256 bits differ in A and in B, also mirrored; the other pairs stay alone."""
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 2**63, (20_000, 2, 4), np.uint64) * 2
    for number in range(100):
        bits = np.unpackbits(hashes[number].view(np.uint8), axis=1)
        for side in (0, 1):
            bits[side, draw.choice(256, number % 16, replace=False)] ^= 1
        hashes[10_000 + number] = np.packbits(bits, axis=1).view(np.uint64)
    hashes[10_000:10_050] ^= duplicates._tables()[2]
    hashes[300:310, 1] = hashes[10_300:10_310, 1]  # one side only
    expected = np.arange(len(hashes))
    expected[10_000:10_100] = np.arange(100)
    np.testing.assert_array_equal(duplicates.group_near(hashes, np.arange(len(hashes))), expected)


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-12, 9), (2.5, 0)])
def test_shifts_between_photo_and_labels(shift):
    """In pixels of the file, which is larger than the grid; dx is positive if B is moved to the right."""
    photo, labels = facade(1, 7, (512, 600))
    dx, dy = (2 * component for component in shift)
    moved = Image.fromarray(labels).transform((600, 512), Image.Transform.AFFINE, (1, 0, -dx, 0, 1, -dy), 2)
    estimated = registration.estimate(shrink(as_rgb(photo)), shrink(moved), (512, 600))
    assert (estimated.dx, estimated.dy) == pytest.approx((dx, dy), abs=1)
    assert estimated.strength > registration.STRONG
    assert (estimated.distinct > registration.DISTINCT) == (shift != (0, 0))


def test_unrelated_images_have_no_shift():
    draw = np.random.default_rng(0)
    for _ in range(30):
        coarse = (Image.fromarray(draw.integers(0, 256, (16, 16), np.uint8)) for _ in range(2))
        a, b = (shrink(image.resize((128, 128)).convert("RGB")) for image in coarse)
        assert registration.estimate(a, b, SIZE).strength < registration.STRONG
    assert registration.estimate(a[:31], a[:31], (31, 128)) is None  # too small
    assert registration.estimate(*[np.ones((64, 64, 3), np.float32)] * 2, (64, 64)) is None


def test_deep_images_are_stretched_to_8_bits():
    deep = np.linspace(1000, 5000, 100).reshape(10, 10, 1)
    for dtype in (np.uint16, np.float32):
        assert as_rgb(deep.astype(dtype)).getextrema() == ((0, 255),) * 3


def test_the_real_facades_are_fine(real_facades, tmp_path):
    with tarfile.open(real_facades / "facades.tar.gz") as archive:
        members = [member for member in archive if re.search(r"/(val/\d+|train/1\d)\.jpg", member.name)]
        archive.extractall(tmp_path, members, filter="data")
    report = check(tmp_path / "facades", tmp_path / "out")
    assert found(report) == {"noisy_labels_B": ("warning", [])}  # they are JPEGs
    assert report["registration"]["measured"] > 0.9


def write_array(path, array):
    path.unlink(missing_ok=True)
    np.save(path.with_suffix(".npy"), array)


def test_a_side_with_several_depths_is_an_error(tmp_path):
    for number in range(5):
        write_pair(tmp_path / "set", "train", number, photo=FACADES[number][0][:, :, :1])
    a, b = tmp_path / "set" / "train" / "a", tmp_path / "set" / "train" / "b"
    for number in range(1, 5):
        images.write(a / f"{number}.png", FACADES[number][0][:, :, :1].astype(np.uint16) * 257)
    write_array(b / "2.png", FACADES[2][1].astype(np.float32))
    (b / "3.png").unlink()
    images.write(b / "3.tif", FACADES[3][1].astype(np.uint16) * 257)
    report = check(tmp_path / "set", tmp_path / "out")
    kinds = found(report)
    assert kinds.keys() == {"depths_A", "depths_B", "gray_A"}
    assert kinds["depths_A"] == ("error", train_files("a", "0.png"))
    assert kinds["depths_B"] == ("error", train_files("b", "2.npy", "3.tif"))
    of_a, of_b = report["findings"][:2]
    assert of_a["title"] == "images of A: several bit depths, 1 with 8 bits a channel, 4 with 16 bits a channel"
    assert "train with --input_depth=uint16" in of_a["advice"] and "uint16" not in of_b["advice"]


def test_a_side_with_one_depth_is_fine(tmp_path):
    """Floats too, also large ones, except those that are not finite."""
    for number in range(5):
        write_pair(tmp_path / "set", "train", number)
        a, b = tmp_path / "set" / "train" / "a", tmp_path / "set" / "train" / "b"
        images.write(a / f"{number}.png", FACADES[number][0].astype(np.uint16) * 100)
        array = (FACADES[number][1].astype(np.float32) - 128) * np.float32(2.6e36)  # nearly the whole range of float32
        array[3, 4] = (np.nan, np.inf, 0, 0, 0)[number]
        write_array(b / f"{number}.png", array)
    kinds = found(check(tmp_path / "set", tmp_path / "out"))
    assert {kind: row[0] for kind, row in kinds.items()} == dict(unreadable="error", floats_B="note") | {
        "16-bit_A": "note"
    }
    assert len(kinds["unreadable"][1]) == 2 and all("finite" in name for name in kinds["unreadable"][1])
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["statistics"]
    assert all(np.isfinite(row["std"]).all() for row in rows)


def write_photos(root):
    for number in range(40):
        write_image(root / ("train" if number < 30 else "val") / f"{number}.png", FACADES[number][0])


def test_every_planted_defect_of_photos_is_found_and_nothing_else(tmp_path):
    root = tmp_path / "set"
    write_photos(root)
    train = root / "train"
    (train / "0.png").write_bytes((train / "0.png").read_bytes()[:4000])
    opaque = np.full((*SIZE, 1), 255, np.uint8)
    write_image(train / "1.png", np.dstack([FACADES[1][0], opaque]))  # training drops it
    write_image(train / "2.png", np.dstack([FACADES[2][0], opaque - 1]))
    write_image(train / "3.png", np.repeat(FACADES[3][0][:, :, :1], 3, axis=2))
    write_image(train / "4.png", np.full((*SIZE, 3), (9, 99, 9), np.uint8))
    write_image(train / "5.jpg", FACADES[35][0][::-1])  # beside 5.png
    write_image(train / "6.png", FACADES[6][0][:, :99])  # narrow, and an odd width
    write_image(train / "7.png", FACADES[7][0][:99])
    write_image(train / "mirrored.png", np.fliplr(FACADES[9][0]))
    shutil.copy(train / "10.png", root / "val" / "leak.png")
    images.write(train / "12.png", FACADES[12][0].astype(np.uint16) * 257)
    (train / "IMG_1.HEIC").write_bytes(b"as from a phone")

    report = check(root, tmp_path / "out", task="colorize", crop_size=(100, 100))
    kinds = found(report)
    expected = {
        "same_name": ("error", [["train/5.jpg", "train/5.png"]]),
        "depths_photo": ("error", ["train/12.png"]),
        "leak_exact": ("error", [["train/10.png", "val/leak.png"]]),
        "duplicate_near": ("warning", [["train/9.png", "train/mirrored.png"]]),
        "constant_photo": ("warning", ["train/4.png"]),
        "colorless_photo": ("warning", ["train/3.png"]),
        "small": ("warning", ["train/6.png (99x128)", "train/7.png (112x99)"]),
        "ignored": ("warning", ["train/IMG_1.HEIC"]),
    }
    named = {"unreadable": "train/0.png (0.png: ", "transparent": "train/2.png ("}
    assert kinds.keys() == expected.keys() | named.keys()
    assert {kind: kinds[kind] for kind in expected} == expected
    for kind, start in named.items():
        assert kinds[kind][0] == "error" and len(kinds[kind][1]) == 1 and kinds[kind][1][0].startswith(start)
    assert report["splits"]["train"] == {"photos": 31, "smallest": [[99, 99]], "largest": [[112, 128]]}
    assert report["registration"] is None


def test_gray_photos_are_fine_for_tasks_without_color(tmp_path):
    for number in range(12):
        photo = FACADES[number][0]
        write_image(tmp_path / "set" / f"{number}.png", photo[:, :, :1] if number < 10 else photo)
    ((kind, (severity, files)),) = found(check(tmp_path / "set", tmp_path / "1", task="colorize")).items()
    assert (kind, severity, len(files)) == ("colorless_photo", "error", 10)
    denoise = check(tmp_path / "set", tmp_path / "2", task="denoise")
    assert (list(found(denoise)), denoise["verdict"]) == (["gray_photo"], "fine")


def test_shards_are_checked_as_their_folder_is(clean, clean_report, tmp_path):
    write_photos(tmp_path / "photos")
    shutil.copy(tmp_path / "photos" / "train" / "1.png", tmp_path / "photos" / "val" / "1.png")
    preparing.shards(str(tmp_path / "photos"), str(tmp_path / "photo_shards"), photos=True)
    preparing.shards(str(clean), str(tmp_path / "pair_shards"))
    of_photos = check(tmp_path / "photos", tmp_path / "out", task="edges")
    assert list(found(of_photos)) == ["leak_exact"]
    for name, task, expected in (("photo_shards", "edges", of_photos), ("pair_shards", None, clean_report)):
        report = check(tmp_path / name, tmp_path / "out", task=task)
        assert found(report).keys() == found(expected).keys()
        for key in ("verdict", "splits", "statistics", "registration"):
            assert report[key] == expected[key]


def test_a_task_requires_photos(clean, tmp_path):
    for dataset, mask_dir, message in (
        ("facades", None, "--task=edges: requires a folder of plain photos, but facades has pairs"),
        (clean, "m", "--mask_dir: requires pairs, but --task=edges requires plain photos"),
        (clean, None, "train: no images .* only its sub-folders a, b have"),
    ):
        with pytest.raises(InputError, match=message):
            check(dataset, tmp_path, task="edges", mask_dir=mask_dir)


def test_small_pairs_are_reported(side_by_side_folder, tmp_path):
    assert "small" not in found(check(side_by_side_folder, tmp_path / "out", crop_size=(40, 40)))
    for crop_size in ((41, 40), (40, 41)):
        severity, files = found(check(side_by_side_folder, tmp_path / "out", crop_size=crop_size))["small"]
        assert (severity, len(files)) == ("warning", 10) and "1.png (40x40)" in files


def test_every_planted_defect_of_masks_is_found_and_nothing_else(clean, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(clean, root)
    masks = root / "train" / "masks"
    for number in range(30):
        write_image(masks / f"{number}.png", np.repeat(np.uint8([[[0]], [[255]]]), 64, axis=0).repeat(112, axis=1))
    (masks / "0.png").unlink()
    write_image(masks / "1.png", np.full((99, 112, 1), 255, np.uint8))
    write_image(masks / "2.png", np.full((*SIZE, 3), 255, np.uint8))
    write_image(masks / "3.png", np.zeros((*SIZE, 1), np.uint8))
    (masks / "4.png").write_bytes(b"not an image")
    (masks / "5.png").rename(masks / "5.tga")
    write_image(masks / "30.png", np.zeros((*SIZE, 1), np.uint8))  # of a pair in val, which needs none
    write_image(masks / "6.jpg", np.full((*SIZE, 1), 255, np.uint8))  # beside 6.png

    kinds = found(check(root, tmp_path / "out", mask_dir="masks"))
    bad = kinds.pop("mask")
    assert kinds == {
        "no_mask": ("error", train_files("a", "0.png", "5.png")),
        "same_name": ("error", [train_files("masks", "6.jpg", "6.png")]),
        "mask_alone": ("warning", train_files("masks", "30.png")),
        "ignored": ("warning", train_files("masks", "5.tga")),
        "black_mask": ("warning", [f"{pair('3')} (3.png)"]),
        "label_maps_B": ("note", []),
    }
    assert bad[0] == "error" and [name.split(" (")[0] for name in bad[1]] == [pair("1"), pair("2"), pair("4")]
    assert "is 112x99 but its pair 112x128" in bad[1][0] and "not a gray 8-bit image" in bad[1][1]
    write_image(masks / "7.png", np.zeros((*SIZE, 1), np.uint8))
    assert found(check(root, tmp_path / "out", mask_dir="masks"))["black_mask"][0] == "error"  # a fifteenth


def test_label_maps_and_those_with_jpeg_noise(tmp_path):
    """Also if the first of them is unreadable."""
    png, jpeg = tmp_path / "png", tmp_path / "jpeg"
    (jpeg / "train" / "b").mkdir(parents=True)
    for number in range(6):
        write_pair(png, "train", number)
        photo, labels = (Image.fromarray(side).resize((448, 512), 0) for side in FACADES[number])
        write_image(jpeg / "train" / "a" / f"{number}.png", np.asarray(photo))
        labels.save(jpeg / "train" / "b" / f"{number}.jpg", quality=80)
    (png / "train" / "b" / "0.png").write_bytes(b"not an image")
    colors = len(np.unique(np.stack([labels for _, labels in FACADES[1:6]]).reshape(-1, 3), axis=0))
    clear = check(png, tmp_path / "1")["findings"][-1]
    assert clear["title"] == f"images of B: label maps with {colors} colors"
    assert "--resize_b=nearest" in clear["advice"]
    (noisy,) = check(jpeg, tmp_path / "2")["findings"]
    assert (noisy["kind"], noisy["severity"]) == ("noisy_labels_B", "warning")
    assert abs(int(re.search(r"(\d+) colors are clear", noisy["title"])[1]) - colors) <= 2


def test_files_of_another_layout_are_warned_of(tmp_path):
    photos, labels = zip(*FACADES[:12], strict=True)
    for number in range(12):
        write_image(tmp_path / "pairs" / f"{number}.png", np.hstack([photos[number], labels[number]]))
        write_image(tmp_path / "photos" / f"{number}.png", photos[number])
    joined = found(check(tmp_path / "pairs", tmp_path / "1", task="deblur"))
    assert joined == {"joined_pairs": ("warning", [])}
    cut = check(tmp_path / "photos", tmp_path / "2")
    (advice,) = [one["advice"] for one in cut["findings"] if one["kind"] == "cut_images"]
    assert advice == "pass --task, here and in training, if they are plain photos"
    assert found(cut)["cut_images"] == ("warning", [])
    assert found(check(tmp_path / "photos", tmp_path / "3", task="deblur")) == {}
    assert found(check(tmp_path / "pairs", tmp_path / "4")).keys() == {"label_maps_B"}


def test_how_far_training_shrinks_the_images(side_by_side_folder, tmp_path):
    assert "scale" not in found(check(side_by_side_folder, tmp_path / "out", crop_size=(27, 27)))
    (finding,) = check(side_by_side_folder, tmp_path / "out", crop_size=(20, 25))["findings"]
    assert (finding["kind"], finding["severity"]) == ("scale", "note")
    expected = "40x40 images (width x height, median): seen at about 0.56 of their size in training"
    assert finding["title"] == expected
