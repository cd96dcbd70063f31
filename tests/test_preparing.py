import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, random_picture, write_picture
from PIL import Image

from tf_pix2pix import images, preparing
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.preparing import file_images, splitting


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files(folder)}


def write_palette(path, seed, height=12, width=16, transparency=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(random_picture(seed, height, width, 1)[:, :, 0] % 13)
    image.putpalette(random_picture(7, 13, 3, 1).tobytes())
    image.save(path, **({} if transparency is None else {"transparency": transparency}))


def write_16_bits(path, seed, channels, height=12, width=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 65536, (height, width, channels), dtype=np.uint16)
    path.write_bytes(tf.io.encode_png(pixels).numpy())


def write_exif(path, seed):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_picture(seed, 16, 12)).save(path, exif=exif)


KINDS = {
    "gray": lambda path, seed: write_picture(path, random_picture(seed, 12, 16, 1)),
    "rgb": lambda path, seed: write_picture(path, random_picture(seed, 12, 16, 3)),
    "rgba": lambda path, seed: write_picture(path, random_picture(seed, 12, 16, 4)),
    "palette": write_palette,
    "transparent palette": lambda path, seed: write_palette(path, seed, transparency=bytes([0, 128, 255])),
    "16-bit gray": lambda path, seed: write_16_bits(path, seed, 1),
    "16-bit gray and alpha": lambda path, seed: write_16_bits(path, seed, 2),  # read as RGBA
    "16-bit rgb": lambda path, seed: write_16_bits(path, seed, 3),
    "16-bit rgba": lambda path, seed: write_16_bits(path, seed, 4),
    "turned": write_exif,
}
BITS = {"palette": (4, 3), "gray": (8, 0), "rgb": (8, 2), "rgba": (8, 6), "16-bit gray": (16, 0), "16-bit rgb": (16, 2)}


def assert_same(one, other):
    """Asserts that two files hold the same image, in pixels, depth, channels and palette."""
    a, b = file_images.read(one), file_images.read(other)
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert (a.pixels.dtype, a.palette) == (b.pixels.dtype, b.palette)


@pytest.mark.parametrize("kind", KINDS)
def test_combining_and_cutting_restores_the_images(tmp_path, kind):
    for number, side in enumerate(("photo", "sketch")):
        for name in "xy":
            KINDS[kind](tmp_path / "in" / side / f"{name}.png", 10 * number + ord(name))
    preparing.combine([str(tmp_path / "in")], str(tmp_path / "joined"))
    assert files(tmp_path / "joined") == ["prepare.json", "x.png", "y.png"]
    if kind in BITS:  # bits a channel and color type in PNG's header
        assert tuple((tmp_path / "joined" / "x.png").read_bytes()[24:26]) == BITS[kind]
    preparing.cut(str(tmp_path / "joined"), str(tmp_path / "cut"), sides=("photo", "sketch"))
    for path in (tmp_path / "in").rglob("*.png"):
        assert_same(path, tmp_path / "cut" / path.relative_to(tmp_path / "in"))


def test_combined_files_train_as_the_two_folders_do(tmp_path, capsys):
    """With splits in both folders, different formats, and gray beside RGB."""
    for split in ("train", "val"):
        for name in range(3):
            write_picture(tmp_path / "p" / split / f"{name}.bmp", random_picture(name, 8, 9))
            write_picture(tmp_path / "q" / split / f"{name}.png", random_picture(50 + name, 8, 9, 1))
    preparing.combine([str(tmp_path / "p"), str(tmp_path / "q")], str(tmp_path / "out"))
    assert "6 side-by-side files in" in capsys.readouterr().out
    for pairs in load_pairs(str(tmp_path / "out")).values():
        for index in range(3):
            a, b = pairs.read(index)
            np.testing.assert_array_equal(a, random_picture(index, 8, 9))
            np.testing.assert_array_equal(b, np.repeat(random_picture(50 + index, 8, 9, 1), 3, axis=2))


def test_different_palettes_become_colors(tmp_path):
    write_palette(tmp_path / "in" / "a" / "1.png", 1)
    write_picture(tmp_path / "in" / "b" / "1.png", random_picture(2, 12, 16))
    preparing.combine([str(tmp_path / "in")], str(tmp_path / "out"))
    joined = file_images.read(tmp_path / "out" / "1.png")
    with Image.open(tmp_path / "in" / "a" / "1.png") as image:
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(joined.pixels, np.hstack([colors, random_picture(2, 12, 16)]))


