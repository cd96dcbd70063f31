"""The exported SavedModel over REST, and the server's rules for JSON.

Every test runs against ServingDouble, and against tensorflow_model_server if it is on the PATH.
"""

import base64
import contextlib
import json
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import REPOSITORY, encode, make_source, random_image
from PIL import Image
from serving_double import ServingDouble
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tf_pix2pix.exporting import saved_model
from tf_pix2pix.exporting.artifact import Options

SERVER = shutil.which("tensorflow_model_server")
SERVERS = ["double", "tensorflow_model_server"] if SERVER else ["double"]
CONFIG = REPOSITORY / "export" / "serving" / "model.config"  # two versions; version 1 has the label stable


def test_the_server_itself_ran():
    """The summary reports where only the double ran."""
    if SERVER is None:
        pytest.skip("tensorflow_model_server is not on the PATH: only its test double ran")


@contextlib.contextmanager
def serve(server: str, base_path: Path):
    """Serves the versions in a folder as model.config has it. Yields the model's URL."""
    if server == "double":
        with ServingDouble(base_path, num_versions=2, labels={"stable": 1}) as double:
            yield double.url
        return
    config_file = base_path / "model.config"
    config_file.write_text(CONFIG.read_text().replace("/models/pix2pix", str(base_path)))
    with socket.create_server(("127.0.0.1", 0)) as rest, socket.create_server(("127.0.0.1", 0)) as grpc:
        ports = rest.getsockname()[1], grpc.getsockname()[1]
    flags = ["--allow_version_labels_for_unavailable_models=true", f"--model_config_file={config_file}"]
    process = subprocess.Popen([SERVER, f"--rest_api_port={ports[0]}", f"--port={ports[1]}", *flags])
    url = f"http://127.0.0.1:{ports[0]}/v1/models/pix2pix"
    try:
        deadline = time.monotonic() + 60
        while not is_available(url):
            assert process.poll() is None and time.monotonic() < deadline, "tensorflow_model_server did not start"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def is_available(url):
    with contextlib.suppress(OSError):
        return ask(f"{url}/versions/1/metadata")[0] == 200
    return False


@pytest.fixture(scope="module", params=SERVERS)
def exported(request, tiny_export):
    """The URL of an exported model."""
    with serve(request.param, tiny_export[0]) as url:
        yield url


@pytest.fixture(scope="module")
def every_type_base(tmp_path_factory):
    """A folder with versions 1 and 2 of a model that has tensors of every type."""

    def every_type(pair, number, text, flag):
        return {"pair": pair / 2, "number": number, "text": text, "text_bytes": text, "flag": flag}

    def vector(dtype, name="x"):
        return tf.TensorSpec([None], dtype, name)

    pair = tf.TensorSpec([None, 2], tf.float32, "pair")
    typed = [pair, vector(tf.int64, "number"), vector(tf.string, "text"), vector(tf.bool, "flag")]
    signatures = {
        "serving_default": tf.function(every_type, typed),
        "disagreeing": tf.function(lambda x: {"all": x, "first": x[:1]}, [vector(tf.float32)]),
        "total": tf.function(lambda x: {"total": tf.reduce_sum(x)}, [vector(tf.float32)]),
        "complex": tf.function(lambda x: {"complex": tf.complex(x, x)}, [vector(tf.float32)]),
        "bytes": tf.function(lambda x: {"bytes": x}, [vector(tf.uint8)]),
    }
    base = tmp_path_factory.mktemp("every_type")
    tf.saved_model.save(tf.Module(), str(base / "1"), signatures)
    shutil.copytree(base / "1", base / "2")
    return base


@pytest.fixture(scope="module", params=SERVERS)
def every_type(request, every_type_base):
    """The URL of EveryType."""
    with serve(request.param, every_type_base) as url:
        yield url


