"""The exported SavedModel over HTTP, the double that stands in for the server, and what export/serving has for users.

Every test that gets a `kind` runs against ServingDouble, and against tensorflow_model_server where that is on the PATH.
"""

import ast
import base64
import contextlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, random_picture, write_picture
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from PIL import Image
from serving_double import ServingDouble
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

SERVING = REPOSITORY / "export" / "serving"
SERVER = shutil.which("tensorflow_model_server")


# Models: a stand-in for the exporter's, and one with every type, for the rules of JSON


class Inverting(tf.Module):
    """The contract of the exported model, with inverting the colours for a translation."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_default(self, image_bytes):
        png, ok = tf.map_fn(self._row, image_bytes, fn_output_signature=(tf.string, tf.bool))
        return {"image_bytes": png, "ok": ok}

    def _row(self, data):
        unread = tf.data.Dataset.from_tensors((tf.zeros([1, 1, 3], tf.uint8), False))
        read = tf.data.Dataset.from_tensors(data).map(
            lambda data: (tf.io.decode_image(data, 3, expand_animations=False), True)
        )
        picture, ok = read.ignore_errors().concatenate(unread).take(1).get_single_element()
        return tf.where(ok, tf.io.encode_png(255 - picture), ""), ok

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def translate(self, image):
        return {"generated": -image}


class EveryType(tf.Module):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, "pair"),
            tf.TensorSpec([None], tf.int64, "number"),
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None], tf.bool, "flag"),
        ]
    )
    def serving_default(self, pair, number, text, flag):
        return {"pair": pair / 2, "number": number, "text": text, "text_bytes": text, "flag": flag}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def disagreeing(self, x):
        return {"all": x, "first": x[:1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def complex(self, x):
        return {"complex": tf.complex(x, x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.uint8, "x")])
    def bytes(self, x):
        return {"bytes": x}


@pytest.fixture(scope="module")
def stand_in_base(tmp_path_factory):
    """The base_path of the stand-in."""
    base, model = tmp_path_factory.mktemp("served"), Inverting()
    signatures = {"serving_default": model.serving_default, "translate": model.translate}
    tf.saved_model.save(model, str(base / "1"), signatures)
    return base


@pytest.fixture(scope="module", params=["stand_in", "exported"])
def served_base(request):
    """The base_path of a model with the contract's signatures: of the stand-in, or of what the exporter writes."""
    if request.param == "stand_in":
        return request.getfixturevalue("stand_in_base")
    return request.getfixturevalue("tiny_export")[0]


@pytest.fixture(scope="module")
def every_type_base(tmp_path_factory):
    base = tmp_path_factory.mktemp("every_type")
    model = EveryType()
    names = ("serving_default", "disagreeing", "total", "complex", "bytes")
    tf.saved_model.save(model, str(base / "1"), {name: getattr(model, name) for name in names})
    return base


# Servers


@pytest.fixture(scope="module", params=["double"] + ["tensorflow_model_server"] * bool(SERVER))
def kind(request):
    return request.param


def test_the_double_answers_as_the_real_server_does(stand_in_base):
    """Skipped without the real server, so that the summary says once that it is missing."""
    if SERVER is None:
        pytest.skip("no tensorflow_model_server on the PATH: what is said of it rests on its double")
    request = {"instances": [b64(data) for data in MALFORMED]}
    asked = [("", None), ("/versions/1", None), (":predict", request), ("/labels/stable:predict", request)]
    asked += [("/versions/7:predict", request), ("/labels/canary:predict", request), ("x:predict", request)]
    answers = []
    for kind in ("double", "tensorflow_model_server"):
        with serve(kind, stand_in_base) as url:
            answers.append([ask(url + address, body) for address, body in asked])
    assert answers[0] == answers[1]


@pytest.fixture(scope="module")
def server(kind, served_base):
    with serve(kind, served_base) as url:
        yield url


@pytest.fixture(scope="module")
def every_type_server(kind, every_type_base):
    with serve(kind, every_type_base) as url:
        yield url


