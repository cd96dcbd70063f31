"""Where artifacts are written until they are checked, and how they get to where they are wanted: all, or none."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tf_pix2pix.exporting.checking import Row

_PARTIAL = ".partial-"  # what a server that watches the folder does not take for a version


@contextlib.contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder to write to, in output_dir, which is ours; what a killed export left there is removed."""
    for left in output.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=output))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def move(staging: Path, output: Path, rows: list[Row]) -> list[Row]:
    """Moves what was checked to output, a folder to the next version number, the rows with their new paths.

    Files first, then what a server would see; where one cannot be moved, all are moved back.
    """
    version = max((int(path.name) for path in output.iterdir() if path.name.isdecimal()), default=0) + 1
    moved: dict[Path, Path] = {}
    replaced: dict[Path, Path] = {}
    try:
        for path in sorted({row.path for row in rows}, key=Path.is_dir):
            target = output / (str(version) if path.is_dir() else path.name)
            if target.exists():
                replaced[target] = staging / f"replaced-{path.name}"
                os.replace(target, replaced[target])
            os.replace(path, target)
            moved[path] = target
    except OSError:
        for path, target in moved.items():
            os.replace(target, path)
        for target, before in replaced.items():
            os.replace(before, target)
        raise
    return [dataclasses.replace(row, path=moved[row.path]) for row in rows]
