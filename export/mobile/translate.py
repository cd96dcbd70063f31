"""Translates images with a pix2pix model-*.tflite on a computer, as an app does on a phone.

Requires ai-edge-litert, numpy and pillow:

  python translate.py --model=model-float16.tflite INPUT... --output=DIR

INPUT is an image file or a folder of image files. The script writes DIR/NAME.png for each, in the size of the input. If
the model has a fixed size, the input is resized to it and the generated image is resized back, with the methods used in
training: label maps keep their colors. The script refuses images with more than 8 bits per channel, and images with
transparency or colors that the model's channels cannot hold. Generated images have 8 bits per channel. Exit codes: 0
all images were translated, 1 some were not, 2 wrong usage.
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
FILE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", type=Path, help="an image file or a folder of image files"
    )
    parser.add_argument("--model", required=True, type=Path, help="a model-*.tflite file")
    parser.add_argument(
        "--output", required=True, type=Path, help="folder for the generated images; created if missing"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads [all cores]")
    args = parser.parse_args(arguments)
    try:
        translate = load_model(args.model, args.threads)
        outputs = output_paths(find_images(args.inputs), args.output)
        args.output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = 0
    for path, output in outputs.items():
        try:
            write_png(output, translate(read_image(path)))
            print(output)
        except Exception as error:  # Pillow raises exceptions of many kinds for damaged files
            print(f"error: {path}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


def load_model(path: Path, threads: int):
    """Returns the model as a function from a PIL image (RGB or RGBA) to a PIL image of the same size."""
    if not path.is_file():
        raise ValueError(f"--model={path}: no such file")
    try:
        runner = Interpreter(model_path=str(path), num_threads=threads).get_signature_runner("translate")
        input_tensor, output_tensor = runner.get_input_details()["image"], runner.get_output_details()["generated"]
    except (ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"--model={path}: not a pix2pix .tflite file: {error}") from None
    input_resampling, output_resampling = resize_methods(path)
    _, height, width, channels = input_tensor["shape_signature"].tolist()  # -1 stands for any size

    def translate(image):
        original_size = image.size
        image = with_channels(image, channels)
        if height > 0:
            image = image.resize((width, height), input_resampling)
        values = np.asarray(image, np.float32).reshape(1, image.height, image.width, channels) / 127.5 - 1
        values = dequantize(runner(image=quantize(values, input_tensor))["generated"], output_tensor)[0]
        pixels = np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)
        generated = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return generated.resize(original_size, output_resampling)

    return translate


def resize_methods(model: Path) -> list[Image.Resampling]:
    """The methods for inputs and for generated images, from the model card in the archive behind the model."""
    sides = {}
    if zipfile.is_zipfile(model):
        with zipfile.ZipFile(model) as archive:
            if "model_card.json" in archive.namelist():
                sides = json.loads(archive.read("model_card.json")).get("sides", {})
    methods = (sides.get(side, {}).get("resize", "bicubic") for side in ("input", "target"))
    return [Image.Resampling[method.upper()] for method in methods]


def read_image(path: Path) -> Image.Image:
    """Reads a file as RGB or RGBA, upright by its EXIF orientation; an animation is its first frame."""
    with path.open("rb") as file:
        head = file.read(25)
        if head.startswith(b"\x89PNG") and head[24:] > b"\x08":  # Pillow would cut 16-bit colors to 8 bits
            raise ValueError(f"{head[24]} bits per channel; save it with 8 bits per channel")
        file.seek(0)
        try:
            image = Image.open(file, formats=FILE_FORMATS)
        except UnidentifiedImageError:
            raise ValueError("not a PNG, JPEG, BMP, GIF or WebP image") from None
        if image.mode[0] in "IF":
            raise ValueError(f"pixels of mode {image.mode}; save it with 8 bits per channel")
        return ImageOps.exif_transpose(image).convert("RGBA" if image.has_transparency_data else "RGB")


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Converts RGB or RGBA to 1, 3 or 4 channels. Raises ValueError if colors or transparency would be lost."""
    if channels == 4:
        return image.convert("RGBA")
    if image.mode == "RGBA" and image.getextrema()[3][0] < 255:
        raise ValueError(f"has transparency, but the model has {channels} channels; save it without transparency")
    image = image.convert("RGB")
    if channels == 3:
        return image
    pixels = np.asarray(image)
    if (pixels != pixels[:, :, :1]).any():
        raise ValueError("has colors, but the model has 1 channel; save it as a gray image")
    return image.getchannel("R")


def quantize(values: np.ndarray, tensor: dict) -> np.ndarray:
    """float32 -> the tensor's dtype: float32, or uint8 by its scale and zero point."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return np.clip(np.round(values / scale) + zero_point, 0, 255).astype(tensor["dtype"])


def dequantize(values: np.ndarray, tensor: dict) -> np.ndarray:
    """The tensor's dtype -> float32."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return (values.astype(np.float32) - zero_point) * scale


def find_images(inputs: list[Path]) -> list[Path]:
    """The files among the inputs and the image files in the folders among them."""
    found = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in EXTENSIONS)
            if not inside:
                raise ValueError(f"{path}: folder without image files ({', '.join(EXTENSIONS)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def output_paths(inputs: list[Path], folder: Path) -> dict[Path, Path]:
    """The PNG path of each input. Raises ValueError if two are the same or an input would be overwritten."""
    outputs: dict[Path, Path] = {}
    for path in inputs:
        output = folder / f"{path.stem}.png"
        if output in outputs.values():
            raise ValueError(f"{path}: another input is saved as {output} already; choose another --output")
        if output.exists() and output.samefile(path):
            raise ValueError(f"{path}: would be overwritten; choose another --output")
        outputs[path] = output
    return outputs


def write_png(path: Path, image: Image.Image) -> None:
    """Writes a file atomically: it is either complete or missing."""
    temporary = path.with_name(path.name + ".partial")
    try:
        image.save(temporary, format="PNG")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
