"""Exporting: a run's generator as files that other software runs, each checked against the run's own images."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_pix2pix import files, inference, model_card
from tf_pix2pix.errors import InputError, RunError, error_line, format_list
from tf_pix2pix.exporting.artifact import Options, Source
from tf_pix2pix.exporting.card import make_card
from tf_pix2pix.exporting.checking import Row, check, reference_outputs
from tf_pix2pix.exporting.onnx import export_onnx
from tf_pix2pix.exporting.saved_model import export_saved_model
from tf_pix2pix.exporting.staging import move, staged
from tf_pix2pix.exporting.tflite import export_tflite
from tf_pix2pix.run import Run

# Formats by name: (source, staging directory, options) -> artifacts, each loaded again from the files written.
EXPORTERS = {"saved_model": export_saved_model, "tflite": export_tflite, "onnx": export_onnx}


def export(
    run_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    formats: Sequence[str] = ("saved_model", "tflite"),
    *,
    checkpoint: str = "best",
    options: Options | None = None,
    overwrite: bool = False,
) -> list[Row]:
    """Exports a run's generator; with ema_decay the moving average of its weights.

    Everything is written to a staging folder, loaded again, compared with the run's own generator on the run's
    validation examples, and only then moved to output_dir: a SavedModel to the next version number, files in place of
    earlier exports.

    Args:
      formats: keys of EXPORTERS.
      checkpoint: "best", "latest" or a step.
      overwrite: also replace files of the same names that tf_pix2pix did not write.

    Raises:
      InputError: run_dir is not a run, the checkpoint is damaged, or output_dir holds other files; nothing was written.
      RunError: an artifact's images differ from the run's own; nothing was exported. A quantized file that was not
        requested by name is skipped instead, which is printed.
    """
    run, output = Run.open(run_dir), Path(output_dir)
    formats = list(dict.fromkeys(formats))
    _, step = run.find_checkpoint(checkpoint)
    _check_output(output, formats, overwrite)
    run.examples("val")  # raises InputError if they are missing, before anything is written
    generator = run.generator(checkpoint)
    options = options or Options()
    max_pixels = options.max_pixels or inference.max_pixels(generator)
    options = dataclasses.replace(options, max_pixels=max_pixels)
    train_inputs = [input_image for input_image, _ in run.examples("train")]
    source = Source(run, generator, make_card(run, generator, step, max_pixels), train_inputs)
    missing = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        with files.locked(output, "exports into"), staged(output) as staging:
            _check_output(output, formats, overwrite)  # again, under the lock
            return move(staging, output, _export(source, formats, staging, options))
    except OSError as error:
        raise RunError(f"{error.filename or output}: {error.strerror or error}; nothing was exported") from error
    except tf.errors.OpError as error:
        raise RunError(f"{error_line(error)}; nothing was exported") from error
    finally:
        with contextlib.suppress(OSError):  # not empty: something was exported
            for folder in missing:
                folder.rmdir()


def _export(source: Source, formats: Sequence[str], staging: Path, options: Options) -> list[Row]:
    """Writes and checks every artifact in `staging`."""
    references = functools.cache(lambda size: reference_outputs(source, size))
    rows: list[Row] = []
    exporters = [
        EXPORTERS[name](source, staging, options) for name in formats
    ]  # all check their options before any writes
    for name, artifacts in zip(formats, exporters, strict=True):
        print(f"exporting {name} ...")
        for artifact in artifacts:
            own = references(artifact.fixed_size or source.size)
            try:
                checked = [check(artifact, reader, own, source.sides.target) for reader in artifact.readers]
            except RunError as error:
                if not artifact.optional:
                    raise RunError(f"{error}; nothing was exported") from None
                print(f"  skipped: {error}")
                continue
            if artifact.path.is_dir():  # files contain their card already, and stay as they were checked
                parity = {row.reader: _parity(row) for row in checked}
                model_card.write_card(artifact.path, {**source.card, "parity": parity})
            print(f"  {artifact.path.name} matches the run's own images")
            rows += checked
    return rows


def _parity(row: Row) -> dict[str, Any]:
    """The figures of the export check for the model card."""
    figures = {"max_difference": row.max_difference, "l1": row.l1, "agreement": row.agreement}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _check_output(output: Path, formats: Sequence[str], overwrite: bool) -> None:
    """Raises InputError if output holds files that are not exports, or that only --overwrite may replace."""
    if unknown := [name for name in formats if name not in EXPORTERS]:
        raise InputError(f"--format={unknown[0]}: choose one of {', '.join(EXPORTERS)}")
    files.check_writable(output)
    present = [path for path in output.glob("*") if not path.name.startswith(".")]
    if others := [path for path in present if not (path.name.isdecimal() or path.suffix[1:] in EXPORTERS)]:
        names = format_list([path.name for path in others], most=5)
        raise InputError(f"--output_dir={output}: holds {names}, which are not exports; choose another folder")
    foreign = [path.name for path in present if path.suffix[1:] in formats and not _is_ours(path)]
    if foreign and not overwrite:
        raise InputError(
            f"--output_dir={output}: holds {format_list(foreign)}, which tf_pix2pix did not write; choose another "
            "folder, or replace files of the same names with --overwrite"
        )


def _is_ours(path: Path) -> bool:
    """Whether an export of tf_pix2pix wrote the file."""
    try:
        return model_card.read_card(path) is not None
    except InputError:
        return False
