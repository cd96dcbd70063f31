"""The loop around the training step: progress, metrics, samples, checkpoints, and stopping in good order."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_pix2pix import checkpoints, images, runs, tasks
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.encodings import Encoding, of_pictures
from tf_pix2pix.errors import RunError
from tf_pix2pix.inference import make_translate
from tf_pix2pix.input_pipeline import held_out_batches, training_batches
from tf_pix2pix.metrics import paired_metrics
from tf_pix2pix.training.step import TrainState, make_train_step

EXAMPLES = {"train": 32, "held_out": 8}  # pairs of each split that a run keeps
SECONDS_BETWEEN_LINES = 60  # of progress, where there is no terminal for a progress bar


def run_loop(
    config: TrainConfig,
    run_dir: Path,
    state: TrainState,
    encoding: Encoding,
    train_pairs: Pairs,  # from input_pipeline.prepare
    held_out: Pairs,  # from input_pipeline.prepare
    total_steps: int,
) -> Path:
    """Trains from the state's step to total_steps, or until a signal asks to stop; returns the last sample grid's path.

    Raises:
      RunError: a loss is no longer finite.
      OSError, tf.errors.OpError: the disk or the data gave up.
    """
    batches = _batches(config, train_pairs, int(state.step), total_steps)
    train_step = make_train_step(state, config, encoding)
    sampled = of_pictures(state.sampled, encoding, config.input_channels)
    shown = _Shown(config, run_dir, make_translate(sampled), held_out)
    window, said = _Window(config, len(train_pairs)), time.monotonic()

    def save(step):
        window.check_finite(step)
        write_examples(run_dir, config, train_pairs, held_out)
        checkpoints.save(run_dir / "checkpoints", "step", step, state.checkpoint())
        checkpoints.keep_last(run_dir / "checkpoints", "step", config.keep_checkpoints)
        checkpoints.keep_last(run_dir / "checkpoints", "best", 1)  # not before: a kill goes back to the step saved last

    step = saved = int(state.step)
    progress = tqdm(total=total_steps, initial=step, unit="step", disable=None, smoothing=0.05)
    with _stop_signals() as stop, progress:
        if step == 0:
            with window.not_counted():
                tqdm.write(f"untrained samples: {shown.sample(0)}")
                shown.record({"step": 0, "train_pairs": len(train_pairs), "held_out_pairs": len(held_out)})
        while step < total_steps and not stop.is_set():
            with window.waiting():
                batch = next(batches)
            window.losses.append(train_step(*batch))
            step += 1
            progress.update()
            last = step == total_steps
            if last or step % config.log_every == 0:
                window.check_finite(step)
                values = window.close(step)
                progress.set_postfix_str(_status(values))
                if progress.disable and time.monotonic() - said > SECONDS_BETWEEN_LINES:
                    print(f"step {step} of {total_steps}: {_status(values)}")
                    said = time.monotonic()
                shown.record({**values, "learning_rate": float(state.generator_optimizer.learning_rate)})
            with window.not_counted():
                if last or step % config.sample_every == 0:
                    grid = shown.sample(step)
                if last or step % config.eval_every == 0:
                    shown.evaluate(step, state)
                if last or step % config.checkpoint_every == 0:
                    save(step)
                    saved = step
        if step < total_steps:
            if saved != step:
                save(step)
            grid = shown.sample(step)
    if step == total_steps:
        print(f"done: {total_steps} steps; sample grid: {grid}")
    else:
        print(f"stopped at step {step} of {total_steps}, all is saved; the same command goes on. Sample grid: {grid}")
    return grid


def write_examples(run_dir: Path, config: TrainConfig, train_pairs: Pairs, held_out: Pairs) -> None:
    """Keeps some pairs in the run, where it has none, as the network sees them: exports are checked with them."""
    for split, pairs in (("train", train_pairs), ("held_out", held_out)):
        if not runs.has_examples(run_dir, split):
            examples = _held_out_batches(config, pairs.spread(EXAMPLES[split]))
            pictures = (
                [images.from_float(side[0], format).numpy() for side, format in zip(pair, pairs.formats, strict=True)]
                for pair in examples
            )
            runs.write_examples(run_dir, split, pictures)


def _batches(config: TrainConfig, train_pairs: Pairs, start_step: int, total_steps: int) -> Iterator:
    batches = training_batches(
        train_pairs,
        batch_size=config.batch_size,
        crop_size=config.crop_size,
        flip=config.flip,
        seed=config.seed,
        start_step=start_step,
        steps=total_steps,
        make_input=tasks.input_maker(config.task, train_pairs.formats[0], **config.task_settings),
    )
    return iter(tf.distribute.get_strategy().experimental_distribute_dataset(batches))


def _held_out_batches(config: TrainConfig, pairs: Pairs) -> tf.data.Dataset:
    make_input = tasks.input_maker(config.task, pairs.formats[0], **config.task_settings)
    return held_out_batches(pairs, batch_size=1, crop_size=config.crop_size, make_input=make_input)


class _Shown:
    """What a run shows of itself: metrics.jsonl, TensorBoard events, sample grids, and the best checkpoint."""

    def __init__(self, config: TrainConfig, run_dir: Path, translate: Callable, held_out: Pairs):
        self._run_dir, self._translate = run_dir, translate
        self._held_out = _held_out_batches(config, held_out)
        self._samples = _held_out_batches(config, held_out.spread(config.samples))
        self._summaries = runs.summary_writer(run_dir)
        has_classes = config.target_encoding == "classes"
        self._palette = runs.read_palettes(run_dir, config)["target"].colors if has_classes else None
        records = [record for record in runs.read_metrics(run_dir) if "val_l1" in record]
        self._best = min((self._badness(record) for record in records), default=math.inf)

    def _badness(self, values: dict[str, float]) -> float:
        """What the best checkpoint has the least of: the L1, or for classes, one less the mean IoU."""
        return values["val_l1"] if self._palette is None else 1.0 - values["val_mean_iou"]

    def record(self, values: dict[str, float]) -> None:
        runs.append_metrics(self._run_dir, values)
        self._summaries(values["step"], scalars={name: value for name, value in values.items() if name != "step"})

    def sample(self, step: int) -> Path:
        rows = []
        for input_image, target_image in self._samples:
            sides = (input_image, self._translate(input_image), target_image)
            rows.append(tuple(images.to_uint8(side[0]).numpy() for side in sides))
        self._summaries(step, images={"output and target": np.stack([np.hstack(row[1:]) for row in rows])})
        return runs.write_sample_grid(self._run_dir, step, rows)

    def evaluate(self, step: int, state: TrainState) -> None:
        values = paired_metrics(self._translate, self._held_out, self._palette)
        record = {"step": step, **{f"val_{name}": value for name, value in values.items()}}
        self.record(record)
        tqdm.write(f"step {step}, held out: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        if self._badness(record) < self._best:
            self._best = self._badness(record)
            checkpoints.save(self._run_dir / "checkpoints", "best", step, state.best_checkpoint())


class _Window:
    """The losses and the time since the last record."""

    def __init__(self, config: TrainConfig, pairs: int):
        self._batch_size, self._pairs = config.batch_size, pairs
        self._open()

    def _open(self):
        self.losses: list[dict[str, tf.Tensor]] = []
        self._opened, self._waited = time.monotonic(), 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what waits for data."""
        asked = time.monotonic()
        yield
        self._waited += time.monotonic() - asked

    @contextlib.contextmanager
    def not_counted(self) -> Iterator[None]:
        """Around what is no training: evaluating, sampling, saving."""
        began = time.monotonic()
        yield
        self._opened += time.monotonic() - began

    def check_finite(self, step: int) -> None:
        """Raises RunError where a loss since the last record is not finite."""
        for losses in self.losses:
            if not all(math.isfinite(loss) for loss in losses.values()):
                values = ", ".join(f"{name} {float(loss):.3g}" for name, loss in losses.items())
                raise RunError(
                    f"a loss is no longer finite at step {step} ({values}); checkpoints hold what was before, but "
                    "going on from them ends here again: lower --learning_rate in another --output_dir"
                )

    def close(self, step: int) -> dict[str, float]:
        """The means of the losses, images per second, and the share of the time that was spent waiting for data."""
        means = {name: float(np.mean([losses[name] for losses in self.losses])) for name in self.losses[0]}
        seconds = time.monotonic() - self._opened
        values = {
            "step": step,
            "epoch": step * self._batch_size / self._pairs,
            **means,
            "images_per_second": len(self.losses) * self._batch_size / seconds,
            "data_wait": self._waited / seconds,
        }
        self._open()
        return values


def _status(values: dict[str, float]) -> str:
    names = [name.removesuffix("_loss") for name in values if name.endswith("_loss")]
    losses = ", ".join(f"{name} {values[f'{name}_loss']:.3f}" for name in names)
    speed = f"{values['images_per_second']:.1f} images/s, {values['data_wait']:.0%} waiting for data"
    return f"epoch {values['epoch']:.1f}, {speed}, {losses}"


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second Ctrl-C interrupts at once."""
    event = threading.Event()

    def request(number, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        tqdm.write("stopping after this step, saving first ...")

    if threading.current_thread() is not threading.main_thread():  # only the main thread may take signals
        yield event
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