def ask(url, request=None):
    """The status code and the JSON of the answer. A request that is not bytes is sent as JSON."""
    body = request if request is None or isinstance(request, bytes) else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def predict(url, request):
    code, answer = ask(url + ":predict", request)
    assert code == 200, answer
    return answer


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


GOOD = [
    encode(Image.fromarray(random_image(seed, *size)), file_format)
    for seed, (size, file_format) in enumerate(
        [((12, 10), "PNG"), ((9, 16), "JPEG"), ((12, 10), "BMP"), ((8, 8), "GIF"), ((1, 3), "PNG")]
    )
]
DAMAGED = [b"", b"this is not an image", GOOD[0][:-40]]
MIXED = [DAMAGED[0], *GOOD[:3], DAMAGED[1], DAMAGED[2], *GOOD[3:]]


# The contract of the exported model


def test_image_files_in_rows_and_columns(exported):
    rows = predict(exported, {"instances": [b64(data) for data in MIXED]})["predictions"]
    assert [row["ok"] for row in rows] == [data in GOOD for data in MIXED]
    for data, row in zip(MIXED, rows, strict=True):
        png = base64.b64decode(row["image_bytes"]["b64"])
        if not row["ok"]:
            assert png == b""
            continue
        image = tf.io.decode_image(data, 3, expand_animations=False).numpy()
        floats = (image / 127.5 - 1).astype(np.float32)[np.newaxis]
        generated = predict(exported, {"signature_name": "translate", "inputs": floats.tolist()})["outputs"][0]
        expected = np.rint((np.array(generated) + 1) * 127.5)
        np.testing.assert_allclose(tf.io.decode_png(png), expected, atol=1)  # one level of 255, for rounding
    columns = {"image_bytes": [row["image_bytes"] for row in rows], "ok": [row["ok"] for row in rows]}
    named = [{"image_bytes": b64(data)} for data in MIXED]
    assert predict(exported, {"instances": named})["predictions"] == rows
    assert predict(exported, {"inputs": [b64(data) for data in MIXED]})["outputs"] == columns
    assert predict(exported, {"inputs": {"image_bytes": [b64(data) for data in MIXED]}})["outputs"] == columns
    alone = predict(exported, {"instances": [b64(GOOD[0])]})["predictions"]  # the batch does not change an image
    assert predict(exported, {"instances": [b64(GOOD[0])] * 9})["predictions"] == alone * 9


def test_floats_in_rows_and_columns(exported):
    image = np.random.default_rng(0).uniform(-1, 1, (2, 4, 6, 3)).astype(np.float32)
    rows = predict(exported, {"signature_name": "translate", "instances": image.tolist()})["predictions"]
    columns = predict(exported, {"signature_name": "translate", "inputs": {"image": image.tolist()}})["outputs"]
    assert rows == columns
    assert np.shape(rows) == (2, 4, 6, 3)
    assert np.abs(rows).max() <= 1


def test_status_and_signatures(exported):
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for address in (exported, exported + "/versions/1"):
        assert ask(address) == (200, {"model_version_status": [status]})
    signatures = ask(exported + "/metadata")[1]["metadata"]["signature_def"]["signature_def"]
    described = {
        (name, way): {key: (info["dtype"], len(info["tensor_shape"]["dim"])) for key, info in signature[way].items()}
        for name, signature in signatures.items()
        if not name.startswith("__")
        for way in ("inputs", "outputs")
    }
    assert described == {
        ("serving_default", "inputs"): {"image_bytes": ("DT_STRING", 1)},
        ("serving_default", "outputs"): {"image_bytes": ("DT_STRING", 1), "ok": ("DT_BOOL", 1)},
        ("translate", "inputs"): {"image": ("DT_FLOAT", 4)},
        ("translate", "outputs"): {"generated": ("DT_FLOAT", 4)},
    }


# URLs


