"""Checks whether a run can start or resume in a folder, and restores its state."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from tf_pix2pix import checkpoints
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import check_writable
from tf_pix2pix.palettes import Palette
from tf_pix2pix.run import CONFIG, Run, read_config
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training.step import TrainState


def check_config(directory: Path, config: TrainConfig) -> Sides | None:
    """The sides of the run in the folder, None for a new run.

    Raises:
      InputError: a run of this config cannot start or resume there. Nothing was written.
    """
    check_writable(directory)
    if not (directory / CONFIG).exists():  # Run.write_settings writes it last
        return None
    run = Run.open(directory)
    fields = [field.name for field in dataclasses.fields(config) if not field.metadata["may_change"]]
    if changes := _find_changes(run.config, config, fields, format_value):
        raise InputError(
            f"--output_dir={directory}: holds a run with other settings ({', '.join(changes)}); pass the same settings "
            "to resume it, or choose another folder"
        )
    return run.sides


def check_sides(directory: Path, saved: Sides | None, sides: Sides) -> None:
    """Raises InputError if the run in the folder has other sides, because its images have changed."""
    fields = [field.name for field in dataclasses.fields(Side) if field.compare]
    for name, old, new in zip(Sides._fields, saved or sides, sides, strict=True):
        if changes := _find_changes(old, new, fields, _describe):
            raise InputError(
                f"--output_dir={directory}: the run was trained on other {name} images ({', '.join(changes)}); restore "
                "the images to resume it, or choose another folder"
            )


def _find_changes(old: object, new: object, fields: Sequence[str], describe: Callable[[object], str]) -> list[str]:
    """The fields in which two objects differ, as "NAME OLD -> NEW"."""
    values = [(name, getattr(old, name), getattr(new, name)) for name in fields]
    return [f"{name} {describe(before)} -> {describe(now)}" for name, before, now in values if before != now]


def _describe(value: object) -> str:
    return f"of {len(value.colors)} colors" if isinstance(value, Palette) else str(value)


def resume(run: Run, state: TrainState, total_steps: int, counts: dict[str, int]) -> int:
    """Restores the last checkpoint of a run, if it exists, and writes the run's settings; returns the step done.

    Args:
      counts: {"train_pairs": n, "val_pairs": n}; a change since the run began is printed.

    Raises:
      InputError: the folder holds another run, or its last checkpoint is damaged.
    """
    # Checked again under the lock: another run may have begun in the folder.
    check_sides(run.directory, check_config(run.directory, run.config), run.sides)
    saved = run.steps()
    if saved:
        checkpoints.restore(run.checkpoints / f"step-{saved[-1]:08d}", state.checkpoint())
        _print_changes(run, total_steps, counts)
    step = int(state.step)
    if step < total_steps:
        run.write_settings()
        run.forget_after(step if saved else -1)
    return step


def _print_changes(run: Run, total_steps: int, counts: dict[str, int]) -> None:
    """Prints why the resumed run differs from an uninterrupted one: other pairs, another schedule."""
    before = next((record for record in run.records() if "train_pairs" in record), counts)
    if changed := [f"{name} {before[name]} -> {now}" for name, now in counts.items() if before[name] != now]:
        print(f"the data set has changed since the run began ({', '.join(changed)}); training continues with it")
    planned = read_config(run.directory).total_steps(before["train_pairs"])
    if run.config.schedule == "linear" and planned != total_steps:
        print(f"the learning rate rises again: its schedule ended at step {planned} and now ends at {total_steps}")
