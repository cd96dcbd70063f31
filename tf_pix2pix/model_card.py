"""The model card: a JSON object that describes an exported model and how to use it, stored in the artifact.

SavedModel: the file assets.extra/model_card.json in its folder.
.tflite: the file model_card.json in a zip archive behind the model, TFLite's place for associated files.
.onnx: metadata_props["model_card"].
"""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write

NAME = "model_card.json"


def read_card(path: str | os.PathLike) -> dict[str, Any] | None:
    """Reads the card of a SavedModel folder, a .tflite file or a .onnx file; None if it is missing.

    Raises:
      InputError: the file is missing, damaged or of another format.
    """
    path = Path(path)
    read = _read_folder if path.is_dir() else _find_format(path)[0]
    try:
        text = read(path)
        card = None if text is None else json.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged: {error}; export it again") from None
    if not isinstance(card, dict | None):
        raise InputError(f"{path}: damaged: its model card is not a JSON object; export it again")
    return card


def write_card(path: str | os.PathLike, card: dict[str, Any]) -> None:
    """Stores the card in a SavedModel folder, a .tflite file or a .onnx file, in place of an earlier card.

    If writing fails, the old file stays.

    Raises:
      InputError: the file is missing, damaged or of another format.
    """
    path = Path(path)
    text = json.dumps(card, indent=2)
    if path.is_dir():
        (path / "assets.extra").mkdir(exist_ok=True)
        with atomic_write(path / "assets.extra" / NAME) as partial:
            partial.write_text(text, encoding="utf-8")
        return
    write = _find_format(path)[1]
    try:
        with atomic_write(path) as partial:
            write(path, text, partial)
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged: {error}; export it again") from None


def _read_folder(path: Path) -> str | None:
    card = path / "assets.extra" / NAME
    return card.read_text(encoding="utf-8") if card.exists() else None


def _read_tflite(path: Path) -> str | None:
    files, _ = _read_associated_files(path)
    return files[NAME].decode() if NAME in files else None


def _write_tflite(path: Path, text: str, partial: Path) -> None:
    files, model_size = _read_associated_files(path)
    shutil.copyfile(path, partial)
    os.truncate(partial, model_size)
    with zipfile.ZipFile(partial, "a") as archive:
        for name, content in (files | {NAME: text}).items():
            archive.writestr(zipfile.ZipInfo(name), content)  # with a fixed date: equal cards make equal files


def _read_associated_files(path: Path) -> tuple[dict[str, bytes], int]:
    """The files in the archive behind a TFLite model, by name, and the size of the model without them."""
    with open(path, "rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise ValueError("it is not a TFLite file")
        if not zipfile.is_zipfile(file):
            return {}, path.stat().st_size
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                files = {entry.filename: archive.read(entry) for entry in entries}
                return files, min((entry.header_offset for entry in entries), default=archive.start_dir)
        except Exception:  # zipfile raises many types for damaged archives
            raise ValueError("its model card cannot be read") from None


def _read_onnx(path: Path) -> str | None:
    return next((entry.value for entry in _load_onnx(path).metadata_props if entry.key == "model_card"), None)


def _write_onnx(path: Path, text: str, partial: Path) -> None:
    model = _load_onnx(path)
    entries = [entry for entry in model.metadata_props if entry.key == "model_card"]
    entry = entries[0] if entries else model.metadata_props.add(key="model_card")
    entry.value = text
    partial.write_bytes(model.SerializeToString())


def _load_onnx(path: Path):
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise InputError(f"{path}: onnx is not installed; pip install 'tf_pix2pix[onnx]'") from None
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ValueError("it is truncated or not an ONNX file") from None
    if not model.HasField("graph"):
        raise ValueError("it is not an ONNX file")
    return model


_FORMATS: dict[str, tuple[Callable[[Path], str | None], Callable[[Path, str, Path], None]]] = {
    ".tflite": (_read_tflite, _write_tflite),
    ".onnx": (_read_onnx, _write_onnx),
}


def _find_format(path: Path):
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: not a model; pass a SavedModel folder or a {' or '.join(_FORMATS)} file")
    return _FORMATS[path.suffix.lower()]
