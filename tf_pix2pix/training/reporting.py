"""RunReporter: a run's records, TensorBoard events, sample grids, evaluations and best checkpoint."""

import importlib.util
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_pix2pix import checkpoints, images
from tf_pix2pix.best import best_evaluation, compare, featureless, format_metrics, rank, saved_trivial, verdict
from tf_pix2pix.codecs import with_codec
from tf_pix2pix.curves import write_curves
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import error_line
from tf_pix2pix.inference import make_translate
from tf_pix2pix.metrics import paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.training.health import Health
from tf_pix2pix.training.step import TrainState
from tf_pix2pix.trivial_answers import trivial_answers


class RunReporter:
    """Records, shows and evaluates the progress of a run."""

    def __init__(
        self,
        run: Run,
        state: TrainState,
        validation: tf.data.Dataset,  # of (input_image, target_image), float32 [1, h, w, c] in [-1, 1]
        training: tf.data.Dataset,  # a few training pairs to evaluate likewise
        samples: tf.data.Dataset,  # the pairs in sample grids, likewise
        on_record: Callable[[dict[str, Any]], None],  # called with each record of metrics.jsonl
    ):
        self._run, self._state, self._on_record = run, state, on_record
        self._validation, self._training, self._samples = validation, training, samples
        self._palette = run.sides.target.palette.array if run.sides.target.palette else None
        self._translate = make_translate(with_codec(state.sampled, run.codec, run.sides.input.channels))
        self._write_events = event_writer(run.directory / "logs")
        self._metric = run.config.best_metric
        self._best = best_evaluation(run.records(), self._metric)
        self._trivial = saved_trivial(run.records())
        self._health = Health(run, state)

    def begin(self, step: int, examples: dict[str, Pairs]) -> None:
        """Measures the trivial answers, unless a record has them, and at step 0 makes the first record and samples."""
        record: dict[str, Any] = {"step": step}
        if step == 0:
            record |= {f"{split}_pairs": len(pairs) for split, pairs in examples.items()}
        if not self._trivial:
            answers = trivial_answers(examples["train"], self._run.sides, task=self._run.config.task)
            self._trivial = {name: self._measure(answer, self._validation) for name, answer in answers.items()}
            record["trivial"] = self._trivial
            tqdm.write("trivial answers, which a trained generator must beat on the validation split:")
            for name, values in self._trivial.items():
                tqdm.write(f"  {name}: {format_metrics(values)}")
        if len(record) > 1:
            self.record(record)
        if step == 0:
            tqdm.write(f"untrained samples: {self.sample(0)}")

    def _measure(
        self, translate: Callable[[tf.Tensor], tf.Tensor], pairs: tf.data.Dataset, observe: Callable | None = None
    ) -> dict[str, float]:
        return paired_metrics(translate, pairs, self._palette, observe)

    def record(self, values: dict[str, Any]) -> None:
        """Appends a record to metrics.jsonl and TensorBoard."""
        self._run.append_record(values)
        self._health.add(values)
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
        """Records the metrics of the validation split, and saves the generator if it is the best so far.

        The record also has the metrics of a few training pairs, `train_l1` and so on: far better ones show overfitting.
        """
        values = self._measure(self._translate, self._validation, self._health.observe)
        training = self._measure(self._translate, self._training)
        record: dict[str, Any] = {"step": step}
        for prefix, measured in (("val", values), ("train", training)):
            record |= {f"{prefix}_{name}": value for name, value in measured.items()}
        gained, health = self._health.judge(record)
        record |= gained
        self.record(record)
        if self._best is None or rank(record, self._metric) < rank(self._best, self._metric):
            self._best = record
            checkpoints.save(self._run.checkpoints, "best", step, self._state.best_checkpoint())
        tqdm.write(wrap(f"step {step:,}, validation: {format_metrics(values)}"))
        for line in (self._describe(record), *health):
            tqdm.write(wrap(line, indent="  "))
        self._draw_curves()

    def _describe(self, record: dict[str, Any]) -> str:
        """Words: whether an evaluation is the best so far, against the best trivial answer, and on training pairs."""
        metric, best = self._metric, self._best or record
        best_so_far = f"best so far: step {best['step']:,}, {format_metrics({metric: best[f'val_{metric}']})}"
        parts = ["best so far" if record is best else best_so_far]
        parts += ["featureless images"] if featureless(record) else []
        training = format_metrics({metric: record[f"train_{metric}"]})
        return "; ".join([*parts, compare(record, self._trivial, metric), f"on training pairs {training}"])

    def _draw_curves(self) -> None:
        """Draws curves.png. Training goes on if that fails: the records are there, and `pix2pix plot` draws them."""
        try:
            write_curves(self._run)
        except Exception as error:  # whatever a drawing library raises
            tqdm.write(f"warning: {self._run.directory}/curves.png was not drawn ({error_line(error)})")

    def summary(self) -> list[str]:
        """Lines for the end of a run: the best evaluation, the best trivial answer, and the next commands."""
        lines = []
        if self._best:
            values = {name: self._best[f"val_{name}"] for name in next(iter(self._trivial.values()))}
            lines += [wrap(f"best step {self._best['step']:,}, validation: {format_metrics(values)}")]
            lines += [wrap(verdict(self._best, self._trivial, self._metric))]
        run_dir = shlex.quote(str(self._run.directory))
        if self._run.steps():
            lines += [f"next: pix2pix evaluate {run_dir}"]
            lines += [f"      pix2pix translate --model={run_dir} IMAGES --output=FOLDER"]
        return lines


def wrap(line: str, indent: str = "") -> str:
    """Breaks a line so that it fits a terminal; the lines after the first are indented more."""
    return textwrap.fill(
        line,
        100,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def event_writer(directory: Path) -> Callable[..., None]:
    """A function (step, scalars={name: value}, grids={name: uint8 [n, h, w, c]}) that writes TensorBoard events."""
    if importlib.util.find_spec("tensorboard") is None:
        print("TensorBoard is missing: no events are written; to install it, pip install 'tf_pix2pix[tensorboard]'")
        return lambda step, scalars=None, grids=None: None
    writer = tf.summary.create_file_writer(str(directory))

    def write(step, scalars=None, grids=None):
        with writer.as_default(step):
            for name, value in (scalars or {}).items():
                if isinstance(value, int | float):  # not the trivial answers, nor warnings
                    tf.summary.scalar(name, value)
            for name, grid in (grids or {}).items():
                tf.summary.image(name, grid, max_outputs=len(grid))
        writer.flush()

    return write
