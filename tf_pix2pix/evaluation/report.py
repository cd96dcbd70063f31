"""write_report: report.html of an evaluation, one page that opens without a network.

This module prepares what the page shows; report.html.jinja lays it out. Style, script, diagrams and curves are inside
the page; the images of the gallery lie beside it.
"""

import base64
import dataclasses
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tf_pix2pix.config import format_value
from tf_pix2pix.curves import curves_png
from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation import standing
from tf_pix2pix.evaluation.error_map import ERROR_MAP_LIMIT
from tf_pix2pix.files import atomic_write
from tf_pix2pix.metrics.descriptions import METRICS, Metric
from tf_pix2pix.run import Run
from tf_pix2pix.training.health import describe, periods, warnings_of

IMAGES = ("input", "generated", "target", "error")  # of a pair, in the order of the gallery


def page_environment():
    """The Jinja2 environment of the pages: templates beside this file, values escaped, unknown names refused."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # loaded for pages only

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def write_report(directory: Path, facts: dict[str, Any], rows: list[dict[str, Any]], run: Run | None) -> Path:
    """Writes report.html.

    Args:
      directory: the folder of the evaluation; images in `rows` are relative to it.
      facts: the content of metrics.json.
      rows: one for each image: "name", its metrics, and "images", the paths of its IMAGES, as far as they exist.
      run: the run, for its curves, warnings and config. None: generated images from elsewhere.
    """
    environment = page_environment()
    environment.filters |= {"number": format_number, "percent": format_percent}
    metrics = [
        {"name": name, "metric": _describe(name), **found, **standing.compare(name, found, facts["trivial"])}
        for name, found in _in_order(facts["metrics"])
    ]
    columns = [
        name for name, _ in _in_order({key: None for row in rows for key in row if key not in ("name", "images")})
    ]
    shown = [row for row in rows if row.get("images")]
    page = environment.get_template("report.html.jinja").render(
        facts=facts,
        source=facts["source"],
        title=Path(facts["source"].get("run") or facts["source"].get("model") or directory).name,
        metrics=metrics,
        verdict=standing.verdict(facts),
        columns=[(name, _describe(name)) for name in columns],
        histograms=[chart for name in columns if (chart := _histogram(name, rows, facts["trivial"]))],
        pairs=[
            (row["name"], [(kind, quote(row["images"][kind])) for kind in IMAGES if kind in row["images"]])
            for row in shown
        ],
        values=[[_json_number(row.get(name)) for name in columns] for row in shown],
        without_images=len(rows) - len(shown),
        error_limit=ERROR_MAP_LIMIT,
        describe=_describe,
        curves=_curves(run) if run else None,
        health=_health(run) if run else None,
        config=_config(run) if run else None,
    )
    with atomic_write(directory / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return directory / "report.html"


def format_number(value: float | None) -> str:
    """Four significant digits, without an exponent where that is short; a dash for a missing value."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".removesuffix(".")
    return text.replace("-", "−")


def format_percent(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.1f} %"


def _describe(name: str) -> Metric:
    return METRICS.get(name) or Metric(name.replace("_", " "), "", None, "")


def _in_order(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    """The items in the order of METRICS, unknown ones last."""
    order = {name: number for number, name in enumerate(METRICS)}
    return sorted(metrics.items(), key=lambda item: order.get(item[0], len(order)))


def _histogram(name: str, rows: list[dict[str, Any]], trivial: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The distribution of a metric over the images: bars, mean and best trivial answer, as shares of the axes."""
    values = np.array([row[name] for row in rows if math.isfinite(row.get(name, math.nan))])
    if len(values) < 2:
        return None
    best = standing.compare(name, {"value": values.mean()}, trivial)
    answer = best["answers"].get(best["best_answer"])
    ends = [values.min(), values.max()] + ([answer] if answer is not None else [])
    low, high = min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1
    counts, edges = np.histogram(values, min(30, max(6, round(2 * math.sqrt(len(values))))), (low, high))
    return {
        "metric": _describe(name),
        "count": len(values),
        "low": low,
        "high": high,
        "mean": values.mean(),
        "mean_at": (values.mean() - low) / (high - low),
        "answer": answer,
        "answer_name": best["best_answer"],
        "answer_at": None if answer is None else (answer - low) / (high - low),
        "bars": [
            {"from": edges[number], "to": edges[number + 1], "count": count, "height": count / counts.max()}
            for number, count in enumerate(counts.tolist())
        ],
    }


def _json_number(value: float | None) -> float | None:
    """A number that JSON and sorting accept: infinity becomes the largest one."""
    if value is None or math.isnan(value):
        return None
    return max(-1e300, min(1e300, value))


def _curves(run: Run) -> str | None:
    """The run's curves as a data URI, drawn anew."""
    try:
        return "data:image/png;base64," + base64.b64encode(curves_png([run])).decode()
    except InputError:  # no records
        return None


def _health(run: Run) -> dict[str, Any] | None:
    """The health line of the run's last evaluation, and all warnings, the latest first, each in its latest words."""
    records = run.records()
    past = periods(records)
    if not past:
        return None
    found: dict[str, dict[str, Any]] = {}
    for number, record in enumerate(records):
        for name in record.get("health", ()):
            earlier = found.pop(name, {"first": record["step"], "times": 0})
            found[name] = {**earlier, "times": earlier["times"] + 1, "last": record["step"], "number": number}
    for name, warning in found.items():
        texts = warnings_of(records[: warning["number"] + 1], run.config)
        warning["text"] = texts.get(name, name.replace("_", " "))
    return {"line": describe(past).removeprefix("health: "), "warnings": [*found.values()][::-1]}


def _config(run: Run) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The fields of the config that differ from their defaults, and the others."""
    changed: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for field in dataclasses.fields(run.config):
        value = getattr(run.config, field.name)
        item = (field.name, "" if value is None else format_value(value))
        (changed if value != field.default else others).append(item)
    return changed, others
