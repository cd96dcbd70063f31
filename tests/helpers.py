"""Functions that several test modules share."""

import contextlib
import dataclasses
import importlib.util
import io
import json
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_pix2pix import checkpoints
from tf_pix2pix.codecs import with_codec
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.exporting.artifact import Source
from tf_pix2pix.inference import make_translate
from tf_pix2pix.palettes import Palette
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

# Odd, rectangular, one pixel, and small enough to be mirrored several times.
SIZES = [(1, 1), (1, 40), (31, 64), (33, 97), (200, 5), (64, 32)]


def change(**fields) -> TrainConfig:
    """TINY with some fields changed."""
    return dataclasses.replace(TINY, **fields)


def make_sides(input_side: int | np.ndarray = 3, target_side: int | np.ndarray = 3) -> Sides:
    """Both sides of pairs of 8-bit images, inputs resized by nearest as in TINY.

    Each argument is a number of channels, or the colors of a palette, uint8 [k, c].
    """

    def side(given, resize):
        if isinstance(given, int):
            return Side(given, resize=resize)
        palette = Palette(tuple(map(tuple, given.tolist())))
        return Side(given.shape[1], palette=palette, resize="nearest")

    return Sides(side(input_side, "nearest"), side(target_side, "bicubic"))


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


def import_script(path: Path) -> ModuleType:
    """Imports a Python file that lies outside of every package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(a: np.ndarray, b: np.ndarray) -> int:
    """The largest difference of two images of equal shape and dtype, in levels."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def saved_tensors(run_dir: Path, step: int) -> dict[str, np.ndarray]:
    """All tensors of the checkpoint of a step."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints" / f"step-{step:08d}" / "checkpoint"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name}


def assert_same_run(one: Path, other: Path, step: int) -> None:
    """Two runs have the same state, bit for bit, and the same validation metrics, at a step."""
    a, b = saved_tensors(one, step), saved_tensors(other, step)
    assert a.keys() == b.keys()
    assert sum("optimizer" in name for name in a) > 40  # both optimizers' moments are compared
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    metrics = [[r for r in Run.open(run).records() if r["step"] == step and "val_l1" in r] for run in (one, other)]
    assert metrics[0] == metrics[1] != []


def resume_from(run_dir: Path, step: int, copy: Path) -> Path:
    """A copy of a run as it was when it was killed after the checkpoint of a step."""
    shutil.copytree(run_dir, copy)
    for later in checkpoints.steps(copy / "checkpoints", "step"):
        if later > step:
            shutil.rmtree(copy / "checkpoints" / f"step-{later:08d}")
    return copy


def make_source(sides: Sides | None = None, **fields) -> Source:
    """A tiny untrained generator, ready to export. Its large weights make generated images differ clearly."""
    run = Run(Path("not written"), change(**dict(initializer="kaiming", filters=2) | fields), sides or make_sides())
    channels = run.sides.input.channels
    train_inputs = [random_image(seed, *run.config.crop_size, channels) for seed in range(4)]
    generator = with_codec(run.build_generator(), run.codec, channels)
    return Source(run, generator, {"name": "tiny", "range": [-1, 1]}, train_inputs)


def translate(source: Source, image: np.ndarray) -> np.ndarray:
    """The generated image that a source's own generator returns, [h, w, c]."""
    values = make_translate(source.generator)(source.sides.input.to_float(image[np.newaxis]))
    return source.sides.target.from_float(values)[0].numpy()


@contextlib.contextmanager
def respond(answer: Callable[[bytes], tuple[int, object]]) -> Iterator[str]:
    """The URL of a model on an HTTP server, which responds to each body with (status, bytes or JSON)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_POST = do_GET

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/models/pix2pix"
        finally:
            server.shutdown()
            thread.join()
