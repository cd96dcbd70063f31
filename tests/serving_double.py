"""A test double of tensorflow_model_server, for machines that have none: its REST API, answered by this process.

What it follows, from TensorFlow Serving's documentation and sources (json_tensor.cc, http_rest_api_util.cc,
server_core.cc, predict_util.cc, saved_model_warmup_util.cc):
- addresses, status codes and error bodies of predict, model status and metadata, with versions/N and labels/L;
- JSON to tensors and back, in rows ("instances") and columns ("inputs"), {"b64": ...} included;
- the session is TensorFlow's own C++ one, fed and fetched by the signature's tensor names: nothing of the model runs in
  Python;
- versions: the highest in base_path or given ones, looked for again at each request; the one before stays until the
  next is loaded; a label is refused for a version that is not loaded;
- warm-up requests are replayed at loading, and one that fails keeps the version from being loaded.

What it does not: gRPC, batching of requests, classify and regress, timeouts, repeated loading, compressed bodies, CORS.
It loads through the TF1 loader in Python where the server has the C++ one, and TF1's session also compares the shapes
that are fed with the signature's. Error texts begin as the server's do, but quote JSON in their own way.
"""

import base64
import binascii
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, prediction_log_pb2

MODEL = r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
PREDICT = re.compile(MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
STATUS = re.compile(MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)

HTTP_CODES = {  # of TensorFlow's error codes; all others are 500
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.OUT_OF_RANGE: 400,
    tf.errors.NOT_FOUND: 404,
    tf.errors.RESOURCE_EXHAUSTED: 429,
    tf.errors.UNIMPLEMENTED: 501,
    tf.errors.UNAVAILABLE: 503,
}
MAX_WARMUP_RECORDS = 1000


class ServingDouble:
    """Serves a model's versions over HTTP on 127.0.0.1, as a context manager. A test double, not the server.

    Args:
      base_path: the folder with the versions' folders: 1/, 2/, ... Others are ignored.
      name: of the model, in its address.
      versions: numbers of the versions to serve; None is the highest one.
      labels: names for versions, such as {"stable": 1}.

    Attributes:
      url: the model's address, http://127.0.0.1:PORT/v1/models/NAME.

    Raises:
      tf.errors.OpError: entering, when a version cannot be loaded or has a label and is not there: the server does not
        start then. Versions that cannot be loaded later are in the status only.
    """

    def __init__(self, base_path, name="pix2pix", versions=None, labels=None):
        self._base_path = Path(base_path)
        self._name = name
        self._wanted = versions
        self._labels = dict(labels or {})
        self._loaded = {}  # version -> _Version
        self._status = {}  # version -> None, or the error that kept it from being loaded
        self._lock = threading.Lock()

    def __enter__(self):
        try:
            self.poll()
            for error in filter(None, self._status.values()):
                raise error
            self.set_labels(self._labels)
        except BaseException:
            self._unload(list(self._loaded))
            raise
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.double = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/models/{self._name}"
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # waits for the requests under way
        self._unload(list(self._loaded))

    def set_labels(self, labels: dict[str, int]) -> None:
        """What a changed model.config does. Raises FailedPreconditionError for a version that is not loaded."""
        for version in labels.values():
            if version not in self._loaded:
                message = f"Request to assign label to version {version} of model {self._name}, "
                raise tf.errors.FailedPreconditionError(
                    None, None, message + "which is not currently available for inference"
                )
        self._labels = dict(labels)

    def poll(self) -> None:
        """Looks at base_path: loads what is to be served and is not, unloads what is no longer. Requests do it too."""
        with self._lock:
            folders = {
                int(folder.name): folder
                for folder in self._base_path.iterdir()
                if folder.is_dir() and re.fullmatch(r"[0-9]+", folder.name)
            }
            wanted = sorted(folders)[-1:] if self._wanted is None else sorted({*folders} & {*self._wanted})
            for version in wanted:
                if version in self._loaded or self._status.get(version):
                    continue  # what could not be loaded is not tried again
                try:
                    self._loaded[version] = _Version(folders[version])
                    self._status[version] = None
                except tf.errors.OpError as error:
                    self._status[version] = error
            if not wanted or any(version in self._loaded for version in wanted):
                self._unload([version for version in self._loaded if version not in wanted])

    def _unload(self, versions):
        for version in versions:
            self._loaded.pop(version).session.close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str, str]:
        """One request -> HTTP status, content type, body."""
        if not path.lower().startswith("/v1/"):
            return 404, "text/html", "<html><head><title>404 Not Found</title></head></html>"
        self.poll()
        try:
            return 200, "application/json", self._route(method, path, body)
        except tf.errors.OpError as error:
            text = json.dumps({"error": error.message}, indent=4)
            return HTTP_CODES.get(error.error_code, 500), "application/json", text

    def _route(self, method, path, body):
        if method == "GET" and path.lower() == "/v1/models":
            raise _invalid("Missing model name in request.")
        address = {"GET": STATUS, "POST": PREDICT}[method].fullmatch(path)
        if address is None:
            raise _invalid(f"Malformed request: {method} {path}")
        name, label = unquote(address["model"]), unquote(address["label"] or "")
        version = int(address["version"]) if address["version"] else None
        if method == "GET" and not address["metadata"]:
            return self._status_json(name, version)
        if method == "GET":
            return self._metadata_json(*self._find(name, version, label))
        if address["method"].lower() != "predict":
            raise tf.errors.UnimplementedError(None, None, f"the double does not {address['method']}")
        request = _parse(body)
        signature_name = request.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise _invalid(f"JSON Value: {_quote(request)} not formatted correctly. 'signature_name' key ...")
        model, _ = self._find(name, version, label)
        signature = model.signature(signature_name)
        by_rows, inputs = _read_inputs(request, signature)
        outputs = model.run(signature, inputs)
        return json.dumps(_rows(outputs) if by_rows else _columns(outputs), indent=4, ensure_ascii=False)

    def _find(self, name, version, label):
        """-> the loaded version and its number."""
        if label:
            if name != self._name or label not in self._labels:
                raise _invalid(f"Unrecognized servable version label: {label}")
            version = self._labels[label]
        number = max([*self._loaded], default=None) if version is None else version
        model = self._loaded.get(number) if name == self._name else None
        if model is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise tf.errors.NotFoundError(None, None, f"Servable not found for request: {wanted}")
        return model, number

    def _status_json(self, name, version):
        known = self._status if name == self._name else {}
        if version is not None and version not in known:
            raise tf.errors.NotFoundError(None, None, f"Could not find version {version} of model {name}")
        if not known:
            raise tf.errors.NotFoundError(None, None, f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number in [version] if version is not None else sorted(known, reverse=True):
            entry = response.model_version_status.add(version=number)
            entry.state = entry.AVAILABLE if number in self._loaded else entry.END
            error = known[number]
            entry.status.error_code = error.error_code if error else error_codes_pb2.OK
            entry.status.error_message = error.message if error else ""
        return _proto_json(response)

    def _metadata_json(self, model, number):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._name
        response.model_spec.version.value = number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in model.signatures.items():
            signatures.signature_def[key].CopyFrom(signature)
        spec, signature_def = _proto_json(response.model_spec), _proto_json(signatures)
        return f'{{"model_spec": {spec}, "metadata": {{"signature_def": {signature_def}}}}}'


class _Version:
    """One version in a session of its own, warmed up. Raises tf.errors.OpError when it cannot be loaded."""

    def __init__(self, folder: Path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            with self.session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(folder))
            self.signatures = dict(meta_graph.signature_def)
            self._warm_up(folder / "assets.extra" / "tf_serving_warmup_requests")
        except (OSError, RuntimeError) as error:  # of the loader in Python
            self.session.close()
            raise tf.errors.NotFoundError(None, None, str(error)) from None
        except BaseException:
            self.session.close()
            raise

    def signature(self, name: str):
        name = name or "serving_default"
        if name not in self.signatures:
            raise _invalid(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def run(self, signature, inputs: dict[str, np.ndarray]) -> dict[str, tuple[tf.DType, np.ndarray]]:
        """Output names -> their types and values."""
        if missing := {*signature.inputs} ^ {*inputs}:
            raise _invalid(f"input size does not match signature: {', '.join(sorted(missing))}")
        feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
        fetches = {name: info.name for name, info in signature.outputs.items()}
        try:
            values = self.session.run(fetches, feeds)
        except ValueError as error:  # a shape that is not the signature's
            raise _invalid(str(error)) from None
        dtypes = {name: tf.as_dtype(signature.outputs[name].dtype) for name in values}
        return {name: (dtype, np.asarray(values[name], dtype.as_numpy_dtype)) for name, dtype in dtypes.items()}

    def _warm_up(self, path):
        if not path.exists():
            return
        for number, record in enumerate(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), 1):
            if number > MAX_WARMUP_RECORDS:
                raise _invalid(f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS})")
            try:
                log = prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError as error:
                raise _invalid(f"Failed to parse warmup record from {path}: {error}") from None
            if log.WhichOneof("log_type") != "predict_log":
                raise tf.errors.UnimplementedError(None, None, "the double warms up with predict requests only")
            request = log.predict_log.request
            signature = self.signature(request.model_spec.signature_name)
            for name, tensor in request.inputs.items():
                if name not in signature.inputs:
                    raise _invalid(f"input tensor alias not found in signature: {name}")
                if tensor.dtype != signature.inputs[name].dtype:
                    raise _invalid(f"input {name} is not of the signature's type")
            self.run(signature, {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code, kind, text = self.server.double.answer(self.command, urlsplit(self.path).path, body)
        answer = text.encode("utf-8", "surrogateescape")
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *args):
        pass


def _invalid(message):
    return tf.errors.InvalidArgumentError(None, None, message)


def _proto_json(message):
    return MessageToJson(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _quote(value):
    return json.dumps(value, indent=4)


def _parse(body):
    try:
        request = json.loads(body)
    except ValueError as error:
        reason = error if body else "The document is empty"
        raise _invalid(f"JSON Parse error: {reason}") from None
    if not isinstance(request, dict):
        raise _invalid(f"JSON Value: {_quote(request)} Is not object")
    return request


# JSON -> tensors


def _read_inputs(request, signature):
    """-> whether they came in rows, and input names -> arrays."""
    if "instances" in request and "inputs" in request:
        raise _invalid(
            f"JSON Value: {_quote(request)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys",
        )
    if "instances" in request:
        return True, _read_rows(request["instances"], signature.inputs)
    if "inputs" in request:
        return False, _read_columns(request["inputs"], signature.inputs)
    raise _invalid("Missing 'inputs' or 'instances' key")


def _read_rows(rows, infos):
    if not isinstance(rows, list):
        raise _invalid(f"JSON Value: {_quote(rows)} Excepting 'instances' to be an list/array")
    if not rows:
        raise _invalid("JSON Value: [] No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise _invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required",
        )
    named = _is_named(rows[0])
    tensors = {}  # input name -> one array per row
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            wanted, got = ("object", "list") if named else ("value/list", "object")
            raise _invalid(f"Expecting {wanted} but got {got} at item {number} of input list")
        where = f"Failed to process element: {number}"
        for name, value in row.items() if named else [(sorted(infos)[0], row)]:
            try:
                if name not in infos:
                    raise _invalid(f"JSON object: does not have named input: {name}")
                tensor = _array(value, infos[name].dtype)
                before = tensors.setdefault(name, [])
                if before and before[0].size != tensor.size:
                    raise _invalid(f"Expecting tensor size: {before[0].size} but got: {tensor.size}")
                if before and before[0].shape != tensor.shape:
                    expected, got = (str(list(array.shape)).replace(" ", "") for array in (before[0], tensor))
                    raise _invalid(f"Expecting shape {expected} but got: {got}")
                before.append(tensor)
            except tf.errors.InvalidArgumentError as error:
                key = f" key: {name}" if named else ""
                raise _invalid(f"{where}{key} of 'instances' list. Error: INVALID_ARGUMENT: {error.message}") from None
        if named and {*row} != {*infos}:
            names = ",".join(sorted(infos))
            raise _invalid(f"{where} of 'instances' list. JSON object: {_quote(row)} keys must be equal to: {names}")
    return {name: np.stack(arrays) for name, arrays in tensors.items()}


def _read_columns(columns, infos):
    if not _is_named(columns):
        if len(infos) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required",
            )
        columns = dict.fromkeys(infos, columns)
    for name in infos:
        if name not in columns:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _array(columns[name], info.dtype) for name, info in infos.items()}  # further names are ignored