@contextlib.contextmanager
def serve(kind, base_path):
    """The model's address. Version 1 is labelled stable."""
    if kind == "double":
        with ServingDouble(base_path, labels={"stable": 1}) as double:
            yield double.url
        return
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(name="pix2pix", base_path=str(base_path), model_platform="tensorflow")
    model.version_labels["stable"] = 1
    config_file = base_path / "model.config"
    config_file.write_text(text_format.MessageToString(config))
    port, grpc_port = free_port(), free_port()
    flags = ["--allow_version_labels_for_unavailable_models=true", f"--model_config_file={config_file}"]
    process = subprocess.Popen([SERVER, f"--rest_api_port={port}", f"--port={grpc_port}", *flags])
    try:
        url = f"http://127.0.0.1:{port}/v1/models/pix2pix"
        deadline = time.monotonic() + 60
        while not is_available(url):
            assert process.poll() is None, "tensorflow_model_server has ended"
            assert time.monotonic() < deadline, "tensorflow_model_server does not get ready"
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def is_available(url):
    try:
        return state(url, 1) == "AVAILABLE"
    except (OSError, AssertionError):
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Requests


def ask(url, request=None, method=None):
    """-> the status code and the body, read as JSON. A request that is not bytes is sent as JSON."""
    data = request if request is None or isinstance(request, bytes) else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def predict(url, request):
    code, answer = ask(url + ":predict", request)
    assert code == 200, answer
    return answer


def state(url, version):
    code, answer = ask(url)
    assert code == 200, answer
    states = {status["version"]: status["state"] for status in answer["model_version_status"]}
    return states.get(str(version))


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def encoded(picture, format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format)
    return stream.getvalue()


def decoded(data):
    return tf.io.decode_image(data, 3, expand_animations=False).numpy()


def translated(url, picture):
    """uint8 [h, w, c] -> uint8, by the signature of floats."""
    image = (picture / 127.5 - 1).astype(np.float32)[np.newaxis]
    answer = predict(url, {"signature_name": "translate", "inputs": image.tolist()})
    return np.rint((np.array(answer["outputs"][0]) + 1) * 127.5).astype(np.uint8)


def assert_same_picture(actual, expected):
    np.testing.assert_allclose(actual.astype(int), expected.astype(int), atol=1)  # a level, for rounding


GOOD = [
    encoded(random_picture(1, 12, 10)),
    encoded(random_picture(2, 9, 16), "JPEG"),
    encoded(random_picture(3, 12, 10), "BMP"),
    encoded(random_picture(4, 8, 8), "GIF"),
    encoded(random_picture(5, 1, 3)),
]
MALFORMED = [b"", b"this is no picture", GOOD[0][:-40]]
MIXED = [MALFORMED[0], *GOOD[:3], MALFORMED[1], MALFORMED[2], *GOOD[3:]]


# The contract of the exported model


def test_files_in_rows(server):
    rows = predict(server, {"instances": [b64(data) for data in MIXED]})["predictions"]
    assert [row["ok"] for row in rows] == [data in GOOD for data in MIXED]
    for data, row in zip(MIXED, rows, strict=True):
        png = base64.b64decode(row["image_bytes"]["b64"])
        if data in GOOD:
            assert png.startswith(b"\x89PNG")
            assert_same_picture(decoded(png), translated(server, decoded(data)))
        else:
            assert png == b""


def test_files_in_columns_and_named_rows_are_the_same(server):
    rows = predict(server, {"instances": [b64(data) for data in MIXED]})["predictions"]
    columns = predict(server, {"inputs": [b64(data) for data in MIXED]})["outputs"]
    assert columns == {"image_bytes": [row["image_bytes"] for row in rows], "ok": [row["ok"] for row in rows]}
    assert predict(server, {"inputs": {"image_bytes": [b64(data) for data in MIXED]}})["outputs"] == columns
    named = predict(server, {"instances": [{"image_bytes": b64(data)} for data in MIXED]})
    assert named["predictions"] == rows


@pytest.mark.parametrize("size", [1, 3, 9])
def test_a_row_is_the_same_in_any_batch(server, size):
    alone = predict(server, {"instances": [b64(GOOD[0])]})["predictions"][0]
    batch = predict(server, {"instances": [b64(GOOD[0])] * size})["predictions"]
    assert batch == [alone] * size


def test_floats(server):
    image = np.random.default_rng(0).uniform(-1, 1, (2, 4, 6, 3)).astype(np.float32)
    rows = predict(server, {"signature_name": "translate", "instances": image.tolist()})["predictions"]
    columns = predict(server, {"signature_name": "translate", "inputs": {"image": image.tolist()}})["outputs"]
    assert rows == columns
    assert np.shape(rows)[:3] == (2, 4, 6)
    assert np.abs(rows).max() <= 1


