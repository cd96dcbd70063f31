"""Whether a run can start or resume in a folder, and restoring the state that it resumes from."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from tf_pix2pix import checkpoints
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import check_writable
from tf_pix2pix.run import CONFIG, Run, read_config, read_sides
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training.step import TrainState


def check_config(directory: Path, config: TrainConfig) -> Sides | None:
    """The sides of the run in the folder, None for a new run.

    Raises:
      InputError: a run of this config cannot start or resume there. Nothing was written.
    """
    check_writable(directory)
    if not (directory / CONFIG).exists():  # written last: without it other files belong to no run
        return None
    fields = [field.name for field in dataclasses.fields(config) if not field.metadata["may_change"]]
    _refuse_changes(directory, read_config(directory), config, fields, format_value)
    return read_sides(directory)


def check_sides(directory: Path, saved: Sides | None, sides: Sides) -> None:
    """Raises InputError if the run in the folder has other sides, because its images have changed."""
    for name in Sides._fields if saved else ():
        fields = [field.name for field in dataclasses.fields(Side)]
        _refuse_changes(directory, getattr(saved, name), getattr(sides, name), fields, str, f"{name} ")


def _refuse_changes(
    directory: Path, old: object, new: object, fields: Sequence[str], shown: Callable, prefix: str = ""
) -> None:
    changes = [
        f"{prefix}{name} {shown(getattr(old, name))} -> {shown(getattr(new, name))}"
        for name in fields
        if getattr(old, name) != getattr(new, name)
    ]
    if changes:
        raise InputError(
            f"--output_dir={directory}: holds a run with other settings ({', '.join(changes)}); pass the same settings "
            "to resume it, or choose another folder"
        )


def resume(run: Run, state: TrainState, total_steps: int, counts: dict[str, int]) -> int:
    """Restores the last checkpoint of a run, if there is one, and writes the run's settings; returns the step done.

    Args:
      counts: {"train_pairs": n, "val_pairs": n}; a change since the run began is printed.
    """
    saved = run.steps()
    if saved:
        checkpoints.restore(run.checkpoints / f"step-{saved[-1]:08d}", state.checkpoint())
        _print_changes(run, total_steps, counts)
    step = int(state.step)
    if step < total_steps:
        run.write_settings()
        run.forget_after(step if saved else -1)
        if step:
            print(f"resuming at step {step} of {total_steps}")
    return step


def _print_changes(run: Run, total_steps: int, counts: dict[str, int]) -> None:
    """Prints what makes a resumed run differ from one that was never stopped."""
    before = next((record for record in run.records() if "train_pairs" in record), counts)
    if changed := [f"{name} {before[name]} -> {now}" for name, now in counts.items() if before[name] != now]:
        print(f"the data set has changed since the run began ({', '.join(changed)}); training continues with it")
    planned = read_config(run.directory).total_steps(before["train_pairs"])
    if run.config.schedule == "linear" and planned != total_steps:
        print(f"the learning rate rises again: its schedule ended at step {planned} and now ends at {total_steps}")
