"""RunReporter: a run's records, TensorBoard events, sample grids, evaluations and best checkpoint."""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_pix2pix import checkpoints, images
from tf_pix2pix.codecs import with_codec
from tf_pix2pix.inference import make_translate
from tf_pix2pix.metrics import paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.training.step import TrainState


class RunReporter:
    """Records, shows and evaluates the progress of a run."""

    def __init__(
        self,
        run: Run,
        state: TrainState,
        validation: tf.data.Dataset,  # of (input_image, target_image), float32 [1, h, w, c] in [-1, 1]
        samples: tf.data.Dataset,  # the pairs in sample grids, likewise
        on_record: Callable[[dict[str, Any]], None],  # called with each record of metrics.jsonl
    ):
        self._run, self._state, self._on_record = run, state, on_record
        self._validation, self._samples = validation, samples
        self._translate = make_translate(with_codec(state.sampled, run.codec, run.sides.input.channels))
        self._write_events = event_writer(run.directory / "logs")
        self._best = min((self._badness(record) for record in run.records() if "val_l1" in record), default=math.inf)

    def _badness(self, record: dict[str, float]) -> float:
        """The value that the best checkpoint minimizes: L1, or for classes 1 - mean IoU."""
        return 1.0 - record["val_mean_iou"] if "val_mean_iou" in record else record["val_l1"]

    def record(self, values: dict[str, Any]) -> None:
        """Appends a record to metrics.jsonl and TensorBoard."""
        self._run.append_record(values)
        self._write_events(values["step"], scalars={name: value for name, value in values.items() if name != "step"})
        self._on_record(values)

    def sample(self, step: int) -> Path:
        """Writes the sample grid of a step."""
        rows = []
        for input_image, target_image in self._samples:
            row = (input_image, self._translate(input_image), target_image)
            rows.append(tuple(images.from_float(image[0]).numpy() for image in row))
        self._write_events(step, grids={"output and target": np.stack([np.hstack(row[1:]) for row in rows])})
        return self._run.write_sample_grid(step, rows)

    def evaluate(self, step: int) -> None:
        """Records the metrics of the validation split, and saves the generator if it is the best so far."""
        palette = self._run.sides.target.palette
        values = paired_metrics(self._translate, self._validation, palette.array if palette else None)
        record = {"step": step, **{f"val_{name}": value for name, value in values.items()}}
        self.record(record)
        tqdm.write(f"step {step}, validation: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        if self._badness(record) < self._best:
            self._best = self._badness(record)
            checkpoints.save(self._run.checkpoints, "best", step, self._state.best_checkpoint())


def event_writer(directory: Path) -> Callable[..., None]:
    """A function (step, scalars={name: value}, grids={name: uint8 [n, h, w, c]}) that writes TensorBoard events."""
    if importlib.util.find_spec("tensorboard") is None:
        print("TensorBoard is missing: no events are written; to install it, pip install 'tf_pix2pix[tensorboard]'")
        return lambda step, scalars=None, grids=None: None
    writer = tf.summary.create_file_writer(str(directory))

    def write(step, scalars=None, grids=None):
        with writer.as_default(step):
            for name, value in (scalars or {}).items():
                tf.summary.scalar(name, value)
            for name, grid in (grids or {}).items():
                tf.summary.image(name, grid, max_outputs=len(grid))
        writer.flush()

    return write
