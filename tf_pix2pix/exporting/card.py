"""The model card of a run: a JSON object inside each of its exports."""

from typing import Any

import keras
import tensorflow as tf

import tf_pix2pix
from tf_pix2pix import inference
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side


def make_card(run: Run, generator: keras.Model, step: int, max_pixels: int) -> dict[str, Any]:
    """The model card, without the figures of the export check: the model's origin, and its inputs and outputs."""
    measured = [record for record in run.records() if record["step"] == step and "val_l1" in record]
    metrics = {name: value for name, value in (measured or [{}])[-1].items() if name == "step" or name[:4] == "val_"}
    return {
        "made_by": f"tf_pix2pix {tf_pix2pix.__version__}, TensorFlow {tf.__version__}",
        "min_tensorflow_serving": ".".join(tf.__version__.split(".")[:2]),  # only newer servers read older models
        "dataset": run.config.dataset,
        "direction": run.config.direction,
        "step": step,
        "metrics": metrics or None,
        "parameters": generator.count_params(),
        "image": _describe(run.sides.input),
        "generated": _describe(run.sides.target),
        "to_values": "low + (value + 1) / 2 * (high - low), rounded for whole-number depths",
        "train_size": run.config.crop_size,
        "size_multiple": inference.size_multiple(generator),
        "max_pixels": max_pixels,
        "sides": run.sides.to_json(),
        "config": run.config.to_json(),
    }


def _describe(side: Side) -> dict[str, Any]:
    """The tensor of one side, and the image values that -1 and 1 stand for."""
    return {
        "channels": side.channels,
        "dtype": "float32",
        "layout": "NHWC",
        "range": [-1.0, 1.0],
        "depth": side.depth,
        "values": list(side.bounds),
    }
