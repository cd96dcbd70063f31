"""Exporting: a run's generator as files that other software runs, each checked against the run's own pictures."""

import contextlib
import dataclasses
import functools
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tf_pix2pix
from tf_pix2pix import files, images, inference, model_card, runs
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError, RunError, listed, reason
from tf_pix2pix.exporting.artifact import Artifact, Options, Source
from tf_pix2pix.exporting.onnx import export_onnx
from tf_pix2pix.exporting.saved_model import export_saved_model
from tf_pix2pix.exporting.tflite import export_tflite
from tf_pix2pix.formats import formats_of
from tf_pix2pix.palettes import count_strange

# Formats by name: (source, staging directory, options) -> artifacts, each loaded again from what was written.
EXPORTERS = {"saved_model": export_saved_model, "tflite": export_tflite, "onnx": export_onnx}

_PARTIAL = ".partial-"  # what a server that watches the folder does not take for a version
LATENCY_RUNS = 5  # of which the median is told


@dataclass(frozen=True)
class Row:
    """One line of the table at the end: an artifact as one of its readers runs it."""

    path: Path
    reader: str
    megabytes: float
    milliseconds: float  # median, one picture of the size trained on, on this machine
    max_difference: int  # from the run's own pictures, of `levels`, over all held-out examples
    psnr: float  # dB, to the run's own pictures, over all of them; infinite where they are equal
    l1: float  # to the targets, of [-1, 1], the mean
    levels: float = 255.0  # the steps of the targets' range
    agreement: float | None = None  # of classes: the share of pixels that have the run's


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
        with files.locked(output, "exports into"), _staging(output) as staging:
            _check_target(output, formats, overwrite)  # again: now it is ours
            return _move(staging, output, _export(source, formats, staging, options, config, examples, palettes))
    except OSError as error:
        raise RunError(f"{error.filename or output}: {error.strerror or error}; nothing was exported") from error
    except tf.errors.OpError as error:
        raise RunError(f"{reason(error)}; nothing was exported") from error
    finally:
        with contextlib.suppress(OSError):  # they are kept where something has been moved to them
            for folder in missing:
                folder.rmdir()


@contextlib.contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """A folder to write to, in output_dir, which is ours; what a killed export left there is removed."""
    for left in output.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=output))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


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
    own_pictures = functools.cache(lambda size: _own_pictures(source.generator, config, examples, size))
    rows: list[Row] = []
    exporters = [EXPORTERS[name](source, staging, options) for name in formats]  # what they refuse, they refuse now
    for name, artifacts in zip(formats, exporters, strict=True):
        print(f"exporting {name} ...")
        for artifact in artifacts:
            own = own_pictures(artifact.fixed_size or source.size)
            try:
                checked = [_check(artifact, reader, own, source.formats[1], colors) for reader in artifact.readers]
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


def make_card(
    run_dir: Path,
    config: TrainConfig,
    generator: keras.Model,
    step: int,
    max_pixels: int,
    palettes: runs.Palettes | None = None,
) -> dict[str, Any]:
    """The model card: what an exported model says of itself, wherever it gets to. JSON, all but the parity figures."""
    measured = [record for record in runs.read_metrics(run_dir) if record["step"] == step and "val_l1" in record]
    taken, given = formats_of(config)
    return {
        "made_by": f"tf_pix2pix {tf_pix2pix.__version__}, TensorFlow {tf.__version__}",
        "dataset": config.dataset,
        "direction": config.direction,
        "step": step,
        "metrics": measured[-1] if measured else None,
        "parameters": generator.count_params(),
        "image": _side(config.input_channels, taken),
        "generated": _side(config.output_channels, given),
        "to_values": "low + (value + 1) / 2 * (high - low), rounded where the depth is of whole numbers",
        "palettes": {side: palette.to_json() for side, palette in (palettes or {}).items()},
        "train_size": config.crop_size,
        "size_multiple": inference.size_multiple(generator),
        "max_pixels": max_pixels,
        "config": dataclasses.asdict(config),
    }


def _side(channels: int, format: images.Format) -> dict[str, Any]:
    """What goes in or comes out, and which pictures' values [-1, 1] stands for."""
    return {
        "channels": channels,
        "dtype": "float32",
        "layout": "NHWC",
        "range": [-1.0, 1.0],
        "depth": format.depth,
        "values": list(format.bounds),
    }


def _check_target(output: Path, formats: Sequence[str], overwrite: bool) -> None:
    """Raises InputError where output holds what no export has put there, or what this one would replace."""
    if unknown := [name for name in formats if name not in EXPORTERS]:
        raise InputError(f"format={unknown[0]} is unknown; choose one of {', '.join(EXPORTERS)}")
    files.check_writable(output)
    there = [path for path in output.glob("*") if not path.name.startswith(".")]
    strange = [path for path in there if not (path.name.isdecimal() or path.suffix[1:] in EXPORTERS)]
    if strange:
        names = listed([path.name for path in strange], most=5)
        raise InputError(f"{output} holds {names}, which are no exports; choose another --output_dir")
    replaced = [path.name for path in there if path.suffix[1:] in formats]
    if replaced and not overwrite:
        raise InputError(
            f"{output} already holds {listed(replaced)}; choose another --output_dir, or replace what has "
            "the same name with --overwrite"
        )