@pytest.mark.parametrize(
    ("address", "version"), [("", "2"), ("/versions/1", "1"), ("/versions/2", "2"), ("/labels/stable", "1")]
)
def test_versions_and_labels(every_type, address, version):
    spec = {"name": "pix2pix", "signature_name": "", "version": version}
    assert ask(f"{every_type}{address}/metadata")[1]["model_spec"] == spec
    assert predict(every_type + address, {"signature_name": "total", "inputs": [1]}) == {"outputs": 1.0}


@pytest.mark.parametrize(
    ("address", "request_", "code", "message"),
    [
        ("/versions/7:predict", {}, 404, "Servable not found for request: Specific(pix2pix, 7)"),
        ("/labels/canary:predict", {}, 400, "Unrecognized servable version label: canary"),
        ("x:predict", {}, 404, "Servable not found for request: Latest(pix2pixx)"),
        ("x", None, 404, "Could not find any versions of model pix2pixx"),
        (":explain", {}, 400, "Malformed request: POST /v1/models/pix2pix:explain"),
    ],
)
def test_wrong_urls(every_type, address, request_, code, message):
    assert ask(every_type + address, request_) == (code, {"error": message})


# JSON: the rules of json_tensor.cc


ROW = {"pair": [1, 0.666666687], "number": 2**53 + 1, "text": "é", "flag": True}


def test_every_type_in_rows_and_columns(every_type):
    rows = [ROW, {"pair": [-3, 0.2], "number": -1, "text": b64(b"plain"), "flag": False}]
    expected = [
        {**ROW, "pair": [0.5, 0.333333343], "text_bytes": b64("é".encode())},
        {"pair": [-1.5, 0.1], "number": -1, "text": "plain", "text_bytes": b64(b"plain"), "flag": False},
    ]
    assert predict(every_type, {"instances": rows}) == {"predictions": expected}
    columns = {key: [row[key] for row in rows] for key in ROW}
    answer = predict(every_type, {"inputs": {**columns, "unknown": 1}})  # unknown names are ignored
    assert answer == {"outputs": {key: [row[key] for row in expected] for key in expected[0]}}


def test_unusual_numbers(every_type):
    """NaN and infinity pass, which JSON lacks; bytes too large for their type wrap around; a scalar is a column."""
    answer = predict(every_type, b'{"signature_name": "disagreeing", "inputs": [NaN, Infinity, -Infinity]}')
    np.testing.assert_equal(answer["outputs"]["all"], [np.nan, np.inf, -np.inf])
    assert predict(every_type, {"signature_name": "bytes", "instances": [258, -1]}) == {"predictions": [2, 255]}
    assert predict(every_type, {"signature_name": "total", "inputs": [1, 2]}) == {"outputs": 3.0}


