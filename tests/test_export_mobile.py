"""export/mobile/translate.py, run as its users run it: with the file alone."""

import ast
import dataclasses
import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, random_picture, write_picture
from helpers import make_sides
from PIL import Image
from test_images import encoded

from tf_pix2pix import images, model_card
from tf_pix2pix.codecs import CODECS, with_codec
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.exporting import tflite
from tf_pix2pix.exporting.artifact import Options, Source
from tf_pix2pix.inference import make_translate
from tf_pix2pix.networks import unet_generator

MOBILE = REPOSITORY / "export" / "mobile"
CARD = {"name": "tiny"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A generator, and files of it by name: of 32x32 pixels, and "any" of any size."""
    generator = unet_generator(size=(32, 32), filters=2, initializer="kaiming")  # more than grays
    pictures = [random_picture(seed, 32, 32) for seed in range(3)]
    source = Source(generator, (32, 32), 3, 3, train_inputs=pictures, card=CARD)
    directory = tmp_path_factory.mktemp("exported")
    artifacts = list(tflite.export_tflite(source, directory, Options(tflite_precision=("float16", "int8"))))
    files = {artifact.path.stem.removeprefix("model-"): artifact.path for artifact in artifacts}
    any_size = Options(tflite_precision=("float32",), tflite_size=(0, 0))
    [files["any"]] = [artifact.path for artifact in tflite.export_tflite(source, directory, any_size)]
    return generator, files


@pytest.fixture(scope="module", params=[1, 3, 4])
def channels_and_model(request, tmp_path_factory):
    """A generator of so many channels, of any size, and its file."""
    channels = request.param
    generator = unet_generator(channels, channels, size=(32, 32), filters=2, initializer="kaiming")
    source = Source(generator, (32, 32), channels, channels, train_inputs=[], card=CARD)
    options = Options(tflite_precision=("float32",), tflite_size=(0, 0))
    [artifact] = tflite.export_tflite(source, tmp_path_factory.mktemp("channels"), options)
    return channels, generator, artifact.path


def run(*arguments):
    command = [sys.executable, str(MOBILE / "translate.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def translated(generator, picture):
    return images.to_uint8(make_translate(generator)(images.to_float(picture[np.newaxis])))[0].numpy()


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def errors(result):
    """What it says on stderr; LiteRT itself says INFO."""
    return [line for line in result.stderr.splitlines() if not line.startswith("INFO")]


@pytest.mark.parametrize(("name", "bound"), [("float16", 1), ("int8", 10), ("int8-uint8", 10)])
def test_a_picture_of_the_models_size(exported, tmp_path, name, bound):
    generator, files = exported
    picture = random_picture(9, 32, 32)
    source = write_picture(tmp_path / "in" / "a.png", picture)
    result = run(f"--model={files[name]}", source, f"--output={tmp_path / 'out'}")
    assert (result.returncode, errors(result), result.stdout) == (0, [], f"{tmp_path / 'out' / 'a.png'}\n")
    difference = np.abs(read(tmp_path / "out" / "a.png") - translated(generator, picture))
    assert (difference.max() if name == "float16" else difference.mean()) <= bound


def test_folders_of_pictures_of_any_size_and_kind(exported, tmp_path):
    generator, files = exported
    whole = random_picture(1, 50, 37)
    write_picture(tmp_path / "in" / "a.png", whole)
    write_picture(tmp_path / "in" / "gray.png", random_picture(2, 20, 90, 1))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    result = run(f"--model={files['any']}", tmp_path / "in", f"--output={tmp_path / 'out'}")
    assert (result.returncode, errors(result)) == (0, [])
    assert np.abs(read(tmp_path / "out" / "a.png") - translated(generator, whole)).max() <= 1
    assert read(tmp_path / "out" / "gray.png").shape == (20, 90, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "gray.png"]


def test_a_fixed_size_is_resized_to_and_back(exported, tmp_path):
    generator, files = exported
    picture = np.kron(random_picture(3, 2, 2), np.ones((40, 30, 1), np.uint8))
    source = write_picture(tmp_path / "a.png", picture)
    assert run(f"--model={files['float16']}", source, f"--output={tmp_path / 'out'}").returncode == 0
    small = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BICUBIC))
    expected = Image.fromarray(translated(generator, small)).resize((60, 80), Image.Resampling.BICUBIC)
    assert np.abs(read(tmp_path / "out" / "a.png") - np.asarray(expected)).max() <= 2


def test_damaged_pictures_are_told_and_the_others_translated(exported, tmp_path):
    _, files = exported
    good = write_picture(tmp_path / "good.png", random_picture(1, 32, 32))
    (tmp_path / "bad.png").write_bytes(good.read_bytes()[:100])
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(tmp_path / "deep.png")
    inputs = [tmp_path / f"{name}.png" for name in ("bad", "deep", "good")]
    result = run(f"--model={files['float16']}", *inputs, f"--output={tmp_path / 'out'}")
    assert result.returncode == 1
    assert [line.split(": ")[1] for line in errors(result)] == [str(path) for path in inputs[:2]]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]


def test_what_pictures_are_taken_is_as_everywhere_in_the_project(channels_and_model, tmp_path):
    channels, generator, model = channels_and_model
    rgb, rgba = (Image.fromarray(random_picture(seed, 33, 38, seed)) for seed in (3, 4))
    gray, opaque = rgb.convert("L"), rgb.convert("RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "rgb": encoded(rgb, "PNG"),
        "rgba": encoded(rgba, "PNG"),
        "opaque": encoded(opaque, "PNG"),
        "gray": encoded(gray, "PNG"),
        "gray_as_rgb": encoded(gray.convert("RGB"), "PNG"),
        "opaque_gray": encoded(gray.convert("LA"), "PNG"),
        "gray_and_alpha": encoded(rgba.convert("LA"), "PNG"),
        "1_bit": encoded(gray.convert("1"), "PNG"),
        "palette": encoded(rgb.quantize(200), "PNG"),
        "transparent_palette": encoded(rgb.quantize(200), "PNG", transparency=3),
        "transparent_gif": encoded(rgb.quantize(200), "GIF", transparency=3),
        "cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "turned": encoded(rgb, "PNG", exif=exif),
        "webp": encoded(rgba, "WEBP", lossless=True),
        "bmp": encoded(rgb, "BMP"),
        "16_bits": encoded(Image.fromarray(np.zeros((33, 38), np.uint16)), "PNG"),
        "16_bits_rgb": images.encode(np.zeros((33, 38, 3), np.uint16)),
        "tiff": encoded(rgb, "TIFF"),
        "text": b"no picture",
        "empty": b"",
    }
    taken, refused = {}, []
    for name, data in pictures.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        try:
            if name == "tiff":  # Pillow alone cuts those of 16 bits: the script takes none
                raise ValueError("it is not a PNG, JPEG, BMP, GIF or WebP picture")
            picture = images.with_depth(images.decode(data), images.EIGHT_BITS)
            taken[name] = images.with_channels(picture, channels)
        except ValueError as error:
            said = str(error).replace("GIF, WebP, TIFF or NPY", "GIF or WebP")
            refused.append(f"error: {tmp_path / name}.png: {said}")
    assert len(taken) >= 4 and len(refused) >= 5
    inputs = [tmp_path / f"{name}.png" for name in pictures]
    result = run(f"--model={model}", *inputs, f"--output={tmp_path / 'out'}")
    assert (result.returncode, errors(result)) == (1, refused)
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(taken)
    for name, picture in taken.items():
        written = read(tmp_path / "out" / f"{name}.png").reshape(*picture.shape[:2], channels)
        assert np.abs(written - translated(generator, picture)).max() <= 1, name


def test_wrong_usage_is_told_in_one_line(exported, tmp_path):
    _, files = exported
    picture = write_picture(tmp_path / "a.png", random_picture(1, 32, 32))
    twin = write_picture(tmp_path / "b" / "a.png", random_picture(1, 32, 32))
    model, output = f"--model={files['float16']}", f"--output={tmp_path / 'out'}"
    for arguments, said in [
        ((f"--model={tmp_path / 'none.tflite'}", picture, output), "none.tflite is not there"),
        ((f"--model={picture}", picture, output), "a.png is no pix2pix .tflite file"),
        ((model, tmp_path / "none.png", output), "none.png is not there"),
        ((model, picture, twin, output), "another picture becomes"),
        ((model, picture, f"--output={tmp_path}"), "would be overwritten"),
        ((model, picture, f"--output={picture}"), "File exists"),
    ]:
        result = run(*arguments)
        assert result.returncode == 2, arguments
        assert len(errors(result)) == 1
        assert said in errors(result)[0]
        assert not (tmp_path / "out").exists()


def test_it_needs_nothing_of_ours():
    tree = ast.parse((MOBILE / "translate.py").read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"ai_edge_litert", "numpy", "PIL"}


def test_the_readme_reads_the_card(exported, tmp_path):
    _, files = exported
    [code] = re.findall(r"```python\n(.*?)```", (MOBILE / "README.md").read_text(), re.DOTALL)
    (tmp_path / "model-float16.tflite").write_bytes(files["float16"].read_bytes())
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert '"name": "tiny"' in result.stdout, result.stderr


def test_label_maps_are_resized_as_in_training(tmp_path):
    """With nearest, both ways: no colours but the palette's go in or come out."""
    colors = np.array([[0, 0, 170], [9, 200, 20], [170, 255, 85], [255, 85, 0]], np.uint8)
    codec = CODECS["palette"](make_sides(colors, colors))
    network = unet_generator(4, 4, size=(32, 32), filters=2, initializer="kaiming", activation=codec.activation)
    generator = with_codec(network, codec, 3)
    card = {"config": {"resize_a": "nearest", "resize_b": "nearest", "direction": "BtoA", "task": None}}
    source = Source(generator, (32, 32), 3, 3, train_inputs=[], card=card, has_palette=True)
    [artifact] = tflite.export_tflite(source, tmp_path, Options(tflite_precision=("float32",)))
    picture = colors[np.random.default_rng(0).integers(0, 4, (50, 37))]
    result = run(f"--model={artifact.path}", write_picture(tmp_path / "a.png", picture), f"--output={tmp_path / 'out'}")
    assert (result.returncode, errors(result)) == (0, [])
    expected = images.resize(translated(generator, images.resize(picture, (32, 32), "nearest")), (50, 37), "nearest")
    assert (read(tmp_path / "out" / "a.png") == expected).all(axis=2).mean() > 0.99


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, ("BICUBIC", "BICUBIC")),
        (dict(resize_a="nearest", resize_b="lanczos", direction="AtoB"), ("NEAREST", "LANCZOS")),
        (dict(resize_a="nearest", resize_b="lanczos", direction="BtoA"), ("LANCZOS", "NEAREST")),
        (dict(resize_a="nearest", resize_b="lanczos", direction="BtoA", task="deblur"), ("NEAREST", "NEAREST")),
    ],
)
def test_the_card_says_how_pictures_are_resized(exported, tmp_path, config, expected):
    path = tmp_path / "a.tflite"
    path.write_bytes(exported[1]["any"].read_bytes())
    model_card.write_card(path, CARD if config is None else {"config": config})
    spec = importlib.util.spec_from_file_location("mobile_translate", MOBILE / "translate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert tuple(way.name for way in module.resize_methods(path)) == expected
    if config:  # as in the run
        full = dataclasses.replace(TrainConfig(), **config | ({"output_channels": 3} if "task" in config else {}))
        assert tuple(way.lower() for way in expected) == full.resize_methods
