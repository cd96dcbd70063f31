"""Evaluation: how good a model's images are, in metrics, beside trivial answers, as a report.

sources.py finds the images, store.py keeps the generated ones, measuring.py compares them with their targets.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.evaluation import results
from tf_pix2pix.evaluation.measuring import Measures, Part
from tf_pix2pix.evaluation.sources import Source, open_folders, open_model
from tf_pix2pix.evaluation.store import ImageStore, digest
from tf_pix2pix.files import check_writable, locked
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.metrics.distributions import LabHistogram
from tf_pix2pix.metrics.sliced_wasserstein import SlicedWasserstein
from tf_pix2pix.palettes import Palette, read_palette
from tf_pix2pix.run import Run
from tf_pix2pix.threads import map_in_threads
from tf_pix2pix.trivial_answers import trivial_answers

PART_PIXELS = 2**19  # of the images measured together: eight of 256x256


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
      palette: a file as for TrainConfig.palette: compares classes, each pixel's the one of the nearest color. None: the
        palette of the run's targets, if they have one.
    """

    palette: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
      directory: the folder with metrics.json, per_image.csv, report.html and images/.
      facts: the contents of metrics.json.
      rows: the contents of per_image.csv: {"name": ..., metric: value, ..., "images": {part: path}} for each image.
    """

    directory: Path
    facts: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metric -> {"value": ..., and "low", "high", "n", "targets", "note" where known}."""
        return self.facts["metrics"]


def evaluate(
    run: str | os.PathLike | None = None,
    *,
    split: str | None = None,
    checkpoint: str = "best",
    model: str | os.PathLike | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    direction: str | None = None,
    input_dir: str | None = None,
    target_dir: str | None = None,
    max_images: int | None = None,
    output_dir: str | os.PathLike | None = None,
    options: Options = Options(),  # noqa: B008, it is frozen
) -> Evaluation:
    """Translates the images of a split as training's validation does, and compares them with their targets.

    The same call after an interruption continues with the images that are left.

    Args:
      run: a run directory; may be left out if `model` knows its settings.
      split: "train", "val" or "test". None: test; of a folder without these sub-folders all images.
      checkpoint: of the run: "best", "latest" or a step.
      model: an artifact to evaluate instead of the run's checkpoint: anything that Translator.load accepts.
      dataset: another data set than the run's; data_dir, direction, input_dir and target_dir as in TrainConfig.
      max_images: the most images, evenly spaced over the split.
      output_dir: the folder to write to. None: RUN/evaluation/SPLIT; for another data set RUN/evaluation/NAME-SPLIT,
        for another model RUN/evaluation/SPLIT-MODEL.

    Raises:
      InputError: the run, the model or the images are unusable.
      RunError: the model failed.
    """
    opened = Run.open(run) if run is not None else None
    if opened is None and model is None:
        raise InputError("no run given; name a run directory, or pass --model=FILE, or --generated and --targets")
    if opened is None and output_dir is None:
        raise InputError("--output_dir is missing; without a run, name the folder to write to")
    source = open_model(
        opened,
        model=model,
        checkpoint=checkpoint,
        split=split,
        dataset=dataset,
        max_images=max_images,
        data_dir=data_dir,
        direction=direction,
        input_dir=input_dir,
        target_dir=target_dir,
    )
    return _evaluate(source, Path(output_dir) if output_dir else _default_folder(source), options)


def evaluate_folders(
    generated: str | os.PathLike,
    targets: str | os.PathLike,
    output_dir: str | os.PathLike,
    *,
    max_images: int | None = None,
    options: Options = Options(),  # noqa: B008
) -> Evaluation:
    """Compares the images of two folders, matched by file stem: generated images from anywhere, and their targets.

    Raises:
      InputError: an image lacks its partner or is unusable, sizes or depths differ, or output_dir is one of the folders.
    """
    output = Path(output_dir).resolve()
    for folder in (generated, targets):
        if output.is_relative_to(Path(folder).resolve()):
            raise InputError(f"--output_dir={output_dir}: inside {folder}; choose another folder")
    return _evaluate(open_folders(generated, targets, max_images=max_images), Path(output_dir), options)


def _default_folder(source: Source) -> Path:
    """RUN/evaluation/SPLIT, with the name of another data set before it, or of another model behind it."""
    facts, run = source.facts, source.run
    name = facts["split"]
    if facts["dataset"] != run.config.dataset:
        name = f"{Path(facts['dataset']).resolve().name}-{name}"
    if facts["model"]:
        name = f"{name}-{Path(facts['model']).name}"
    return run.directory / "evaluation" / name


def _evaluate(source: Source, directory: Path, options: Options) -> Evaluation:
    if not source.names:
        raise InputError(f"{source.facts['dataset']}: no images to evaluate")
    check_writable(directory)
    palette = read_palette(options.palette) if options.palette else source.target.palette
    if palette is not None and source.target.palette is None:
        palette = _fitting(palette, source, options.palette)
    answers, left_out = _trivial_answers(source)
    sides = source.settings[1] if source.settings else None
    measures = Measures(
        source.target, palette, sides and sides.input, answers, sets=[SlicedWasserstein(), LabHistogram()]
    )
    with locked(directory, "evaluates into"):
        settings = None if source.identity is None else {**source.identity, **source.facts}
        store = ImageStore(directory, settings, source.target, sides)
        names, skipped = _measure_all(source, store, measures)
        store.keep_only(names)
        facts = results.gather(source, measures, skipped, left_out)
        rows = results.rows(names, measures, store)
        results.write(directory, facts, rows)
    return Evaluation(directory, facts, rows)


