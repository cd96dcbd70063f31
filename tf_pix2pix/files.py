"""Files that are whole or not there, and folders of one process at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tf_pix2pix.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: processes are not kept apart there
    fcntl = None


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames what was written to `path`; where that fails, removes it."""
    beside = Path(f"{path}.partial")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path, doing: str, flag: str = "--output_dir") -> Iterator[None]:
    """Makes a folder, and keeps it to this process. Raises InputError where another one is `doing` something in it."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY) if fcntl else None
    try:
        if fcntl:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                said = f"another process {doing} {directory}; stop it, or choose another {flag}"
                raise InputError(said) from None
        yield
    finally:
        if fcntl:
            os.close(descriptor)


def check_writable(directory: Path, flag: str = "--output_dir") -> None:
    """Raises InputError, naming the flag, where a folder cannot be made or written to. Writes nothing."""
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        what = "read-only" if existing.is_dir() else "a file"
        raise InputError(f"{directory} cannot be written: {existing} is {what}; choose another {flag}")
