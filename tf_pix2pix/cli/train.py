"""Trains a translator on pairs of pictures, or goes on with a run that was stopped.

python run_train.py --dataset=synthetic_facades --preset=demo     something to look at after minutes, no files needed
python run_train.py --dataset=facades                             a published set, with the paper's settings
python run_train.py --dataset=my_folder --output_dir=runs/mine    your own pairs
"""

import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from tf_pix2pix.config import PRESETS, Size, TrainConfig, choices, format_value, kind, table_keys
from tf_pix2pix.errors import InputError, RunError


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done or stopped on request, 1 the run failed, 2 wrong usage or input."""
    argv = sys.argv if argv is None else argv
    sys.stdout.reconfigure(line_buffering=True)  # a log file shows each line when it is written
    warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata; damaged pictures are errors
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also before and after the training loop
        if any(argument in ("--help", "-h", "-help", "--helpfull") for argument in argv[1:]):
            print(_help())
            return 0
        config, output_dir = parse(argv)
        with _start_up_notes_hidden():
            from tf_pix2pix.training import train  # loads TensorFlow: not before the flags are known to be right
        train(config, output_dir)
    except InputError as error:
        return _fail(error, 2)
    except RunError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; what was saved before is kept, and the same command starts again from there", 130)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="pix2pix-error-", suffix=".txt", delete=False) as trace:
            trace.write(traceback.format_exc())
        return _fail(
            f"{type(error).__name__}: {error}; this is a defect of tf_pix2pix, please report it with {trace.name}", 1
        )
    return 0


@contextlib.contextmanager
def _start_up_notes_hidden() -> Iterator[None]:
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


def _fail(error: Exception | str, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def parse(argv: list[str]) -> tuple[TrainConfig, str]:
    """The command line -> the config and the run directory: the preset, and over it what is given.

    Raises:
      InputError: a flag is unknown, malformed, or does not fit the others.
    """
    values = flags.FlagValues()  # not absl's global one: importing or calling this leaves nothing behind
    flags.DEFINE_string("preset", None, "", flag_values=values)
    flags.DEFINE_string("output_dir", None, "", flag_values=values)
    for field in dataclasses.fields(TrainConfig):
        _define(field, values)
    try:
        left_over = values(argv)[1:]
    except flags.Error as error:
        raise InputError(f"{error}; --help lists the flags") from None
    if left_over:
        raise InputError(f"{left_over[0]} is no flag; flags look like --dataset=NAME, --help lists them")
    given = {name: values[name].value for name in values if values[name].present}
    if not given.get("dataset"):
        raise InputError(
            "--dataset is missing: a folder of pairs, or one of "
            f"{', '.join(table_keys('datasets.DATASETS'))}. "
            "To start at once: --dataset=synthetic_facades --preset=demo"
        )
    own_preset = given["dataset"] if given["dataset"] in {*PRESETS} & {*table_keys("datasets.DATASETS")} else None
    given["dataset"] = given["dataset"].rstrip("/") or "/"  # as the shell completes folders
    preset = given.pop("preset", own_preset)
    if preset is not None and preset not in PRESETS:
        raise InputError(f"preset={preset} is unknown; choose one of {', '.join(PRESETS)}")
    output_dir = given.pop("output_dir", None) or f"runs/{Path(given['dataset']).resolve().name}"
    if "epochs" in given and "steps" in given:
        raise InputError("--epochs and --steps both say how long to train; give one")
    settings = {**PRESETS.get(preset, {}), **given}
    if "epochs" in given:
        settings.pop("steps", None)
    return TrainConfig(**settings), output_dir


def _define(field: dataclasses.Field, values: flags.FlagValues) -> None:
    """One flag for one field of TrainConfig."""
    wanted = kind(field)
    if wanted is bool:
        flags.DEFINE_bool(field.name, None, "", flag_values=values)
    elif wanted is Size:
        flags.DEFINE(_SizeParser(), field.name, None, "", flag_values=values, serializer=flags.ArgumentSerializer())
    else:
        define = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}[wanted]
        define(field.name, None, "", flag_values=values)


class _SizeParser(flags.ArgumentParser):
    """N or HEIGHTxWIDTH -> (height, width)."""

    def parse(self, argument: str) -> Size:
        if isinstance(argument, tuple):
            return argument
        sides = argument.lower().split("x")
        if len(sides) not in (1, 2) or not all(side.isdigit() for side in sides):
            raise ValueError("a size is N or HEIGHTxWIDTH, in pixels")
        return int(sides[0]), int(sides[-1])


def _help() -> str:
    lines = [__doc__, "Flags (default in brackets):"]
    lines += _entry(
        "--output_dir", "the run directory [runs/NAME_OF_THE_DATASET]; the same command again resumes the run in it"
    )
    lines += _entry("--preset", f"settings to start from [the data set's own]: {', '.join(PRESETS)}")
    for field in dataclasses.fields(TrainConfig):
        help_text = field.metadata["help"]
        if field.name == "dataset":
            help_text += f": {', '.join(table_keys('datasets.DATASETS'))}"
        elif allowed := choices(field):
            help_text += f": {', '.join(allowed)}"
        if field.default not in (None, ""):
            help_text += f" [{format_value(field.default)}]"
        lines += _entry(f"--{'[no]' if kind(field) is bool else ''}{field.name}", help_text)
    return "\n".join(lines)


def _entry(flag: str, text: str) -> list[str]:
    return textwrap.wrap(f"{flag:26} {text}", 110, initial_indent="  ", subsequent_indent=" " * 29)
