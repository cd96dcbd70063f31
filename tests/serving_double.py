"""A test double of tensorflow_model_server's REST API, for machines without the server.

It runs the model as the server does: in TensorFlow's C++ session, fed and fetched by the tensor names of the signature,
so that no Python code of the model runs. URLs, status codes, error texts and JSON follow TensorFlow Serving's sources:
http_rest_api_util.cc, predict_util.cc, saved_model_warmup_util.cc, json_tensor.cc (see serving_json.py).

Differences from the server:
- The SavedModel is read by TensorFlow 1's loader, which is Python; the server's loader is C++.
- Versions are loaded once, at the start. There is no gRPC, batching, classify, regress or timeout.
"""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from serving_json import invalid, read_inputs, write_outputs

ADDRESS = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?(?P<action>:predict|/metadata)?"
)
HTTP_STATUS = {tf.errors.INVALID_ARGUMENT: 400, tf.errors.NOT_FOUND: 404}  # all other errors: 500
NAME = "pix2pix"  # of the model


class ServingDouble:
    """Context manager that serves the highest versions of a model over HTTP on 127.0.0.1.

    Args:
      base_path: folder with the version folders 1/, 2/, ...; everything else in it is ignored.
      num_versions: how many versions to load, the highest first.
      labels: version numbers by label, such as {"stable": 1}.

    Attributes:
      url: the model's URL, http://127.0.0.1:PORT/v1/models/pix2pix.

    Raises:
      tf.errors.OpError: on entering, a warm-up request fails.
    """

    def __init__(self, base_path, num_versions=1, labels=None):
        folders = {int(path.name): path for path in Path(base_path).iterdir() if re.fullmatch("[0-9]+", path.name)}
        self._folders = {number: folders[number] for number in sorted(folders, reverse=True)[:num_versions]}
        self._labels = labels or {}
        self._models = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for number, folder in self._folders.items():
                session = tf.compat.v1.Session(graph=tf.Graph())
                stack.callback(session.close)
                self._models[number] = _Model(session, folder)
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Handler))
            server.double = self
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            self.url = f"http://127.0.0.1:{server.server_port}/v1/models/{NAME}"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info):
        self._stack.close()

    def answer(self, method: str, path: str, body: bytes) -> dict:
        """Returns the JSON that answers a request. Raises tf.errors.OpError for a request that the server refuses."""
        address = ADDRESS.fullmatch(path)
        if address is None or (method == "POST") != (address["action"] == ":predict"):
            raise invalid(f"Malformed request: {method} {path}")
        name, label = address["name"], address["label"]
        models = self._models if name == NAME else {}
        version = int(address["version"]) if address["version"] else None
        if address["action"] is None:
            return _status(name, models, version)
        if label and label not in self._labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        version = self._labels[label] if label else version
        number = max(models, default=None) if version is None else version
        if number not in models:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise _not_found(f"Servable not found for request: {wanted}")
        return models[number].predict(body) if method == "POST" else models[number].metadata(number)


class _Model:
    """One version, loaded into a session of its own and warmed up."""

    def __init__(self, session, folder: Path):
        self._session = session
        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
        self._signatures = dict(meta_graph.signature_def)
        records = folder / "assets.extra" / "tf_serving_warmup_requests"
        if records.exists():
            from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

            for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
                request = PredictionLog.FromString(record).predict_log.request
                inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
                self._run(self._signature(request.model_spec.signature_name), inputs)

    def metadata(self, number: int) -> dict:
        options = dict(preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        signatures = {name: MessageToDict(signature, **options) for name, signature in self._signatures.items()}
        spec = {"name": NAME, "signature_name": "", "version": str(number)}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}

    def predict(self, body: bytes) -> dict:
        try:
            request = json.loads(body)
        except ValueError as error:
            raise invalid(f"JSON Parse error: {error if body else 'The document is empty'}") from None
        if not isinstance(request, dict):
            raise invalid("Is not object")
        if not isinstance(request.get("signature_name", ""), str):
            raise invalid("not formatted correctly. 'signature_name' key ...")
        signature = self._signature(request.get("signature_name"))
        outputs = self._run(signature, read_inputs(request, signature.inputs))
        return write_outputs(outputs, by_rows="instances" in request)

    def _signature(self, name):
        name = name or "serving_default"
        if name not in self._signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return self._signatures[name]

    def _run(self, signature, inputs):
        """Arrays by input name -> (dtype, array) by output name."""
        if different := {*signature.inputs} ^ {*inputs}:
            raise invalid(f"input size does not match signature: {', '.join(sorted(different))}")
        feeds = {signature.inputs[name].name: array for name, array in inputs.items()}
        values = self._session.run({name: info.name for name, info in signature.outputs.items()}, feeds)
        return {name: (tf.as_dtype(signature.outputs[name].dtype), np.asarray(values[name])) for name in values}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer = 200, self.server.double.answer(self.command, self.path, body)
        except tf.errors.OpError as error:
            status, answer = HTTP_STATUS.get(error.error_code, 500), {"error": error.message}
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogateescape"))

    do_POST = do_GET

    def log_message(self, *args):
        pass


def _status(name, models, version):
    if version is not None and version not in models:
        raise _not_found(f"Could not find version {version} of model {name}")
    if not models:
        raise _not_found(f"Could not find any versions of model {name}")
    status = {"error_code": "OK", "error_message": ""}
    numbers = [version] if version is not None else sorted(models, reverse=True)
    return {"model_version_status": [{"version": str(n), "state": "AVAILABLE", "status": status} for n in numbers]}


def _not_found(message):
    return tf.errors.NotFoundError(None, None, message)
