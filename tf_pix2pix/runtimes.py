"""How each exported format is loaded and run; a generator's function again, from the artifact alone."""

import base64
import contextlib
import http.client
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

from tf_pix2pix import images, model_card
from tf_pix2pix.errors import InputError, RunError, error_line

_NAMES = ["image", "generated"]  # of the one input and the one output
SERVER_TIMEOUT = 300  # seconds; a large picture on a busy CPU takes tens of them


@dataclass(frozen=True)
class Runtime:
    """A loaded model.

    Attributes:
      source: the path or the address.
      generate: float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'] of the same height and width, float32 in [-1, 1], or
        the uint8 or uint16 that a server answers with. Raises RunError where it fails.
      card: what the model says of itself (exporting.make_card). None: nothing.
      fixed_size: the only (height, width) that `generate` takes. None: any.
    """

    source: str
    generate: Callable[[np.ndarray], np.ndarray]
    card: dict[str, Any] | None
    fixed_size: tuple[int, int] | None = None


class Refused(RunError):
    """A server does not take a picture: it is too large, or has channels that the model does not."""


def _failing_in_one_line(source: Path, generate: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """`generate`, with whatever a library raises when it runs (memory, mostly) as RunError."""

    def run(image):
        try:
            return generate(image)
        except Exception as error:
            height, width = image.shape[1:3]
            raise RunError(f"{source} fails in a picture of {height}x{width} pixels: {error_line(error)}") from error

    return run


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
    versions = [version for version in path.glob("*/saved_model.pb") if version.parent.name.isdecimal()]
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
    except Exception as error:  # on damaged files TensorFlow raises nearly anything
        raise InputError(f"{path} cannot be loaded: {error_line(error)}") from None
    translate = model.signatures.get("translate")
    if translate is None or [*translate.structured_input_signature[1], *translate.structured_outputs] != _NAMES:
        raise InputError(f"{path} has no signature translate from image to generated: it is no export of tf_pix2pix")

    def generate(image, _keeps_the_variables_alive=model):
        return translate(image=tf.constant(image))["generated"].numpy()

    return Runtime(str(path), _failing_in_one_line(path, generate), model_card.read_card(path))


def load_tflite(path: Path) -> Runtime:
    """A TFLite file on all cores, with a float or a uint8 interface. Raises InputError where it cannot be loaded."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
            interpreter.allocate_tensors()
            run = interpreter.get_signature_runner("translate")
        taken, given = run.get_input_details()["image"], run.get_output_details()["generated"]
    except KeyError as error:
        raise InputError(f"{path} has no {error} in its signature translate: it is no export of tf_pix2pix") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be loaded: {error_line(error)}") from None
    size = tuple(int(side) for side in taken["shape_signature"][1:3])

    def generate(image):
        return _dequantized(run(image=_quantized(image, taken))["generated"], given)

    return Runtime(
        str(path), _failing_in_one_line(path, generate), model_card.read_card(path), None if -1 in size else size
    )


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
        raise InputError(f"{path} cannot be loaded: {error_line(error)}") from None
    if [value.name for value in (*session.get_inputs(), *session.get_outputs())] != _NAMES:
        raise InputError(f"{path} is not from image to generated: it is no export of tf_pix2pix")

    def generate(image):
        return session.run(["generated"], {"image": image})[0]

    return Runtime(str(path), _failing_in_one_line(path, generate), model_card.read_card(path))


def connect(url: str) -> Runtime:
    """A model that TensorFlow Serving serves over REST at http://HOST:PORT/v1/models/NAME[/versions/N].

    Pictures travel as PNG in both directions, in 16 bits where 8 do not hold them. Raises InputError where no such
    model is served there; `generate` raises RunError where the server fails, and Refused where it does not take the
    picture.
    """
    try:
        signatures = _ask(f"{url}/metadata")["metadata"]["signature_def"]["signature_def"]
        served = {*signatures["serving_default"]["outputs"]} == {"image_bytes", "ok"}
    except RunError as error:
        raise InputError(str(error)) from None
    except (KeyError, TypeError):
        served = False
    if not served:
        raise InputError(f"{url} serves no model that was exported by tf_pix2pix")

    def generate(image):
        size = "x".join(map(str, image.shape[1:3]))
        request = {"instances": [{"image_bytes": {"b64": base64.b64encode(_png(image)).decode()}}]}
        answer = _ask(f"{url}:predict", request)
        try:
            (row,) = answer["predictions"]
            picture = images.decode(base64.b64decode(row["image_bytes"]["b64"])) if row["ok"] else None
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{url} answers, but not with one picture: it serves another model") from None
        if picture is None:
            raise Refused(f"{url} refuses a picture of {size} pixels and {image.shape[3]} channels")
        return picture[np.newaxis]

    return Runtime(url, generate, card=None)


def _png(image: np.ndarray) -> bytes:
    """float32 [1, h, w, c] in [-1, 1] -> a PNG file's bytes."""
    deep, picture = images.from_float(image[0], "uint16").numpy(), images.from_float(image[0]).numpy()
    return images.encode(picture if (deep == 257 * picture.astype(np.uint16)).all() else deep, compression=1)


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
