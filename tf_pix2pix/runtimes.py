"""Runtimes: an exported model, loaded or served, as a Python function of images."""

import base64
import contextlib
import http.client
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, model_card
from tf_pix2pix.errors import InputError, RunError, error_line, format_count, format_list

SERVER_TIMEOUT = 300  # seconds; a large image on a busy CPU can need tens of seconds

_NAMES = ["image", "generated"]  # the input and the output of an exported model
_STDERR_LOCK = threading.RLock()


@dataclass(frozen=True)
class Runtime:
    """A loaded model.

    Attributes:
      source: its path or URL.
      generate: float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'] of the same height and width: float32 in [-1, 1], or
        the uint8 or uint16 of a server. Any number of threads may call it. Raises RunError if the model fails.
      card: the model card (exporting.card.make_card); None: missing.
      fixed_size: the only (height, width) that `generate` accepts; None: any.
    """

    source: str
    generate: Callable[[np.ndarray], np.ndarray]
    card: dict[str, Any] | None
    fixed_size: tuple[int, int] | None = None


class Refused(RunError):
    """A server refuses an image: it is too large, or its channels or bit depth do not fit the model."""


def _with_run_errors(source: Path, generate: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """`generate`, with a one-line RunError for any error of a library (mostly out of memory)."""

    def run(image):
        try:
            return generate(image)
        except Exception as error:
            height, width = image.shape[1:3]
            raise RunError(f"{source}: the model failed on a {height}x{width} image: {error_line(error)}") from error

    return run


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discards the output of C++ code to stderr: LiteRT and its converter have no setting for that.

    Threads enter one at a time, because stderr belongs to the whole process.
    """
    with _STDERR_LOCK:
        sys.stderr.flush()
        stderr = os.dup(2)
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def latest_version(path: Path) -> Path:
    """The folder of a SavedModel: `path` itself, or the highest of the numbered versions in it.

    Raises:
      InputError: both are missing; the message names the runs and SavedModels in the folder.
    """
    if (path / "saved_model.pb").is_file():
        return path
    if versions := _find_versions(path):
        return max(versions, key=lambda version: int(version.name))
    folders = sorted(folder for folder in path.glob("*") if folder.is_dir())
    runs = [folder.name for folder in folders if (folder / "config.json").is_file()]
    exports = [folder.name for folder in folders if (folder / "saved_model.pb").is_file() or _find_versions(folder)]
    found = {"runs": runs, "SavedModels": [name for name in exports if name not in runs]}
    contents = " and ".join(f"the {kind} {format_list(names, most=10)}" for kind, names in found.items() if names)
    if contents:
        raise InputError(f"{path}: not a model; it contains {contents}; pass one of them")
    raise InputError(f"{path}: not a model; pass a run directory, a SavedModel, or a .tflite or .onnx file")


def _find_versions(path: Path) -> list[Path]:
    return [file.parent for file in path.glob("*/saved_model.pb") if file.parent.name.isdecimal()]


def load_saved_model(path: Path) -> Runtime:
    """Loads the signature `translate` of a SavedModel. Raises InputError if it is missing or does not load."""
    path = latest_version(path)
    try:
        model = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises nearly anything for damaged files
        raise InputError(f"{path}: cannot be loaded: {error_line(error)}; export it again") from None
    translate = model.signatures.get("translate")
    if translate is None or [*translate.structured_input_signature[1], *translate.structured_outputs] != _NAMES:
        raise _not_ours(path, "its signature `translate` from image to generated is missing")

    def generate(image, _keeps_the_variables_alive=model):
        return translate(image=tf.constant(image))["generated"].numpy()

    return Runtime(str(path), _with_run_errors(path, generate), model_card.read_card(path))


def _not_ours(source: str | Path, problem: str) -> InputError:
    return InputError(f"{source}: {problem}; pass a model that tf_pix2pix exported")


def load_tflite(path: Path) -> Runtime:
    """Loads a TFLite file with a float32 or a uint8 interface. Raises InputError if it does not load."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
            run = interpreter.get_signature_runner("translate")
        input_details, output_details = run.get_input_details()["image"], run.get_output_details()["generated"]
    except KeyError as error:
        raise _not_ours(path, f"{error} is missing in its signature `translate`") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be loaded: {error_line(error)}; export it again") from None
    height, width = (int(side) for side in input_details["shape_signature"][1:3])
    lock = threading.Lock()  # an interpreter holds the tensors of one call, and one already uses all cores

    def generate(image):
        with lock:
            generated = run(image=_quantize(image, input_details))["generated"]
        return _dequantize(generated, output_details)

    fixed_size = None if -1 in (height, width) else (height, width)
    return Runtime(str(path), _with_run_errors(path, generate), model_card.read_card(path), fixed_size)


def _quantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """float32 values -> the dtype of a LiteRT tensor, by its scale and zero point."""
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    return np.clip(np.round(values / scale) + zero_point, 0, 255).astype(details["dtype"])


def _dequantize(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """The values of a LiteRT tensor -> float32, by its scale and zero point."""
    if details["dtype"] == np.float32:
        return values
    scale, zero_point = details["quantization"]
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)


def load_onnx(path: Path) -> Runtime:
    """Loads an ONNX file. Raises InputError if it does not load, or ONNX Runtime is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path}: ONNX Runtime is not installed; pip install 'tf_pix2pix[onnx]'") from None
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has one exception class for each kind of damage
        raise InputError(f"{path}: cannot be loaded: {error_line(error)}; export it again") from None
    if [value.name for value in (*session.get_inputs(), *session.get_outputs())] != _NAMES:
        raise _not_ours(path, "its input and output are not image and generated")

    def generate(image):
        return session.run(["generated"], {"image": image})[0]

    return Runtime(str(path), _with_run_errors(path, generate), model_card.read_card(path))


def connect(url: str) -> Runtime:
    """Connects to a model that TensorFlow Serving serves over REST at http://HOST:PORT/v1/models/NAME[/versions/N].

    Images travel as PNG in both directions, with 16 bits if 8 would lose something. `generate` raises Refused if the
    server refuses an image.

    Raises:
      InputError: the URL does not serve a model that tf_pix2pix exported.
    """
    try:
        signatures = _request(f"{url}/metadata")["metadata"]["signature_def"]["signature_def"]
        is_ours = {*signatures["serving_default"]["outputs"]} == {"image_bytes", "ok"}
    except RunError as error:
        raise InputError(str(error)) from None
    except (KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise _not_ours(url, "another kind of model is served there")

    def generate(image):
        instance = {"image_bytes": {"b64": base64.b64encode(_encode_png(image)).decode()}}
        response = _request(f"{url}:predict", {"instances": [instance]})
        try:
            (row,) = response["predictions"]
            generated = images.decode(base64.b64decode(row["image_bytes"]["b64"])) if row["ok"] else None
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{url}: the response is not one image; another model is served there") from None
        if generated is None:
            height, width, channels = image.shape[1:]
            raise Refused(
                f"{url}: the server refuses a {height}x{width} image with {format_count(channels, 'channel')}"
            )
        return generated[np.newaxis]

    return Runtime(url, generate, card=None)


def _encode_png(image: np.ndarray) -> bytes:
    """float32 [1, h, w, c] in [-1, 1] -> a PNG file, with 16 bits if 8 would lose something."""
    deep, shallow = images.from_float(image[0], "uint16").numpy(), images.from_float(image[0]).numpy()
    is_shallow = (deep == 257 * shallow.astype(np.uint16)).all()
    return images.encode(shallow if is_shallow else deep, compression=1)


def _request(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON in a server's response. Raises RunError for an error status or an invalid response."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data=data, timeout=SERVER_TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            message = error.read().decode(errors="replace").strip()
        with contextlib.suppress(ValueError, KeyError, TypeError):
            message = json.loads(message)["error"]
        raise RunError(f"{url}: status {error.code}: {message or error.reason}") from None
    except urllib.error.URLError as error:
        raise RunError(f"{url}: cannot be reached: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RunError(f"{url}: the response is not from TensorFlow Serving: {error}") from None