def _is_named(value):
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value):
    return isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str)


def _array(value, data_type):
    """A scalar or nested lists of one depth and one length at each depth -> an array of the type."""
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    dtype = tf.as_dtype(data_type)
    values = []
    _fill(value, 0, shape, dtype, values)
    array = np.empty(len(values), dtype.as_numpy_dtype)  # of objects for strings
    array[:] = values
    return array.reshape(shape)


def _fill(value, level, shape, dtype, values):
    if not isinstance(value, list):
        if level != len(shape):
            raise _invalid(
                f"JSON Value: {_quote(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}",
            )
        values.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise _invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise _invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}",
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, values)


INTEGERS = {  # the range that is let through; what is beyond the type itself, the server lets wrap around
    **dict.fromkeys((tf.int32, tf.int16, tf.int8, tf.uint8), (-(2**31), 2**31 - 1)),
    tf.int64: (-(2**63), 2**63 - 1),
    tf.uint32: (0, 2**32 - 1),
    tf.uint64: (0, 2**64 - 1),
}
FLOATS = {tf.float32: ("float", 24), tf.float64: ("double", 53)}  # the server's name, digits of the mantissa
WRITTEN = {*INTEGERS, *FLOATS, tf.string, tf.bool}


def _scalar(value, dtype):
    if dtype is tf.string and isinstance(value, dict):
        return _decode_base64(value)
    if dtype not in WRITTEN:
        raise tf.errors.UnimplementedError(
            None, None, f"Conversion of JSON Value: {_quote(value)} to type: {dtype.name}"
        )
    if dtype is tf.string:
        fits = isinstance(value, str)
    elif dtype is tf.bool:
        fits = isinstance(value, bool)
    elif dtype in FLOATS:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        low, high = INTEGERS[dtype]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    if not fits:
        name = FLOATS[dtype][0] if dtype in FLOATS else dtype.name
        kinds = {type(None): "Null", dict: "Object", str: "String", bool: str(value)}
        raise _invalid(
            f"JSON Value: {_quote(value)} Type: {kinds.get(type(value), 'Number')} is not of expected type: {name}",
        )
    if dtype in FLOATS and np.isfinite(float(value)):
        name, digits = FLOATS[dtype]
        if abs(value) > (2**digits - 1 if isinstance(value, int) else float(dtype.max)):
            raise _invalid(f"Cannot convert JSON value: {_quote(value)} to {name} without loss of precision.")
    if dtype is tf.string:
        return value.encode()
    return np.array(value).astype(dtype.as_numpy_dtype) if dtype in INTEGERS else value


