"""Is a data set fine? Reads it whole, goes on past every defect, and says what would harm training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.data_check import drawings
from tf_pix2pix.data_check.findings import SEVERITIES, Finding, find_all, find_small, is_shifted
from tf_pix2pix.data_check.gathering import PAIR, PHOTO, Gathered, gather
from tf_pix2pix.data_check.label_maps import find_label_maps
from tf_pix2pix.data_check.registration import STRONG, Shift
from tf_pix2pix.data_check.sources import open_set
from tf_pix2pix.files import atomic_write

CELLS, SIDE = 24, 128  # pairs or photos on the contact sheet, and pixels a picture
WORST = 10  # shifted pairs that are drawn


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
    """Checks a folder of pairs, or for a task one of photos, or shards, or a named set, as training would read it.

    Writes report.json, contact_sheet.png and, where pairs are shifted, misregistration.png into output_dir.

    Args:
      data_dir, input_dir, target_dir, mask_dir: as training's.
      task: one of tasks.TASKS; the pictures are plain photos.
      crop_size: training's (height, width); what is smaller is named.

    Returns:
      What report.json holds: "dataset"; "task"; "verdict", "fine" or "harmful"; "sides", A and B, or photo; "splits",
      each with its pairs or photos and the range of the sizes of each side; "findings", the worst first, with the
      fields of findings.Finding and a count; "statistics" of each split, side and kind of picture, in the files'
      values; "registration", the share of pairs in which a shift could be measured and its median, in pixels of the
      files, null of photos; "files" that were written.

    Raises:
      InputError: no such folder or set, no pairs in it, or no way to tell what is paired with what; masks or a task for
        what has none.
    """
    dataset = str(dataset)
    sources, found = open_set(
        dataset, data_dir=data_dir, input_dir=input_dir, target_dir=target_dir, mask_dir=mask_dir, task=task
    )
    gathered = gather(sources, PHOTO if task else PAIR)
    found += find_all(gathered)
    found += find_small(gathered, crop_size) if crop_size else ()
    found += () if task else find_label_maps(gathered)
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    drawn = _draw(gathered, output)
    report = {
        "dataset": dataset,
        "task": task,
        "verdict": "harmful" if any(finding.severity == "error" for finding in found) else "fine",
        "sides": list(gathered.sides),
        "splits": {split: _sizes(gathered, split) for split in sources},
        "findings": [_as_json(finding) for finding in found],
        "statistics": _statistics(gathered),
        "registration": None if task else _registration(gathered),
        "files": [str(path) for path in (*drawn, output / "report.json")],
    }
    with atomic_write(output / "report.json") as beside:
        beside.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _as_json(finding: Finding) -> dict[str, Any]:
    fields = dataclasses.asdict(finding)
    return {"kind": fields.pop("kind"), "severity": fields.pop("severity"), "count": finding.count, **fields}


def _sizes(gathered: Gathered, split: str) -> dict[str, Any]:
    """How many pairs or photos a split has, and the least and the greatest [width, height] of each side."""
    sizes = gathered.sizes[gathered.starts[split] :][: gathered.counts[split]]
    there = [sizes[sizes[:, side].any(axis=1), side] for side in range(len(gathered.sides))]
    smallest, largest = (
        [end(side, axis=0).tolist() if len(side) else None for side in there] for end in (np.min, np.max)
    )
    return {f"{gathered.thing}s": gathered.counts[split], "smallest": smallest, "largest": largest}


def _statistics(gathered: Gathered) -> list[dict[str, Any]]:
    return [
        {
            "split": split,
            "side": gathered.sides[side],
            "kind": kind,
            "pixels": statistics.pixels,
            "mean": statistics.mean.round(3).tolist(),
            "std": statistics.std.round(3).tolist(),
        }
        for (split, side, kind), statistics in gathered.statistics.items()
    ]


def _registration(gathered: Gathered) -> dict[str, Any]:
    strong = gathered.shifts[gathered.shifts[:, 2] > STRONG]
    median = np.median(strong[:, :2], axis=0).round(2).tolist() if len(strong) else None
    return {"measured": round(len(strong) / len(gathered.shifts), 4), "median_shift": median}


def _draw(gathered: Gathered, output: Path) -> list[Path]:
    """Writes the pictures -> their paths; what an earlier check has drawn there is gone."""
    cells = []
    count = len(gathered.sizes)
    for number in sorted({place * count // CELLS for place in range(CELLS)}):
        pictures = gathered.open(number).pictures
        if all(picture is not None for picture in pictures):
            cells.append((gathered.name(number), [drawings.fitted(picture, SIDE) for picture in pictures]))
    shifted = np.flatnonzero(is_shifted(gathered.shifts))
    worst = []
    for number in shifted[np.argsort(-gathered.shifts[shifted, 4])][:WORST]:
        shift = Shift(*map(float, gathered.shifts[number]))
        caption = f"{gathered.name(number)}: {shift}; A, B, A's edges red and B's blue, and with B put right"
        worst.append((caption, drawings.shifted_cell(*gathered.open(number).pictures, shift, 2 * SIDE)))
    drawn = []
    columns = 8 // len(gathered.sides)
    for name, sheet in (("contact_sheet.png", (cells, columns, SIDE)), ("misregistration.png", (worst, 1, 2 * SIDE))):
        (output / name).unlink(missing_ok=True)
        if sheet[0]:
            images.write_png(output / name, drawings.sheet(*sheet))
            drawn.append(output / name)
    return drawn
