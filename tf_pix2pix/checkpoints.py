"""Checkpoints: folders named by step, complete or not there.

DIR/step-00002000/ holds everything that a run goes on from; DIR/best-00001500/ the generator that did best so far.
"""

import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from tf_pix2pix.errors import InputError, error_line

_PARTIAL = ".partial-"


def save(directory: Path, kind: str, step: int, checkpoint: tf.train.Checkpoint) -> Path:
    """Writes DIR/KIND-STEP beside, then renames it.

    Raises:
      OSError, tf.errors.OpError: the disk does not take it; what was there before is untouched.
    """
    final = directory / f"{kind}-{step:08d}"
    beside = directory / f"{_PARTIAL}{final.name}"
    try:
        beside.mkdir(parents=True)
        checkpoint.write(str(beside / "checkpoint"))
        if final.exists():
            _remove(final)
        os.replace(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return final


def keep_last(directory: Path, kind: str, keep: int) -> None:
    """Removes all but the last `keep` checkpoints of that kind."""
    for old in steps(directory, kind)[:-keep]:
        _remove(directory / f"{kind}-{old:08d}")


def steps(directory: Path, kind: str) -> list[int]:
    """The steps of which there is a complete checkpoint of that kind, in rising order."""
    names = (re.fullmatch(rf"{kind}-(\d+)", path.name) for path in directory.glob(f"{kind}-*"))
    return sorted(int(name[1]) for name in names if name)


def _remove(path: Path) -> None:
    """Removes a checkpoint, its name first, so that a kill leaves no half of one under it."""
    gone = path.with_name(f"{_PARTIAL}removed-{path.name}")
    os.replace(path, gone)
    shutil.rmtree(gone)


def forget_after(directory: Path, step: int) -> None:
    """Removes what a killed run left: half-written checkpoints, and bests of steps that will be run again."""
    for path in directory.glob(f"{_PARTIAL}*"):
        shutil.rmtree(path)
    for best in steps(directory, "best"):
        if best > step:
            _remove(directory / f"best-{best:08d}")


def restore(path: Path, checkpoint: tf.train.Checkpoint, partly: bool = False) -> None:
    """Restores every object of `checkpoint` from a folder that `save` made.

    Args:
      partly: the folder may hold more than is asked for (a generator out of a whole training state).

    Raises:
      InputError: the folder is damaged, or lacks something.
    """
    try:
        status = checkpoint.read(str(path / "checkpoint"))
        if partly:
            status.assert_existing_objects_matched().expect_partial()
        else:
            status.assert_consumed()
    except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:  # what TensorFlow raises
        said = error_line(error)
        raise InputError(f"{path} cannot be restored ({said}); remove it to go on from the one before") from None
