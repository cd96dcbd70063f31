"""Exporting: a run's generator as files that other software runs, each checked against the run's own pictures."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_pix2pix import files, inference, model_card, runs
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError, RunError, error_line, format_list
from tf_pix2pix.exporting.artifact import Options, Source
from tf_pix2pix.exporting.card import make_card
from tf_pix2pix.exporting.checking import Row, check, own_pictures
from tf_pix2pix.exporting.onnx import export_onnx
from tf_pix2pix.exporting.saved_model import export_saved_model
from tf_pix2pix.exporting.staging import move, staged
from tf_pix2pix.exporting.tflite import export_tflite
from tf_pix2pix.formats import formats_of

# Formats by name: (source, staging directory, options) -> artifacts, each loaded again from what was written.
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
    """Exports a run's generator, its moving average where the run keeps one.

    Everything is written beside, loaded again, compared with the run's own generator on the run's held-out examples,
    and only then moved to output_dir: a SavedModel to the next free version number, files under their names.

    Args:
      formats: keys of EXPORTERS.
      checkpoint: "best", "latest" or a step.
      options: None: the defaults.
      overwrite: replace files of the same names.

    Raises:
      InputError: run_dir is no run, the checkpoint is damaged, or output_dir holds other things; nothing was written.
      RunError: an artifact does not give the run's pictures, by how much is said; nothing is left of it. Quantised
        files that were not asked for by name are left out then, which is said.
    """
    run_dir, output = Path(run_dir), Path(output_dir)
    formats = list(dict.fromkeys(formats))
    config = runs.read_config(run_dir)
    path, step = runs.find_checkpoint(run_dir, checkpoint)
    _check_target(output, formats, overwrite)
    examples = runs.read_examples(run_dir, "held_out")
    train_inputs = [pair[0] for pair in runs.read_examples(run_dir, "train")]
    palettes = runs.read_palettes(run_dir, config)
    generator = runs.load_generator(config, path, palettes)
    options = options or Options()
    options = dataclasses.replace(options, max_pixels=options.max_pixels or inference.max_pixels(generator))
    source = Source(
        generator=generator,
        size=config.crop_size,
        input_channels=config.input_channels,
        output_channels=config.output_channels,
        train_inputs=train_inputs,
        card=make_card(run_dir, config, generator, step, options.max_pixels, palettes),
        formats=formats_of(config),
        resize_method=config.resize_methods[0],
        has_palette=bool(palettes),
        has_lab=config.color_space == "lab",
    )
    missing = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        with files.locked(output, "exports into"), staged(output) as staging:
            _check_target(output, formats, overwrite)  # again: now it is ours
            return move(staging, output, _export(source, formats, staging, options, config, examples, palettes))
    except OSError as error:
        raise RunError(f"{error.filename or output}: {error.strerror or error}; nothing was exported") from error
    except tf.errors.OpError as error:
        raise RunError(f"{error_line(error)}; nothing was exported") from error
    finally:
        with contextlib.suppress(OSError):  # they are kept where something has been moved to them
            for folder in missing:
                folder.rmdir()


def _export(
    source: Source,
    formats: Sequence[str],
    staging: Path,
    options: Options,
    config: TrainConfig,
    examples: list[tuple[np.ndarray, np.ndarray]],
    palettes: runs.Palettes,
) -> list[Row]:
    """Writes and checks every artifact in `staging`."""
    colors = palettes["target"].colors if "target" in palettes else None
    own_at = functools.cache(lambda size: own_pictures(source.generator, config, examples, size))
    rows: list[Row] = []
    exporters = [EXPORTERS[name](source, staging, options) for name in formats]  # what they refuse, they refuse now
    for name, artifacts in zip(formats, exporters, strict=True):
        print(f"exporting {name} ...")
        for artifact in artifacts:
            own = own_at(artifact.fixed_size or source.size)
            try:
                checked = [check(artifact, reader, own, source.formats[1], colors) for reader in artifact.readers]
            except RunError as error:
                if not artifact.may_be_left_out:
                    raise RunError(f"{error}; nothing was exported") from None
                print(f"  left out: {error}")
                continue
            if artifact.path.is_dir():  # the card of a file is inside of it: what was checked stays as it is
                model_card.write_card(
                    artifact.path, {**source.card, "parity": {row.reader: _parity(row) for row in checked}}
                )
            print(f"  {artifact.path.name} gives the run's pictures")
            rows += checked
    return rows


def _parity(row: Row) -> dict[str, Any]:
    """What the model card says of how near an artifact is to the run."""
    figures = {"max_difference": row.max_difference, "l1": row.l1, "agreement": row.agreement}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _check_target(output: Path, formats: Sequence[str], overwrite: bool) -> None:
    """Raises InputError where output holds what no export has put there, or what this one would replace."""
    if unknown := [name for name in formats if name not in EXPORTERS]:
        raise InputError(f"format={unknown[0]} is unknown; choose one of {', '.join(EXPORTERS)}")
    files.check_writable(output)
    there = [path for path in output.glob("*") if not path.name.startswith(".")]
    strange = [path for path in there if not (path.name.isdecimal() or path.suffix[1:] in EXPORTERS)]
    if strange:
        names = format_list([path.name for path in strange], most=5)
        raise InputError(f"{output} holds {names}, which are no exports; choose another --output_dir")
    replaced = [path.name for path in there if path.suffix[1:] in formats]
    if replaced and not overwrite:
        raise InputError(
            f"{output} already holds {format_list(replaced)}; choose another --output_dir, or replace what has "
            "the same name with --overwrite"
        )
