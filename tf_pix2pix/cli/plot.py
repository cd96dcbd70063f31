"""Draws the curves of runs: losses, validation metrics, learning rate and speed.

pix2pix plot runs/facades                                    redraws runs/facades/curves.png
pix2pix plot runs/l1 runs/gan                                several runs over each other: comparison.png
pix2pix plot runs/l1 runs/gan --output=figures/losses.png
"""

from pathlib import Path

from tf_pix2pix.cli.command import FLAGFILE, Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import check_writable


def _flags() -> list[Flag]:
    return [Flag("output", "the PNG file to write", auto="curves.png of one run; of several comparison.png, here")]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, {"Flags": [*_flags(), FLAGFILE]}), argv, "nothing was written")


def _run(argv: list[str]) -> None:
    given, folders = parse_flags(argv, _flags())
    if not folders:
        raise InputError("plot requires a run, the --output_dir of a training; --help shows examples")
    output = Path(given.get("output") or (Path(folders[0], "curves.png") if len(folders) == 1 else "comparison.png"))
    if output.suffix.lower() != ".png":
        raise InputError(f"--output={output}: must end in .png")
    with start_up_notes_hidden():
        from tf_pix2pix.curves import plot_runs
        from tf_pix2pix.run import Run
    runs = [Run.open(folder) for folder in folders]
    check_writable(output.parent, "--output")
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"written: {plot_runs(runs, output)}")
