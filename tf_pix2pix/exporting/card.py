"""The model card of a run: what its exports say of themselves."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import tf_pix2pix
from tf_pix2pix import images, inference, runs
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.formats import formats_of


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
