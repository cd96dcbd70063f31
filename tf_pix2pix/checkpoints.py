"""Checkpoints: folders named by step, each complete or absent.

DIR/step-00002000/ holds the whole training state; DIR/best-00001500/ the best generator so far.
"""

import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from tf_pix2pix.errors import InputError, error_line

_PARTIAL = ".partial-"


def save(directory: Path, kind: str, step: int, checkpoint: tf.train.Checkpoint) -> Path:
    """Writes DIR/KIND-STEP under a temporary name, then renames it.

    Raises:
      OSError, tf.errors.OpError: writing failed; an older checkpoint of that name is untouched.
    """
    final = directory / f"{kind}-{step:08d}"
    partial = directory / f"{_PARTIAL}{final.name}"
    try:
        partial.mkdir(parents=True)
        checkpoint.write(str(partial / "checkpoint"))
        if final.exists():
            _remove(final)
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def keep_last(directory: Path, kind: str, keep: int) -> None:
    """Removes all checkpoints of a kind but the last `keep`."""
    for old in steps(directory, kind)[:-keep]:
        _remove(directory / f"{kind}-{old:08d}")


def steps(directory: Path, kind: str) -> list[int]:
    """The steps with a complete checkpoint of a kind, in rising order."""
    names = (re.fullmatch(rf"{kind}-(\d+)", path.name) for path in directory.glob(f"{kind}-*"))
    return sorted(int(name[1]) for name in names if name)


def _remove(path: Path) -> None:
    """Renames a checkpoint, then removes it, so that a kill leaves no partial checkpoint under its name."""
    removed = path.with_name(f"{_PARTIAL}removed-{path.name}")
    os.replace(path, removed)
    shutil.rmtree(removed)


def forget_after(directory: Path, step: int) -> None:
    """Removes what a killed run left: partial checkpoints, and best checkpoints of steps that will run again."""
    for path in directory.glob(f"{_PARTIAL}*"):
        shutil.rmtree(path)
    for best in steps(directory, "best"):
        if best > step:
            _remove(directory / f"best-{best:08d}")


def restore(path: Path, checkpoint: tf.train.Checkpoint, partly: bool = False) -> None:
    """Restores every object of `checkpoint` from a folder that `save` wrote.

    Args:
      partly: the folder may hold other objects too, such as the whole training state where only the generator is used.

    Raises:
      InputError: the folder is damaged, or lacks an object.
    """
    try:
        status = checkpoint.read(str(path / "checkpoint"))
        if partly:
            status.assert_existing_objects_matched().expect_partial()
        else:
            status.assert_consumed()
    except (AssertionError, IndexError, ValueError, tf.errors.OpError) as error:  # TensorFlow raises each of them
        raise InputError(f"{path}: damaged ({error_line(error)}); remove it to use the previous checkpoint") from None