def _own_pictures(
    generator: keras.Model, config: TrainConfig, examples: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The (input, target, generated) pictures of the run itself, [*size, c].

    Inputs of floats are such as a PNG of 16 bits holds, so that all readers get the same.
    """
    translate, (taken, given) = inference.make_translate(generator), formats_of(config)
    pictures = []
    for number, example in enumerate(examples):
        pair = [images.resize(side, size, way) for side, way in zip(example, config.resize_methods, strict=True)]
        if taken.depth == "float32":
            in_png = images.from_float(images.to_float(pair[0], taken.range), images.Format("uint16"))
            pair[0] = images.from_float(images.to_float(in_png), taken).numpy()
        generated = translate(images.to_float(pair[0][np.newaxis], taken.range)).numpy()
        if not np.isfinite(generated).all():
            raise RunError(f"the run's picture of held-out example {number} is not finite; take another --checkpoint")
        pictures.append((*pair, images.from_float(generated, given)[0].numpy()))
    return pictures


def _check(
    artifact: Artifact,
    reader: str,
    own_pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    format: images.Format,  # of the targets
    colors: np.ndarray | None,  # uint8 [k, c] of a class target, None: other targets
) -> Row:
    """Runs an artifact on the held-out examples. Raises RunError where it does not give the run's own pictures."""
    read, levels = artifact.readers[reader], format.levels
    per_value = levels / (format.bounds[1] - format.bounds[0])
    differences, errors, l1s, agreements = [], [], [], []
    for number, (picture, target, own) in enumerate(own_pictures):
        given = read(picture)
        strange = colors is not None and count_strange(given, colors)
        given, target, own = (side.astype(float) * per_value for side in (given, target, own))
        differences.append(math.ceil(np.abs(given - own).max()))
        errors.append(np.mean((given - own) ** 2))
        l1s.append(np.abs(given - target).mean() / (levels / 2))
        agreements.append(np.all(given == own, axis=2).mean())
        if strange:
            off = "it has colours that the palette has not"
        elif colors is not None and agreements[-1] < artifact.min_agreement:
            off = f"{agreements[-1]:.2%} of the pixels have its class, at least {artifact.min_agreement:.1%} wanted"
        elif colors is not None:
            continue
        elif artifact.max_difference is not None and differences[-1] > artifact.max_difference:
            off = f"by {differences[-1]} of {levels:g}, {artifact.max_difference} allowed"
        elif artifact.min_psnr is not None and (psnr := _psnr(errors[-1], levels)) < artifact.min_psnr:
            off = f"PSNR {psnr:.1f} dB, at least {artifact.min_psnr:g} wanted"
        else:
            continue
        raise RunError(
            f"{artifact.path.name} in {reader} differs from the run's own picture of held-out example {number}: {off}"
        )
    return Row(
        path=artifact.path,
        reader=reader,
        megabytes=_bytes(artifact.path) / 1e6,
        milliseconds=1e3 * statistics.median(_timed(read, picture) for _ in range(LATENCY_RUNS)),
        max_difference=max(differences),
        psnr=_psnr(np.mean(errors), levels),
        l1=float(np.mean(l1s)),
        levels=levels,
        agreement=float(np.mean(agreements)) if colors is not None else None,
    )


def _psnr(squared_error: float, peak: float) -> float:
    return float(10 * np.log10(peak**2 / squared_error)) if squared_error else math.inf


def _timed(read, picture) -> float:
    began = time.perf_counter()
    read(picture)
    return time.perf_counter() - began


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _move(staging: Path, output: Path, rows: list[Row]) -> list[Row]:
    """Moves what was checked to output, a folder to the next version number, the rows with their new paths.

    Files first, then what a server would see; where one cannot be moved, all are moved back.
    """
    version = max((int(path.name) for path in output.iterdir() if path.name.isdecimal()), default=0) + 1
    moved: dict[Path, Path] = {}
    replaced: dict[Path, Path] = {}
    try:
        for path in sorted({row.path for row in rows}, key=Path.is_dir):
            target = output / (str(version) if path.is_dir() else path.name)
            if target.exists():
                replaced[target] = staging / f"replaced-{path.name}"
                os.replace(target, replaced[target])
            os.replace(path, target)
            moved[path] = target
    except OSError:
        for path, target in moved.items():
            os.replace(target, path)
        for target, before in replaced.items():
            os.replace(before, target)
        raise
    return [dataclasses.replace(row, path=moved[row.path]) for row in rows]
