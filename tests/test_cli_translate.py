import functools
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import make_run, random_image, write_image
from PIL import Image, ImageOps

from tf_pix2pix import images
from tf_pix2pix.cli.translate import main
from tf_pix2pix.datasets.synthetic_facades import facade
from tf_pix2pix.errors import RunError
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.tasks import input_maker
from tf_pix2pix.translation import Translator
from tf_pix2pix.translation.models import Model

LOAD = functools.cache(Translator.load)


@pytest.fixture(autouse=True)
def models_loaded_once(monkeypatch):
    """Loading and tracing a model takes seconds."""
    monkeypatch.setattr(Translator, "load", LOAD)


@pytest.fixture
def folder(tmp_path):
    """A folder of four images of different sizes and formats, and of other files."""
    sizes = {"a.png": (20, 30), "b.bmp": (33, 9), "c.png": (1, 1), "d.PNG": (40, 40)}
    for number, (name, size) in enumerate(sizes.items()):
        write_image(tmp_path / "in" / name, random_image(number, *size))
    (tmp_path / "in" / "notes.txt").write_text("text")
    (tmp_path / "in" / ".hidden.png").write_text("text")
    return tmp_path / "in"


@pytest.fixture
def run(tiny_run, capsys):
    """Runs the command in this process; returns the exit code, stdout and stderr."""

    def run(*words, model=tiny_run):
        code = main(["translate", f"--model={model}", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_becomes_a_folder_of_pngs_and_results_that_exist_are_skipped(run, folder, tmp_path, tiny_run):
    output = tmp_path / "new" / "out"
    code, out, err = run(folder, f"--output={output}")
    assert (code, err, files(output)) == (0, "", ["a.png", "b.png", "c.png", "d.png"])
    assert f"translated 4 of 4 images into {output}" in out
    translator = LOAD(str(tiny_run), "best", None)
    for path in folder.glob("?.*"):
        expected = translator.translate(images.decode(path.read_bytes()))
        np.testing.assert_array_equal(images.decode((output / f"{path.stem}.png").read_bytes()), expected)
    (output / "b.png").unlink()
    (output / "c.png").write_bytes(b"mine")
    code, out, _ = run(folder, f"--output={output}")
    assert code == 0
    assert "skipped 3 of 4: translated before; --overwrite repeats them\ntranslated 1 of 1 images" in out
    assert (output / "c.png").read_bytes() == b"mine"
    assert run(folder, f"--output={output}")[1] == "skipped 4 of 4: translated before; --overwrite repeats them\n"
    assert run(folder, f"--output={output}", "--overwrite")[0] == 0
    assert (output / "c.png").read_bytes() != b"mine"


def test_files_and_patterns_can_be_mixed_and_one_result_named(run, folder, tmp_path, monkeypatch):
    """Also a folder with a dot, endings in capitals, one image by two paths, and a folder named like an image."""
    monkeypatch.chdir(folder)
    assert run("a.png", folder / "a.png", f"{folder}/[ab].*", f"--output={tmp_path}/out")[0] == 0
    assert files(tmp_path / "out") == ["a.png", "b.png"]
    assert run("a.png", f"--output={tmp_path}/ONE.PNG")[0] == 0
    assert (tmp_path / "ONE.PNG").read_bytes() == (tmp_path / "out" / "a.png").read_bytes()
    write_image(folder / "folder.png" / "deep" / "e.f.png", random_image(0, 4, 4))
    (tmp_path / "out.2").mkdir()
    assert run(f"{folder}/**/*[af].png", f"{folder}/f*", f"--output={tmp_path}/out.2")[0] == 2  # f* is a folder
    assert run(f"{folder}/**/*[afr].png", f"--output={tmp_path}/out.2")[0] == 0
    assert files(tmp_path / "out.2") == ["a.png", "e.f.png"]
    assert run(folder, f"--output={tmp_path}/results-1.0")[0] == 0
    assert files(tmp_path / "results-1.0") == ["a.png", "b.png", "c.png", "d.png"]


def test_every_unusual_image_is_translated_or_named(run, tmp_path, tiny_run):
    """As if it were a plain RGB PNG; otherwise one line has its name, and the others are translated."""
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = Image.fromarray(random_image(0, 20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    rgb.save(folder / "turned.jpg", exif=exif, quality=95)
    rgb.quantize(16).save(folder / "animated.gif", save_all=True, append_images=[rgb.rotate(180)])
    rgb.quantize(16).save(folder / "palette.png")
    rgb.convert("L").save(folder / "gray.png")
    rgb.convert("1").save(folder / "bilevel.png")
    Image.fromarray(images.with_channels(np.asarray(rgb), 4)).save(folder / "opaque.png")
    good = {}
    for path in folder.iterdir():
        with Image.open(path) as image:
            good[path.stem] = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    Image.fromarray(random_image(0, 20, 30, 4)).save(folder / "alpha.png")
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(folder / "deep.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:-100])
    (folder / "link.png").symlink_to("nowhere.png")
    small = (folder / "opaque.png").read_bytes()
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60000, 60000, 8, 6, 0, 0, 0)
    (folder / "huge.png").write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    code, out, err = run(folder, f"--output={tmp_path}/out")
    assert code == 1
    translator = LOAD(str(tiny_run), "best", None)
    for name, image in good.items():
        translated = images.decode((tmp_path / "out" / f"{name}.png").read_bytes())
        np.testing.assert_array_equal(translated, translator.translate(image), err_msg=name)
    problems = {
        "alpha.png": "transparen",
        "deep.png": "16",
        "huge.png": "too many pixels",
        "link.png": "No such file",
    }
    for name in (*problems, "empty.png", "cut.jpg"):
        assert re.search(f"^error: {folder}/{name}: .*{problems.get(name, '')}", err, re.MULTILINE), err
    assert f"translated {len(good)} of {len(good) + 6} images" in out
    assert len(err.splitlines()) == 6 + 1
    assert err.splitlines()[-1].startswith(f"error: 6 of {len(good) + 6} images could not be translated: ")
    assert len(files(tmp_path / "out")) == len(good)


def test_side_by_side_pairs_are_cut_as_in_the_run(run, tmp_path):
    """TINY is BtoA: its input is the right half."""
    pair = random_image(0, 20, 60)
    write_image(tmp_path / "pair.png", pair)
    for name, half in {"right": pair[:, 30:], "left": pair[:, :30]}.items():
        write_image(tmp_path / f"{name}.png", half)
        run(tmp_path / f"{name}.png", f"--output={tmp_path}/expected")
    for flags, name in (([], "right"), (["--direction=AtoB"], "left")):
        assert run(tmp_path / "pair.png", f"--output={tmp_path}/{name}_out.png", "--side_by_side", *flags)[0] == 0
        assert (tmp_path / f"{name}_out.png").read_bytes() == (tmp_path / "expected" / f"{name}.png").read_bytes()


def test_inputs_are_made_from_photos(run, inpaint_run, tmp_path):
    """Also from the left half of side-by-side pairs: TINY is BtoA, its targets are left."""
    write_image(tmp_path / "photo.png", photo := random_image(0, 20, 30))
    write_image(tmp_path / "pair.png", np.hstack([photo, random_image(1, 20, 30)]))
    write_image(tmp_path / "holes.png", input_maker("inpaint", Side(3), share=0.2)(tf.constant(photo)).numpy())
    for name, flags in {"photo": ["--make_inputs"], "pair": ["--make_inputs", "--side_by_side"], "holes": []}.items():
        words = [tmp_path / f"{name}.png", f"--output={tmp_path}/{name}_out.png", *flags]
        assert run(*words, model=inpaint_run)[0] == 0
    made = [images.decode((tmp_path / f"{name}_out.png").read_bytes()) for name in ("photo", "pair", "holes")]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    code, _, err = run(tmp_path / "photo.png", f"--output={tmp_path}/x.png", "--enlarge", model=inpaint_run)
    assert (code, "task=inpaint" in err, len(err.splitlines())) == (2, True, 1)
    code, _, err = run(tmp_path / "photo.png", f"--output={tmp_path}/x.png", "--make_inputs")
    assert (code, "pairs" in err, len(err.splitlines())) == (2, True, 1)


def test_variants_are_numbered(run, folder, tmp_path):
    code, _, _ = run(folder / "a.png", f"--output={tmp_path}/out", "--samples=2", "--noise_seed=3")
    assert (code, files(tmp_path / "out")) == (0, ["a_1.png", "a_2.png"])
    first, second = ((tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out"))
    assert first != second
    run(folder / "a.png", f"--output={tmp_path}/again.png", "--samples=1", "--noise_seed=3")
    assert (tmp_path / "again_1.png").read_bytes() == first
    run(folder / "a.png", f"--output={tmp_path}/other.png", "--samples=1", "--noise_seed=4")
    assert (tmp_path / "other_1.png").read_bytes() != first
    (tmp_path / "out" / "a_2.png").unlink()
    assert "1 of 1 images" in run(folder / "a.png", f"--output={tmp_path}/out", "--samples=2", "--noise_seed=3")[1]
    assert (tmp_path / "out" / "a_2.png").read_bytes() == second


@pytest.mark.parametrize(("flag", "given"), [("resize", "train"), ("max_pixels", 32 * 32)])
def test_flags_are_the_options_of_the_translator(run, folder, tmp_path, tiny_run, flag, given):
    assert run(folder / "d.PNG", f"--output={tmp_path}/d.png", f"--{flag}={given}")[0] == 0
    image = images.decode((folder / "d.PNG").read_bytes())
    plain, limited = (LOAD(str(tiny_run), "best", max_pixels) for max_pixels in (None, 32 * 32))
    expected = plain.translate(image, resize="train") if flag == "resize" else limited.translate(image)
    translated = images.decode((tmp_path / "d.png").read_bytes())
    np.testing.assert_array_equal(translated, expected)
    assert (translated != plain.translate(image)).any()


def test_a_server_without_a_config(run, folder, tmp_path, monkeypatch):
    """An image that it fails on does not stop the others."""

    def generate(image):
        if image.shape[1] == 33:
            raise RunError("busy")
        return image

    monkeypatch.setattr(Translator, "load", lambda *given: Translator(Model(generate)))
    for flag, problem in (("--side_by_side", "requires --direction"), ("--resize=train", "resize=train")):
        code, _, err = run(folder, f"--output={tmp_path}/out", flag)
        assert (code, problem in err, len(err.splitlines())) == (2, True, 1)
    assert run(folder / "a.png", f"--output={tmp_path}/b.png", "--side_by_side", "--direction=BtoA")[0] == 0
    half = images.decode((folder / "a.png").read_bytes())[:, 15:]
    np.testing.assert_array_equal(images.decode((tmp_path / "b.png").read_bytes()), half)
    (tmp_path / "out" / "c.png").mkdir(parents=True)
    code, _, err = run(folder, f"--output={tmp_path}/out", "--overwrite")
    assert (code, files(tmp_path / "out")) == (1, ["a.png", "c.png", "d.png"])
    assert f"error: {folder}/b.bmp: busy" in err
    assert f"error: {tmp_path}/out/c.png.partial: Is a directory\n" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no images given: name files, folders or patterns"),
        (["nowhere.png"], "nowhere.png: no such file or folder, and no file matches it as a pattern"),
        (["{in}", "--output="], "--output is missing"),
        (["{in}", "--model="], "--model is missing"),
        (["{in}", "--model=nowhere"], "nowhere: not found; pass a run"),
        (["{in}", "--checkpoint=7"], "checkpoint 7 is missing"),
        (["{in}", "--resize=half"], "--resize=half: must be one of native, train"),
        (["{in}", "--max_pixels=0"], "--max_pixels=0: must be at least 1"),
        (["{in}", "--output=out.jpg"], "--output=out.jpg: results are PNG files; use out.png, or"),
        (["{in}", "--output=out.png"], "--output=out.png: one file for several images; choose a folder"),
        (["{in}/notes.d"], "notes.d: contains no images .*png, .jpg"),
        (["{in}", "--output={in}/notes"], "a.bmp and .*a.png would both become .*notes/a.png"),
        (["{in}/a.png", "--output={in}"], "--output=.*in: contains the input a.png; choose another"),
        (["{in}/a.png", "--output={in}/a.png"], "--output=.*: would replace the input .*a.png"),
        (["{in}/a.png", "--output={in}/notes.txt"], "notes.txt is a file; choose another"),
        (["{in}/a.png", "--output=/dev/null/x"], "/dev/null/x"),
        (["{in}", "--direction=AtoB"], "--direction requires --side_by_side"),
        (["{in}", "--noise_seed=3"], "--noise_seed requires --samples"),
        (["{in}", "--model={in}", "--checkpoint=best"], "--checkpoint requires a run directory"),
        (["{in}/a.png", "--output={in}/../in/a.png"], "would replace the input"),
        (["{in}", "--model={runs}"], "not a model; it contains the runs run; pass one of them"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, folder, tmp_path, tiny_run, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    if "notes" in message:
        write_image(folder / "a.bmp", random_image(0, 4, 4))
        (folder / "notes.d").mkdir()
    before = files(folder)
    flags = [flag.replace("{in}", str(folder)).replace("{runs}", str(tiny_run.parent)) for flag in flags]
    code, out, err = run(*([] if any("--output" in flag for flag in flags) else ["--output=out"]), *flags)
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(message, err), err
    assert (files(folder), files(tmp_path)) == (before, ["in"])


@pytest.fixture(scope="module")
def float_run(tmp_path_factory):
    """A run from 8-bit RGBA to floats, whose depth is in sides.json alone."""
    sides = Sides(Side(4), Side(1, "float32", (-2000.0, 3000.0)))
    return make_run(tmp_path_factory.mktemp("floats") / "run", sides, depth=2).directory


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["{in}", "--output=out"], ["a.npy"]),
        (["{in}", "--output=out", "--output_format=tiff"], ["a.tif"]),
        (["{in}/a.png", "--output=out/one.TIFF"], ["one.TIFF"]),
    ],
)
def test_floats_are_written_as_npy_or_as_asked(run, tmp_path, float_run, monkeypatch, flags, names):
    monkeypatch.chdir(tmp_path)
    image = random_image(0, 20, 30, 4)
    write_image(tmp_path / "in" / "a.png", image)
    assert run(*(flag.format(**{"in": "in"}) for flag in flags), model=float_run)[0] == 0
    assert files(tmp_path / "out") == names
    expected = Translator.load(float_run).translate(image)
    np.testing.assert_array_equal(images.decode((tmp_path / "out" / names[0]).read_bytes()), expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--output=out", "--output_format=png"],
            "results are floats, which PNG cannot store; use --output_format=npy",
        ),
        (["--output=out.png"], "results are floats, which PNG cannot store"),
        (["--output=out.jpg"], "--output=out.jpg: results are NPY files; use out.npy, or .png or .tif or .tiff"),
        (["--output=out.tif", "--output_format=npy"], "--output=out.tif: results are NPY files; use out.npy$"),
        (["--output=out", "--output_format=jpg"], "output_format=jpg.*png, tiff, npy"),
    ],
)
def test_files_that_cannot_hold_floats_are_refused(run, tmp_path, float_run, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", random_image(0, 20, 30, 4))
    code, _, err = run("a.png", *flags, model=float_run)
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(message, err, re.MULTILINE), err
    assert files(tmp_path) == ["a.png"]


@pytest.fixture(scope="module")
def shrunk_run(tmp_path_factory):
    """A run whose training shrank images of 150x150 to 36x36, 0.24 of their size."""
    sides = Sides(Side(3, image_size=(150, 150)), Side(3, image_size=(150, 150)))
    return make_run(tmp_path_factory.mktemp("shrunk") / "run", sides, filters=2).directory


def test_a_scale_far_from_that_of_training_is_noted_once(run, tmp_path, shrunk_run):
    for number, side in enumerate((150, 32, 150, 300, 36)):
        write_image(tmp_path / "in" / f"{number}.png", random_image(number, side, side))
    note = "seen at 4.2 times the scale of training; --resize=train translates at the trained scale\n"
    assert run(tmp_path / "in", f"--output={tmp_path}/1", model=shrunk_run)[2] == f"3 of 5 images are {note}"
    assert run(tmp_path / "in" / "0.png", f"--output={tmp_path}/2", model=shrunk_run)[2] == f"1 of 1 images is {note}"
    write_image(tmp_path / "in" / "5.png", random_image(5, 90, 90))
    err = run(tmp_path / "in", f"--output={tmp_path}/3", model=shrunk_run)[2]
    assert err.startswith("4 of 6 images are seen at 2.5 to 4.2 times the scale of training; ")
    assert run(tmp_path / "in", f"--output={tmp_path}/4", "--resize=train", model=shrunk_run)[2] == ""
    assert run(tmp_path / "in" / "1.png", f"--output={tmp_path}/5", model=shrunk_run)[2] == ""


def test_side_by_side_pairs_that_are_not_cut_are_noted(run, tmp_path):
    for number in range(2):
        photo, labels = facade(0, number, (64, 64))
        write_image(tmp_path / "pairs" / f"{number}.png", np.hstack([photo, labels]))
        write_image(tmp_path / "wide" / f"{number}.png", facade(0, number, (64, 128))[0])
    expected = "2 of 2 images look like side-by-side pairs; --side_by_side translates the input half\n"
    assert run(tmp_path / "pairs", f"--output={tmp_path}/1")[2] == expected
    one = run(tmp_path / "pairs" / "0.png", f"--output={tmp_path}/2")[2]
    assert one.startswith("1 of 1 images looks like a side-by-side pair; ")
    assert run(tmp_path / "pairs", f"--output={tmp_path}/3", "--side_by_side")[2] == ""
    assert run(tmp_path / "wide", f"--output={tmp_path}/4")[2] == ""