def _decode_base64(value):
    if not _is_base64(value):
        raise _invalid(f"JSON Value: {_quote(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("Unable to base64 decode") from None


# tensors -> JSON


def _rows(outputs):
    sizes = {}
    for name, (_, array) in outputs.items():
        if array.ndim == 0:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        sizes[name] = len(array)
        expected = next(iter(sizes.values()))
        if len(array) != expected:
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {expected}",
            )
    written = {name: _written(name, *output) for name, output in outputs.items()}
    if len(written) == 1:
        return {"predictions": next(iter(written.values()))}
    return {"predictions": [dict(zip(written, row, strict=True)) for row in zip(*written.values(), strict=True)]}


def _columns(outputs):
    written = {name: _written(name, *output) for name, output in outputs.items()}
    return {"outputs": next(iter(written.values())) if len(written) == 1 else written}


def _written(name, dtype, array):
    """An output -> nested lists of what JSON has."""
    if dtype not in WRITTEN:
        raise _invalid(f"Failed to write JSON value for tensor type: {dtype.name}")
    if dtype is tf.string and name.endswith("_bytes"):
        return _each(array.tolist(), lambda data: {"b64": base64.b64encode(data).decode()})
    if dtype is tf.string:  # as it is, be it text or not
        return _each(array.tolist(), lambda data: data.decode("utf-8", "surrogateescape"))
    if dtype is tf.float32:
        return _each(array.tolist(), _shortened)
    return array.tolist()


def _shortened(number):
    """The float32 `number` with 6 digits where they say it exactly, else with 9."""
    short = float(f"{number:.6g}")
    return short if np.float32(short) == np.float32(number) else float(f"{number:.9g}")


def _each(value, change):
    return [_each(element, change) for element in value] if isinstance(value, list) else change(value)
