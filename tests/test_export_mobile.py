"""export/mobile/translate.py against the run's own function of the same generator."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers import REPOSITORY, encode, import_script, make_sides, make_source, random_image, write_image
from PIL import Image

from tf_pix2pix import images, model_card
from tf_pix2pix.exporting import tflite
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.inference import make_translate

MOBILE = REPOSITORY / "export" / "mobile"
CARD = {"name": "tiny"}
translate = import_script(MOBILE / "translate.py")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A generator and its files by name: of 32x32 pixels, and "any" for any size."""
    source = make_source(depth=3)
    directory = tmp_path_factory.mktemp("exported")
    artifacts = list(tflite.export_tflite(source, directory, Options(tflite_precision=("float16", "int8"))))
    files = {artifact.path.stem.removeprefix("model-"): artifact.path for artifact in artifacts}
    any_size = Options(tflite_precision=("float32",), tflite_size=(0, 0))
    [files["any"]] = [artifact.path for artifact in tflite.export_tflite(source, directory, any_size)]
    return source.generator, files


@pytest.fixture
def run(capsys):
    """Runs translate.py in this process. Returns the exit code, the lines of stdout and the lines of stderr."""

    def run(*arguments):
        code = translate.main([*map(str, arguments)])
        stdout, stderr = capsys.readouterr()
        return code, stdout.splitlines(), stderr.splitlines()

    return run


def translated(generator, image):
    return images.from_float(make_translate(generator)(images.to_float(image[np.newaxis])))[0].numpy()


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_the_script_and_the_readme_run_by_themselves(exported, tmp_path):
    image = write_image(tmp_path / "a.png", random_image(9, 32, 32))
    arguments = [f"--model={exported[1]['float16']}", image, f"--output={tmp_path / 'out'}"]
    command = [sys.executable, "-I", MOBILE / "translate.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out' / 'a.png'}\n"), done.stderr
    [code] = re.findall(r"```python\n(.*?)```", (MOBILE / "README.md").read_text(), re.DOTALL)
    (tmp_path / "model-float16.tflite").write_bytes(exported[1]["float16"].read_bytes())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert '"name": "tiny"' in done.stdout, done.stderr


@pytest.mark.parametrize(("name", "bound"), [("float16", 1), ("int8", 10), ("int8-uint8", 10)])
def test_an_image_of_the_models_size(exported, run, tmp_path, name, bound):
    generator, files = exported
    image = random_image(9, 32, 32)
    path = write_image(tmp_path / "in" / "a.png", image)
    output = tmp_path / "out" / "a.png"
    assert run(f"--model={files[name]}", path, f"--output={output.parent}") == (0, [str(output)], [])
    difference = np.abs(read(output) - translated(generator, image))
    assert (difference.max() if name == "float16" else difference.mean()) <= bound


def test_folders_and_any_size(exported, run, tmp_path):
    generator, files = exported
    image = random_image(1, 50, 37)
    write_image(tmp_path / "in" / "a.png", image)
    write_image(tmp_path / "in" / "gray.png", random_image(2, 20, 90, 1))
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    out = tmp_path / "out"
    assert run(f"--model={files['any']}", tmp_path / "in", f"--output={out}") == (
        *(0, [f"{out}/a.png", f"{out}/gray.png"], []),
    )
    assert np.abs(read(out / "a.png") - translated(generator, image)).max() <= 1
    assert read(out / "gray.png").shape == (20, 90, 3)
    assert len([*out.iterdir()]) == 2


