"""Translates pictures with a pix2pix model-*.tflite, on a computer as an app does it on a phone.

Needs ai-edge-litert, numpy and pillow, nothing else:

  python translate.py --model=model-float16.tflite INPUT... --output=DIR

INPUT is a picture, or a folder of pictures. DIR/NAME.png is written for each, in the picture's own size: where the
model has a fixed size, the picture is resized to it and the result back, as in training: label maps keep their colours.
Pictures of more than 8 bits a channel are refused, and those with transparency or colours that the model's channels do
not hold; results have 8 bits, too. Exit codes: 0 all pictures were translated, 1 some were not, 2 wrong usage.
"""

import argparse
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps, UnidentifiedImageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
TOO_DEEP = "it has {}, not 8 bits a channel; save it as an 8-bit picture"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", metavar="INPUT", nargs="+", type=Path, help="a picture, or a folder of pictures")
    parser.add_argument("--model", required=True, type=Path, help="one of the model-*.tflite files")
    parser.add_argument("--output", required=True, type=Path, help="folder for the results, made where missing")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: as many as there are cores")
    args = parser.parse_args(arguments)
    try:
        translate = load(args.model, args.threads)
        jobs = targets(find(args.inputs), args.output)
        args.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = 0
    for source, target in jobs.items():
        try:
            write(target, translate(read(source)))
            print(target)
        except Exception as error:  # on damaged files Pillow raises nearly anything
            print(f"error: {source}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def load(model: Path, threads: int):
    """The model as a function of an RGB or RGBA picture of PIL to one of the same size."""
    if not model.is_file():
        raise ValueError(f"--model={model} is not there")
    try:
        runner = Interpreter(model_path=str(model), num_threads=threads).get_signature_runner("translate")
        taken, given = runner.get_input_details()["image"], runner.get_output_details()["generated"]
    except (ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"--model={model} is no pix2pix .tflite file: {error}") from None
    before, after = resize_methods(model)
    _, height, width, channels = taken["shape_signature"].tolist()  # -1: any

    def translate(picture):
        own_size = picture.size
        picture = with_channels(picture, channels)
        if height > 0:
            picture = picture.resize((width, height), before)
        values = np.asarray(picture, np.float32).reshape(1, picture.height, picture.width, channels) / 127.5 - 1
        values = dequantized(runner(image=quantized(values, taken))["generated"], given)[0]
        pixels = np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return picture.resize(own_size, after)

    return translate


def resize_methods(model: Path) -> list[Image.Resampling]:
    """How inputs and results are resized, as the model card in the file says."""
    config = {}
    if zipfile.is_zipfile(model):  # the card is in an archive behind the model
        with zipfile.ZipFile(model) as archive:
            if "model_card.json" in archive.namelist():
                config = json.loads(archive.read("model_card.json")).get("config", {})
    sides = "ba" if config.get("direction") == "BtoA" else "ab"
    sides = sides[1] * 2 if config.get("task") else sides  # whose inputs are made of the targets
    return [Image.Resampling[config.get(f"resize_{side}", "bicubic").upper()] for side in sides]


def read(path: Path) -> Image.Image:
    """The picture in RGB or RGBA, upright; of an animation the first frame."""
    with path.open("rb") as file:
        head = file.read(25)
        if head.startswith(b"\x89PNG") and head[24:] > b"\x08":  # Pillow would cut 16-bit colours to 8 bits
            raise ValueError(TOO_DEEP.format(f"{head[24]} bits a channel"))
        file.seek(0)
        try:
            picture = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError("it is not a PNG, JPEG, BMP, GIF or WebP picture") from None
        if picture.mode[0] in "IF":
            raise ValueError(TOO_DEEP.format(f"pixels of mode {picture.mode}"))
        mode = "RGBA" if picture.has_transparency_data else "RGB"
        return ImageOps.exif_transpose(picture).convert(mode)


def with_channels(picture: Image.Image, channels: int) -> Image.Image:
    """RGB or RGBA -> so many channels. Raises ValueError if they do not hold its colours or its transparency."""
    if channels == 4:
        return picture.convert("RGBA")
    if picture.mode == "RGBA" and picture.getextrema()[3][0] < 255:
        raise ValueError(f"it has transparency, which {channels} channels do not hold; save it without")
    picture = picture.convert("RGB")
    if channels == 3:
        return picture
    pixels = np.asarray(picture)
    if (pixels != pixels[:, :, :1]).any():
        raise ValueError("it has colours, which 1 channel does not hold; save it as a gray picture")
    return picture.getchannel("R")


def quantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    """float32 -> what the tensor holds: the same, or uint8 by its scale and zero point."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return np.clip(np.round(values / scale) + zero_point, 0, 255).astype(tensor["dtype"])


def dequantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    """What the tensor holds -> float32."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * scale


def find(inputs: list[Path]) -> list[Path]:
    """The pictures given, those in folders included."""
    pictures = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in EXTENSIONS)
            if not inside:
                raise ValueError(f"{path} has no pictures ({', '.join(EXTENSIONS)})")
            pictures += inside
        elif path.is_file():
            pictures.append(path)
        else:
            raise ValueError(f"{path} is not there")
    return pictures


def targets(pictures: list[Path], output: Path) -> dict[Path, Path]:
    """The file that each picture's result is written to."""
    jobs: dict[Path, Path] = {}
    for picture in pictures:
        target = output / f"{picture.stem}.png"
        if target in jobs.values():
            raise ValueError(f"{picture}: another picture becomes {target} already; give another --output")
        if target.exists() and target.samefile(picture):
            raise ValueError(f"{picture} would be overwritten; give another --output")
        jobs[picture] = target
    return jobs


def write(path: Path, picture: Image.Image) -> None:
    """Writes a PNG beside, then renames it, so that `path` is never half a picture."""
    beside = path.with_name(path.name + ".partial")
    try:
        picture.save(beside, format="PNG")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
