import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY, encode, random_deep, random_image, write_image
from PIL import Image

from tf_pix2pix import images, preparing
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.preparing import file_images


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files(folder)}


def write_palette(path, seed, **options):
    image = Image.fromarray(random_image(seed, 12, 16, 1)[:, :, 0] % 13)
    image.putpalette(random_image(7, 13, 3, 1).tobytes())
    write_encoded(path, encode(image, "TIFF" if path.suffix == ".tif" else "PNG", **options))


def write_encoded(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_16_bits(path, seed, channels, height=12, width=16):
    write_encoded(path, images.encode(random_deep(seed, height, width, channels)))


TURNED = Image.Exif()
TURNED[0x0112] = 6  # by 90 degrees
KINDS = {
    "gray": lambda path, seed: write_image(path, random_image(seed, 12, 16, 1)),
    "rgb": lambda path, seed: write_image(path, random_image(seed, 12, 16, 3)),
    "rgba": lambda path, seed: write_image(path, random_image(seed, 12, 16, 4)),
    "palette": write_palette,
    "transparent palette": lambda path, seed: write_palette(path, seed, transparency=bytes([0, 128, 255])),
    "16-bit gray": lambda path, seed: write_16_bits(path, seed, 1),
    "16-bit gray and alpha": lambda path, seed: write_16_bits(path, seed, 2),  # read as RGBA
    "16-bit rgb": lambda path, seed: write_16_bits(path, seed, 3),
    "16-bit rgba": lambda path, seed: write_16_bits(path, seed, 4),
    "turned": lambda path, seed: write_encoded(path, encode(Image.fromarray(random_image(seed, 16, 12)), exif=TURNED)),
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


def test_different_palettes_become_colors(tmp_path):
    write_palette(tmp_path / "in" / "a" / "1.png", 1)
    write_image(tmp_path / "in" / "b" / "1.png", random_image(2, 12, 16, 1))
    preparing.combine([str(tmp_path / "in")], str(tmp_path / "out"))
    sides = [images.decode((tmp_path / "in" / side / "1.png").read_bytes()) for side in "ab"]
    expected = np.hstack([images.with_channels(side, 3) for side in sides])
    np.testing.assert_array_equal(file_images.read(tmp_path / "out" / "1.png").pixels, expected)


def test_jpegs_become_pngs_unless_a_quality_is_given(tmp_path, capsys):
    folder = tmp_path / "in"
    write_image(folder / "1.jpg", random_image(1, 16, 32))
    preparing.cut(str(folder), str(tmp_path / "png"))
    assert "JPEG files were written as PNG" in capsys.readouterr().out
    halves = [file_images.read(tmp_path / "png" / side / "1.png").pixels for side in "AB"]
    np.testing.assert_array_equal(np.hstack(halves), file_images.read(folder / "1.jpg").pixels)
    write_image(folder / "2.png", random_image(1, 16, 32, 4))  # was not a JPEG
    preparing.cut(str(folder), str(tmp_path / "both"), quality=90)
    assert "JPEG files" not in capsys.readouterr().out  # the only PNG was a PNG before
    assert files(tmp_path / "both") == ["A/1.jpg", "A/2.png", "B/1.jpg", "B/2.png", "prepare.json"]
    assert (tmp_path / "both" / "A" / "1.jpg").read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize("kind", KINDS)
def test_resizing_keeps_depth_channels_and_palette(tmp_path, kind):
    for side in "ab":
        KINDS[kind](tmp_path / "two" / side / "1.png", ord(side))
    preparing.combine([str(tmp_path / "two")], str(tmp_path / "one"))
    for layout, name, width in (("one", "1.png", 20), ("two", "a/1.png", 10)):
        preparing.resize(str(tmp_path / layout), str(tmp_path / "out" / layout), size=(6, 10))
        before, after = (file_images.read(folder / layout / name) for folder in (tmp_path, tmp_path / "out"))
        assert after.pixels.shape == (6, width, before.pixels.shape[2])
        assert (after.pixels.dtype, after.palette) == (before.pixels.dtype, before.palette)


@pytest.mark.parametrize("layout", ["side by side", "two folders"])
@pytest.mark.parametrize("nearest", "ab")
def test_sides_are_resized_separately_each_by_its_method(tmp_path, layout, nearest):
    """Antialiased unless the method is nearest; nothing bleeds across the seam."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[::2] = 200
    if layout == "two folders":
        for side in "ab":
            write_image(tmp_path / "in" / side / "1.png", stripes)
    else:
        write_image(tmp_path / "in" / "1.png", np.hstack([stripes, stripes]))
    preparing.resize(str(tmp_path / "in"), str(tmp_path / "out"), size=(4, 4), **{f"resize_{nearest}": "nearest"})
    paths = [tmp_path / "out" / name for name in (("a/1.png", "b/1.png") if layout == "two folders" else ("1.png",))]
    made = np.hstack([file_images.read(path).pixels for path in paths]).astype(int)
    near, smooth = (made[:, :4], made[:, 4:])[:: 1 if nearest == "a" else -1]
    assert {*near.flat} <= {0, 200}
    assert abs(smooth - 100).max() < 30


@pytest.mark.parametrize("ending", [".tif", ".npy"])
@pytest.mark.parametrize("dtype, channels", [("uint8", 1), ("uint16", 3), ("float32", 3), ("float32", 4)])
def test_tiff_and_npy_keep_their_format(tmp_path, ending, dtype, channels):
    for side in "ab":
        (tmp_path / "in" / side).mkdir(parents=True)
        images.write(tmp_path / "in" / side / f"1{ending}", random_deep(ord(side), 12, 16, channels, dtype))
    preparing.combine([str(tmp_path / "in")], str(tmp_path / "joined"), quality=90)
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
    for number, (height, width, expected) in enumerate([(20, 31, (6, 20, 3)), (50, 1, (10, 2, 3))]):
        write_image(tmp_path / f"{number}" / "1.png", random_image(1, height, 2 * width))
        preparing.resize(str(tmp_path / f"{number}"), str(tmp_path / f"out{number}"), longest_side=10)
        assert file_images.read(tmp_path / f"out{number}" / "1.png").pixels.shape == expected


@pytest.fixture
def scenes(tmp_path):
    """40 pairs in two folders, 8 scenes of 5 frames."""
    for scene in range(8):
        for frame in range(5):
            for side, ending in (("a", "png"), ("b", "jpg")):
                write_image(tmp_path / "scenes" / side / f"s{scene}_{frame}.{ending}", random_image(frame, 4, 4))
    return tmp_path / "scenes"


def stems(folder):
    """split -> the stems of its A."""
    return {path.name: {file.stem for file in (path / "a").iterdir()} for path in folder.iterdir() if path.is_dir()}


def test_a_split_has_exact_counts_and_depends_on_the_seed_alone(scenes, tmp_path):
    preparing.split(str(scenes), str(tmp_path / "1"), fractions=(0.7, 0.2, 0.1))
    found = stems(tmp_path / "1")
    assert {split: len(names) for split, names in found.items()} == {"train": 28, "val": 8, "test": 4}
    assert len(set.union(*found.values())) == 40
    for name, data in contents(tmp_path / "1").items():
        if name != "prepare.json":
            assert data == (scenes / name.split("/", 1)[1]).read_bytes()
    for source, output, seed in ((scenes, "2", 0), (scenes, "3", 1), (tmp_path / "1", "4", 0)):  # 4: pooled again
        preparing.split(str(source), str(tmp_path / output), fractions=(0.7, 0.2, 0.1), seed=seed)
    assert stems(tmp_path / "2") == stems(tmp_path / "4") == found != stems(tmp_path / "3")
    assert found["test"] == {"s4_0", "s4_2", "s7_3", "s7_4"}  # on every machine and in every version


@pytest.mark.parametrize("pattern", [r"^(s\d)_", r"^s\d", r"(s\d)_(?:\d)"])
def test_groups_stay_together(scenes, tmp_path, pattern):
    preparing.split(str(scenes), str(tmp_path / "out"), counts=(None, 10, 5), group=pattern)
    found = stems(tmp_path / "out")
    assert {split: len(names) for split, names in found.items()} == {"train": 25, "val": 10, "test": 5}
    assert sum(len({name[:2] for name in names}) for names in found.values()) == 8


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
            write_image(tmp_path / "set" / "train" / side / f"{number}.png", random_image(number, 12, 16))
    options = dict(input_dir="label", target_dir="photo") | options
    getattr(preparing, command)(str(tmp_path / "set"), str(tmp_path / "made"), **options)
    expected = f"left out, because they are not a side of the pairs: {tmp_path / 'set' / 'train' / 'weights'}\n"
    assert expected in capsys.readouterr().out
    assert not list((tmp_path / "made").rglob("*weights*"))


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
    link, indirect = tmp_path / "link", tmp_path / "indirect"
    link.symlink_to(scenes)
    indirect.mkdir()
    for side in "ab":
        (indirect / side).symlink_to(scenes / side)
    outputs = [scenes, scenes / "out", tmp_path, link, link / "deep" / "out"]
    cases = [*((scenes, output) for output in outputs), (link, scenes), (indirect, scenes), (indirect, scenes / "a")]
    for folder, output in cases:
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
    write_image(tmp_path / "single" / "A.png", random_image(0, 4, 4))
    (tmp_path / "leads_out").mkdir()
    (tmp_path / "leads_out" / ".keep").touch()
    (tmp_path / "leads_out" / "A").symlink_to(tmp_path / "single")
    with pytest.raises(InputError, match="A leads out of it"):
        preparing.cut(str(tmp_path / "linked"), str(tmp_path / "leads_out"))


def test_a_folder_of_something_else_is_never_replaced(side_by_side_folder, tmp_path):
    def refused(message, output=tmp_path / "mine", overwrite=True):
        with pytest.raises(InputError, match=message):
            preparing.cut(str(side_by_side_folder), str(output), overwrite=overwrite)

    write_image(tmp_path / "mine" / "holiday.png", random_image(1, 4, 4))
    refused("mine: not empty", overwrite=False)
    refused("mine: not made by pix2pix prepare, so --overwrite is refused")
    for text in ("", "[1]", "{}", '{"finished": true}'):  # somebody else's
        (tmp_path / "mine" / "prepare.json").write_text(text)
        refused("mine: not made by pix2pix prepare, so --overwrite is refused")
    assert files(tmp_path / "mine") == ["holiday.png", "prepare.json"]
    refused("holiday.png is a file; choose another folder", tmp_path / "mine" / "holiday.png")


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
    write_16_bits(folder / "6.png", 1, 3)
    write_palette(folder / "7.png", 1)
    for name, length in ((2, 300), (6, 200), (7, 120)):
        (folder / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes()[:length])
    (folder / "4.png").write_bytes(b"nonsense")
    write_image(folder / "5.png", random_image(1, 4, 5))
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
    assert (len(files(out)), len(load_pairs(str(out))["train"])) == (21, 9)


def test_pairs_that_do_not_match_are_refused(tmp_path):
    def refused(folders, message):
        with pytest.raises(InputError, match=message):
            preparing.combine([str(folder) for folder in folders], str(tmp_path / "out"), overwrite=True)

    write_image(tmp_path / "in" / "a" / "1.png", random_image(1, 8, 9))
    write_image(tmp_path / "in" / "b" / "1.png", random_image(1, 9, 8))
    sizes = r"a/1.png is 9x8 but .*b/1.png is 8x9 .*resize them first, with pix2pix prepare resize"
    refused([tmp_path / "in"], sizes)
    write_16_bits(tmp_path / "deep" / "a" / "1.png", 1, 1)
    write_image(tmp_path / "deep" / "b" / "1.png", random_image(1, 12, 16, 1))
    refused([tmp_path / "deep"], "a/1.png and .*b/1.png: 16 bits a channel and 8 bits a channel, but a file")
    write_image(tmp_path / "in" / "b" / "2.png", random_image(1, 9, 8))
    refused([tmp_path / "in" / "a", tmp_path / "in" / "b"], "1 image has no partner .*b/2.png")


def test_wrong_layouts_are_refused(side_by_side_folder, scenes, tmp_path):
    def refused(operation, folders, message):
        with pytest.raises(InputError, match=message):
            operation(folders, str(tmp_path / "out"))

    a, b = str(scenes / "a"), str(scenes / "b")
    refused(preparing.combine, [str(side_by_side_folder)], "pairs: images without a second side; give two folders")
    refused(preparing.cut, str(scenes), "scenes: two folders of images; cutting requires side-by-side files")
    refused(preparing.combine, [a, str(tmp_path / "nowhere")], "nowhere: not a folder")
    (scenes / "a" / "train").mkdir()
    refused(preparing.combine, [a, b], "b/train: missing; both folders need the same splits")
    for split in ("train", "val"):
        write_image(tmp_path / "twice" / split / "1.png", random_image(0, 4, 4))
    refused(preparing.split, str(tmp_path / "twice"), "train/1.png and .*val/1.png: the same name")


def test_an_interrupted_command_leaves_complete_files_and_resumes(side_by_side_folder, tmp_path, monkeypatch):
    folder, out, whole = str(side_by_side_folder), tmp_path / "out", tmp_path / "whole"
    preparing.cut(folder, str(whole))
    write_bytes, calls = Path.write_bytes, []

    def failing(path, data):
        calls.append(path)
        write_bytes(path, data if len(calls) < 8 else data[: len(data) // 2])
        if len(calls) >= 8:
            raise KeyboardInterrupt if len(calls) == 8 else OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OSError)):
        patch.setattr(Path, "write_bytes", failing)
        preparing.cut(folder, str(out))
    left = contents(out)
    assert 1 < len(left) <= 8
    for name in left.keys() - {"prepare.json"}:
        assert left[name] == (whole / name).read_bytes()
    preparing.cut(folder, str(out))
    assert contents(out) == contents(whole)


def test_a_killed_command_leaves_complete_files_and_resumes(tmp_path):
    for number in range(30):
        write_image(tmp_path / "in" / f"{number}.bmp", random_image(number, 400, 800))
    out = tmp_path / "out"
    script = "from tf_pix2pix.preparing import cut; cut('in', 'out')"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment)
    while process.poll() is None and len(list(out.glob("*/*.png"))) < 3:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = list(out.glob("*/*.png"))
    assert 3 <= len(done) < 60
    for path in done:
        images.decode(path.read_bytes())
    with pytest.raises(InputError, match="preparing it was stopped"):
        load_pairs(str(out))
    preparing.cut(str(tmp_path / "in"), str(out))
    assert len(list(out.glob("*/*.png"))) == 60
    assert not list(out.rglob("*.partial"))
