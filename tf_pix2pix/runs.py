"""The run directory: its files, its config, and a generator restored from it.

config.json; palette.json, of label maps; checkpoints/ (step-* and best-*); metrics.jsonl; logs/ (TensorBoard);
samples/step_*.png; examples/, some pairs, so that what comes after training needs the data no more.
"""

import dataclasses
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix import checkpoints, images
from tf_pix2pix.codecs import CODECS, IMAGES, Codec, with_codec
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write, check_writable
from tf_pix2pix.networks import GENERATORS, patchgan_discriminator
from tf_pix2pix.palettes import Palette

Palettes = dict[str, Palette]  # "input" and "target", where config.palette_sides has them

# What a config does not say before the files are read.
FROM_THE_FILES = {f"{side}_{what}" for side in ("input", "output") for what in ("channels", "depth", "range")}


def make_codec(config: TrainConfig, palettes: Palettes) -> Codec:
    """The codec of a run. Raises InputError if the channels do not fit."""

    def side(name, channels):
        palette = SimpleNamespace(array=palettes[name].colors) if name in palettes else None
        return SimpleNamespace(channels=channels, palette=palette)

    if config.color_space == "lab":
        name = "lab"
    elif config.residual:
        name = "residual"
    elif config.task == "inpaint":
        name = "holes"
    else:
        name = "palette" if palettes else "images"
    sides = side("input", config.input_channels), side("target", config.output_channels)
    return CODECS[name](SimpleNamespace(input=sides[0], target=sides[1]))


def build_generator(config: TrainConfig, codec: Codec = IMAGES) -> keras.Model:
    """The generator that a config describes; its channels must be known. Raises InputError where sizes do not fit."""
    try:
        return GENERATORS[config.generator](
            codec.input_channels or config.input_channels,
            codec.output_channels or config.output_channels,
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
            dtype=config.precision,
        )
    except ValueError as error:
        raise InputError(f"crop_size={format_value(config.crop_size)}, generator={config.generator}: {error}") from None


def build_discriminator(config: TrainConfig, codec: Codec = IMAGES) -> keras.Model:
    """The discriminator that a config describes; its channels must be known. Raises InputError as build_generator."""
    try:
        return patchgan_discriminator(
            codec.input_channels or config.input_channels,
            codec.output_channels or config.output_channels,
            size=config.crop_size,
            layers=config.discriminator_layers,
            filters=config.discriminator_filters or config.filters,
            conditional=config.conditional,
            norm=config.norm,
            initializer=config.initializer,
            seed=config.seed + 1,
            dtype=config.precision,
        )
    except ValueError as error:
        raise InputError(f"crop_size={format_value(config.crop_size)}: {error}; lower discriminator_layers") from None


def check(run_dir: Path, config: TrainConfig) -> None:
    """Raises InputError where a run of this config cannot be started or resumed in run_dir. Writes nothing."""
    check_writable(run_dir)
    if not (run_dir / "config.json").exists():
        return
    old = read_config(run_dir)
    differing = [
        f"{field.name} {format_value(getattr(old, field.name))} -> {format_value(new)}"
        for field in dataclasses.fields(config)
        if not field.metadata["may_change"]
        and (new := getattr(config, field.name)) != getattr(old, field.name)
        and not (new is None and field.name in FROM_THE_FILES)
    ]
    if differing:
        raise InputError(
            f"{run_dir} holds a run with another config: {', '.join(differing)}; "
            "give the same to resume it, or another --output_dir"
        )


def read_config(run_dir: str | os.PathLike) -> TrainConfig:
    """The config of a run. Raises InputError where run_dir is none."""
    path = Path(run_dir) / "config.json"
    try:
        return TrainConfig.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{run_dir} is no run directory: {path}: {error.strerror}") from None
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}") from None


def write_config(run_dir: Path, config: TrainConfig) -> None:
    """Writes config.json."""
    with atomic_write(run_dir / "config.json") as beside:
        beside.write_text(config.to_json(), encoding="utf-8")


def write_palettes(run_dir: Path, palettes: Palettes) -> None:
    """Writes palette.json, of the sides that have a palette."""
    sides = {side: palette.to_json() for side, palette in palettes.items()}
    with atomic_write(run_dir / "palette.json") as beside:
        beside.write_text(json.dumps(sides) + "\n", encoding="utf-8")


def read_palettes(run_dir: str | os.PathLike, config: TrainConfig) -> Palettes:
    """The palettes of a run, none where it has none. Raises InputError where palette.json is missing or damaged."""
    if not config.palette_sides:
        return {}
    path = Path(run_dir) / "palette.json"
    try:
        sides = json.loads(path.read_text(encoding="utf-8"))
        return {side: Palette.from_json(sides[side]) for side in config.palette_sides}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; without its palette the run cannot be used") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def append_metrics(run_dir: Path, record: dict[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    with open(run_dir / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; a last line that a kill cut short is left out."""
    path = run_dir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); remove the line, or the file: only its record is lost"
        ) from None