def test_status_and_metadata(server):
    for address in (server, server + "/versions/1"):
        assert ask(address)[1] == {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
    for address in (server, server + "/versions/1", server + "/labels/stable"):
        metadata = ask(address + "/metadata")[1]
        assert metadata["model_spec"]["name"] == "pix2pix"
        assert metadata["model_spec"]["version"] == "1"
        signatures = metadata["metadata"]["signature_def"]["signature_def"]
        described = {
            (name, way): {
                key: (info["dtype"], len(info["tensor_shape"]["dim"])) for key, info in signature[way].items()
            }
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


# Addresses and JSON: the server's rules


def test_versions_and_labels(server):
    request = {"instances": [b64(GOOD[0])]}
    for address in (server, server + "/versions/1", server + "/labels/stable"):
        assert predict(address, request)["predictions"][0]["ok"] is True
    for address, code, text in [
        (server + "/versions/7", 404, "Servable not found for request: Specific(pix2pix, 7)"),
        (server + "/labels/canary", 400, "Unrecognized servable version label: canary"),
        (server + "x", 404, "Servable not found for request: Latest(pix2pixx)"),
    ]:
        answer = ask(address + ":predict", request)
        assert (answer[0], answer[1]["error"]) == (code, text)


def test_other_addresses(server):
    root = server.rsplit("/v1/", 1)[0]
    for url, data, code, text in [
        (server + "/versions/7", None, 404, "Could not find version 7 of model pix2pix"),
        (server + "x", None, 404, "Could not find any versions of model pix2pixx"),
        (root + "/v1/models", None, 400, "Missing model name in request."),
        (root + "/v1/nothing", None, 400, "Malformed request: GET /v1/nothing"),
        (server, {}, 400, "Malformed request: POST /v1/models/pix2pix"),
        (server + ":explain", {}, 400, "Malformed request: POST /v1/models/pix2pix:explain"),
    ]:
        answer = ask(url, data)
        assert (answer[0], answer[1]["error"]) == (code, text)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(root + "/", timeout=60)
    with refused.value:
        assert refused.value.code == 404


ROW = {"pair": [1, 0.666666687], "number": 2**53 + 1, "text": "é", "flag": True}


def test_every_type_in_rows_and_columns(every_type_server):
    rows = [ROW, {"pair": [-3, 0.2], "number": -1, "text": b64(b"plain"), "flag": False}]
    expected = [
        {**ROW, "pair": [0.5, 0.333333343], "text_bytes": b64("é".encode())},
        {"pair": [-1.5, 0.1], "number": -1, "text": "plain", "text_bytes": b64(b"plain"), "flag": False},
    ]
    assert predict(every_type_server, {"instances": rows}) == {"predictions": expected}
    columns = {key: [row[key] for row in rows] for key in ROW}
    answer = predict(every_type_server, {"inputs": {**columns, "further": 1}})  # names beyond are ignored
    assert answer == {"outputs": {key: [row[key] for row in expected] for key in expected[0]}}


def test_numbers_that_json_has_not(every_type_server):
    body = b'{"signature_name": "disagreeing", "inputs": [NaN, Infinity, -Infinity]}'
    answer = predict(every_type_server, body)
    np.testing.assert_equal(answer["outputs"]["all"], [np.nan, np.inf, -np.inf])


def test_bytes_are_broken_json_unless_the_name_says_bytes(every_type_server):
    body = json.dumps({"instances": [{**ROW, "text": b64(b"\xff\x00")}]}).encode()
    with urllib.request.urlopen(every_type_server + ":predict", body, timeout=60) as answer:
        raw = answer.read()
    with pytest.raises(UnicodeDecodeError):
        json.loads(raw)


def test_an_output_without_rows(every_type_server):
    request = {"signature_name": "total", "inputs": [1, 2]}
    assert predict(every_type_server, request) == {"outputs": 3.0}
    code, answer = ask(every_type_server + ":predict", {"signature_name": "total", "instances": [1, 2]})
    assert code == 400 and answer["error"].startswith("Tensor name: total has no shape information")


@pytest.mark.parametrize(
    "request_, text",
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
        ({"instances": [1], "signature_name": "complex"}, "Failed to write JSON value for tensor type: complex64"),
        ({"instances": [2**31], "signature_name": "bytes"}, "is not of expected type: uint8"),
    ],
)
def test_requests_that_are_refused(every_type_server, request_, text):
    code, answer = ask(every_type_server + ":predict", request_)
    assert [*answer] == ["error"]
    assert text in answer["error"]
    assert code == 400


# Versions and warm-up: the double's own, since the server looks for versions once a second only


def with_warm_up(base, version, *records):
    """A copy of version 1 with warm-up records: PredictionLogs, or bytes that are none."""
    folder = base / str(version)
    shutil.copytree(base / "1", folder)
    (folder / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())


def warm_up_record(values, name="image_bytes", signature="serving_default"):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


@pytest.fixture
def own_base(stand_in_base, tmp_path):
    """A base_path to put versions into, with the stand-in as version 1."""
    shutil.copytree(stand_in_base / "1", tmp_path / "base" / "1")
    return tmp_path / "base"


def test_the_highest_version_is_served_as_it_comes_and_goes(own_base):
    shutil.copytree(own_base / "1", own_base / "tmp-9")
    request = {"instances": [b64(GOOD[0])]}
    with ServingDouble(own_base, labels={"stable": 1}) as double:
        assert ask(double.url + "/metadata")[1]["model_spec"]["version"] == "1"
        shutil.copytree(own_base / "1", own_base / "10")
        assert ask(double.url + "/metadata")[1]["model_spec"]["version"] == "10"
        assert (state(double.url, 10), state(double.url, 1)) == ("AVAILABLE", "END")
        assert ask(double.url + "/versions/1:predict", request)[0] == 404
        assert ask(double.url + "/labels/stable:predict", request)[0] == 404  # a label keeps no version loaded
        assert ask(double.url + "/versions/9/metadata")[0] == 404
        shutil.rmtree(own_base / "10")
        assert predict(double.url + "/versions/1", request)["predictions"][0]["ok"] is True


def test_given_versions_and_labels(own_base):
    shutil.copytree(own_base / "1", own_base / "2")
    shutil.copytree(own_base / "1", own_base / "3")
    with ServingDouble(own_base, versions=[1, 2], labels={"stable": 1}) as double:
        assert [state(double.url, version) for version in (1, 2, 3)] == ["AVAILABLE", "AVAILABLE", None]
        assert ask(double.url + "/metadata")[1]["model_spec"]["version"] == "2"
        assert ask(double.url + "/labels/stable/metadata")[1]["model_spec"]["version"] == "1"
        with pytest.raises(tf.errors.FailedPreconditionError, match="version 3 .* not currently available"):
            double.set_labels({"stable": 3})
        double.set_labels({"stable": 2})
        assert ask(double.url + "/labels/stable/metadata")[1]["model_spec"]["version"] == "2"
    with pytest.raises(tf.errors.FailedPreconditionError), ServingDouble(own_base, labels={"stable": 1}):
        pass


@pytest.mark.parametrize(
    "records",
    [
        [warm_up_record(["no picture"] * size) for size in (1, 2, 4, 8)],
        [warm_up_record(np.zeros((1, 4, 4, 3), np.float32), "image", "translate")],
    ],
    ids=["files", "floats"],
)
def test_a_version_is_warmed_up(own_base, records):
    with_warm_up(own_base, 2, *records)
    with ServingDouble(own_base) as double:
        assert state(double.url, 2) == "AVAILABLE"


@pytest.mark.parametrize(
    "record",
    [
        b"this is no PredictionLog",
        warm_up_record(["x"], signature="no"),
        warm_up_record(["x"], name="image"),
        warm_up_record([1.0]),
        warm_up_record(np.zeros((1, 4, 4, 7), np.float32), "image", "translate"),
        prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog()),
    ],
    ids=["bytes", "signature", "name", "type", "channels", "classify"],
)
def test_a_version_with_a_failing_warm_up_is_not_served(own_base, record):
    with_warm_up(own_base, 2, warm_up_record(["x"], "image_bytes"), record)
    with pytest.raises(tf.errors.OpError), ServingDouble(own_base):
        pass
    (own_base / "2").rename(own_base / "later")
    with ServingDouble(own_base) as double:
        (own_base / "later").rename(own_base / "2")
        status = ask(double.url)[1]["model_version_status"]
        assert [(version["version"], version["state"]) for version in status] == [("2", "END"), ("1", "AVAILABLE")]
        assert status[0]["status"]["error_code"] != "OK" and status[0]["status"]["error_message"]
        assert ask(double.url + "/metadata")[1]["model_spec"]["version"] == "1"


