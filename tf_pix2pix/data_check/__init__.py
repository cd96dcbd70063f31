"""Checks a data set before training: reads every image, and reports all that would harm training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.data_check import drawings
from tf_pix2pix.data_check.facts import PAIR, PHOTO, SetFacts, collect_facts
from tf_pix2pix.data_check.findings import SEVERITIES, Finding, find_all, find_small, is_shifted
from tf_pix2pix.data_check.inspection import as_rgb
from tf_pix2pix.data_check.label_maps import find_label_maps
from tf_pix2pix.data_check.layout import find_layout, find_scale
from tf_pix2pix.data_check.registration import STRONG, Shift
from tf_pix2pix.data_check.sources import open_set
from tf_pix2pix.files import atomic_write

CELLS, IMAGE_SIZE = 24, 128  # pairs or photos on the contact sheet, and the longer side of their images in pixels
WORST = 10  # shifted pairs to draw


def check(
    dataset: str | Path,
    output_dir: str | Path,
    *,
    data_dir: str | None = None,
    input_dir: str | None = None,
    target_dir: str | None = None,
    mask_dir: str | None = None,
    task: str | None = None,
    crop_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Checks a folder of pairs or photos, shards, or a named set, as training would read it.

    Writes report.json, contact_sheet.png and, if pairs are shifted, misregistration.png into output_dir.

    Args:
      data_dir, input_dir, target_dir, mask_dir: as for training.
      task: a key of tasks.TASKS; the files are plain photos.
      crop_size: training's (height, width); smaller and much larger images are reported.

    Returns:
      The content of report.json: "dataset"; "task"; "verdict", "fine" or "harmful"; "sides", A and B or photo;
      "splits", each with its number of pairs or photos and the smallest and largest size of each side; "findings",
      worst first, with a count and the fields of findings.Finding; "statistics" of each split, side and kind of image,
      in the values of the files; "registration", the share of pairs whose shift could be measured and the median shift
      in pixels of the files, null for photos; "files", the paths written.

    Raises:
      InputError: there is no such data set, it has no pairs, the pairing is ambiguous, or masks or a task do not apply.
    """
    dataset = str(dataset)
    sources, found = open_set(
        dataset, data_dir=data_dir, input_dir=input_dir, target_dir=target_dir, mask_dir=mask_dir, task=task
    )
    facts = collect_facts(sources, PHOTO if task else PAIR)
    found += find_all(facts)
    found += find_layout(facts)
    found += [*find_small(facts, crop_size), *find_scale(facts, crop_size)] if crop_size else ()
    found += () if task else find_label_maps(facts)
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    drawn = _draw(facts, output)
    report = {
        "dataset": dataset,
        "task": task,
        "verdict": "harmful" if any(finding.severity == "error" for finding in found) else "fine",
        "sides": list(facts.sides),
        "splits": {split: _sizes(facts, split) for split in sources},
        "findings": [_to_json(finding) for finding in found],
        "statistics": _statistics(facts),
        "registration": None if task else _registration(facts),
        "files": [str(path) for path in (*drawn, output / "report.json")],
    }
    with atomic_write(output / "report.json") as partial:
        partial.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _to_json(finding: Finding) -> dict[str, Any]:
    fields = dataclasses.asdict(finding)
    return {"kind": fields.pop("kind"), "severity": fields.pop("severity"), "count": finding.count, **fields}


def _sizes(facts: SetFacts, split: str) -> dict[str, Any]:
    """The number of pairs or photos in a split, and the smallest and largest [width, height] of each side."""
    sizes = facts.sizes[facts.starts[split] :][: facts.counts[split]]
    readable = [sizes[sizes[:, side].any(axis=1), side] for side in range(len(facts.sides))]
    smallest, largest = (
        [end(side, axis=0).tolist() if len(side) else None for side in readable] for end in (np.min, np.max)
    )
    return {f"{facts.thing}s": facts.counts[split], "smallest": smallest, "largest": largest}


def _statistics(facts: SetFacts) -> list[dict[str, Any]]:
    return [
        {
            "split": split,
            "side": facts.sides[side],
            "kind": kind,
            "pixels": statistics.pixels,
            "mean": statistics.mean.round(3).tolist(),
            "std": statistics.std.round(3).tolist(),
        }
        for (split, side, kind), statistics in facts.statistics.items()
    ]


def _registration(facts: SetFacts) -> dict[str, Any]:
    strong = facts.shifts[facts.shifts[:, 2] > STRONG]
    median = np.median(strong[:, :2], axis=0).round(2).tolist() if len(strong) else None
    return {"measured": round(len(strong) / len(facts.shifts), 4), "median_shift": median}


def _draw(facts: SetFacts, output: Path) -> list[Path]:
    """Writes the drawings and returns their paths. Removes those of an earlier check."""
    cells, worst = [], []
    count = len(facts.sizes)
    for number in sorted({place * count // CELLS for place in range(CELLS)}):
        sides = facts.open(number).sides
        if all(side is not None for side in sides):
            cells.append((facts.name(number), [drawings.fit(as_rgb(side), IMAGE_SIZE) for side in sides]))
    shifted = np.flatnonzero(is_shifted(facts.shifts))
    for number in shifted[np.argsort(-facts.shifts[shifted, 4])][:WORST]:
        shift = Shift(*map(float, facts.shifts[number]))
        caption = f"{facts.name(number)}: {shift}; A, B, edges of A (red) over B (blue), and the same with B aligned"
        worst.append((caption, drawings.draw_shift(*facts.open(number).sides, shift, 2 * IMAGE_SIZE)))
    drawn = []
    columns = 8 // len(facts.sides)
    for name, contents in (
        ("contact_sheet.png", (cells, columns, IMAGE_SIZE)),
        ("misregistration.png", (worst, 1, 2 * IMAGE_SIZE)),
    ):
        (output / name).unlink(missing_ok=True)
        if contents[0]:
            images.write_png(output / name, drawings.draw_sheet(*contents))
            drawn.append(output / name)
    return drawn
