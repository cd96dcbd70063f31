import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, random_picture, write_picture
from PIL import Image, ImageOps

from tf_pix2pix import images
from tf_pix2pix.cli.translate import main
from tf_pix2pix.errors import RunError
from tf_pix2pix.tasks import input_maker
from tf_pix2pix.translation import Translator


@pytest.fixture
def pictures(tmp_path):
    """A folder of four pictures of their own sizes and formats, and something else."""
    for number, (name, size) in enumerate(
        {"a.png": (20, 30), "b.bmp": (33, 9), "c.png": (1, 1), "d.PNG": (40, 40)}.items()
    ):
        write_picture(tmp_path / "in" / name, random_picture(number, *size))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_text("no picture")
    return tmp_path / "in"


@pytest.fixture
def run(tiny_run, capsys):
    """Runs the command in this process -> exit code, stdout, stderr."""

    def run(*words, model=tiny_run):
        code = main(["translate", f"--model={model}", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_folder_becomes_a_folder_of_pngs(run, pictures, tmp_path, tiny_run):
    code, out, err = run(pictures, f"--output={tmp_path}/new/out")
    assert (code, files(tmp_path / "new" / "out")) == (0, ["a.png", "b.png", "c.png", "d.png"])
    assert f"4 of 4 pictures translated into {tmp_path}/new/out" in out
    translator = Translator.from_run(tiny_run)
    for path in pictures.glob("?.*"):
        expected = translator.translate(images.decode(path.read_bytes()))
        translated = images.decode((tmp_path / "new" / "out" / f"{path.stem}.png").read_bytes())
        np.testing.assert_array_equal(translated, expected)


def test_files_and_patterns_go_together_and_one_picture_may_be_named(run, pictures, tmp_path):
    assert run(pictures / "a.png", f"{pictures}/[ab].*", f"--output={tmp_path}/out")[0] == 0
    assert files(tmp_path / "out") == ["a.png", "b.png"]
    assert run(pictures / "a.png", f"--output={tmp_path}/one.png")[0] == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "out" / "a.png").read_bytes()
    write_picture(pictures / "folder.png" / "deep" / "e.f.png", random_picture(0, 4, 4))
    (tmp_path / "out.2").mkdir()
    assert run(f"{pictures}/**/*[af].png", f"{pictures}/f*", f"--output={tmp_path}/out.2")[0] == 2  # f* is a folder
    assert run(f"{pictures}/**/*[afr].png", f"--output={tmp_path}/out.2")[0] == 0
    assert files(tmp_path / "out.2") == ["a.png", "e.f.png"]


def test_names_are_taken_as_they_are(run, pictures, tmp_path, monkeypatch):
    """A folder may have a dot, a file a big ending; one picture by two paths is one; a folder is no picture."""
    monkeypatch.chdir(pictures)
    (pictures / "folder.png").mkdir()
    assert run(pictures, f"--output={tmp_path}/results-1.0")[0] == 0
    assert files(tmp_path / "results-1.0") == ["a.png", "b.png", "c.png", "d.png"]
    code, out, _ = run("a.png", pictures / "a.png", f"--output={tmp_path}/once")
    assert (code, files(tmp_path / "once")) == (0, ["a.png"])
    assert run("a.png", f"--output={tmp_path}/UP.PNG")[0] == 0
    assert "UP.PNG" in files(tmp_path)


def test_what_is_done_is_left_out(run, pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, f"--output={out}")
    (out / "b.png").unlink()
    (out / "c.png").write_bytes(b"mine")
    code, said, _ = run(pictures, f"--output={out}")
    assert code == 0
    assert "3 of 4 were translated before; --overwrite does them again" in said
    assert "1 of 1 pictures" in said
    assert (out / "c.png").read_bytes() == b"mine"
    (said,) = run(pictures, f"--output={out}")[1].splitlines()
    assert said == "4 of 4 were translated before; --overwrite does them again"
    assert run(pictures, f"--output={out}", "--overwrite")[0] == 0
    assert (out / "c.png").read_bytes() != b"mine"


def test_a_bad_file_is_named_and_does_not_stop_the_others(run, pictures, tmp_path):
    (pictures / "b.bmp").write_bytes(b"BM nonsense")
    write_picture(pictures / "e.png", random_picture(0, 9, 9, 4))
    (pictures / "f.png").symlink_to("nowhere.png")
    code, out, err = run(pictures, f"--output={tmp_path}/out")
    assert code == 1
    assert files(tmp_path / "out") == ["a.png", "c.png", "d.png"]
    assert f"error: {pictures}/b.bmp: it " in err
    assert f"error: {pictures}/e.png: it has transparency" in err
    assert f"error: {pictures}/f.png: No such file or directory" in err
    assert "3 of 6 pictures translated" in out
    assert err.splitlines()[-1].startswith("error: 3 of 6 pictures could not be translated: ")


def test_every_odd_picture_is_translated_rightly_or_named(run, tmp_path, tiny_run):
    """Each as if it had been saved as a plain RGB PNG, or one line with its name."""
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = Image.fromarray(random_picture(0, 20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    opaque = Image.fromarray(images.with_channels(np.asarray(rgb), 4))
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    rgb.save(folder / "turned.jpg", exif=exif, quality=95)
    rgb.save(folder / "animated.webp", save_all=True, append_images=[rgb.rotate(180)], lossless=True)
    rgb.quantize(16).save(folder / "animated.gif", save_all=True, append_images=[rgb.rotate(180)])
    rgb.quantize(16).save(folder / "palette.png")
    rgb.convert("L").save(folder / "gray.png")
    rgb.convert("1").save(folder / "bilevel.png")
    opaque.save(folder / "opaque.png")
    good = {}
    for path in folder.iterdir():
        with Image.open(path) as picture:
            good[path] = ImageOps.exif_transpose(picture).convert("RGB")
    good[folder / "animated.webp"] = rgb
    Image.fromarray(random_picture(0, 20, 30, 4)).save(folder / "alpha.png")
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(folder / "deep.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:-100])
    small = (folder / "opaque.png").read_bytes()
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60000, 60000, 8, 6, 0, 0, 0)
    (folder / "huge.png").write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    for path in [*good]:  # results are called by the name without its ending
        good[path.rename(path.with_stem(f"{path.stem}_{path.suffix[1:]}"))] = good.pop(path)
    code, out, err = run(folder, f"--output={tmp_path}/out")
    assert code == 1
    translator = Translator.from_run(tiny_run)
    for path, picture in good.items():
        translated = images.decode((tmp_path / "out" / f"{path.stem}.png").read_bytes())
        np.testing.assert_array_equal(translated, translator.translate(np.asarray(picture)), err_msg=str(path))
    for name, said in {
        "alpha.png": "it has transparency",
        "deep.png": "it has 16 bits a channel",
        "empty.png": "it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture",
        "text.jpg": "it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture",
        "cut.jpg": "it cannot be decoded",
        "huge.png": r"it cannot be decoded: Image size (3600000000 pixels) exceeds limit",
    }.items():
        assert f"error: {folder}/{name}: {said}" in err
    assert f"{len(good)} of {len(good) + 6} pictures translated" in out
    assert len(err.splitlines()) == 6 + 1
    assert len(files(tmp_path / "out")) == len(good)


def test_pairs_are_cut_as_in_the_run(run, tmp_path):
    """TINY is BtoA: its input is the right half."""
    pair = random_picture(0, 20, 60)
    write_picture(tmp_path / "pair.png", pair)
    for name, half in {"right": pair[:, 30:], "left": pair[:, :30]}.items():
        write_picture(tmp_path / f"{name}.png", half)
        run(tmp_path / f"{name}.png", f"--output={tmp_path}/expected")
    for flags, name in (([], "right"), (["--direction=AtoB"], "left")):
        assert run(tmp_path / "pair.png", f"--output={tmp_path}/{name}_out.png", "--side_by_side", *flags)[0] == 0
        assert (tmp_path / f"{name}_out.png").read_bytes() == (tmp_path / "expected" / f"{name}.png").read_bytes()


def test_a_tasks_photos_are_prepared(run, inpaint_run, tmp_path):
    """Of pairs side by side, whose photos are left (TINY is BtoA), the photo is taken."""
    write_picture(tmp_path / "photo.png", photo := random_picture(0, 20, 30))
    write_picture(tmp_path / "pair.png", np.hstack([photo, random_picture(1, 20, 30)]))
    write_picture(tmp_path / "holes.png", input_maker("inpaint", share=0.2)(tf.constant(photo)).numpy())
    for name, flags in {"photo": ["--task"], "pair": ["--task", "--side_by_side"], "holes": []}.items():
        words = [tmp_path / f"{name}.png", f"--output={tmp_path}/{name}_out.png", *flags]
        assert run(*words, model=inpaint_run)[0] == 0
    made = [images.decode((tmp_path / f"{name}_out.png").read_bytes()) for name in ("photo", "pair", "holes")]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    code, _, err = run(tmp_path / "photo.png", f"--output={tmp_path}/x.png", "--enlarge", model=inpaint_run)
    assert (code, "enlarge is of no use here: the model was trained on task=inpaint" in err) == (2, True)
    code, _, err = run(tmp_path / "photo.png", f"--output={tmp_path}/x.png", "--task")
    assert (code, "task is of no use here: the model was trained on pairs" in err) == (2, True)


def test_variants_are_numbered(run, pictures, tmp_path):
    code, _, _ = run(pictures / "a.png", f"--output={tmp_path}/out", "--samples=2", "--noise_seed=3")
    assert (code, files(tmp_path / "out")) == (0, ["a_1.png", "a_2.png"])
    first, second = ((tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out"))
    assert first != second
    run(pictures / "a.png", f"--output={tmp_path}/again.png", "--samples=1", "--noise_seed=3")
    assert (tmp_path / "again_1.png").read_bytes() == first
    run(pictures / "a.png", f"--output={tmp_path}/other.png", "--samples=1", "--noise_seed=4")
    assert (tmp_path / "other_1.png").read_bytes() != first
    (tmp_path / "out" / "a_2.png").unlink()
    assert "1 of 1 pictures" in run(pictures / "a.png", f"--output={tmp_path}/out", "--samples=2", "--noise_seed=3")[1]
    assert (tmp_path / "out" / "a_2.png").read_bytes() == second


@pytest.mark.parametrize(("flag", "given"), [("resize", "train"), ("max_pixels", 32 * 32)])
def test_flags_are_the_translators_options(run, pictures, tmp_path, tiny_run, flag, given):
    assert run(pictures / "d.PNG", f"--output={tmp_path}/d.png", f"--{flag}={given}")[0] == 0
    picture = images.decode((pictures / "d.PNG").read_bytes())
    plain, limited = Translator.from_run(tiny_run), Translator.from_run(tiny_run, max_pixels=32 * 32)
    expected = plain.translate(picture, resize="train") if flag == "resize" else limited.translate(picture)
    translated = images.decode((tmp_path / "d.png").read_bytes())
    np.testing.assert_array_equal(translated, expected)
    assert (translated != plain.translate(picture)).any()


def test_a_server_that_says_nothing_of_itself(run, pictures, tmp_path, monkeypatch):
    """And what it fails in does not stop the others."""

    def generate(image):
        if image.shape[1] == 33:
            raise RunError("it is busy")
        return image

    monkeypatch.setattr(Translator, "load", lambda *given: Translator(generate))
    for flag, said in (("--side_by_side", "which half is the input"), ("--resize=train", "the size trained on")):
        code, _, err = run(pictures, f"--output={tmp_path}/out", flag)
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err
    assert run(pictures / "a.png", f"--output={tmp_path}/b.png", "--side_by_side", "--direction=BtoA")[0] == 0
    half = images.decode((pictures / "a.png").read_bytes())[:, 15:]
    np.testing.assert_array_equal(images.decode((tmp_path / "b.png").read_bytes()), half)
    (tmp_path / "out" / "c.png").mkdir(parents=True)
    code, _, err = run(pictures, f"--output={tmp_path}/out", "--overwrite")
    assert (code, files(tmp_path / "out")) == (1, ["a.png", "c.png", "d.png"])
    assert f"error: {pictures}/b.bmp: it is busy" in err
    assert f"error: {tmp_path}/out/c.png.partial: Is a directory\n" in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no picture is given: name files, folders or patterns"),
        (["nowhere.png"], "nowhere.png does not exist, and matches nothing as a pattern"),
        (["{in}", "--output="], "--output is missing"),
        (["{in}", "--model="], "--model is missing"),
        (["{in}", "--model=nowhere"], "nowhere does not exist; a model is a run"),
        (["{in}", "--checkpoint=7"], "has no checkpoint 7; it has "),
        (["{in}", "--resize=half"], "resize=half is unknown; choose one of native, train"),
        (["{in}", "--samples=0"], "--samples=0 is too small"),
        (["{in}", "--max_pixels=0"], "--max_pixels=0 is too small"),
        (["{in}", "--output=out.jpg"], "results are PNG files; call it out.png"),
        (["{in}", "--output=out.png"], "--output=out.png is one file, but there are several pictures"),
        (["{in}", "--output={in}/notes"], "a.bmp and .*a.png would both become .*notes/a.png"),
        (["{in}/[ac].png", "--output=out.png"], "--output=out.png is one file, but there are several pictures"),
        (["{in}/a.png", "--output={in}"], "--output=.*in is where a.png is that is to be translated; choose another"),
        (["{in}/a.png", "--output={in}/a.png"], "a.png is one of the pictures to translate"),
        (
            ["{in}/a.png", "--output={in}/notes.txt"],
            "notes.txt cannot be written: .*notes.txt is a file; choose another --out",
        ),
        (["{in}/a.png", "--output=/dev/null/x"], "/dev/null/x cannot be written: /dev/null is a file"),
        (["{in}", "--direction=AtoB"], "--direction is of no use without --side_by_side"),
        (["{in}", "--noise_seed=3"], "--noise_seed is of no use without --samples"),
        (["{in}", "--model={in}", "--checkpoint=best"], "--checkpoint is of no use without a run directory"),
        (["{in}/a.png", "--output={in}/../in/a.png"], "a.png is one of the pictures to translate"),
        (["{in}/a.png", "--output={in}/a.bmp"], "results are PNG files"),
        (["{in}", "--outputs=x"], "Unknown command line flag 'outputs'"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, pictures, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    if "notes" in message:
        write_picture(pictures / "a.bmp", random_picture(0, 4, 4))
    before = files(pictures)
    flags = [flag.replace("{in}", str(pictures)) for flag in flags]
    code, out, err = run(*([] if any("--output" in flag for flag in flags) else ["--output=out"]), *flags)
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(message, err), err
    assert (files(pictures), files(tmp_path)) == (before, ["in"])


def test_a_folder_of_one_goes_to_a_folder(run, tmp_path):
    write_picture(tmp_path / "in" / "a.png", random_picture(0, 4, 4))
    code, _, err = run(tmp_path / "in", f"--output={tmp_path}/one.png")
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"--output={tmp_path}/one.png is one file, but there are several pictures" in err


def test_an_empty_folder_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run(tmp_path / "empty", f"--output={tmp_path}/out")
    assert code == 2
    assert f"{tmp_path}/empty holds no pictures (.png, .jpg" in err


def test_as_a_user_calls_it(pictures, tmp_path, tiny_run):
    command = [
        sys.executable,
        "-m",
        "tf_pix2pix.cli.translate",
        f"--model={tiny_run}",
        pictures,
        f"--output={tmp_path}/out",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path / "out") == ["a.png", "b.png", "c.png", "d.png"]


def test_a_wrong_flag_and_help_cost_no_tensorflow():
    code = (
        "import sys; from tf_pix2pix.cli.translate import main;"
        "main(['x', '--help']); main(['x', '--samples=many']); print('tensorflow' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    assert out.splitlines()[-1] == "False"
