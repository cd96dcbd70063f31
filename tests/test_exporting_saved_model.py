"""The SavedModel, as its readers run it."""

import ctypes
import gc
import shutil
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from helpers import SIZES, difference, encode, make_sides, make_source, random_image, translate
from PIL import Image

from tf_pix2pix import images
from tf_pix2pix.errors import RunError
from tf_pix2pix.exporting import saved_model
from tf_pix2pix.exporting.artifact import Options

OPTIONS = Options(batch_sizes=(1, 3), max_pixels=2**14)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny source, its artifact, and serving_default as a server runs it."""
    source = make_source(depth=3)
    [artifact] = saved_model.export_saved_model(source, tmp_path_factory.mktemp("staging"), OPTIONS)
    return SimpleNamespace(source=source, artifact=artifact, serve=saved_model.load_session(artifact.path))


@pytest.fixture(scope="module")
def image_files():
    """An image of 30x40 pixels in every format that a server accepts."""
    rgb = Image.fromarray(random_image(1, 30, 40))
    several = {"PNG": [rgb, rgb.convert("L"), rgb.convert("RGBA")], "JPEG": [rgb, rgb.convert("L")]}
    several |= {name: [rgb] for name in ("BMP", "GIF", "WEBP")}
    return [encode(image, name) for name, each in several.items() for image in each]


def test_readers_generate_the_runs_images(exported):
    for seed, size in enumerate(SIZES):
        image = random_image(seed, *size)
        for read in exported.artifact.readers.values():
            assert difference(read(image), translate(exported.source, image)) <= exported.artifact.max_difference == 1
    assert [*exported.artifact.readers] == ["tf.saved_model", "C++ session"]


def test_other_channels(tmp_path):
    source = make_source(make_sides(4, 1), depth=3)
    [artifact] = saved_model.export_saved_model(source, tmp_path, Options(batch_sizes=(1,)))
    image = random_image(0, 20, 33, 4)
    for read in artifact.readers.values():
        assert difference(read(image), translate(source, image)) <= 1


def test_the_float_signature_accepts_any_batch(exported):
    signature = tf.saved_model.load(str(exported.artifact.path)).signatures["translate"]
    batch = np.stack([random_image(seed, 20, 40) for seed in range(3)])
    generated = signature(image=images.to_float(batch))["generated"]
    assert generated.dtype == tf.float32
    for image, values in zip(batch, generated, strict=True):
        assert difference(images.from_float(values).numpy(), translate(exported.source, image)) <= 1


def test_a_request_of_mixed_rows(exported, image_files):
    """Every file format, damaged files, and images at and beyond the limit of pixels."""
    good = [images.encode(random_image(seed, *size)) for seed, size in enumerate(SIZES[:5])] + image_files
    limits = [images.encode(np.zeros((*size, 1), np.uint8)) for size in ((129, 128), (128, 128))]
    rows = [good[0], b"not an image", *good[1:4], b"", good[1][:-40], *good[4:], *limits]
    generated, ok = exported.serve(rows)
    assert ok == [row in (*good, limits[1]) for row in rows]
    for row, encoded, accepted in zip(generated, rows, ok, strict=True):
        if not accepted:
            assert row == b""
            continue
        assert row.startswith(b"\x89PNG")
        image = images.with_channels(images.decode(encoded), 3)
        assert difference(images.decode(row), translate(exported.source, image)) <= 1
    assert exported.serve([]) == ([], [])


def test_weights_are_stored_once_and_the_graph_has_no_python_functions(exported):
    [data] = (exported.artifact.path / "variables").glob("variables.data-*")
    weights = 4 * exported.source.generator.count_params()
    assert weights <= data.stat().st_size < weights + 4000  # the rest is the names of the variables
    graph = (exported.artifact.path / "saved_model.pb").read_bytes()
    assert b"translate" in graph and b"PyFunc" not in graph


def test_a_reader_releases_its_session(exported):
    serve = saved_model.load_session(exported.artifact.path)
    session = weakref.ref(serve.__closure__[serve.__code__.co_freevars.index("session")].cell_contents)
    assert session() is not None
    del serve
    gc.collect()
    assert session() is None


def test_warm_up_has_a_request_for_each_batch_size(exported):
    served = []

    def serve(encoded):
        served.append([images.decode(row).shape for row in encoded])
        return encoded, [True] * len(encoded)

    saved_model.replay_warmup(exported.artifact.path, serve)
    assert served == [[(32, 32, 3)] * size for size in OPTIONS.batch_sizes]


def test_a_broken_warm_up_request_is_an_error(exported, tmp_path, monkeypatch):
    path = shutil.copytree(exported.artifact.path, tmp_path / "copy")
    file = path / saved_model.WARMUP
    whole = file.read_bytes()

    def replay(message):
        with pytest.raises(RunError, match=message):
            saved_model.replay_warmup(path, exported.serve)

    file.write_bytes(whole[:-30])
    replay(f"{file}: request 2 fails, and servers refuse the model")
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"no proto")
    replay("request 1 fails")
    saved_model.write_warmup(path, b"not an image", (2, 1))
    replay("request 1 fails.*: 2 of its 2 images are not translated")
    monkeypatch.setattr(saved_model, "_gray", lambda source: np.zeros((129, 128, 3), np.uint8))  # beyond the limit
    with pytest.raises(RunError, match="request 1 fails.*: 1 of its 1 images are not translated"):
        next(saved_model.export_saved_model(exported.source, tmp_path, OPTIONS))


def mutate(rng: np.random.Generator, encoded: list[bytes]) -> bytes:
    """One of the files: cut at any scale, with bits flipped, bytes set to extremes, or parts moved, lost or mixed."""
    data = bytearray(encoded[rng.integers(len(encoded))])
    near = min(len(data), 2 ** int(rng.integers(3, 13)))  # most of the structure is at the beginning
    kind = rng.integers(6)
    if kind == 0:
        return bytes(data[: int(len(data) ** rng.uniform(0, 1))])
    if kind == 1:
        return bytes(data[: -int(len(data) ** rng.uniform(0, 1)) or None])
    if kind == 2:
        other = encoded[rng.integers(len(encoded))]
        return other[: rng.integers(1, 40)] + bytes(data[rng.integers(1, 40) :])
    for position in rng.integers(0, near, rng.integers(1, 4)):
        if kind == 3:
            data[position] ^= 1 << rng.integers(8)
        elif kind == 4:
            extreme = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0", b"\0"]
            value = extreme[rng.integers(len(extreme))]
            data[position : position + len(value)] = value
        else:
            length = int(rng.integers(1, 30))
            moved = data[position : position + length]
            del data[position : position + length]
            target = rng.integers(0, len(data) + 1)
            data[target:target] = moved * int(rng.integers(0, 3))
    return bytes(data)


def memory() -> float:
    """MB that this process holds, without freed memory that the allocator keeps."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_images_hurt_no_other_row(exported, image_files, count):
    """Eight to a request, one of them whole: its answer is right, and memory does not grow."""
    rng = np.random.default_rng(count)
    image = random_image(0, 33, 20)
    whole, expected = images.encode(image), translate(exported.source, image)

    def request():
        rows = [mutate(rng, image_files) for _ in range(7)]
        place = rng.integers(8)
        rows.insert(place, whole)
        generated, ok = exported.serve(rows)
        assert ok[place]
        assert difference(images.decode(generated[place]), expected) <= 1
        assert all(bool(row) == good for row, good in zip(generated, ok, strict=True))
        return sum(ok) - 1

    for _ in range(count // 28):  # a quarter: kernels are made, and the allocator's arenas grow to their working size
        request()
    before = memory()
    accepted = sum(request() for _ in range(-(-count // 7)))
    # 0 to 4 MB were measured, threads' arenas. In the slow one a leak of 5 kB a row, less than an image, exceeds 10.
    assert memory() - before < 10
    assert 0.05 * count < accepted < 0.6 * count  # neither all refused nor all untouched
