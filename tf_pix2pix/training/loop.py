"""The loop around the training step: progress, records, sample grids, checkpoints, and stopping on a signal."""

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from tf_pix2pix import checkpoints, tasks
from tf_pix2pix.best import stops_early
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.input_pipeline import training_batches, validation_batches
from tf_pix2pix.metrics import METRICS
from tf_pix2pix.run import Run
from tf_pix2pix.training.health import FailedBatches
from tf_pix2pix.training.plan import FORECAST_STEPS, describe_length, forecast, format_duration
from tf_pix2pix.training.reporting import RunReporter
from tf_pix2pix.training.step import TrainState, make_train_step, summarize

EXAMPLES = {"train": 32, "val": 8}  # pairs of each split in a run directory
MAX_TRAIN_EVALUATED = 20  # training pairs to evaluate, and no more than of the validation split: they take little time
PROGRESS_SECONDS = 60  # between lines of progress, if the output is not a terminal with a progress bar


def run_loop(
    run: Run,
    state: TrainState,
    examples: dict[str, Pairs],  # "train" and "val", from input_pipeline.prepare_examples
    total_steps: int,
    on_record: Callable[[dict[str, Any]], None],
) -> int:
    """Trains from the state's step to total_steps, and saves the state; returns the step reached.

    It ends earlier on a signal, or after config.early_stop evaluations without a new best.

    Raises:
      RunError: a loss, a gradient or a weight is not finite.
      OSError, tf.errors.OpError: the disk or the data failed.
    """
    config = run.config
    batches = _distributed(_training_batches(run, examples["train"], int(state.step), total_steps))
    train_step = make_train_step(state, config, run.codec)
    few = examples["train"].spread(min(MAX_TRAIN_EVALUATED, len(examples["val"])))
    validation, training, samples = (
        _images_of(run, pairs) for pairs in (examples["val"], few, examples["val"].spread(config.samples))
    )
    reporter = RunReporter(run, state, validation, training, samples, on_record)
    timer, printed = StepTimer(config.batch_size, len(examples["train"])), time.monotonic()
    failed = FailedBatches(run, examples["train"].names, functools.partial(_training_batches, run, examples["train"]))

    def save(step):
        failed.check(step, timer.losses)
        failed.check_weights(step, state)
        write_examples(run, examples)
        checkpoints.save(run.checkpoints, "step", step, state.checkpoint())
        checkpoints.keep_last(run.checkpoints, "step", config.keep_checkpoints)
        checkpoints.keep_last(run.checkpoints, "best", 1)  # after the state: a killed run resumes from it

    step = saved = first = int(state.step)
    started, stopped_early = time.monotonic(), False
    with _stop_signals() as stop, contextlib.ExitStack() as shown:
        with timer.paused():
            reporter.begin(step, examples)
        progress = shown.enter_context(tqdm(total=total_steps, initial=step, unit="step", disable=None, smoothing=0.05))
        tqdm.write(describe_length(run, step, total_steps, len(examples["train"])))
        while step < total_steps and not stop.is_set() and not stopped_early:
            with timer.waiting():
                batch = next(batches)
            timer.losses.append(train_step(*batch))
            step += 1
            progress.update()
            last = step == total_steps
            if step == first + 1:
                traced = timer.clock()
            elif step == first + 1 + FORECAST_STEPS and not last:
                seconds_per_step = (timer.clock() - traced) / FORECAST_STEPS
                tqdm.write(forecast(total_steps - step, seconds_per_step, config.batch_size))
            if last or step % config.log_every == 0:
                failed.check(step, timer.losses)
                values = timer.read(step)
                progress.set_postfix_str(_status(values))
                if progress.disable and time.monotonic() - printed > PROGRESS_SECONDS:
                    printed = time.monotonic()
                    left = (printed - started) / (step - first) * (total_steps - step)
                    print(f"step {step:,} of {total_steps:,}, {format_duration(left)} left: {_status(values)}")
                reporter.record({**values, "learning_rate": float(state.generator_optimizer.learning_rate)})
            with timer.paused():
                if last or step % config.sample_every == 0:
                    grid = reporter.sample(step)
                if last or step % config.eval_every == 0:
                    failed.check_weights(step, state)
                    reporter.evaluate(step)
                    stopped_early = not last and stops_early(run.records(), config.best_metric, config.early_stop)
                if last or step % config.checkpoint_every == 0:
                    save(step)
                    saved = step
        if step < total_steps:
            if saved != step:
                save(step)
            grid = reporter.sample(step)
    print(_describe_end(config, step - first, step, total_steps, stopped_early, time.monotonic() - started))
    for line in reporter.summary():
        print(line)
    print(f"sample grid: {grid}")
    return step


