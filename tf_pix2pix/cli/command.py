"""Shared by the subcommands: flags and their help, exit codes, and errors as one line on stderr."""

import contextlib
import difflib
import os
import re
import signal
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from tf_pix2pix.config import Range, Size, format_value
from tf_pix2pix.cpu.settings import tune_process
from tf_pix2pix.errors import InputError, RunError


def run_command(
    body: Callable[[list[str]], None],
    help_text: Callable[[], str],
    argv: list[str] | None,
    interrupted: str = "saved work is kept; the same command continues it",
) -> int:
    """Runs a command and returns its exit code: 0 done or stopped on request, 1 failed, 2 wrong usage or input."""
    argv = sys.argv if argv is None else argv
    sys.stdout.reconfigure(line_buffering=True)  # a log file shows each line as it is written
    warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata; a damaged image is an error
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        if any(argument in ("--help", "-h", "-help", "--helpfull") for argument in argv[1:]):
            print(help_text())
            return 0
        tune_process()
        body(argv)
    except InputError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail(f"interrupted; {interrupted}", 130)
    except BrokenPipeError:  # the reader of our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:  # no permission, a name too long, no space left
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else f"{error}", 1)
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="pix2pix-error-", suffix=".txt", delete=False) as trace:
            trace.write(traceback.format_exc())
        return _fail(f"{type(error).__name__}: {error}: a bug in tf_pix2pix; please report it with {trace.name}", 1)
    return 0


def _fail(error: Exception | str, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


@contextlib.contextmanager
def start_up_notes_hidden() -> Iterator[None]:
    """Hides the messages that TensorFlow's libraries write to stderr while they load, unless loading fails.

    They write before any log level applies, so the file descriptor itself is redirected.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile() as notes:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@dataclass(frozen=True)
class Flag:
    """A flag of a command."""

    name: str
    text: str  # the help text
    kind: Any = str  # str, int, float, bool, Size, Range or list (words separated by commas)
    default: Any = None
    choices: Sequence[str] | None = None  # None allows any value
    auto: str = ""  # the meaning of the default None
    minimum: int | None = None  # of a whole number or a size
    maximum: int | None = None
    required: bool = False
    requires: str = ""  # another flag, without which this one has no effect

    def help_entry(self) -> list[str]:
        text = self.text + (f" ({', '.join(self.choices)})" if self.choices else "")
        default = self.auto
        if self.default not in (None, ""):
            default = ",".join(self.default) if self.kind is list else format_value(self.default)
        text += " [required]" if self.required else f" [{default}]" if default else ""
        name = f"--{'[no]' if self.kind is bool else ''}{self.name}"
        return textwrap.wrap(f"{name:26} {text}", 100, initial_indent="  ", subsequent_indent=" " * 29)


FLAGFILE = Flag("flagfile", "read more flags from this file, one a line")  # absl reads it
SIDE_FLAGS = [
    Flag("input_dir", "sub-folder with the images of side A", auto="the first of two by name", requires="target_dir"),
    Flag("target_dir", "sub-folder with the images of side B", auto="the second of two by name", requires="input_dir"),
]


def help_of(doc: str, sections: dict[str, Sequence[Flag]]) -> str:
    """Returns the text of --help: the command's docstring, and its flags under headings."""
    lines = [doc.strip(), "", "Defaults are in brackets."]
    for heading, section in sections.items():
        lines += ["", f"{heading}:"]
        lines += [line for flag in section for line in flag.help_entry()]
    return "\n".join(lines)


def parse_flags(
    argv: list[str], command_flags: Sequence[Flag], first: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Parses a command line -> the values of the given flags, by name, and the other words.

    Args:
      first: for a command without other words: the flag to suggest for such a word.

    Raises:
      InputError: a flag is unknown, malformed, out of its limits, or missing.
    """
    values = flags.FlagValues()  # not absl's global one, which would remember these flags
    for flag in command_flags:
        if flag.kind is bool:
            flags.DEFINE_bool(flag.name, None, "", flag_values=values)
        elif flag.kind is list:
            flags.DEFINE_list(flag.name, None, "", flag_values=values)
        else:
            flags.DEFINE(_Parser(flag.kind), flag.name, None, "", values, flags.ArgumentSerializer())
    try:
        words = values(argv)[1:]
    except flags.UnrecognizedFlagError as error:
        near = nearest(error.flagname, [flag.name for flag in command_flags])
        guess = f"did you mean --{near}? " if near else ""
        raise InputError(f"unknown flag --{error.flagname}; {guess}--help lists the flags") from None
    except flags.CantOpenFlagFileError as error:
        raise InputError(f"--flagfile={error.__context__.filename}: {error.__context__.strerror}") from None
    except flags.Error as error:
        message = re.sub(r"\('Non-boolean argument.*\)", "must be true or false", str(error).removeprefix("flag "))
        raise InputError(message[0].lower() + message[1:]) from None
    if words and first:
        raise InputError(f"unknown flag {words[0]}; did you mean --{first}={words[0]}? --help lists the flags")
    given = {name: values[name].value for name in values if values[name].present}
    for flag in command_flags:
        value = given.get(flag.name)
        if flag.required and not value:
            raise InputError(f"--{flag.name} is missing; --help shows examples")
        if value is not None:
            _check(flag, value)
            if flag.requires and not given.get(flag.requires):
                raise InputError(f"--{flag.name} requires --{flag.requires}")
    return given, words


def _check(flag: Flag, value: Any) -> None:
    """Raises InputError if the flag does not allow the value."""
    if flag.choices:
        for word in value if flag.kind is list else [value]:
            if word not in flag.choices:
                raise InputError(f"--{flag.name}={word}: must be one of {', '.join(flag.choices)}")
    smallest, largest = (min(value), max(value)) if flag.kind is Size else (value, value)
    if flag.minimum is not None and smallest < flag.minimum:
        raise InputError(f"--{flag.name}={format_value(value)}: must be at least {flag.minimum}")
    if flag.maximum is not None and largest > flag.maximum:
        raise InputError(f"--{flag.name}={format_value(value)}: must be at most {flag.maximum}")


def nearest(word: str, names: Sequence[str]) -> str | None:
    """Returns the name that is most like a misspelt word, if one is like it."""
    return next(iter(difflib.get_close_matches(word, names, n=1)), None)


class _Parser(flags.ArgumentParser):
    """Converts the text of a flag. absl also calls it with a value that is converted already."""

    def __init__(self, kind: Any):
        self._convert, self._must_be = _CONVERTERS[kind]

    def parse(self, argument: Any) -> Any:
        try:
            return self._convert(argument) if isinstance(argument, str) else argument
        except ValueError:
            raise ValueError(f"must be {self._must_be}") from None


def _to_size(text: str) -> Size:
    sides = text.lower().split("x")
    if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
        raise ValueError
    return int(sides[0]), int(sides[-1])


def _to_range(text: str) -> Range:
    low, high = map(float, text.split(","))
    return low, high


_CONVERTERS = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    Size: (_to_size, "N or HEIGHTxWIDTH, in pixels"),
    Range: (_to_range, "LOW,HIGH, two numbers"),
}
