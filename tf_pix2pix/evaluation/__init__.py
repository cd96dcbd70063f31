"""Evaluation: how good a model's images are, in metrics, beside trivial answers, as a report.

selection.py finds the images, sources.py adds the model, folders.py takes both from two folders; pipeline.py translates
and measures, measuring.py has the metrics, store.py the files; comparison.py evaluates several runs.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tf_pix2pix.datasets.folder import SPLITS
from tf_pix2pix.errors import InputError, format_count
from tf_pix2pix.evaluation import results
from tf_pix2pix.evaluation.folders import open_folders
from tf_pix2pix.evaluation.options import Options, make_measures
from tf_pix2pix.evaluation.pipeline import measure_all
from tf_pix2pix.evaluation.report import write_report
from tf_pix2pix.evaluation.sources import Source, open_model
from tf_pix2pix.evaluation.store import ImageStore
from tf_pix2pix.files import check_writable, locked
from tf_pix2pix.run import Run


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
      directory: the folder with metrics.json, per_image.csv, report.html and images/.
      facts: the contents of metrics.json.
      rows: the contents of per_image.csv: {"name": ..., metric: value, ..., "images": {part: path}} for each image.
      report: the path of report.html.
    """

    directory: Path
    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    report: Path

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
        output_dir = default_folder(opened, source.facts)
    return evaluate_source(source, Path(output_dir), options)


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
    return evaluate_source(open_folders(generated, targets, max_images=max_images), Path(output_dir), options)


def describe(facts: dict[str, Any], count: int) -> str:
    """One line: the model and the images of an evaluation, from the entry "source" of metrics.json and their number."""
    model = facts["model"] or f"{facts['run']}, {facts['checkpoint']} checkpoint, step {facts['step']:,}"
    split = f"the {facts['split']} split of " if facts["split"] in SPLITS else ""
    size = f", {facts['size'][0]}x{facts['size'][1]} pixels" if facts["size"] else ""
    return f"{model}: {format_count(count, 'image')} of {split}{facts['dataset']}{size}"


def default_folder(run: Run, facts: dict[str, Any]) -> Path:
    """RUN/evaluation/SPLIT, after the name of another data set, before that of another model."""
    name = facts["split"]
    if facts["dataset"] != run.config.dataset:
        name = f"{Path(facts['dataset']).resolve().name}-{name}"
    if facts["model"]:
        name = f"{name}-{Path(facts['model']).name}"
    return run.directory / "evaluation" / name


def evaluate_source(source: Source, directory: Path, options: Options) -> Evaluation:
    """Measures the images of a source and writes the results."""
    if not source.names:
        raise InputError(f"{source.facts['dataset']}: no images to evaluate")
    check_writable(directory)
    measures, left_out = make_measures(source, options)
    print(f"evaluating {describe(source.facts, len(source.names))}")
    with locked(directory, "evaluates into"):
        settings = None if source.identity is None else {**source.identity, **source.facts}
        store = ImageStore(directory, settings, source.target, source.settings and source.settings[1].input)
        names, skipped = measure_all(source, store, measures)
        store.keep_only(names)
        facts = results.gather(source, measures, skipped, left_out)
        rows = results.rows(names, measures, store)
        results.write(directory, facts, rows)
        report = write_report(directory, facts, rows, source.run)
    return Evaluation(directory, facts, rows, report)
