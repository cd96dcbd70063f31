"""Functions that several test modules share."""

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from tf_pix2pix.palettes import Palette
from tf_pix2pix.sides import Side, Sides


def make_sides(input_side: int | np.ndarray, target_side: int | np.ndarray) -> Sides:
    """Both sides of pairs of 8-bit images; each argument is a number of channels or the palette's colors [k, c]."""

    def side(given):
        if isinstance(given, int):
            return Side(given)
        return Side(given.shape[1], palette=Palette(tuple(map(tuple, given.tolist()))), resize="nearest")

    return Sides(side(input_side), side(target_side))


def encode(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    """The bytes of an image file that Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def import_script(path: Path) -> ModuleType:
    """Imports a Python file that lies outside of every package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