def test_binary_output_breaks_the_json_unless_its_name_ends_in_bytes(every_type):
    body = json.dumps({"instances": [{**ROW, "text": b64(b"\xff\x00")}]}).encode()
    with urllib.request.urlopen(every_type + ":predict", body, timeout=60) as answer:
        raw = answer.read()
    with pytest.raises(UnicodeDecodeError):
        json.loads(raw)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: "),
        ([], "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [ROW], "inputs": ROW}, "only one of 'inputs' or 'instances' keys"),
        ({"instances": ROW}, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ({"instances": [ROW, 1]}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [{**ROW, "x": 1}]}, "JSON object: does not have named input: x"),
        ({"instances": [{"pair": [1, 2]}]}, "Failed to process element: 0 of 'instances' list."),
        ({"instances": [ROW, {**ROW, "pair": [1]}]}, "Expecting tensor size: 2 but got: 1"),
        ({"instances": [ROW, {**ROW, "pair": [[1, 2]]}]}, "Expecting shape [2] but got: [1,2]"),
        ({"instances": [{**ROW, "pair": [[1, 2], [3]]}]}, "Encountered list at unexpected size: 1 at level: 1"),
        ({"instances": [{**ROW, "pair": [[1], 2]}]}, "found at incorrect level: 2"),
        ({"instances": [{**ROW, "pair": [1, [2]]}]}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"instances": [{**ROW, "pair": [1, "2"]}]}, "Type: String is not of expected type: float"),
        ({"instances": [{**ROW, "pair": [1, b64(b"2")]}]}, "Type: Object is not of expected type: float"),
        ({"instances": [{**ROW, "pair": [1, 2**24]}]}, "to float without loss of precision"),
        ({"instances": [{**ROW, "pair": [1, 1e39]}]}, "to float without loss of precision"),
        ({"instances": [{**ROW, "number": 1.0}]}, "Type: Number is not of expected type: int64"),
        ({"instances": [{**ROW, "flag": 1}]}, "Type: Number is not of expected type: bool"),
        ({"instances": [{**ROW, "text": None}]}, "Type: Null is not of expected type: string"),
        ({"instances": [{**ROW, "text": {"b64": 1}}]}, "not formatted correctly for base64 data"),
        ({"instances": [{**ROW, "text": {"b64": "a", "x": 1}}]}, "not formatted correctly for base64 data"),
        ({"instances": [{**ROW, "text": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"pair": [[1, 2]]}}, "Missing named input: "),
        ({"instances": [1], "signature_name": "no"}, 'Serving signature name: "no" not found in signature def'),
        ({"instances": [1], "signature_name": 1}, "not formatted correctly. 'signature_name' key"),
        ({"instances": [{"b64": 1}], "signature_name": "total"}, "JSON object: does not have named input: b64"),
        ({"instances": [1, {"x": 1}], "signature_name": "total"}, "Expecting value/list but got object at item 1"),
        ({"instances": [1, 2], "signature_name": "disagreeing"}, " has inconsistent batch size: "),
        ({"instances": [1, 2], "signature_name": "total"}, "Tensor name: total has no shape information"),
        ({"instances": [1], "signature_name": "complex"}, "Failed to write JSON value for tensor type: complex64"),
        ({"instances": [2**31], "signature_name": "bytes"}, "is not of expected type: uint8"),
    ],
)
def test_invalid_requests(every_type, request_, message):
    code, answer = ask(every_type + ":predict", request_)
    assert [*answer] == ["error"]
    assert message in answer["error"]
    assert code == 400


# Warm-up


@pytest.mark.parametrize(
    ("signature", "name", "loads"), [("total", "x", True), ("unknown", "x", False), ("total", "unknown", False)]
)
def test_a_failing_warm_up_request_stops_the_version_from_loading(every_type_base, tmp_path, signature, name, loads):
    shutil.copytree(every_type_base / "1", tmp_path / "1")
    record = PredictionLog()
    record.predict_log.request.model_spec.signature_name = signature
    record.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto([1.0]))
    (tmp_path / "1" / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "1" / saved_model.WARMUP)) as writer:
        writer.write(record.SerializeToString())
    expected = contextlib.nullcontext() if loads else pytest.raises(tf.errors.InvalidArgumentError)
    with expected, ServingDouble(tmp_path):
        pass


def test_an_export_without_tensorflow_serving_api_has_no_warm_up_requests(tmp_path, monkeypatch, capsys):
    for name in ["tensorflow_serving", *(name for name in sys.modules if name.startswith("tensorflow_serving."))]:
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    runpy.run_path(saved_model.__file__)  # importing the module does not require it
    [artifact] = saved_model.export_saved_model(make_source(depth=3), tmp_path, Options(batch_sizes=(1,)))
    assert capsys.readouterr().out == "  no warm-up requests: pip install 'tf_pix2pix[serving]'\n"
    artifact.path.rename(tmp_path / "1")
    with ServingDouble(tmp_path) as double:
        assert predict(double.url, {"instances": [b64(GOOD[0])]})["predictions"][0]["ok"]
    assert not (tmp_path / "1" / saved_model.WARMUP).exists()
