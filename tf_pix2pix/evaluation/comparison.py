"""Comparison: several runs on the same images, with intervals of the differences from the first one."""

import base64
import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tf_pix2pix.config import format_value
from tf_pix2pix.curves import curves_png
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation import Evaluation, Options, default_folder, evaluate_source
from tf_pix2pix.evaluation.report import page_environment
from tf_pix2pix.evaluation.selection import Load, select_images
from tf_pix2pix.evaluation.sources import open_model
from tf_pix2pix.evaluation.store import digest
from tf_pix2pix.files import atomic_write, check_writable, locked
from tf_pix2pix.intervals import difference_interval
from tf_pix2pix.metrics import METRICS
from tf_pix2pix.run import Run

FORMAT_VERSION = 1  # of comparison.json
CHECKED = 8  # targets that must be equal in all runs
SHOWN = 60  # images in the page


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its folder, the contents of comparison.json, the evaluations, and comparison.html."""

    directory: Path
    facts: dict[str, Any]
    evaluations: list[Evaluation]
    report: Path


def compare(
    runs: Sequence[str | os.PathLike],
    *,
    output_dir: str | os.PathLike | None = None,
    checkpoint: str = "best",
    options: Options = Options(),  # noqa: B008, it is frozen
    **choice: Any,
) -> Comparison:
    """Evaluates runs and compares them on the same images.

    Args:
      runs: run directories; differences are from the first.
      output_dir: the folder for comparison.json, comparison.html and a sub-folder with the evaluation of each run.
        None: FIRST_RUN/evaluation/SPLIT-comparison, and each run's own folder.
      checkpoint, options, choice: as in `evaluate`: split, dataset, data_dir, direction, input_dir, target_dir,
        max_images.

    Raises:
      InputError: as `evaluate`, or the runs have different images.
    """
    opened = [Run.open(run) for run in runs]
    if len({run.directory.resolve() for run in opened}) < len(opened):
        raise InputError(f"{runs[0]}: named twice; a comparison needs different runs")
    for run in opened:
        run.find_checkpoint(checkpoint)
    load = functools.cache(load_pairs)
    split = _check_same_images(opened, load, choice)
    directory = Path(output_dir) if output_dir else opened[0].directory / "evaluation" / f"{split}-comparison"
    check_writable(directory)
    evaluations = []
    for run, label in zip(opened, labels([str(run.directory) for run in opened]), strict=True):
        source = open_model(run, model=None, checkpoint=checkpoint, load=load, **choice)
        folder = directory / label.replace(os.sep, "-") if output_dir else default_folder(run, source.facts)
        evaluations.append(evaluate_source(source, folder, options))
    with locked(directory, "evaluates into"):
        facts = _gather(evaluations)
        report = _write_page(directory, facts, evaluations, opened)
        with atomic_write(directory / "comparison.json") as partial:
            partial.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Comparison(directory, facts, evaluations, report)


def _check_same_images(runs: Sequence[Run], load: Load, choice: dict[str, Any]) -> str:
    """Returns the name of the split. Raises InputError if the runs differ in the names, sizes or pixels of targets."""
    first = None
    for run in runs:
        selection = select_images(run.config, run.sides, load=load, **choice)
        count = len(selection.names)
        some = range(0, count, max(1, count // CHECKED))
        found = {
            "image sizes": format_value(run.config.crop_size),
            "numbers of images": count,
            "names of images": selection.names,
            "targets": [digest(selection.read(index)[1]) for index in some],
        }
        first = first or found
        for what, value in found.items():
            if value != first[what]:
                values = f" ({first[what]} and {value})" if not isinstance(value, list) else ""
                pair = f"{runs[0].directory} and {run.directory}"
                raise InputError(f"{pair}: the {what} differ{values}; compare runs on the same images, see --dataset")
    return str(selection.facts["split"])


def _gather(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The contents of comparison.json."""
    names = [{row["name"] for row in evaluation.rows} for evaluation in evaluations]
    common = set.intersection(*names)
    columns = [_columns(evaluation, common) for evaluation in evaluations]
    metrics = [name for name in METRICS if any(name in one.metrics for one in evaluations)]
    return {
        "format_version": FORMAT_VERSION,
        "runs": [one.facts["source"] | {"evaluation": str(one.directory)} for one in evaluations],
        "images": len(common),
        "metrics": {name: [one.metrics.get(name) for one in evaluations] for name in metrics},
        "differences": {
            name: [_difference(values[name], columns[0][name]) for values in columns[1:]]
            for name in metrics
            if all(name in values for values in columns)
        },
        "label_consistency": _label_consistency(evaluations),
        "warnings": _warnings(evaluations),
    }


