"""The two ways in which a command ends badly; everything else is a defect of ours."""

import re
from collections.abc import Sequence


class InputError(ValueError):
    """Wrong usage or wrong input: the message names the value or file and says what to do. Exit code 2."""


class RunError(RuntimeError):
    """The run itself failed (disk, memory, numerics): the message says what is kept and what to do. Exit code 1."""


def format_list(things: Sequence, separator: str = ", ", most: int = 20) -> str:
    """The things for a message, so many of them at most, and how many more there are."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return separator.join(map(str, things[:most])) + more


def error_line(error: Exception) -> str:
    """What an error of a library says, in one line: its first, without TensorFlow's names of operations around it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\{\{.*?\}\}\s*|\s*\[Op:\w+\].*$", "", lines[0])