def _fitting(palette: Palette, source: Source, name: str | None) -> Palette:
    """The palette in the channels of the targets."""
    if source.target.depth != "uint8":
        raise InputError(f"--palette={name}: the targets are no label maps of 8 bits; leave it out")
    try:
        return palette.with_channels(source.target.channels)
    except ValueError as error:
        raise InputError(f"--palette={name}: {error}") from None


def _trivial_answers(source: Source) -> tuple[dict[str, Any], list[str]]:
    """The trivial answers, from the training images, or the reason why there are none."""
    if source.settings is None or source.train is None:
        return {}, ["trivial answers: need the training images of a run"]
    config, sides = source.settings
    try:
        examples = prepare_examples(source.train(), sides, size=config.crop_size, fit=config.fit, cache_bytes=0)
        return trivial_answers(examples, sides, task=config.task), []
    except InputError as error:
        return {}, [f"trivial answers: the training images cannot be read ({error})"]


def _measure_all(source: Source, store: ImageStore, measures: Measures) -> tuple[list[str], list[str]]:
    """Translates and measures all images. Returns the names of the images, and why others were skipped.

    The model works in this thread, while others read, measure and write.

    Raises:
      InputError: more images are unusable than the run allows.
    """
    names: list[str] = []
    skipped: list[str] = []
    with _Measuring(measures, store) as measuring:
        for name, found in zip(source.names, _read_all(source), strict=True):
            if isinstance(found, InputError):
                skipped.append(str(found))
                if len(skipped) > source.max_bad:
                    raise InputError(f"{len(skipped)} images cannot be used: {format_list(skipped, '; ')}")
                continue
            index, input_image, target_image = found
            fingerprint = digest(input_image, target_image)
            generated = store.find(name, fingerprint)
            is_new = generated is None
            if generated is None:
                generated = source.generate(index, input_image)
            names.append(name)
            measuring.add(name, fingerprint if is_new else None, input_image, generated, target_image)
    if not names:
        raise InputError(f"all images cannot be used: {format_list(skipped, '; ')}")
    return names, skipped


def _read_all(source: Source) -> Iterator[tuple[int, np.ndarray | None, np.ndarray] | InputError]:
    """(index, input, target) of each image, or why it cannot be used, with a progress bar."""

    def read(index):
        try:
            return (index, *source.read(index))
        except InputError as error:
            return error

    return map_in_threads(read, range(len(source.names)), "evaluating", "image")


class _Measuring:
    """Threads that measure and write images while the model makes the next ones."""

    def __init__(self, measures: Measures, store: ImageStore):
        self._measures, self._store = measures, store
        self._images: list[tuple[np.ndarray | None, np.ndarray, np.ndarray]] = []
        self._waiting: deque[list[Future]] = deque()
        self._cores = os.cpu_count() or 1
        self._any_order, self._in_order = ThreadPoolExecutor(self._cores), ThreadPoolExecutor(1)
        self._writing: deque[tuple[Future, str, str]] = deque()

    def add(self, name: str, fingerprint: str | None, *images: np.ndarray | None) -> None:
        """Measures (input, generated, target); also writes them if a fingerprint is given."""
        if fingerprint is not None:
            self._writing.append((self._any_order.submit(self._store.write, name, *images), name, fingerprint))
        if self._images and self._images[-1][2].shape != images[2].shape:
            self._submit()
        self._images.append(images)
        height, width = images[2].shape[:2]
        if len(self._images) * height * width >= PART_PIXELS:
            self._submit()
        self._note_written(wait=False)

    def _submit(self) -> None:
        columns = [None if column[0] is None else np.stack(column) for column in zip(*self._images, strict=True)]
        part = Part(*columns)
        self._images = []
        measured = self._any_order.submit(self._measures.measure, part)
        self._waiting.append([measured, self._in_order.submit(self._measures.accumulate, part)])
        while len(self._waiting) > self._cores:
            self._collect()

    def _collect(self) -> None:
        measured, accumulated = self._waiting.popleft()
        self._measures.add(measured.result())
        accumulated.result()

    def _note_written(self, wait: bool) -> None:
        while self._writing and (wait or self._writing[0][0].done()):
            written, name, fingerprint = self._writing.popleft()
            written.result()
            self._store.note(name, fingerprint)

    def __enter__(self) -> "_Measuring":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                if self._images:
                    self._submit()
                while self._waiting:
                    self._collect()
            with contextlib.suppress(*([] if kind is None else [Exception])):
                self._note_written(wait=True)  # after an interruption too: these images need not be made again
        finally:
            for pool in (self._any_order, self._in_order):
                pool.shutdown(cancel_futures=True)
