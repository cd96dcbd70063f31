"""Functions that several test modules share."""

import dataclasses
import importlib.util
import io
import struct
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from tf_pix2pix.config import TrainConfig
from tf_pix2pix.palettes import Palette
from tf_pix2pix.sides import Side, Sides

REPOSITORY = Path(__file__).parent.parent

# Networks of a few thousand parameters on 32x32 pixels of the built-in set, dropout and jitter on.
TINY = TrainConfig(
    dataset="synthetic_facades",
    crop_size=(32, 32),
    filters=4,
    steps=6,
    batch_size=2,
    direction="BtoA",
    resize_b="nearest",
    samples=2,
    eval_pairs=3,
    sample_every=3,
    eval_every=3,
    checkpoint_every=3,
    log_every=2,
    seed=5,
)


def change(**fields) -> TrainConfig:
    """TINY with some fields changed."""
    return dataclasses.replace(TINY, **fields)


def make_sides(input_side: int | np.ndarray, target_side: int | np.ndarray) -> Sides:
    """Both sides of pairs of 8-bit images; each argument is a number of channels or the palette's colors [k, c]."""

    def side(given):
        if isinstance(given, int):
            return Side(given)
        return Side(given.shape[1], palette=Palette(tuple(map(tuple, given.tolist()))), resize="nearest")

    return Sides(side(input_side), side(target_side))


def random_image(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def random_deep(seed: int, height: int, width: int, channels: int, dtype: str = "uint16") -> np.ndarray:
    """All values of a whole-number dtype, or floats from -1000 to 3000."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.uniform(-1000, 3000, (height, width, channels)).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def pillow_bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, c] in 0..255 -> float32 [*size, c], by Pillow without rounding."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(image, 2, 0)]
    resized = [np.asarray(channel.resize(size[::-1], Image.Resampling.BICUBIC)) for channel in channels]
    return np.clip(np.stack(resized, axis=2), 0, 255)


def write_image(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path)
    return path


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


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk, after its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]
