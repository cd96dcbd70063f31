"""The results of an evaluation: metrics.json and per_image.csv."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from tf_pix2pix.evaluation.measuring import Measures
from tf_pix2pix.evaluation.sources import Source
from tf_pix2pix.evaluation.store import ImageStore
from tf_pix2pix.files import atomic_write
from tf_pix2pix.metrics import METRICS

FORMAT_VERSION = 1  # of metrics.json; raised when older files can no longer be read


def gather(source: Source, measures: Measures, skipped: list[str], left_out: list[str]) -> dict[str, Any]:
    """The contents of metrics.json."""
    warnings = list(source.warnings)
    if skipped:
        warnings.append(f"skipped {len(skipped)} unusable images: {'; '.join(skipped)}")
    metrics, trivial = measures.metrics(), measures.trivial()
    warnings += _no_better(metrics, trivial)
    return {
        "format_version": FORMAT_VERSION,
        "source": source.facts,
        "images": measures.count,
        "metrics": metrics,
        "trivial": trivial,
        "labels": measures.labels(),
        "label_consistency": measures.label_consistency(),
        "left_out": left_out + measures.left_out(metrics),
        "warnings": warnings,
    }


def _no_better(metrics: dict[str, Any], trivial: dict[str, Any]) -> list[str]:
    """A warning if a trivial answer is as good as the model, in pixel accuracy or L1."""
    metric = "pixel_accuracy" if "pixel_accuracy" in metrics else "l1"
    answers = {answer: found[metric] for answer, found in trivial.items()}
    if not answers:
        return []
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    best = max(answers, key=lambda answer: sign * answers[answer]["value"])
    own, found = metrics[metric]["value"], answers[best]
    figures = f"{METRICS[metric].label} {own:.4g}, {best} {found['value']:.4g}"
    advice = "train longer, with more pairs, or check that inputs and targets belong together (pix2pix check-data)"
    if sign * own <= sign * found["value"]:
        return [f"no better than a trivial answer: {figures}; {advice}"]
    if "behind" not in found or found["behind"]["low"] <= 0:
        return [f"not clearly better than a trivial answer: {figures}; evaluate more images, or {advice}"]
    return []


def rows(names: list[str], measures: Measures, store: ImageStore) -> list[dict[str, Any]]:
    """A row for each image: its name, its values, and the paths of its images below the folder."""
    return [
        {
            "name": name,
            **{metric: values[index] for metric, values in measures.values.items()},
            "images": store.shown(name),
        }
        for index, name in enumerate(names)
    ]


def write(directory: Path, facts: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Writes per_image.csv and metrics.json."""
    columns = [column for column in rows[0] if column != "images"]
    with (
        atomic_write(directory / "per_image.csv") as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row[column]) for column in columns])
    with atomic_write(directory / "metrics.json") as partial:
        partial.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _cell(value: Any) -> Any:
    """A cell of per_image.csv: empty for nan."""
    return "" if isinstance(value, float) and math.isnan(value) else value