def test_a_fixed_size_resizes_the_input_and_the_generated_image(exported, run, tmp_path):
    generator, files = exported
    image = np.kron(random_image(3, 2, 2), np.ones((40, 30, 1), np.uint8))
    path = write_image(tmp_path / "a.png", image)
    assert run(f"--model={files['float16']}", path, f"--output={tmp_path / 'out'}")[0] == 0
    small = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
    expected = Image.fromarray(translated(generator, small)).resize((60, 80), Image.Resampling.BICUBIC)
    assert np.abs(read(tmp_path / "out" / "a.png") - np.asarray(expected)).max() <= 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_script_accepts_what_the_package_accepts(run, tmp_path, channels):
    source = make_source(make_sides(channels, channels), depth=2)
    generator = source.generator
    options = Options(tflite_precision=("float32",), tflite_size=(0, 0))
    [artifact] = tflite.export_tflite(source, tmp_path, options)
    rgb, rgba = (Image.fromarray(random_image(seed, 33, 38, seed)) for seed in (3, 4))
    gray = rgb.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "rgb": encode(rgb),
        "rgba": encode(rgba),
        "opaque": encode(rgb.convert("RGBA")),
        "gray": encode(gray),
        "gray_as_rgb": encode(gray.convert("RGB")),
        "gray_and_alpha": encode(rgba.convert("LA")),
        "1_bit": encode(gray.convert("1")),
        "transparent_palette": encode(rgb.quantize(200), transparency=3),
        "transparent_gif": encode(rgb.quantize(200), "GIF", transparency=3),
        "cmyk": encode(rgb.convert("CMYK"), "JPEG"),
        "turned": encode(rgb, exif=exif),
        "webp": encode(rgba, "WEBP", lossless=True),
        "16_bits_rgb": images.encode(np.zeros((33, 38, 3), np.uint16)),
        "cut": encode(rgb)[:100],
        "text": b"not an image",
    }
    accepted, refused = {}, []
    for name, data in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        try:
            accepted[name] = source.sides.input.convert(images.decode(data))
        except ValueError:
            refused.append(name)
    tiff = tmp_path / "tiff.png"  # Pillow would cut 16-bit TIFFs to 8 bits, so the script reads no TIFF
    tiff.write_bytes(encode(rgb, "TIFF"))
    assert len(accepted) >= 3 and len(refused) >= 3
    inputs = [*(tmp_path / f"{name}.png" for name in files), tiff]
    code, _, errors = run(f"--model={artifact.path}", *inputs, f"--output={tmp_path / 'out'}")
    assert code == 1
    assert [line.split(": ")[1] for line in errors] == [f"{tmp_path}/{name}.png" for name in (*refused, "tiff")]
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(accepted)
    for name, image in accepted.items():
        written = read(tmp_path / "out" / f"{name}.png").reshape(*image.shape[:2], channels)
        assert np.abs(written - translated(generator, image)).max() <= 1, name


def test_wrong_usage_is_reported_in_one_line(exported, run, tmp_path):
    image = write_image(tmp_path / "a.png", random_image(1, 32, 32))
    namesake = write_image(tmp_path / "b" / "a.png", random_image(1, 32, 32))
    model, output = f"--model={exported[1]['float16']}", f"--output={tmp_path / 'out'}"
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        ((f"--model={tmp_path / 'no.tflite'}", image, output), "no.tflite: no such file"),
        ((f"--model={image}", image, output), "a.png: not a pix2pix .tflite file"),
        ((model, tmp_path / "no.png", output), "no.png: no such file"),
        ((model, tmp_path / "empty", output), "empty: folder without image files"),
        ((model, image, namesake, output), "another input is saved as"),
        ((model, image, f"--output={tmp_path}"), "would be overwritten"),
        ((model, image, f"--output={image}"), "File exists"),
    ]:
        code, _, errors = run(*arguments)
        assert (code, len(errors)) == (2, 1), arguments
        assert message in errors[0]
        assert not (tmp_path / "out").exists()


def test_label_maps_keep_their_colors(run, tmp_path):
    """Nearest-neighbor resizing both ways leaves only colors of the palette."""
    colors = np.array([[0, 0, 170], [9, 200, 20], [170, 255, 85], [255, 85, 0]], np.uint8)
    sides = make_sides(colors, colors)
    source = make_source(sides, input_encoding="onehot", target_encoding="classes", depth=2)
    source = dataclasses.replace(source, card={"sides": sides.to_json()})
    generator = source.generator
    [artifact] = tflite.export_tflite(source, tmp_path, Options(tflite_precision=("float32",)))
    label_map = colors[np.random.default_rng(0).integers(0, 4, (50, 37))]
    path = write_image(tmp_path / "a.png", label_map)
    assert run(f"--model={artifact.path}", path, f"--output={tmp_path / 'out'}")[0] == 0
    expected = images.resize(translated(generator, images.resize(label_map, (32, 32), "nearest")), (50, 37), "nearest")
    assert (read(tmp_path / "out" / "a.png") == expected).all(axis=2).mean() > 0.99


def test_resize_methods_come_from_the_card(exported, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(exported[1]["any"].read_bytes())
    for sides, expected in (
        (None, ("BICUBIC", "BICUBIC")),
        ({"input": {"resize": "nearest"}, "target": {"resize": "lanczos"}}, ("NEAREST", "LANCZOS")),
    ):
        model_card.write_card(path, {"sides": sides} if sides else CARD)
        assert tuple(method.name for method in translate.resize_methods(path)) == expected