def test_jpegs_become_pngs_unless_a_quality_is_given(tmp_path, capsys):
    folder = tmp_path / "in"
    write_picture(folder / "1.jpg", random_picture(1, 16, 32))
    preparing.cut(str(folder), str(tmp_path / "png"))
    assert "JPEG files were written as PNG" in capsys.readouterr().out
    halves = [file_images.read(tmp_path / "png" / side / "1.png").pixels for side in "AB"]
    np.testing.assert_array_equal(np.hstack(halves), file_images.read(folder / "1.jpg").pixels)
    preparing.cut(str(folder), str(tmp_path / "jpg"), quality=90)
    assert "JPEG files were written" not in capsys.readouterr().out
    assert files(tmp_path / "jpg") == ["A/1.jpg", "B/1.jpg", "prepare.json"]
    assert (tmp_path / "jpg" / "A" / "1.jpg").read_bytes().startswith(b"\xff\xd8")
    write_picture(folder / "2.png", random_picture(1, 16, 32, 4))  # was not a JPEG
    preparing.cut(str(folder), str(tmp_path / "both"), quality=90)
    assert files(tmp_path / "both") == ["A/1.jpg", "A/2.png", "B/1.jpg", "B/2.png", "prepare.json"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["side by side", "two folders"])
def test_resizing_keeps_depth_channels_and_palette(tmp_path, kind, layout):
    for side in "ab":
        KINDS[kind](tmp_path / "two" / side / "1.png", ord(side))
    preparing.combine([str(tmp_path / "two")], str(tmp_path / "one"))
    folder, names = (("one", ["1.png"]), ("two", ["a/1.png", "b/1.png"]))[layout == "two folders"]
    preparing.resize(str(tmp_path / folder), str(tmp_path / "out"), size=(6, 10))
    assert files(tmp_path / "out") == [*names, "prepare.json"]
    before, after = (file_images.read(tmp_path / place / names[0]) for place in (folder, "out"))
    assert after.pixels.shape == (6, 10 * (3 - len(names)), before.pixels.shape[2])
    assert (after.pixels.dtype, after.palette) == (before.pixels.dtype, before.palette)