def test_too_many_warm_up_records(own_base):
    with_warm_up(own_base, 2, *[warm_up_record(np.zeros((1, 1, 1, 3), np.float32), "image", "translate")] * 1001)
    with pytest.raises(tf.errors.InvalidArgumentError, match="1000"), ServingDouble(own_base):
        pass


@pytest.mark.parametrize("content", [None, b"this is no SavedModel"])
def test_a_folder_that_is_no_model(own_base, content):
    (own_base / "2").mkdir()
    if content:
        (own_base / "2" / "saved_model.pb").write_bytes(content)
    with pytest.raises(tf.errors.OpError), ServingDouble(own_base):
        pass


# export/serving/client.py


def run_client(url, *arguments, **options):
    command = [sys.executable, "-I", "-W", "error", SERVING / "client.py", f"--url={url}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def assert_one_line(process, code, text):
    assert process.returncode == code
    assert re.fullmatch(r"error: .*\n", process.stderr)
    assert text in process.stderr


@pytest.fixture
def mixed_files(tmp_path):
    """MIXED as files: 0.bin, 1.bin, ..."""
    paths = [tmp_path / "in" / f"{number}.bin" for number in range(len(MIXED))]
    paths[0].parent.mkdir()
    for path, data in zip(paths, MIXED, strict=True):
        path.write_bytes(data)
    return paths


@contextlib.contextmanager
def answering(answer):
    """Answers each request's JSON over HTTP with answer(request) -> (code, body). Yields a model's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            code, body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http_server.server_port}/v1/models/pix2pix"
        finally:
            http_server.shutdown()
            thread.join()


@pytest.mark.parametrize("address", ["", "/", "/labels/stable"])
def test_client_with_malformed_pictures(server, mixed_files, tmp_path, address):
    out = tmp_path / "deep" / "out"
    process = run_client(server + address, *mixed_files, f"--output={out}")
    assert process.returncode == 1
    good = [number for number, data in enumerate(MIXED) if data in GOOD]
    assert sorted(path.name for path in out.iterdir()) == [f"{number}.png" for number in good]
    for number in good:
        actual = decoded((out / f"{number}.png").read_bytes())
        assert_same_picture(actual, translated(server, decoded(MIXED[number])))
    assert process.stdout.splitlines() == [f"{mixed_files[number]} -> {out / f'{number}.png'}" for number in good]
    failed = [number for number, data in enumerate(MIXED) if data in MALFORMED]
    assert process.stderr.splitlines() == [
        *(f"failed: {mixed_files[number]}: the model cannot read this picture" for number in failed),
        "3 of 8 pictures failed",
    ]


def test_client_without_malformed_pictures(server, mixed_files, tmp_path):
    good = [path for path, data in zip(mixed_files, MIXED, strict=True) if data in GOOD]
    process = run_client(server, *good, f"--output={tmp_path / 'out'}")
    assert (process.returncode, process.stderr) == (0, "")
    assert len([*(tmp_path / "out").iterdir()]) == len(GOOD)


def test_client_sends_batches(mixed_files, tmp_path):
    sizes = []

    def answer(request):
        sizes.append(len(request["instances"]))
        return 200, {"predictions": [{"image_bytes": row, "ok": True} for row in request["instances"]]}

    with answering(answer) as url:
        process = run_client(url, *mixed_files, f"--output={tmp_path / 'out'}", "--batch_size=3")
        assert (process.returncode, sizes) == (0, [3, 3, 2])
        assert [(tmp_path / "out" / f"{number}.png").read_bytes() for number in range(8)] == MIXED
        run_client(url, *mixed_files, mixed_files[0].parent / "0.bin/../0.bin", f"--output={tmp_path / 'out'}")
        assert sizes == [3, 3, 2]  # nothing is sent before all names are known to be right
        run_client(
            url, *mixed_files, write_picture(tmp_path / "9.png", random_picture(1, 4, 4)), "--output=out", cwd=tmp_path
        )
        assert sizes == [3, 3, 2, 8, 1]


@pytest.mark.parametrize(
    "answer, text",
    [
        ((200, b"<html>"), "no pix2pix model"),
        ((200, {"predictions": [0.5]}), "no pix2pix model"),
        ((200, {"predictions": []}), "answered with 0 pictures to 1"),
        ((400, {"error": "Task size 9 is larger\nthan 8"}), "answered 400: Task size 9 is larger than 8"),
        ((502, b"<html>"), "answered 502: Bad Gateway"),
        ((404, [1]), "answered 404: Not Found"),
    ],
)
def test_client_names_an_answer_that_it_cannot_use(tmp_path, answer, text):
    picture = write_picture(tmp_path / "a.png", random_picture(1, 4, 4))
    with answering(lambda request: answer) as url:
        assert_one_line(run_client(url, picture, f"--output={tmp_path / 'out'}"), 2, text)
    assert [*(tmp_path / "out").iterdir()] == []


def test_client_leaves_nothing_half_written(tmp_path):
    picture = write_picture(tmp_path / "a.png", random_picture(1, 4, 4))
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    with answering(lambda request: (200, {"predictions": [{"image_bytes": b64(b"x"), "ok": True}]})) as url:
        process = run_client(url, picture, f"--output={tmp_path / 'out'}")
    assert_one_line(process, 2, "out/a.png cannot be written: Is a directory")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_client_refused_by_the_server(server, tmp_path):
    picture = write_picture(tmp_path / "a.png", random_picture(1, 4, 4))
    process = run_client(server + "x", picture, f"--output={tmp_path / 'out'}")
    assert_one_line(process, 2, "answered 404: Servable not found for request: Latest(pix2pixx)")
    process = run_client(server + "/labels/canary", picture, f"--output={tmp_path / 'out'}")
    assert_one_line(process, 2, "answered 400: Unrecognized servable version label: canary")


def test_client_without_a_server(tmp_path):
    picture = write_picture(tmp_path / "a.png", random_picture(1, 4, 4))
    url = f"http://127.0.0.1:{free_port()}/v1/models/pix2pix"
    assert_one_line(run_client(url, picture, "--output=out", cwd=tmp_path), 2, f"{url}:predict cannot be reached")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/models/pix2pix"
        process = run_client(url, picture, "--output=out", "--timeout=0.3", cwd=tmp_path)
    assert_one_line(process, 2, "cannot be reached: timed out")


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["a.png", "no.png"], "no.png is not there"),
        (["folder"], "folder is a folder"),
        (["a.png", "folder/a.jpg"], "a.png and folder/a.jpg would both be saved as out/a.png"),
        (["a.png", "a.png"], "a.png and a.png would both be saved as out/a.png"),
        (["a.png", "--output=."], "a.png is one of the inputs"),
        (["a.png", "--output=a.png"], "--output=a.png: File exists"),
        (["a.png", "--output=a.png/x"], "--output=a.png/x: Not a directory"),
        (["a.png", "--batch_size=0"], "--batch_size=0 is less than 1"),
        (["a.png", "--timeout=nan"], "--timeout=nan is not between"),
        (["a.png", "--timeout=inf"], "--timeout=inf is not between"),
        (["a.png", "--url=localhost:8501"], "--url=localhost:8501 is no address"),
        (["a.png", "--url=http://["], "cannot be reached"),
        (["a.png", "--url=http://localhost:x/"], "cannot be reached"),
        (["a.png", "--url=http://ü ü/"], "cannot be reached"),
    ],
)
def test_client_used_wrongly(tmp_path, arguments, text):
    write_picture(tmp_path / "a.png", random_picture(1, 4, 4))
    write_picture(tmp_path / "folder" / "a.jpg", random_picture(1, 4, 4))
    process = run_client(f"http://127.0.0.1:{free_port()}/v1/models/x", "--output=out", *arguments, cwd=tmp_path)
    assert_one_line(process, 2, text)
    assert run_client("http://x", cwd=tmp_path).returncode == 2


def test_client_goes_on_after_a_file_that_cannot_be_read(tmp_path):
    unreadable = "/proc/self/mem"
    if not Path(unreadable).exists():
        pytest.skip("no file that even root cannot read: this system has no /proc/self/mem")
    picture = write_picture(tmp_path / "a.png", random_picture(1, 4, 4))

    def answer(request):
        return 200, {"predictions": [{"image_bytes": row, "ok": True} for row in request["instances"]]}

    with answering(answer) as url:
        process = run_client(url, unreadable, picture, f"--output={tmp_path / 'out'}", "--batch_size=1")
    assert process.returncode == 1
    assert process.stderr == f"failed: {unreadable}: Input/output error\n1 of 2 pictures failed\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


# export/serving: configurations and README


# What session_bundle_config.proto and monitoring_config.proto declare, which tensorflow-serving-api leaves out.
CONFIG_PROTOS = {
    "BatchingParameters": {
        "max_batch_size": (1, ".google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
        "num_batch_threads": (4, ".google.protobuf.Int64Value"),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, ".configs.PrometheusConfig")},
}


def config_message(name):
    """An empty message of CONFIG_PROTOS."""
    file = descriptor_pb2.FileDescriptorProto(name="configs.proto", package="configs", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message, fields in CONFIG_PROTOS.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            entry = declared.field.add(name=field, number=number, label="LABEL_OPTIONAL")
            if kind.startswith("repeated "):
                entry.label = entry.LABEL_REPEATED
            if kind.startswith("."):
                entry.type_name = kind
            else:
                entry.type = entry.Type.Value(f"TYPE_{kind.split()[-1].upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"configs.{name}"))()


def load_config(name, message):
    """A config as the server reads it. Raises text_format.ParseError."""
    return text_format.Parse((SERVING / name).read_text(), message)


COMPOSE = (SERVING / "docker-compose.yml").read_text()
README = (SERVING / "README.md").read_text()


def test_batching_config():
    config = load_config("batching.config", config_message("BatchingParameters"))
    assert [*config.allowed_batch_sizes] == [1, 2, 4, 8]  # as many warm-up records has an export
    assert config.max_batch_size.value == 8
    assert config.num_batch_threads.value >= 1
    assert config.max_enqueued_batches.value >= 1
    help_text = run_client("http://x", "--help").stdout
    assert f"pictures per request [{config.max_batch_size.value}]" in help_text


def test_model_config():
    config = load_config("model.config", model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("pix2pix", "/models/pix2pix", "tensorflow")
    assert dict(model.version_labels) == {"stable": 1}
    assert model.model_version_policy.latest.num_versions == 2
    assert ":/models:ro" in COMPOSE
    assert "--allow_version_labels_for_unavailable_models=true" in COMPOSE  # the label would keep it from starting


def test_monitoring_config():
    config = load_config("monitoring.config", config_message("MonitoringConfig"))
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_compose_mounts_what_its_flags_name():
    assert '- "./:/config:ro"' in COMPOSE
    named = re.findall(r'"--\w+_file=/config/(\S+)"', COMPOSE)
    assert {SERVING / name for name in named} == {*SERVING.glob("*.config")}
    assert "--enable_batching=true" in COMPOSE  # without it the batching file is not read
    assert '"8500:8500"' in COMPOSE and '"8501:8501"' in COMPOSE


def test_health_check(server, every_type_server):
    command = json.loads(re.search(r"test: (\[.*\])", COMPOSE)[1])
    assert command[:3] == ["CMD", "bash", "-c"]

    def code(url, name):
        script = command[3].replace("/8501", "/" + re.search(r":(\d+)/", url)[1]).replace("pix2pix", name)
        return subprocess.run(["bash", "-c", script], timeout=10, stderr=subprocess.DEVNULL).returncode

    assert code(server, "pix2pix") == 0
    assert code(server, "another") != 0
    assert code(f"http://127.0.0.1:{free_port()}/", "pix2pix") != 0


def test_readme():
    assert len(README.splitlines()) <= 60
    assert re.search(r"image: (\S+)", COMPOSE)[1] in README
    commands = re.findall(r"^(?:python|docker).*", README, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [["docker", "run"], ["python", "client.py"]]
    for name in re.findall(r"`(\w+\.(?:config|py))`", README):
        assert (SERVING / name).exists()


def test_readme_by_hand(server, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("no curl to run README's command with")
    (tmp_path / "photo.jpg").write_bytes(GOOD[1])
    command = re.search(r"^\(printf.*?:predict$", README, re.MULTILINE | re.DOTALL)[0]
    command = command.replace("http://localhost:8501/v1/models/pix2pix", server)
    answer = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout
    assert json.loads(answer) == predict(server, {"instances": [b64(GOOD[1])]})


def test_export_needs_nothing_of_this_project():
    for path in (REPOSITORY / "export").rglob("*.py"):
        imported = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or "."]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert "tf_pix2pix" not in imported, path
        if path == SERVING / "client.py":
            assert imported and imported <= sys.stdlib_module_names
