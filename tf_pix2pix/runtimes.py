"""How each exported format is loaded and run; a generator's function again, from the artifact alone."""

import base64
import contextlib
import http.client
import io
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_pix2pix import images, model_card
from tf_pix2pix.errors import InputError, RunError

SERVER_TIMEOUT = 300  # seconds; a large picture on a busy CPU takes tens of them


@dataclass(frozen=True)
class Runtime:
    """A loaded model.

    Attributes:
      generate: float32 [1, h, w, c] in [-1, 1] -> float32 [1, h, w, c'], the same height and width.
      card: what the model says of itself (exporting.make_card). None: nothing.
      fixed_size: the only (height, width) that `generate` takes. None: any.
    """

    generate: Callable[[np.ndarray], np.ndarray]
    card: dict[str, Any] | None
    fixed_size: tuple[int, int] | None = None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Sends what C++ code writes to stderr nowhere: notes of LiteRT and its converter, which no setting turns off."""
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
    """A SavedModel's folder: `path` itself, or the highest of the numbered versions in it.

    Raises:
      InputError: it is neither.
    """
    versions = [version for version in path.glob("*/saved_model.pb") if version.parent.name.isdigit()]
    if (path / "saved_model.pb").is_file():
        return path
    if not versions:
        raise InputError(f"{path} is no SavedModel and holds no numbered version of one")
    return max(versions, key=lambda version: int(version.parent.name)).parent


def load_saved_model(path: Path) -> Runtime:
    """A SavedModel's signature `translate`, in Python. Raises InputError where it cannot be loaded or has none."""
    path = latest_version(path)
    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(f"{path} cannot be loaded: {_first_line(error)}") from None
    if "translate" not in model.signatures:
        raise InputError(f"{path} has no signature translate; it has {', '.join(model.signatures) or 'none'}")
    translate = model.signatures["translate"]

    def generate(image, _keeps_the_variables_alive=model):
        return translate(image=tf.constant(image))["generated"].numpy()

    return Runtime(generate, model_card.read_card(path))


def load_tflite(path: Path) -> Runtime:
    """A TFLite file on all cores, with a float or a uint8 interface. Raises InputError where it cannot be loaded."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
            run = interpreter.get_signature_runner("translate")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be loaded: {_first_line(error)}") from None
    taken, given = run.get_input_details()["image"], run.get_output_details()["generated"]
    size = tuple(int(side) for side in taken["shape_signature"][1:3])

    def generate(image):
        return _dequantized(run(image=_quantized(image, taken))["generated"], given)

    return Runtime(generate, model_card.read_card(path), None if -1 in size else size)


def _quantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """float32 -> what a tensor of an interpreter holds."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return np.clip(np.round(values / scale) + zero_point, 0, 255).astype(tensor["dtype"])


def _dequantized(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """What a tensor of an interpreter holds -> float32."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)


def load_onnx(path: Path) -> Runtime:
    """An ONNX file, in ONNX Runtime. Raises InputError where it cannot be loaded, or ONNX Runtime is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path} needs ONNX Runtime: pip install 'tf_pix2pix[onnx]'") from None
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; not what it does with the graph
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, by what is wrong with the file
        raise InputError(f"{path} cannot be loaded: {_first_line(error)}") from None
    return Runtime(lambda image: session.run(["generated"], {"image": image})[0], model_card.read_card(path))


def connect(url: str) -> Runtime:
    """A model that TensorFlow Serving serves over REST at http://HOST:PORT/v1/models/NAME[/versions/N].

    Pictures travel as PNG in both directions, in 8 bits. Raises InputError where no such model is served there;
    `generate` raises RunError where the server fails.
    """
    try:
        _ask(f"{url}/metadata")
    except RunError as error:
        raise InputError(str(error)) from None

    def generate(image):
        request = {"instances": [{"image_bytes": {"b64": base64.b64encode(_png(image)).decode()}}]}
        (row,) = _ask(f"{url}:predict", request)["predictions"]
        if not row["ok"]:
            height, width, channels = image.shape[1:]
            raise RunError(f"{url} refuses a picture of {height}x{width} pixels and {channels} channels")
        return images.to_float(images.decode(base64.b64decode(row["image_bytes"]["b64"]))[np.newaxis]).numpy()

    return Runtime(generate, card=None)


def _png(image: np.ndarray) -> bytes:
    """float32 [1, h, w, c] in [-1, 1] -> a PNG file's bytes."""
    picture = images.to_uint8(image[0]).numpy()
    file = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _ask(url: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON that a server answers with. Raises RunError where it answers with an error, or not at all."""
    data = None if request is None else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(url, data=data, timeout=SERVER_TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read().decode(errors="replace").strip()
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(said)["error"]
        raise RunError(f"{url} answers {error.code}: {said or error.reason}") from None
    except urllib.error.URLError as error:
        raise RunError(f"{url} cannot be reached: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RunError(f"{url} does not answer as a TensorFlow Serving model does: {error}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
