"""Trains a translator on pairs of pictures, or goes on with a run that was stopped.

python run_train.py --dataset=synthetic_facades --preset=demo     something to look at after minutes, no files needed
python run_train.py --dataset=facades                             a published set, with the paper's settings
python run_train.py --dataset=my_folder --output_dir=runs/mine    your own pairs
python run_train.py --dataset=my_photos --task=colorize           plain photos, from which the inputs are made
"""

import dataclasses
from pathlib import Path

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import PRESETS, TrainConfig, choices, kind, table_keys
from tf_pix2pix.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done or stopped on request, 1 the run failed, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, _flags()), argv)


def _run(argv: list[str]) -> None:
    config, output_dir = parse(argv)
    with start_up_notes_hidden():
        from tf_pix2pix.training import train  # loads TensorFlow: not before the flags are known to be right
    train(config, output_dir)


def _flags() -> list[Flag]:
    output_dir = (
        "the run directory [runs/NAME_OF_THE_DATASET, or runs/NAME-TASK]; the same command again resumes the run in it"
    )
    preset = f"settings to start from [those of the data set, over them those of the task]: {', '.join(PRESETS)}"
    own = [Flag("output_dir", output_dir), Flag("preset", preset)]
    for field in dataclasses.fields(TrainConfig):
        text = field.metadata["help"]
        if field.name == "dataset":
            text += f": {', '.join(table_keys('datasets.DATASETS'))}"
        own.append(Flag(field.name, text, kind(field), field.default, choices(field)))
    return own


def parse(argv: list[str]) -> tuple[TrainConfig, str]:
    """The command line -> the config and the run directory: the preset, and over it what is given.

    Raises:
      InputError: a flag is unknown, malformed, or does not fit the others.
    """
    given, words = parse_flags(argv, _flags())
    if words:
        raise InputError(f"{words[0]} is no flag; flags look like --dataset=NAME, --help lists them")
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
    output_dir = given.pop("output_dir", None)
    if "epochs" in given and "steps" in given:
        raise InputError("--epochs and --steps both say how long to train; give one")
    task = given.get("task") or (preset if preset in table_keys("tasks.TASKS") else None)
    base = own_preset if preset == task else preset  # a task's row goes over that of the data set
    settings = {**PRESETS.get(base, {}), **PRESETS.get(task, {}), **given}
    if "epochs" in given:
        settings.pop("steps", None)
    name = "-".join(filter(None, [Path(given["dataset"]).resolve().name, task]))
    return TrainConfig(**settings), output_dir or f"runs/{name}"
