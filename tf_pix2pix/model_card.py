"""The model card, a JSON object that says what an exported model is and how to feed it, and where each format keeps it.

A SavedModel folder: DIR/assets.extra/model_card.json. A .tflite file: a metadata entry "model_card.json". A .onnx file:
metadata_props["model_card"].
"""

import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write

NAME = "model_card.json"
_TFLITE_IDENTIFIER = b"TFL3"


def read_card(path: str | os.PathLike) -> dict[str, Any] | None:
    """The card of a SavedModel folder, a .tflite or a .onnx file; None where it has none.

    Raises:
      InputError: the file is not there, or is damaged.
    """
    path = Path(path)
    reader = _read_folder if path.is_dir() else _format_of(path)[0]
    try:
        text = reader(path)
        card = None if text is None else json.loads(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; export it again") from None
    if card is not None and not isinstance(card, dict):
        raise InputError(f"{path} is damaged: its model card is no JSON object; export it again")
    return card


def write_card(path: str | os.PathLike, card: dict[str, Any]) -> None:
    """Puts the card into a SavedModel folder, a .tflite or a .onnx file, in place of the one that it has, if any.

    What is changed is written beside, then renamed.

    Raises:
      InputError: the file is not there, or is damaged.
    """
    path = Path(path)
    text = json.dumps(card, indent=2)
    if path.is_dir():
        (path / "assets.extra").mkdir(exist_ok=True)
        with atomic_write(path / "assets.extra" / NAME) as beside:
            beside.write_text(text, encoding="utf-8")
        return
    writer = _format_of(path)[1]
    try:
        encoded = writer(path, text)
        with atomic_write(path) as beside:
            beside.write_bytes(encoded)
    except FileNotFoundError:
        raise InputError(f"{path} is not there") from None
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; export it again") from None


def _read_folder(path: Path) -> str | None:
    card = path / "assets.extra" / NAME
    return card.read_text(encoding="utf-8") if card.exists() else None


def _read_tflite(path: Path) -> str | None:
    model, number = _tflite_model(path.read_bytes())
    return None if number is None else model.Buffers(number).DataAsNumpy().tobytes().decode()


def _with_tflite_card(path: Path, text: str) -> bytes:
    """The file's bytes with the card in them."""
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    encoded = path.read_bytes()
    model, number = _tflite_model(encoded)
    with _flatbuffer_errors():
        model = schema.ModelT.InitFromObj(model)  # its buffers stay numpy views of `encoded`
        if number is None:
            number = len(model.buffers)
            entry = schema.MetadataT()
            entry.name, entry.buffer = NAME, number
            model.metadata = [*(model.metadata or []), entry]
            model.buffers.append(schema.BufferT())
        model.buffers[number].data = np.frombuffer(text.encode(), np.uint8)
        builder = flatbuffers.Builder(len(encoded) + len(text) + 2**20)  # doubles itself where that is too small
        builder.Finish(model.Pack(builder), file_identifier=_TFLITE_IDENTIFIER)
        return builder.Output()


def _tflite_model(encoded: bytes):
    """The flatbuffer's root, all of whose buffers are inside of the file, and the number of the card's buffer or None.

    Raises ValueError where it is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if encoded[4:8] != _TFLITE_IDENTIFIER:
        raise ValueError("it is no TFLite file")
    with _flatbuffer_errors():
        model = schema.Model.GetRootAs(encoded)
        buffers = [model.Buffers(number).DataAsNumpy() for number in range(model.BuffersLength())]
        entries = [model.Metadata(number) for number in range(model.MetadataLength())]
        number = next((entry.Buffer() for entry in entries if entry.Name() == NAME.encode()), None)
        if number is not None and not buffers[number].size:
            raise IndexError
    return model, number


@contextlib.contextmanager
def _flatbuffer_errors():
    """Makes a ValueError of all that reading a damaged flatbuffer raises; it looks nowhere before it leaps."""
    try:
        yield
    except (struct.error, ValueError, IndexError, TypeError, AttributeError):
        raise ValueError("it is cut short or overwritten") from None


def _read_onnx(path: Path) -> str | None:
    return next((entry.value for entry in _onnx_model(path).metadata_props if entry.key == "model_card"), None)


def _with_onnx_card(path: Path, text: str) -> bytes:
    """The file's bytes with the card in them."""
    model = _onnx_model(path)
    entry = next((entry for entry in model.metadata_props if entry.key == "model_card"), None)
    entry = entry or model.metadata_props.add(key="model_card")
    entry.value = text
    return model.SerializeToString()


def _onnx_model(path: Path):
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise InputError(f"{path}: onnx is not installed; pip install 'tf_pix2pix[onnx]'") from None
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ValueError("it is cut short, or no ONNX file") from None
    if not model.HasField("graph"):
        raise ValueError("it is no ONNX file")
    return model


_FORMATS: dict[str, tuple[Callable[[Path], str | None], Callable[[Path, str], bytes]]] = {
    ".tflite": (_read_tflite, _with_tflite_card),
    ".onnx": (_read_onnx, _with_onnx_card),
}


def _format_of(path: Path):
    if path.suffix not in _FORMATS:
        raise InputError(f"{path} is no SavedModel folder, and its name ends in none of {', '.join(_FORMATS)}")
    return _FORMATS[path.suffix]
