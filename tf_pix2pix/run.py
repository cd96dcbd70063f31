"""Run: a run directory, its files, and its generator.

config.json (as the user asked), sides.json (as resolved from the images); checkpoints/ (step-* and best-*);
metrics.jsonl; logs/ (TensorBoard); samples/step_*.png; examples/SPLIT/, a few pairs. Evaluation, translation and export
need only this folder, not the data set.
"""

import functools
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix import checkpoints, images
from tf_pix2pix.codecs import CODECS, Codec, with_codec
from tf_pix2pix.config import FORMAT_VERSION, TrainConfig, format_value
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.files import atomic_write
from tf_pix2pix.networks import GENERATORS
from tf_pix2pix.sides import Sides

CONFIG, SIDES, METRICS = "config.json", "sides.json", "metrics.jsonl"


class Run:
    """A run directory: `directory`, the `config` that the user asked for, and the `sides` of the pairs."""

    def __init__(self, directory: str | os.PathLike, config: TrainConfig, sides: Sides):
        self.directory, self.config, self.sides = Path(directory), config, sides
        self.checkpoints = self.directory / "checkpoints"

    @classmethod
    def open(cls, directory: str | os.PathLike) -> "Run":
        """The run in a folder. Raises InputError if config.json or sides.json is missing or damaged."""
        return cls(directory, read_config(Path(directory)), _read_sides(Path(directory)))

    def write_settings(self) -> None:
        """Writes sides.json, then config.json, which makes the folder a run."""
        self.directory.mkdir(parents=True, exist_ok=True)
        sides = {"format_version": FORMAT_VERSION, **self.sides.to_json()}
        for name, value in ((SIDES, sides), (CONFIG, self.config.to_json())):
            with atomic_write(self.directory / name) as partial:
                partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

    @functools.cached_property
    def codec(self) -> Codec:
        """The codec between images and networks. Raises InputError if it does not fit the sides."""
        return CODECS[self.config.codec](self.sides)

    def build_generator(self, precision: str = "float32") -> keras.Model:
        """The generator with initial weights, without the codec. Raises InputError if it does not fit crop_size."""
        config, codec = self.config, self.codec
        try:
            return GENERATORS[config.generator](
                codec.input_channels or self.sides.input.channels,
                codec.output_channels or self.sides.target.channels,
                size=config.crop_size,
                depth=config.depth,
                filters=config.filters,
                skips=config.skips,
                dropout=config.dropout,
                norm=config.norm,
                upsampling=config.upsampling,
                initializer=config.initializer,
                seed=config.seed,
                activation=codec.activation,
                dtype=precision,
            )
        except ValueError as error:
            flags = f"--crop_size={format_value(config.crop_size)} --generator={config.generator}"
            raise InputError(f"{flags}: {error}") from None

    def find_checkpoint(self, name: str) -> tuple[Path, int]:
        """The folder and the step of a checkpoint: "best", "latest", or a step.

        The best is that on the validation split by config.best_metric: L1, or for classes mean IoU, unless best_by
        names another metric. A generator of featureless images is the best only if all are. Before the first
        evaluation the best is the latest. Raises InputError if the checkpoint is missing.
        """
        found = {f"{step}": (self.checkpoints / f"step-{step:08d}", step) for step in self.steps()}
        if found:
            found["latest"] = found["best"] = list(found.values())[-1]
        if best := checkpoints.steps(self.checkpoints, "best"):
            found["best"] = self.checkpoints / f"best-{best[-1]:08d}", best[-1]
        if str(name) not in found:
            available = f"choose one of {', '.join(found)}" if found else "train until the first one is saved"
            raise InputError(f"{self.directory}: checkpoint {name} is missing; {available}")
        return found[str(name)]

    def steps(self) -> list[int]:
        """The steps of the checkpoints from which training can resume, in rising order."""
        return checkpoints.steps(self.checkpoints, "step")

    def generator(self, checkpoint: str = "best") -> keras.Model:
        """The generator of a checkpoint, with its codec; with ema_decay the moving average of its weights.

        Returns:
          A Keras model, float32 [n, h, w, input channels] -> float32 [n, h, w, target channels], both in [-1, 1],
          whatever the precision in training. Call it with training=False.

        Raises:
          InputError: the checkpoint is missing or damaged.
        """
        path, _ = self.find_checkpoint(checkpoint)
        generator = self.build_generator()
        name = "ema_generator" if self.config.ema_decay else "generator"
        checkpoints.restore(path, tf.train.Checkpoint(**{name: generator}), partly=True)
        return with_codec(generator, self.codec, self.sides.input.channels)

    def append_record(self, record: dict[str, Any]) -> None:
        """Adds a line to metrics.jsonl."""
        with open(self.directory / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl, without an incomplete last line."""
        path = self.directory / METRICS
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except ValueError as error:
            raise InputError(f"{path}: damaged ({error}); remove the line or the file, which is only a log") from None

    def forget_after(self, step: int) -> None:
        """Removes the checkpoints and records of later steps, which will run again."""
        checkpoints.forget_after(self.checkpoints, step)
        records = [record for record in self.records() if record["step"] <= step]
        with atomic_write(self.directory / METRICS) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")

    def write_sample_grid(self, step: int, rows: list[tuple[np.ndarray, ...]]) -> Path:
        """Writes samples/step_STEP.png from rows of (input, output, target), uint8 [h, w, c]."""
        path = self.sample_grid(step)
        path.parent.mkdir(exist_ok=True)
        images.write_png(path, images.sample_grid(["input", "output", "target"], rows))
        return path

    def sample_grid(self, step: int) -> Path:
        return self.directory / "samples" / f"step_{step:08d}.png"

    def has_examples(self, split: str) -> bool:
        return (self.directory / "examples" / split).is_dir()

    def write_examples(self, split: str, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Writes examples/SPLIT/NN_input and NN_target from [h, w, c], as PNG, floats as NPY; all or nothing."""
        directory = self.directory / "examples" / split
        partial = directory.with_name(f"{split}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, pair in enumerate(pairs):
            for side, image in zip(("input", "target"), pair, strict=True):
                extension = ".npy" if image.dtype == np.float32 else ".png"
                images.write(partial / f"{number:02d}_{side}{extension}", image)
        os.replace(partial, directory)

    def examples(self, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """The (input, target) images of examples/SPLIT, "train" or "val", [h, w, c] of crop_size.

        Raises:
          InputError: they are missing, or one is damaged.
        """
        directory = self.directory / "examples" / split
        again = "run the training command again, which writes them"
        pairs = []
        for path in sorted(directory.glob("*_input.*")):
            pair = []
            for side in (path, path.with_name(path.name.replace("_input", "_target"))):
                side = next(directory.glob(f"{side.stem}.*"), side)
                try:
                    pair.append(images.decode(side.read_bytes()))
                except (OSError, ValueError) as error:
                    raise InputError(f"{side}: {error}; remove {directory.parent} and {again}") from None
            pairs.append((pair[0], pair[1]))
        if not pairs:
            raise InputError(f"{directory}: examples are missing; {again}")
        return pairs


def restore_generator(run_dir: str | os.PathLike, checkpoint: str = "best") -> keras.Model:
    """`Run.generator` of the run in a folder."""
    return Run.open(run_dir).generator(checkpoint)


def read_config(directory: Path) -> TrainConfig:
    """The config of a run. Raises InputError if config.json is missing or damaged."""
    try:
        return TrainConfig.from_json(_read_json(directory / CONFIG))
    except (FileNotFoundError, NotADirectoryError):
        runs = sorted(path.parent.name for path in directory.glob(f"*/{CONFIG}"))
        hint = f"it contains the runs {format_list(runs)}; pass one of them" if runs else "pass a run's --output_dir"
        raise InputError(f"{directory}: not a run directory, {CONFIG} is missing; {hint}") from None
    except InputError as error:
        raise InputError(f"{directory / CONFIG}: {error}") from None


def _read_sides(directory: Path) -> Sides:
    try:
        return Sides.from_json(_read_json(directory / SIDES))
    except FileNotFoundError:  # write_settings writes it before config.json
        raise InputError(f"{directory / SIDES} is missing; copy the whole run directory, or train again") from None
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{directory / SIDES}: damaged ({error}); restore the file, or train again") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"not readable as JSON ({error})") from None