def forget_after(run_dir: Path, step: int) -> None:
    """Removes what was written about steps after `step`, which will be run again."""
    checkpoints.forget_after(run_dir / "checkpoints", step)
    records = [record for record in read_metrics(run_dir) if record["step"] <= step]
    with atomic_write(run_dir / "metrics.jsonl") as beside:
        beside.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_sample_grid(run_dir: Path, step: int, pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Path:
    """Writes samples/step_STEP.png from rows of (input, output, target), uint8 [h, w, c] each."""
    path = run_dir / "samples" / f"step_{step:08d}.png"
    path.parent.mkdir(exist_ok=True)
    images.write_png(path, images.sample_grid(["input", "output", "target"], pictures))
    return path


def summary_writer(run_dir: Path) -> Callable[..., None]:
    """Writes TensorBoard events, where it is installed: (step, scalars={name: value}, images={name: uint8})."""
    if importlib.util.find_spec("tensorboard") is None:
        print("no TensorBoard events are written; pip install 'tf_pix2pix[tensorboard]' adds them")
        return lambda step, scalars=None, images=None: None
    writer = tf.summary.create_file_writer(str(run_dir / "logs"))

    def write(step, scalars=None, images=None):
        with writer.as_default(step):
            for name, value in (scalars or {}).items():
                tf.summary.scalar(name, value)
            for name, pictures in (images or {}).items():
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        writer.flush()

    return write


def write_examples(run_dir: Path, split: str, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes examples/SPLIT/NN_input.png and NN_target.png from [h, w, c], floats as .npy; all, or nothing."""
    directory = run_dir / "examples" / split
    beside = directory.with_name(f"{split}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for number, pair in enumerate(pairs):
        for side, picture in zip(("input", "target"), pair, strict=True):
            ending = ".npy" if picture.dtype == np.float32 else ".png"
            images.write(beside / f"{number:02d}_{side}{ending}", picture)
    os.replace(beside, directory)


def has_examples(run_dir: Path, split: str) -> bool:
    return (run_dir / "examples" / split).is_dir()


def read_examples(run_dir: str | os.PathLike, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The (input, target) pictures of examples/SPLIT ("held_out" or "train"), [h, w, c], of the size trained on.

    Raises:
      InputError: there are none, or one is damaged.
    """
    directory = Path(run_dir) / "examples" / split
    pairs = []
    for path in sorted(directory.glob("*_input.*")):
        pair = []
        target = path.with_name(path.stem.replace("_input", "_target"))
        for side in (path, next(directory.glob(f"{target.name}.*"), target.with_suffix(".png"))):
            try:
                pair.append(images.decode(side.read_bytes()))
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{side}: {error}; remove {Path(run_dir) / 'examples'} and give the training command again: it "
                    "writes them anew"
                ) from None
        pairs.append(tuple(pair))
    if not pairs:
        raise InputError(f"{directory} holds no examples; the run's training command, given again, writes them")
    return pairs


def find_checkpoint(run_dir: str | os.PathLike, checkpoint: str) -> tuple[Path, int]:
    """The folder and the step of a checkpoint: "best", "latest", or a step.

    The best has the least L1 on the held-out pairs, or of classes the highest mean IoU. Before the first evaluation
    the latest is the best that there is.

    Raises:
      InputError: there is no such checkpoint.
    """
    directory = Path(run_dir) / "checkpoints"
    there = {f"{step}": (directory / f"step-{step:08d}", step) for step in checkpoints.steps(directory, "step")}
    if there:
        there["latest"] = list(there.values())[-1]
        there["best"] = there["latest"]
    if best := checkpoints.steps(directory, "best"):
        there["best"] = directory / f"best-{best[-1]:08d}", best[-1]
    if str(checkpoint) not in there:
        raise InputError(f"{run_dir} has no checkpoint {checkpoint}; it has {', '.join(there) or 'none'}")
    return there[str(checkpoint)]


def restore_generator(run_dir: str | os.PathLike, checkpoint: str = "best") -> keras.Model:
    """The generator of a run, its moving average where the run keeps one, from pictures to pictures: palettes and
    colour spaces are inside.

    Args:
      checkpoint: "best", "latest", or a step, as for find_checkpoint.

    Returns:
      A Keras model: float32 [n, h, w, input_channels] -> [n, h, w, output_channels] in [-1, 1]; call it with
      training=False. It computes in float32, also where training did not.

    Raises:
      InputError: run_dir is no run, or there is no such checkpoint.
    """
    config = read_config(run_dir)
    path, _ = find_checkpoint(run_dir, checkpoint)
    return load_generator(config, path, read_palettes(run_dir, config))


def load_generator(config: TrainConfig, path: Path, palettes: Palettes) -> keras.Model:
    """`restore_generator` from a folder of find_checkpoint."""
    codec = make_codec(config, palettes)
    generator = build_generator(dataclasses.replace(config, precision="float32"), codec)
    name = "ema_generator" if config.ema_decay else "generator"
    checkpoints.restore(path, tf.train.Checkpoint(**{name: generator}), partly=True)
    return with_codec(generator, codec, config.input_channels)
