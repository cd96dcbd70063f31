"""Makes a data set from another one. The input stays unchanged; the output is a new folder.

pix2pix prepare combine photos/ labels/ --output=pairs    two folders -> side-by-side files
pix2pix prepare cut pairs/ --output=two_folders           side-by-side files -> folders A and B
pix2pix prepare resize pairs/ --size=256 --output=small   all images to one size
pix2pix prepare split pairs/ --fractions=0.8,0.1,0.1 --group='^(scene[0-9]+)' --output=split_pairs
pix2pix prepare shards pairs/ --output=shards             a few large files that training reads

A data set is a folder of side-by-side files, or a folder with two sub-folders of images paired by
name; either may be divided into train, val and test. Images are written as PNG (TIFF and NPY keep
their format) with their bit depth, transparency and palette. The same command continues after an
interruption. pix2pix prepare OPERATION --help shows the flags of one operation.
"""

import sys
from typing import Any

from tf_pix2pix.cli.command import (
    FLAGFILE,
    SIDE_FLAGS,
    Flag,
    help_of,
    nearest,
    parse_flags,
    run_command,
    start_up_notes_hidden,
)
from tf_pix2pix.config import Size, table_keys
from tf_pix2pix.errors import InputError

OPERATIONS = {
    "combine": "FOLDER_A FOLDER_B, or one FOLDER with both: joins each pair into one file, A on the left",
    "cut": "FOLDER: cuts side-by-side files into two folders",
    "resize": "FOLDER: resizes all images to one size, each half of a side-by-side file by itself",
    "split": "FOLDER: distributes the pairs to train, val and test; copies files byte for byte",
    "shards": "FOLDER: packs the files, byte for byte, into a few large ones for --dataset=SHARDS",
}


def _flags(operation: str) -> list[Flag]:
    methods = table_keys("images.RESIZE_METHODS")
    quality = Flag(
        "quality", "write JPEG files as JPEG of this quality, 1 to 100", int, auto="as PNG", minimum=1, maximum=100
    )
    photos = Flag("photos", "the files are photos for train --task, not side-by-side pairs", bool, False)
    method = "nearest for palettes, otherwise bicubic"
    own = {
        "combine": [*SIDE_FLAGS, quality],
        "cut": [Flag("sides", "names of the two folders", list, ["A", "B"]), quality],
        "resize": [
            Flag("size", "size of each side of a pair: N or HEIGHTxWIDTH pixels", Size, minimum=1),
            Flag("longest_side", "instead of --size: pixels of the longer side; keeps proportions", int, minimum=1),
            Flag("resize_a", "resize method of side A; label maps need nearest", choices=methods, auto=method),
            Flag("resize_b", "resize method of side B; label maps need nearest", choices=methods, auto=method),
            photos,
            *SIDE_FLAGS,
            quality,
        ],
        "split": [
            Flag("fractions", "shares of train, val and test", list, ["0.8", "0.1", "0.1"]),
            Flag("counts", "instead of --fractions: numbers of pairs; one may be 'rest', as in rest,100,100", list),
            Flag(
                "group",
                "pairs whose names have the same match of this regular expression, or of its (part), stay together",
            ),
            Flag("seed", "random seed of the split", int, 0),
            Flag("hard_link", "hard-link the files instead of copying them; saves disk space", bool, False),
            *SIDE_FLAGS,
        ],
        "shards": [Flag("shard_mb", "approximate size of a shard in MB", int, 128, minimum=1), photos, *SIDE_FLAGS],
    }
    output = Flag("output", "the folder to make", required=True)
    overwrite = Flag("overwrite", "replace what this operation wrote into the folder before", bool, False)
    return [output, *own[operation], overwrite]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 it failed, 2 wrong usage or input."""
    argv = sys.argv if argv is None else argv
    return run_command(_run, lambda: _help(argv), argv)


def _help(argv: list[str]) -> str:
    asked = [argv[1]] if len(argv) > 1 and argv[1] in OPERATIONS else OPERATIONS
    return help_of(
        __doc__, {f"{operation} {OPERATIONS[operation]}": [*_flags(operation), FLAGFILE] for operation in asked}
    )


def _run(argv: list[str]) -> None:
    operation = argv[1] if len(argv) > 1 else None
    if operation not in OPERATIONS:
        near = operation and nearest(operation, [*OPERATIONS])
        problem = f"unknown operation {operation}" if operation else "the operation is missing"
        guess = f"did you mean {near}? " if near else ""
        raise InputError(f"{problem}; {guess}choose one of {', '.join(OPERATIONS)}; --help shows examples")
    given, folders = parse_flags([argv[0], *argv[2:]], _flags(operation))
    settings = {flag.name: flag.default for flag in _flags(operation)} | given
    if not folders or len(folders) > (2 if operation == "combine" else 1):
        number = "one folder or two" if operation == "combine" else "one folder"
        raise InputError(f"{operation} requires {number}, not {len(folders)}")
    _check(operation, given, settings, folders)
    with start_up_notes_hidden():
        from tf_pix2pix import preparing
    output = settings.pop("output")
    getattr(preparing, operation)(folders if operation == "combine" else folders[0], output, **settings)


def _check(operation: str, given: dict[str, Any], settings: dict[str, Any], folders: list[str]) -> None:
    """Converts the words of lists into values. Raises InputError if flags contradict each other."""
    if "input_dir" in given and len(folders) == 2:
        raise InputError("--input_dir and --target_dir require one folder; pass that, or leave the flags out")
    if "input_dir" in given and settings.get("photos"):
        raise InputError("--photos does not work with --input_dir and --target_dir; leave them out")
    if operation == "cut":
        settings["sides"] = tuple(settings["sides"])
        if len({*settings["sides"]}) != 2 or not all(side and "/" not in side for side in settings["sides"]):
            raise InputError(f"--sides={','.join(settings['sides'])}: must be two folder names, as in A,B")
    if operation == "resize":
        if ("size" in given) == ("longest_side" in given):
            raise InputError("resize requires --size or --longest_side, one of them")
        if settings["photos"] and "resize_b" in given:
            raise InputError("--resize_b does not work with --photos; use --resize_a")
    if operation == "split":
        if "fractions" in given and "counts" in given:
            raise InputError("--fractions and --counts both set the split; leave one out")
        settings["fractions"] = _numbers("fractions", settings["fractions"], float)
        settings["counts"] = settings["counts"] and _numbers("counts", settings["counts"], int)


def _numbers(name: str, words: list[str], kind: type) -> list[float | int | None]:
    """Converts two or three words to numbers; the word 'rest' among counts becomes None."""
    try:
        numbers = [None if kind is int and word == "rest" else kind(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise InputError(f"--{name}={','.join(words)}: must be two or three numbers, for train, val and test")
    return numbers
