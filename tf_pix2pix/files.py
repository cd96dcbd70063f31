"""Files that are complete or absent, and folders that one process at a time writes to."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tf_pix2pix.errors import InputError

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path to write to, then renames it to `path`; removes it if writing fails."""
    partial = Path(f"{path}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path, doing: str, flag: str = "--output_dir") -> Iterator[None]:
    """Creates a folder and locks it. Raises InputError, naming the flag, if another process has locked it.

    Args:
      doing: the other process's activity, for the message, such as "trains in".
    """
    directory.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # lacks such a lock: two processes in one folder go unnoticed there
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"{flag}={directory}: another process {doing} it; stop that process, or choose another folder"
            raise InputError(problem) from None
        yield
    finally:
        os.close(descriptor)


def check_writable(directory: Path, flag: str = "--output_dir") -> None:
    """Raises InputError, naming the flag, if a folder cannot be created or written to. Writes nothing."""
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        problem = "is read-only" if existing.is_dir() else "is a file"
        raise InputError(f"{flag}={directory}: cannot be written, {existing} {problem}; choose another folder")
