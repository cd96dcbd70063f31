"""What every command has: flags and their help, exit codes, and one line on stderr when something is wrong."""

import contextlib
import os
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
    interrupted: str = "what was saved before is kept, and the same command goes on from there",
) -> int:
    """Runs a command and returns its exit code: 0 done or stopped on request, 1 it failed, 2 wrong usage or input."""
    argv = sys.argv if argv is None else argv
    sys.stdout.reconfigure(line_buffering=True)  # a log file shows each line when it is written
    warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata; damaged pictures are errors
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
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:  # no right to read, a name too long, no space left
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else f"{error}", 1)
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="pix2pix-error-", suffix=".txt", delete=False) as trace:
            trace.write(traceback.format_exc())
        return _fail(
            f"{type(error).__name__}: {error}; this is a defect of tf_pix2pix, please report it with {trace.name}", 1
        )
    return 0


def _fail(error: Exception | str, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


@contextlib.contextmanager
def start_up_notes_hidden() -> Iterator[None]:
    """Keeps what TensorFlow's libraries write to stderr while they are loaded from the user, unless loading fails.

    They write before any log level counts, so the file descriptor itself is turned aside.
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
    """A flag of a command. kind: str, int, float, bool, Size, Range or list (of words, between commas)."""

    name: str
    help: str
    kind: Any = str
    default: Any = None
    choices: Sequence[str] | None = None  # None: anything

    def help_entry(self) -> list[str]:
        text = self.help + (f": {', '.join(self.choices)}" if self.choices else "")
        if self.default not in (None, ""):
            text += f" [{','.join(self.default) if self.kind is list else format_value(self.default)}]"
        name = f"--{'[no]' if self.kind is bool else ''}{self.name}"
        return textwrap.wrap(f"{name:26} {text}", 110, initial_indent="  ", subsequent_indent=" " * 29)


def help_of(doc: str, command_flags: Sequence[Flag]) -> str:
    """The text of --help."""
    return "\n".join(
        [doc, "Flags (default in brackets):", *(line for flag in command_flags for line in flag.help_entry())]
    )


def parse_flags(argv: list[str], command_flags: Sequence[Flag]) -> tuple[dict[str, Any], list[str]]:
    """The command line -> the flags that were given, by name, and the other words.

    Raises:
      InputError: a flag is unknown or malformed.
    """
    values = flags.FlagValues()  # not absl's global one: importing or calling this leaves nothing behind
    for flag in command_flags:
        if flag.kind in _PARSERS:
            serializer = flags.ArgumentSerializer()
            flags.DEFINE(_PARSERS[flag.kind](), flag.name, None, "", flag_values=values, serializer=serializer)
        else:
            _DEFINE[flag.kind](flag.name, None, "", flag_values=values)
    try:
        words = values(argv)[1:]
    except flags.Error as error:
        raise InputError(f"{error}; --help lists the flags") from None
    given = {name: values[name].value for name in values if values[name].present}
    for flag in command_flags:
        for value in given.get(flag.name, ()) if flag.kind is list else [given.get(flag.name)]:
            if flag.choices and value is not None and value not in flag.choices:
                raise InputError(f"{flag.name}={value} is unknown; choose one of {', '.join(flag.choices)}")
    return given, words


_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    list: flags.DEFINE_list,
}


class _SizeParser(flags.ArgumentParser):
    """N or HEIGHTxWIDTH -> (height, width)."""

    def parse(self, argument: str) -> Size:
        if isinstance(argument, tuple):
            return argument
        sides = argument.lower().split("x")
        if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
            raise ValueError("a size is N or HEIGHTxWIDTH, in pixels")
        return int(sides[0]), int(sides[-1])


class _RangeParser(flags.ArgumentParser):
    """LOW,HIGH -> (low, high)."""

    def parse(self, argument: str) -> Range:
        if isinstance(argument, tuple):
            return argument
        try:
            low, high = map(float, argument.split(","))
        except ValueError:
            raise ValueError("a range is LOW,HIGH, two numbers") from None
        return low, high


_PARSERS = {Size: _SizeParser, Range: _RangeParser}
