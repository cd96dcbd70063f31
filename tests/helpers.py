"""Functions that several test modules share."""

import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_pix2pix import checkpoints
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.run import Run
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


def make_sides(input_channels: int = 3, target_channels: int = 3) -> Sides:
    """The sides of TINY: 8 bits, inputs resized by nearest."""
    return Sides(Side(input_channels, resize="nearest"), Side(target_channels))


def make_run(directory: Path, sides: Sides | None = None, **fields) -> Run:
    """A run with an untrained generator at step 1. Its large weights make generated images differ clearly."""
    run = Run(directory, change(initializer="kaiming", **fields), sides or make_sides())
    run.write_settings()
    checkpoints.save(run.checkpoints, "step", 1, tf.train.Checkpoint(generator=run.build_generator()))
    return run


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


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk, after its header."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]