def _label_consistency(evaluations: Sequence[Evaluation]) -> dict[str, Any] | None:
    """The label consistency of each run, "runs", and of real photos, "targets", as in metrics.json."""
    found = [one.facts["label_consistency"] for one in evaluations]
    if None in found:
        return None
    return {"runs": [one["generated"] for one in found], "targets": found[0]["targets"]}


def _warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    """The warnings of each run, and one if label consistencies do not compare."""
    found = [f"{one.facts['source']['run']}: {line}" for one in evaluations for line in one.facts["warnings"]]
    consistencies = [one.facts["label_consistency"] for one in evaluations]
    if None not in consistencies and len({one["network"] for one in consistencies}) > 1:
        found.append("label consistency does not compare: the runs' training images differ, hence their label networks")
    return found


def _columns(evaluation: Evaluation, names: set[str]) -> dict[str, np.ndarray]:
    """Metric -> the values of these images, in the order of their names."""
    rows = sorted((row for row in evaluation.rows if row["name"] in names), key=lambda row: row["name"])
    return {name: np.array([row[name] for row in rows]) for name in rows[0] if name not in ("name", "images")}


def _difference(values: np.ndarray, first: np.ndarray) -> dict[str, Any]:
    """How much a run has more than the first in a metric, image by image."""
    known = np.isfinite(values) & np.isfinite(first)
    interval = difference_interval(values[known], first[known])
    found = {name: float(value) for name, value in interval._asdict().items() if np.isfinite(value)}
    return found | {"n": interval.n}


def verdict(name: str, difference: dict[str, Any]) -> str:
    """better, worse, or "no clear difference" if the interval of a metric's difference includes 0; "different" for a
    metric in which neither high nor low is better."""
    if "low" not in difference or difference["low"] <= 0 <= difference["high"]:
        return "no clear difference"
    higher_is_better = METRICS[name].higher_is_better
    if higher_is_better is None:
        return "different"
    return "better" if (difference["value"] > 0) == higher_is_better else "worse"


def _write_page(directory: Path, facts: dict[str, Any], evaluations: Sequence[Evaluation], runs: Sequence[Run]) -> Path:
    """Writes comparison.html, with curves inside and images by their paths."""
    environment = page_environment()
    environment.filters["number"] = lambda value: "" if value is None else f"{value:.4g}"
    names, consistency = labels([run["run"] for run in facts["runs"]]), facts["label_consistency"]
    try:
        curves = base64.b64encode(curves_png(runs)).decode()
    except InputError:  # a run without records
        curves = None
    page = environment.get_template("comparison.html.jinja").render(
        facts=facts,
        labels=names,
        rows=[("real", consistency["targets"]), *zip(names, consistency["runs"], strict=True)] if consistency else [],
        described=METRICS,
        verdict=verdict,
        curves=curves,
        gallery=_gallery(directory, evaluations),
    )
    with atomic_write(directory / "comparison.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return directory / "comparison.html"


def labels(runs: Sequence[str]) -> list[str]:
    """A short name for each run directory: the last part of its path that tells them apart."""
    paths = [Path(run).resolve() for run in runs]
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        short = ["/".join(path.parts[-count:]) for path in paths]
        if len({*short}) == len(short):
            return short
    return [str(path) for path in paths]


def _gallery(directory: Path, evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """The images whose L1 differs most among the runs: name, and the links and L1 of input, target and each run."""
    by_name = [{row["name"]: row for row in evaluation.rows} for evaluation in evaluations]
    common = [name for name in by_name[0] if all(name in rows for rows in by_name)]
    spread = {name: np.ptp([rows[name]["l1"] for rows in by_name]) for name in common}

    def link(evaluation, path):
        return quote(os.path.relpath(evaluation.directory / path, directory))

    return [
        {
            "name": name,
            "input": link(evaluations[0], by_name[0][name]["images"]["input"]),
            "target": link(evaluations[0], by_name[0][name]["images"]["target"]),
            "generated": [
                (link(one, rows[name]["images"]["generated"]), rows[name]["l1"])
                for one, rows in zip(evaluations, by_name, strict=True)
            ],
        }
        for name in sorted(common, key=lambda name: -spread[name])[:SHOWN]
    ]