def _describe_end(
    config: TrainConfig, done: int, step: int, total_steps: int, stopped_early: bool, seconds: float
) -> str:
    """One line: how a training ended. done: the steps since it began or resumed."""
    duration = format_duration(seconds)
    if stopped_early:
        evaluated = f"{config.early_stop} evaluations without a new best {METRICS[config.best_metric].label}"
        return f"stopped early at step {step:,} of {total_steps:,} after {duration}: {evaluated}; saved"
    if step == total_steps:
        return f"done: {done:,} steps in {duration}"
    if step == 0:
        return f"stopped before the first step after {duration}; the same command starts again"
    return f"stopped at step {step:,} of {total_steps:,} after {duration}, saved; the same command resumes"


def write_examples(run: Run, examples: dict[str, Pairs]) -> None:
    """Writes a few examples of each split for export checks, unless the run directory has them already."""
    for split, pairs in examples.items():
        if not run.has_examples(split):
            batches = _images_of(run, pairs.spread(EXAMPLES[split]))
            inputs, targets = run.sides
            run.write_examples(
                split, ((inputs.from_float(a[0]).numpy(), targets.from_float(b[0]).numpy()) for a, b in batches)
            )


def _images_of(run: Run, examples: Pairs) -> tf.data.Dataset:
    """The examples one by one: (input_image, target_image), float32 [1, *crop_size, c] in [-1, 1]."""
    make_input = tasks.input_maker(run.config.task, run.sides.target, **run.config.task_settings)
    return validation_batches(examples, run.sides, batch_size=1, crop_size=run.config.crop_size, make_input=make_input)


def _training_batches(run: Run, examples: Pairs, start_step: int, total_steps: int) -> tf.data.Dataset:
    config = run.config
    return training_batches(
        examples,
        run.sides,
        batch_size=config.batch_size,
        crop_size=config.crop_size,
        flip=config.flip,
        seed=config.seed,
        start_step=start_step,
        steps=total_steps,
        make_input=tasks.input_maker(config.task, run.sides.target, **config.task_settings),
    )


def _distributed(batches: tf.data.Dataset) -> Iterator:
    """The batches, each divided among the replicas."""
    return iter(tf.distribute.get_strategy().experimental_distribute_dataset(batches))


class StepTimer:
    """What each step measured, and the time, since the last record."""

    def __init__(self, batch_size: int, train_pairs: int):
        self._batch_size, self._train_pairs = batch_size, train_pairs
        self._paused = 0.0
        self._start()

    def _start(self):
        self.losses: list[dict[str, tf.Tensor]] = []
        self._started, self._waited = self.clock(), 0.0

    def clock(self) -> float:
        """Seconds, without those in `paused`; only differences have a meaning."""
        return time.monotonic() - self._paused

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as waiting for data."""
        started = time.monotonic()
        yield
        self._waited += time.monotonic() - started

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time inside: evaluation, sampling, saving."""
        started = time.monotonic()
        yield
        self._paused += time.monotonic() - started

    def read(self, step: int) -> dict[str, float]:
        """The means of what the steps measured, images per second, and the share of time spent waiting; starts anew."""
        seconds = self.clock() - self._started
        values = {
            "step": step,
            "epoch": step * self._batch_size / self._train_pairs,
            **summarize(self.losses),
            "images_per_second": len(self.losses) * self._batch_size / seconds,
            "data_wait": self._waited / seconds,
        }
        self._start()
        return values


def _status(values: dict[str, float]) -> str:
    names = [name.removesuffix("_loss") for name in values if name.endswith("_loss")]
    losses = ", ".join(f"{name} {values[f'{name}_loss']:.3f}" for name in names)
    speed = f"{values['images_per_second']:.1f} images/s, {values['data_wait']:.0%} waiting for data"
    return f"epoch {values['epoch']:.1f}, {speed}, {losses}"


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one interrupts at once."""
    event = threading.Event()

    def request(number, frame):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        tqdm.write("stopping after this step; saving first ...")

    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield event
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
