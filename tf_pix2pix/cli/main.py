"""Paired image-to-image translation (pix2pix).

pix2pix train --dataset=synthetic_facades --preset=demo   the built-in set: minutes, no files needed
pix2pix train --dataset=my_pairs --output_dir=runs/mine   your own pairs
pix2pix evaluate runs/mine                                how good is it?
pix2pix translate --model=runs/mine sketches/ --output=photos/
pix2pix export --run_dir=runs/mine --output_dir=exported

pix2pix COMMAND --help shows the flags of a command. pix2pix --version shows the version.
"""

import importlib
import sys

from tf_pix2pix import __version__
from tf_pix2pix.cli.command import nearest, run_command
from tf_pix2pix.errors import InputError

COMMANDS = {
    "train": "train a translator on pairs of images, or resume a run",
    "evaluate": "measure how good a run is: metrics, report, comparison",
    "translate": "translate images with a trained model",
    "plot": "draw the curves of a run, or of several over each other",
    "export": "export a run as a SavedModel, TFLite or ONNX files",
    "check-data": "check a data set before training",
    "prepare": "combine, cut, resize, split or pack a data set",
}


def main(argv: list[str] | None = None) -> int:
    """Runs a subcommand, each the module of its name in tf_pix2pix.cli, and returns the exit code."""
    argv = sys.argv if argv is None else argv
    command = argv[1] if len(argv) > 1 else "--help"
    if command in COMMANDS:
        module = importlib.import_module(f"tf_pix2pix.cli.{command.replace('-', '_')}")
        return module.main(argv[1:])
    return run_command(_answer, _help, ["pix2pix", command])


def _answer(argv: list[str]) -> None:
    """Answers a command line without a known subcommand."""
    if argv[1] != "--version":
        near = nearest(argv[1], [*COMMANDS])
        guess = f"did you mean {near}? " if near else ""
        raise InputError(f"unknown command {argv[1]}; {guess}the commands are {', '.join(COMMANDS)}")
    print(f"tf_pix2pix {__version__}")


def _help() -> str:
    return "\n".join([__doc__, "Commands:", *(f"  {name:11} {text}" for name, text in COMMANDS.items())])