def test_halves_are_resized_separately_each_by_its_method(tmp_path):
    """Antialiased unless the method is nearest; nothing bleeds across the seam."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, 16:] = 255
    picture[::2, :16] = 200
    write_picture(tmp_path / "in" / "1.png", picture)
    preparing.resize(str(tmp_path / "in"), str(tmp_path / "out"), size=(4, 4), resize_b="nearest")
    small = file_images.read(tmp_path / "out" / "1.png").pixels.astype(int)
    assert (small[:, 4:] == 255).all()
    assert abs(small[:, :4] - 100).max() < 30  # nearest would give 0 or 200
    for number, side in enumerate("xy"):
        half = picture[:, :16] if number else picture[:, :16][::-1]
        write_picture(tmp_path / "two" / side / "1.png", half)
    for near, smooth in (("x", "y"), ("y", "x")):
        method = {f"resize_{'ab'['xy'.index(near)]}": "nearest"}
        preparing.resize(str(tmp_path / "two"), str(tmp_path / near), size=(4, 4), **method)
        assert {*np.unique(file_images.read(tmp_path / near / near / "1.png").pixels)} <= {0, 200}
        assert abs(file_images.read(tmp_path / near / smooth / "1.png").pixels.astype(int) - 100).max() < 30
    preparing.resize(str(tmp_path / "in"), str(tmp_path / "near"), size=(4, 4), resize_a="nearest")
    assert {*np.unique(file_images.read(tmp_path / "near" / "1.png").pixels)} <= {0, 200, 255}


@pytest.mark.parametrize("ending", [".tif", ".npy"])
@pytest.mark.parametrize("dtype, channels", [("uint8", 1), ("uint16", 3), ("float32", 3), ("float32", 4)])
def test_tiff_and_npy_keep_their_format(tmp_path, ending, dtype, channels):
    for side in "ab":
        (tmp_path / "in" / side).mkdir(parents=True)
        values = np.random.default_rng(ord(side)).integers(0, 256, (12, 16, channels)).astype(dtype)
        values = values * 257 if dtype == "uint16" else values / 7 if dtype == "float32" else values
        images.write(tmp_path / "in" / side / f"1{ending}", values.astype(dtype))
    preparing.combine([str(tmp_path / "in")], str(tmp_path / "joined"), quality=90)
    assert files(tmp_path / "joined") == [f"1{ending}", "prepare.json"]
    preparing.cut(str(tmp_path / "joined"), str(tmp_path / "cut"), sides=("a", "b"))
    for side in "ab":
        assert_same(*(tmp_path / folder / side / f"1{ending}" for folder in ("in", "cut")))
    preparing.resize(str(tmp_path / "joined"), str(tmp_path / "small"), size=(6, 8))
    small = file_images.read(tmp_path / "small" / f"1{ending}").pixels
    assert (small.shape, small.dtype) == ((6, 16, channels), dtype)


def test_a_palette_tiff_keeps_its_palette(tmp_path):
    write_palette(tmp_path / "in" / "1.tif", 1)
    preparing.cut(str(tmp_path / "in"), str(tmp_path / "out"))
    cut = [file_images.read(tmp_path / "out" / side / "1.tif") for side in "AB"]
    whole = file_images.read(tmp_path / "in" / "1.tif")
    assert cut[0].palette == cut[1].palette == whole.palette is not None
    np.testing.assert_array_equal(np.hstack([side.pixels for side in cut]), whole.pixels)


def test_longest_side_keeps_the_aspect_ratio(tmp_path):
    write_picture(tmp_path / "in" / "1.png", random_picture(1, 20, 2 * 31))
    write_picture(tmp_path / "in" / "2.png", random_picture(1, 50, 2 * 1))
    preparing.resize(str(tmp_path / "in"), str(tmp_path / "out"), longest_side=10)
    assert file_images.read(tmp_path / "out" / "1.png").pixels.shape == (6, 20, 3)
    assert file_images.read(tmp_path / "out" / "2.png").pixels.shape == (10, 2, 3)


@pytest.fixture
def scenes(tmp_path):
    """40 pairs in two folders, 8 scenes of 5 frames."""
    for scene in range(8):
        for frame in range(5):
            for side, ending in (("a", "png"), ("b", "jpg")):
                write_picture(tmp_path / "scenes" / side / f"s{scene}_{frame}.{ending}", random_picture(frame, 4, 4))
    return tmp_path / "scenes"


def stems(folder):
    """split -> the stems of its A."""
    return {path.name: {file.stem for file in (path / "a").iterdir()} for path in folder.iterdir() if path.is_dir()}


def test_a_split_has_exact_counts_and_depends_on_the_seed_alone(scenes, tmp_path, capsys):
    preparing.split(str(scenes), str(tmp_path / "1"), fractions=(0.7, 0.2, 0.1))
    assert "train 28, val 8, test 4" in capsys.readouterr().out
    found = stems(tmp_path / "1")
    assert {split: len(names) for split, names in found.items()} == {"train": 28, "val": 8, "test": 4}
    assert len(set.union(*found.values())) == 40
    for name, data in contents(tmp_path / "1").items():
        if name != "prepare.json":
            assert data == (scenes / name.split("/", 1)[1]).read_bytes()
    preparing.split(str(scenes), str(tmp_path / "2"), fractions=(0.7, 0.2, 0.1))
    preparing.split(str(scenes), str(tmp_path / "3"), fractions=(0.7, 0.2, 0.1), seed=1)
    assert stems(tmp_path / "2") == found != stems(tmp_path / "3")
    # The same on every machine and in every version.
    assert found["test"] == {"s4_0", "s4_2", "s7_3", "s7_4"}
    preparing.split(str(tmp_path / "1"), str(tmp_path / "4"), fractions=(0.7, 0.2, 0.1))  # pooled, split again
    assert stems(tmp_path / "4") == found
    assert len(load_pairs(str(tmp_path / "1"))["train"]) == 28


@pytest.mark.parametrize("pattern", [r"^(s\d)_", r"^s\d", r"(s\d)_(?:\d)"])
def test_groups_stay_together(scenes, tmp_path, pattern):
    preparing.split(str(scenes), str(tmp_path / "out"), counts=(None, 10, 5), group=pattern)
    found = stems(tmp_path / "out")
    assert {split: len(names) for split, names in found.items()} == {"train": 25, "val": 10, "test": 5}
    scenes_of = [{name[:2] for name in names} for names in found.values()]
    assert sum(map(len, scenes_of)) == 8


def test_uneven_groups_go_where_most_is_missing():
    groups = {str(number): [f"{number}_{i}" for i in range(number)] for number in range(1, 20)}
    for seed in range(20):
        chosen = splitting.assign(groups, [150, 20, 20], seed)
        assert sum(map(len, chosen)) == 190
        assert all(abs(len(names) - wanted) <= 19 for names, wanted in zip(chosen, [150, 20, 20], strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(group=r"^(x\d)"), "does not match 40 of 40 names, s0_0"),
        (dict(group="("), r"--group=\(: not a regular expression"),
        (dict(group="s"), "1 groups of 40 pairs: the splits would get"),
        (dict(fractions=(0.5, 0.4)), "must be 0 or more and add up to 1"),
        (dict(fractions=(float("nan"), 0.5)), "--fractions=nan,0.5: must be 0 or more"),
        (dict(counts=(30, 5, 4)), "--counts=30,5,4: must add up to 40"),
        (dict(counts=(None, 41, 0)), "--counts=rest,41,0: must add up to 40"),
        (dict(counts=(None, None, 2)), "at most one of them 'rest'"),
    ],
)
def test_impossible_splits_are_refused(scenes, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        preparing.split(str(scenes), str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command, options", [("split", {}), ("resize", dict(size=(8, 8))), ("shards", {})])
def test_folders_that_are_not_a_side_are_left_out_and_named(tmp_path, capsys, command, options):
    for number in range(10):
        for side in ("label", "photo", "weights"):
            write_picture(tmp_path / "set" / "train" / side / f"{number}.png", random_picture(number, 12, 16))
    (tmp_path / "set" / "train" / "notes").mkdir()
    sides = dict(input_dir="label", target_dir="photo")
    getattr(preparing, command)(str(tmp_path / "set"), str(tmp_path / "made"), **sides, **options)
    expected = f"left out, because they are not a side of the pairs: {tmp_path / 'set' / 'train' / 'weights'}\n"
    assert expected in capsys.readouterr().out
    assert not any("weights" in str(path) for path in (tmp_path / "made").rglob("*"))


def test_hard_links_and_that_replacing_them_keeps_the_input(scenes, tmp_path):
    before = contents(scenes)
    preparing.split(str(scenes), str(tmp_path / "out"), hard_link=True)
    linked = next((tmp_path / "out").rglob("s0_0.png"))
    assert os.path.samefile(linked, scenes / "a" / "s0_0.png")
    preparing.split(str(scenes), str(tmp_path / "out"), hard_link=True, overwrite=True)
    preparing.split(str(scenes), str(tmp_path / "out"), seed=4, overwrite=True)
    assert not os.path.samefile(next((tmp_path / "out").rglob("s0_0.png")), scenes / "a" / "s0_0.png")
    assert contents(scenes) == before


def test_output_and_input_never_overlap(scenes, tmp_path):
    before = contents(tmp_path)
    (tmp_path / "link").symlink_to(scenes)
    (tmp_path / "indirect").mkdir()
    (tmp_path / "indirect" / "a").symlink_to(scenes / "a")
    (tmp_path / "indirect" / "b").symlink_to(scenes / "b")
    for folder, output in (
        (scenes, scenes),
        (scenes, scenes / "out"),
        (scenes, tmp_path),
        (scenes, tmp_path / "link"),
        (scenes, tmp_path / "link" / "deep" / "out"),
        (tmp_path / "link", scenes),
        (tmp_path / "indirect", scenes),
        (tmp_path / "indirect", scenes / "a"),
    ):
        for overwrite in (False, True):
            with pytest.raises(InputError, match="choose another folder"):
                preparing.split(str(folder), str(output), overwrite=overwrite)
    assert contents(tmp_path) == before


def test_links_into_or_out_of_the_output_are_refused(scenes, tmp_path):
    preparing.split(str(scenes), str(tmp_path / "out"))
    kept = contents(tmp_path / "out")
    (tmp_path / "linked").mkdir()
    for path in (tmp_path / "out").rglob("*.jpg"):
        (tmp_path / "linked" / path.name).symlink_to(path)
    with pytest.raises(InputError, match="contains images of the input"):
        preparing.resize(str(tmp_path / "linked"), str(tmp_path / "out"), size=(2, 2), overwrite=True)
    assert contents(tmp_path / "out") == kept
    write_picture(tmp_path / "single" / "A.png", random_picture(0, 4, 4))
    (tmp_path / "leads_out").mkdir()
    (tmp_path / "leads_out" / ".keep").touch()
    (tmp_path / "leads_out" / "A").symlink_to(tmp_path / "single")
    with pytest.raises(InputError, match="A leads out of it"):
        preparing.cut(str(tmp_path / "linked"), str(tmp_path / "leads_out"))


def test_a_folder_of_something_else_is_never_replaced(side_by_side_folder, tmp_path):
    write_picture(tmp_path / "mine" / "holiday.png", random_picture(1, 4, 4))
    for overwrite, message in ((False, "mine: not empty"), (True, "mine: not made by pix2pix prepare")):
        with pytest.raises(InputError, match=message):
            preparing.cut(str(side_by_side_folder), str(tmp_path / "mine"), overwrite=overwrite)
    for text in ("", "[1]", "{}", '{"finished": true}'):  # somebody else's
        (tmp_path / "mine" / "prepare.json").write_text(text)
        with pytest.raises(InputError, match="mine: not made by pix2pix prepare"):
            preparing.cut(str(side_by_side_folder), str(tmp_path / "mine"), overwrite=True)
    assert files(tmp_path / "mine") == ["holiday.png", "prepare.json"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file is a file; choose another folder"):
        preparing.cut(str(side_by_side_folder), str(tmp_path / "file"))


def test_a_repeated_command_does_what_is_missing_and_another_one_is_refused(side_by_side_folder, tmp_path, capsys):
    folder, out = str(side_by_side_folder), tmp_path / "out"
    preparing.resize(folder, str(out), size=(8, 8))
    (out / "3.png").write_bytes(b"mine")
    preparing.resize(folder, str(out), size=(8, 8))
    assert (out / "3.png").read_bytes() == b"mine"
    assert "10 of 10 were done before" in capsys.readouterr().out
    os.utime(side_by_side_folder / "3.png", (time.time() + 9, time.time() + 9))  # newer than the result
    preparing.resize(folder, str(out), size=(8, 8))
    assert "9 of 10 were done before" in capsys.readouterr().out
    assert (out / "3.png").read_bytes() != b"mine"
    with pytest.raises(InputError, match="made by another command, see .*prepare.json"):
        preparing.resize(folder, str(out), size=(8, 9))
    (side_by_side_folder / "0.png").unlink()
    with pytest.raises(InputError, match="contains .*/0.png, which this input does not produce"):
        preparing.resize(folder, str(out), size=(8, 8))
    preparing.cut(folder, str(out), overwrite=True)
    assert files(out) == sorted([f"{s}/{n}.png" for s in "AB" for n in range(1, 10)] + ["prepare.json"])


def test_bad_images_are_all_named_and_the_rest_is_done(side_by_side_folder, tmp_path):
    folder, out = side_by_side_folder, tmp_path / "out"
    good = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(good[:300])
    (folder / "4.png").write_bytes(b"nonsense")
    write_picture(folder / "5.png", random_picture(1, 4, 5))
    write_16_bits(folder / "6.png", 1, 3)
    (folder / "6.png").write_bytes((folder / "6.png").read_bytes()[:200])
    write_palette(folder / "7.png", 1)
    (folder / "7.png").write_bytes((folder / "7.png").read_bytes()[:120])
    with pytest.raises(InputError, match="5 of 10 failed: .*; repair or remove these files") as error:
        preparing.cut(str(folder), str(out))
    for name, problem in ((2, ""), (4, ""), (5, ".*5 pixels wide"), (6, ""), (7, "cannot be decoded")):
        assert re.search(f"{folder}/{name}.png: {problem}", str(error.value))
    assert len(files(out)) == 11
    with pytest.raises(InputError, match=r"out: preparing it was stopped; run the command in .*prepare.json again"):
        load_pairs(str(out))
    for name in (2, 4, 5, 6, 7):
        (folder / f"{name}.png").write_bytes(good)
    preparing.cut(str(folder), str(out))
    assert len(files(out)) == 21
    assert len(load_pairs(str(out))["train"]) == 9


def test_pairs_that_do_not_match_are_refused(tmp_path):
    write_picture(tmp_path / "in" / "a" / "1.png", random_picture(1, 8, 9))
    write_picture(tmp_path / "in" / "b" / "1.png", random_picture(1, 9, 8))
    with pytest.raises(
        InputError, match=r"a/1.png is 9x8 but .*b/1.png is 8x9 .*resize them first, with pix2pix prepare resize"
    ):
        preparing.combine([str(tmp_path / "in")], str(tmp_path / "out"))
    preparing.resize(str(tmp_path / "in"), str(tmp_path / "resized"), size=(8, 8))
    preparing.combine([str(tmp_path / "resized")], str(tmp_path / "fits"))
    write_16_bits(tmp_path / "deep" / "a" / "1.png", 1, 1)
    write_picture(tmp_path / "deep" / "b" / "1.png", random_picture(1, 12, 16, 1))
    with pytest.raises(InputError, match="a/1.png and .*b/1.png: 16 bits a channel and 8 bits a channel, but a file"):
        preparing.combine([str(tmp_path / "deep")], str(tmp_path / "out2"))
    write_picture(tmp_path / "in" / "b" / "2.png", random_picture(1, 9, 8))
    with pytest.raises(InputError, match="1 image has no partner .*b/2.png"):
        preparing.combine([str(tmp_path / "in" / "a"), str(tmp_path / "in" / "b")], str(tmp_path / "out3"))


def test_wrong_layouts_are_refused(side_by_side_folder, scenes, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(InputError, match="pairs: images without a second side; give two folders"):
        preparing.combine([str(side_by_side_folder)], out)
    with pytest.raises(InputError, match="scenes: two folders of images; cutting requires side-by-side files"):
        preparing.cut(str(scenes), out)
    with pytest.raises(InputError, match="nowhere: not a folder"):
        preparing.combine([str(scenes / "a"), str(tmp_path / "nowhere")], out)
    (scenes / "a" / "train").mkdir()
    with pytest.raises(InputError, match="b/train: missing; both folders need the same splits"):
        preparing.combine([str(scenes / "a"), str(scenes / "b")], out)
    for split in ("train", "val"):
        write_picture(tmp_path / "twice" / split / "1.png", random_picture(0, 4, 4))
    with pytest.raises(InputError, match="train/1.png and .*val/1.png: the same name"):
        preparing.split(str(tmp_path / "twice"), out)


def test_an_interrupted_command_leaves_complete_files_and_resumes(side_by_side_folder, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    preparing.cut(str(side_by_side_folder), str(whole))
    write_bytes, calls = Path.write_bytes, []

    def failing(path, data):
        calls.append(path)
        write_bytes(path, data if len(calls) < 8 else data[: len(data) // 2])
        if len(calls) >= 8:
            raise KeyboardInterrupt if len(calls) == 8 else OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", failing)
    with pytest.raises((KeyboardInterrupt, OSError)):
        preparing.cut(str(side_by_side_folder), str(tmp_path / "out"))
    monkeypatch.undo()
    left = contents(tmp_path / "out")
    assert 1 < len(left) <= 8
    assert not [name for name in left if name.endswith(".partial")]
    for name in left.keys() - {"prepare.json"}:
        assert left[name] == (whole / name).read_bytes()
    preparing.cut(str(side_by_side_folder), str(tmp_path / "out"))
    assert contents(tmp_path / "out") == contents(whole)


def test_a_killed_command_leaves_complete_files_and_resumes(tmp_path):
    for number in range(40):
        write_picture(tmp_path / "in" / f"{number}.bmp", random_picture(number, 500, 1000))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tf_pix2pix", "prepare", "cut", "in", "--output=out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list(out.glob("*/*.png"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list(out.glob("*/*.png"))
    assert 3 <= len(done) < 80
    for path in done:
        with Image.open(path) as image:
            image.load()
    with pytest.raises(InputError, match="preparing it was stopped"):
        load_pairs(str(out))
    preparing.cut(str(tmp_path / "in"), str(out))
    assert len(list(out.glob("*/*.png"))) == 80
    assert not list(out.rglob("*.partial"))
