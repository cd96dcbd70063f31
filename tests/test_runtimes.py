"""Exported models as functions: from any number of threads, and what they report when they fail."""

import os
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from helpers import random_image, respond
from serving_double import ServingDouble

from tf_pix2pix import exporting, images, runtimes
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.translation import Translator

THREADS, ROUNDS = 8, 5
URL = "http://host/v1/models/m"


@pytest.fixture(scope="module")
def models(tiny_run, tiny_export, tmp_path_factory):
    """The same model in every format: a path or a URL for each."""
    others = tmp_path_factory.mktemp("others") / "exported"
    options = Options(tflite_precision=("float32",), tflite_size=(0, 0))
    exporting.export(tiny_run, others, ["tflite", "onnx"], options=options)
    with ServingDouble(tiny_export[0]) as server:
        yield {
            "run": tiny_run,
            "SavedModel": tiny_export[0],
            "TFLite, fixed size": tiny_export[0] / "model-float32.tflite",
            "TFLite, any size": others / "model-float32.tflite",
            "ONNX": others / "model.onnx",
            "server": server.url,
        }


@pytest.mark.parametrize("kind", ["run", "SavedModel", "TFLite, fixed size", "TFLite, any size", "ONNX", "server"])
def test_threads_get_their_own_images(models, kind):
    """Of different sizes, so that a mixed-up call shows in the shape, or else in the pixels."""
    translator = Translator.load(models[kind])
    inputs = [random_image(number, 32 + 3 * number, 48 - 2 * number) for number in range(THREADS)]
    expected = [translator.translate(image) for image in inputs]
    barrier = threading.Barrier(THREADS)

    def translate(number):
        barrier.wait()
        return [translator.translate(inputs[number]) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(translate, range(THREADS)))
    wrong = sum(not np.array_equal(one, expected[number]) for number, rows in enumerate(results) for one in rows)
    assert wrong == 0
    assert min(image.std() for image in expected) > 1


def test_quiet_restores_stderr(capfd):
    """Also if threads overlap, which would otherwise restore each other's /dev/null."""
    opened = len(os.listdir("/dev/fd"))
    inside = threading.Event()

    def overlap():
        with runtimes.quiet():
            inside.set()
            os.write(2, b"noise")
            threading.Event().wait(0.1)

    thread = threading.Thread(target=overlap)
    thread.start()
    inside.wait()
    with runtimes.quiet():
        thread.join(0.5)
        os.write(2, b"noise")
    thread.join()
    os.write(2, b"message")
    assert capfd.readouterr().err == "message"
    assert len(os.listdir("/dev/fd")) == opened


def test_a_folder_of_models_names_them(tmp_path):
    def touch(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    with pytest.raises(InputError, match=f"^{tmp_path}: not a model; pass a run directory, a SavedModel, or"):
        runtimes.latest_version(tmp_path)
    touch("runs/b/config.json", "runs/a/config.json", "runs/x.txt")
    with pytest.raises(InputError, match="runs: not a model; it contains the runs a, b; pass one of them$"):
        runtimes.latest_version(tmp_path / "runs")
    touch(
        "runs/c/9/saved_model.pb", "runs/c/10/saved_model.pb", "runs/c/11.old/saved_model.pb", "runs/d/saved_model.pb"
    )
    with pytest.raises(InputError, match="contains the runs a, b and the SavedModels c, d; pass one of them$"):
        runtimes.latest_version(tmp_path / "runs")
    assert runtimes.latest_version(tmp_path / "runs" / "c") == tmp_path / "runs" / "c" / "10"
    assert runtimes.latest_version(tmp_path / "runs" / "c" / "9") == tmp_path / "runs" / "c" / "9"


def test_damaged_files_are_named(models, tmp_path):
    shutil.copytree(models["SavedModel"] / "1", tmp_path / "1")
    (data,) = (tmp_path / "1" / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:5000])
    with pytest.raises(InputError, match=f"{tmp_path}/1: cannot be loaded: .*; export it again"):
        runtimes.load_saved_model(tmp_path)
    for kind, load in (("TFLite, any size", runtimes.load_tflite), ("ONNX", runtimes.load_onnx)):
        whole = models[kind].read_bytes()
        path = tmp_path / models[kind].name
        for share in (0, 0.1, 0.5, 0.9):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(InputError, match=f"{path}: cannot be loaded: .*; export it again"):
                load(path)


