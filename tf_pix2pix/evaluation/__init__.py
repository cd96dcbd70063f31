"""Evaluation: how good a model's images are, in metrics, beside trivial answers, as a report.

sources.py finds the images, pipeline.py translates and measures them, measuring.py has the metrics, store.py the files.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation import results
from tf_pix2pix.evaluation.measuring import Measures
from tf_pix2pix.evaluation.pipeline import measure_all
from tf_pix2pix.evaluation.sources import Source, open_folders, open_model
from tf_pix2pix.evaluation.store import ImageStore
from tf_pix2pix.files import check_writable, locked
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.metrics.distributions import LabHistogram
from tf_pix2pix.metrics.sliced_wasserstein import SlicedWasserstein
from tf_pix2pix.palettes import Palette, read_palette
from tf_pix2pix.run import Run
from tf_pix2pix.trivial_answers import trivial_answers


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
    if output_dir is None:
        if opened is None:
            raise InputError("--output_dir is missing; without a run, name the folder to write to")
        output_dir = _default_folder(opened, source.facts)
    return _evaluate(source, Path(output_dir), options)


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
      InputError: an image lacks its partner or is unusable; sizes or depths differ; output_dir is one of the folders.
    """
    output = Path(output_dir).resolve()
    for folder in (generated, targets):
        if output.is_relative_to(Path(folder).resolve()):
            raise InputError(f"--output_dir={output_dir}: inside {folder}; choose another folder")
    return _evaluate(open_folders(generated, targets, max_images=max_images), Path(output_dir), options)


def _default_folder(run: Run, facts: dict[str, Any]) -> Path:
    """RUN/evaluation/SPLIT, with the name of another data set before it, or of another model behind it."""
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
        names, skipped = measure_all(source, store, measures)
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
