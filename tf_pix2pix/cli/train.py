"""Trains an image-to-image translator on pairs of images, or resumes a run that was stopped.

pix2pix train --dataset=synthetic_facades --preset=demo   the built-in set: minutes, no files needed
pix2pix train --dataset=facades                           a published set, with the paper's settings
pix2pix train --dataset=my_pairs --output_dir=runs/mine   your own pairs
pix2pix train --dataset=my_photos --task=colorize         photos; the inputs are made from them
pix2pix train --config=runs/mine/config.json --norm=batch --output_dir=runs/b   with mine's settings
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from tf_pix2pix.cli.command import FLAGFILE, Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import PRESETS, TASK_SETTINGS, TrainConfig, choices, kind, table_keys
from tf_pix2pix.errors import InputError

MOST_USED = (
    "dataset",
    "output_dir",
    "preset",
    "task",
    "direction",
    "crop_size",
    "filters",
    "batch_size",
    "epochs",
    "steps",
    "config",
    "dry_run",
    "flagfile",
)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done or stopped on request, 1 the run failed, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, sections()), argv)


def _run(argv: list[str]) -> None:
    try:
        config, output_dir, dry = parse(argv)
        with start_up_notes_hidden():  # loads TensorFlow, so the flags are checked first
            from tf_pix2pix.training import train
            from tf_pix2pix.training.dry_run import dry_run
        (dry_run if dry else train)(config, output_dir)
    except InputError as error:
        raise InputError(_with_dashes(str(error))) from error


def sections() -> dict[str, list[Flag]]:
    """The flags of --help under their headings: the most used, then the sections of TrainConfig."""
    own = [
        Flag(
            "output_dir",
            "the run directory; the same command resumes the run in it",
            auto="runs/DATASET, or runs/DATASET-TASK",
        ),
        Flag(
            "preset",
            f"the settings to start from: {', '.join(PRESETS)}",
            auto="the preset of a published data set, then of the task",
        ),
        Flag("config", "config.json of another run: start from its settings, which other flags override"),
        Flag(
            "dry_run",
            "take three steps and one evaluation, print the time, memory and disk space of the training, keep nothing",
            bool,
            False,
        ),
        FLAGFILE,
    ]
    found, heading = {"Most used": own}, ""
    for field in dataclasses.fields(TrainConfig):
        text, heading = field.metadata["help"], field.metadata["heading"] or heading
        if field.name == "dataset":
            text += f": {', '.join(table_keys('datasets.DATASETS'))}"
        flag = Flag(field.name, text, kind(field), field.default, choices(field), field.metadata["auto"])
        found.setdefault("Most used" if field.name in MOST_USED else heading, []).append(flag)
    found["Most used"].sort(key=lambda flag: MOST_USED.index(flag.name))
    return found


def parse(argv: list[str]) -> tuple[TrainConfig, str, bool]:
    """Returns the config and the run directory of a command line, and whether it is a dry run.

    Flags override the settings of --config; without --config they override the presets.

    Raises:
      InputError: a flag is unknown or malformed, or contradicts another one.
    """
    flags = [flag for section in sections().values() for flag in section if flag is not FLAGFILE]
    given, _ = parse_flags(argv, flags, first="dataset")
    preset, output_dir, path, dry = (given.pop(name, None) for name in ("preset", "output_dir", "config", "dry_run"))
    if "epochs" in given and "steps" in given:
        raise InputError("--epochs and --steps both set the length of the training; leave one out")
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset={preset}: must be one of {', '.join(PRESETS)}")
    if preset and path:
        raise InputError(f"--preset={preset}: has no effect with --config, which sets every field; leave one out")
    settings = _read_config(path, given) if path else _from_presets(given, preset)
    if "epochs" in given:
        settings.pop("steps", None)
    settings |= given
    if not settings.get("dataset"):
        raise InputError(
            f"--dataset is missing: a folder of pairs, or one of {', '.join(table_keys('datasets.DATASETS'))}. "
            "For a first try: --dataset=synthetic_facades --preset=demo"
        )
    settings["dataset"] = settings["dataset"].rstrip("/") or "/"  # shells complete folders with a slash
    config = TrainConfig(**settings)
    name = "-".join(filter(None, [Path(config.dataset).resolve().name, config.task]))
    return config, output_dir or f"runs/{name}", bool(dry)


def _from_presets(given: dict[str, Any], preset: str | None) -> dict[str, Any]:
    """The settings of the preset, or of the published data set, and over them those of the task."""
    dataset = given.get("dataset")
    own_preset = dataset if dataset in {*PRESETS} & {*table_keys("datasets.DATASETS")} else None
    preset = own_preset if preset is None else preset
    task = given.get("task") or (preset if preset in table_keys("tasks.TASKS") else None)
    base = own_preset if preset == task else preset
    return {**PRESETS.get(base, {}), **PRESETS.get(task, {})}


def _read_config(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings in another run's config.json; those of its task only if the command line keeps the task."""
    try:
        settings = dataclasses.asdict(TrainConfig.from_json(json.loads(Path(path).read_text(encoding="utf-8"))))
    except InputError as error:
        raise InputError(f"--config={path}: {error}") from None
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        problem = error.strerror if isinstance(error, OSError) else f"not readable as JSON ({error})"
        raise InputError(f"--config={path}: {problem}; pass the config.json of a run directory") from None
    if given.get("task", settings["task"]) != settings["task"]:
        settings = {name: value for name, value in settings.items() if name not in TASK_SETTINGS}
    return settings


def _with_dashes(message: str) -> str:
    """Writes the fields in a message about a config as flags: filters=0 -> --filters=0, jitter=False -> --nojitter."""
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    unmistakable = [name for name in names if "_" in name]  # the others may be plain English: only before "="
    message = re.sub(rf"(?<![^\s(])(({'|'.join(names)})(?==)|({'|'.join(unmistakable)})\b)", r"--\1", message)
    return re.sub(r"--(\w+)=True\b", r"--\1", re.sub(r"--(\w+)=False\b", r"--no\1", message))
