"""The staging folder, in which artifacts are written and checked, and their move to the output: all or nothing."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tf_pix2pix.exporting.checking import Row

_PARTIAL = ".partial-"  # a server that watches the folder ignores such names


@contextlib.contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A new folder inside `output`, removed at the end; also removes those that killed exports left behind."""
    for abandoned in output.glob(f"{_PARTIAL}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=output))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def move(staging: Path, output: Path, rows: list[Row]) -> list[Row]:
    """Moves checked artifacts to `output`, a SavedModel to the next version number; returns rows with the new paths.

    Files move first, then the folders that a server would load. If one fails, all are moved back.
    """
    version = max((int(path.name) for path in output.iterdir() if path.name.isdecimal()), default=0) + 1
    moved: dict[Path, Path] = {}
    replaced: dict[Path, Path] = {}
    try:
        for path in sorted({row.path for row in rows}, key=Path.is_dir):
            target = output / (str(version) if path.is_dir() else path.name)
            if target.exists():
                before = staging / f"replaced-{path.name}"
                os.replace(target, before)
                replaced[target] = before
            os.replace(path, target)
            moved[path] = target
    except OSError:
        for path, target in moved.items():
            os.replace(target, path)
        for target, before in replaced.items():
            os.replace(before, target)
        raise
    if replaced:
        print(f"replaced in {output}: {', '.join(path.name for path in replaced)}")
    formats = {target.suffix for target in moved.values() if target.is_file()}
    if left := [path.name for path in output.iterdir() if path.suffix in formats and path not in moved.values()]:
        print(f"left unchanged in {output}: {', '.join(sorted(left))}")
    return [dataclasses.replace(row, path=moved[row.path]) for row in rows]