def test_a_long_error_is_cut_to_one_line():
    def fail(path):
        raise ValueError("no memory\nand a long trace")

    with pytest.raises(RunError, match="^a.onnx: the model failed on a 4x5 image: no memory$"):
        runtimes._with_run_errors("a.onnx", fail)(np.zeros((1, 4, 5, 3), np.float32))


def test_models_of_others_are_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([1, 8, 8, 3], name="x")])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"translate": module.f})
    with pytest.raises(InputError, match="1: its signature `translate` from image to generated is missing; pass a mod"):
        runtimes.load_saved_model(tmp_path)
    with runtimes.quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "1"), signature_keys=["translate"])
        (tmp_path / "other.tflite").write_bytes(converter.convert())
    with pytest.raises(InputError, match="other.tflite: 'image' is missing in its signature `translate`; pass a model"):
        runtimes.load_tflite(tmp_path / "other.tflite")


def test_values_are_quantized_by_rounding_and_clipping():
    details = {"dtype": np.uint8, "quantization": (1 / 127, 127)}
    values = (np.arange(255) - 127) / 127 * 0.998
    np.testing.assert_array_equal(runtimes._quantize(values, details), np.arange(255))
    np.testing.assert_array_equal(runtimes._quantize(np.array([-1.2, 1.2]), details), [0, 255])
    np.testing.assert_allclose(runtimes._dequantize(np.array([0, 127, 254], np.uint8), details), [-1, 0, 1], atol=1e-6)


def test_a_server_refuses_an_image_or_is_gone(models, tiny_export):
    with pytest.raises(InputError, match="nothing/metadata: status 404: Servable not found for request: Latest"):
        runtimes.connect(models["server"].replace("pix2pix", "nothing"))
    with ServingDouble(tiny_export[0]) as server:
        runtime = runtimes.connect(server.url)
        with pytest.raises(runtimes.Refused, match="the server refuses a 9x8 image with 4 channels"):
            runtime.generate(np.zeros((1, 9, 8, 4), np.float32))
    with pytest.raises(RunError, match="cannot be reached: .*refused"):
        runtime.generate(np.zeros((1, 9, 8, 3), np.float32))
    with pytest.raises(InputError, match="cannot be reached"):
        runtimes.connect(server.url)


def test_an_odd_response_of_a_server_is_an_error(monkeypatch):
    signature = {"inputs": {"image_bytes": {}}, "outputs": {"image_bytes": {}, "ok": {}}}
    metadata = {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}
    for response in ({}, [], None, {"predictions": []}, {"predictions": [1]}, {"predictions": [{}]}):
        monkeypatch.setattr(runtimes, "_request", lambda url, body=None: response if body else metadata)  # noqa: B023
        with pytest.raises(RunError, match=f"{URL}: the response is not one image; another model is served there"):
            runtimes.connect(URL).generate(np.zeros((1, 4, 4, 3), np.float32))
        monkeypatch.setattr(runtimes, "_request", lambda url, body=None: response)  # noqa: B023
        with pytest.raises(InputError, match=f"{URL}: another kind of model is served there; pass a model that tf_pix"):
            runtimes.connect(URL)


@pytest.mark.parametrize(("depth", "bits"), [("uint8", 8), ("uint16", 16)])
def test_images_travel_with_as_many_bits_as_they_need(depth, bits):
    image = np.array([[[3], [200]]], depth)
    encoded = runtimes._encode_png(images.to_float(image, (0.0, 255.0 if bits == 8 else 65535.0))[np.newaxis].numpy())
    assert encoded[24] == bits  # of the PNG header
    np.testing.assert_array_equal(images.decode(encoded), image)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b"<html>", "the response is not from TensorFlow Serving"),
        (502, b"<html>", "status 502: <html>"),
        (503, b"", "status 503: Service Unavailable"),
    ],
)
def test_another_server_is_an_error(status, body, problem):
    with respond(lambda request: (status, body)) as url, pytest.raises(InputError, match=f"{url}/metadata: {problem}"):
        runtimes.connect(url)


def test_a_silent_server_times_out(monkeypatch):
    monkeypatch.setattr(runtimes, "SERVER_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match="timed out"):
        runtimes.connect(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/models/pix2pix")
