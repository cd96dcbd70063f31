"""The two errors that users see, and how messages quote lists and library errors."""

import re
from collections.abc import Sequence


class InputError(ValueError):
    """Wrong usage or wrong input. The message names the flag, value or file and the way out. Exit code 2."""


class RunError(RuntimeError):
    """The run failed (disk, memory, numerics). The message says what is kept and what to do. Exit code 1."""


def format_list(items: Sequence, separator: str = ", ", most: int = 20) -> str:
    """The first `most` items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(map(str, items[:most])) + more


def format_count(number: int, noun: str) -> str:
    """The number with its noun: "1 channel", "3 channels"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def error_line(error: Exception) -> str:
    """The first line of a library's error, without the names of operations that TensorFlow puts around it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\{\{.*?\}\}\s*|\s*\[Op:\w+\].*$", "", lines[0])
