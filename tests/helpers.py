"""Functions that several test modules share."""

import importlib.util
import io
from pathlib import Path
from types import ModuleType

from PIL import Image


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
