"""Makes data sets of data sets. Nothing is changed in the input; the output is a folder of its own.

python -m tf_pix2pix.cli.prepare combine photos/ labels/ --output=pairs      two folders -> side-by-side files
python -m tf_pix2pix.cli.prepare cut pairs/ --output=two_folders             side-by-side files -> folders A and B
python -m tf_pix2pix.cli.prepare resize pairs/ --size=256 --output=small     256x512: --size=256x512, height x width
python -m tf_pix2pix.cli.prepare split pairs/ --fractions=0.8,0.1,0.1 --group='^(scene[0-9]+)' --output=split_pairs
python -m tf_pix2pix.cli.prepare shards pairs/ --output=shards               few large files, which training reads

A set is a folder of side-by-side files, or one with two sub-folders of pictures paired by name, with train, val and
test around them or not. Pictures are written as PNG (TIFF and NPY as what they are): depth, transparency and
palettes are kept. A command that was stopped goes on when it is given again. COMMAND --help shows the flags of one.
"""

import sys
from typing import Any

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import Size, table_keys
from tf_pix2pix.errors import InputError

COMMANDS = {
    "combine": "FOLDER_A FOLDER_B, or one FOLDER that has both in it: joins each pair into one file, A left",
    "cut": "FOLDER: cuts side-by-side files into two folders",
    "resize": "FOLDER: brings all pictures to one size; the halves of side-by-side files each for itself",
    "split": "FOLDER: shares the pairs out to train, val and test, the files copied byte for byte",
    "shards": "FOLDER: packs the files, byte for byte, into few large ones; python run_train.py --dataset=SHARDS",
}


def _flags(command: str) -> list[Flag]:
    methods = table_keys("images.RESIZE_METHODS")
    sides = [
        Flag("input_dir", "the sub-folder with A, where there are not exactly two"),
        Flag("target_dir", "the sub-folder with B"),
    ]
    quality = Flag("quality", "write what was JPEG as JPEG of this quality, 1 to 100 (default: as PNG)", int)
    single = Flag("single", "the files are plain photos, as for --task, not pairs side by side", bool, False)
    default_method = "(default: nearest for palettes, else bicubic)"
    own = {
        "combine": [*sides, quality],
        "cut": [Flag("sides", "names of the two folders", list, ["A", "B"]), quality],
        "resize": [
            Flag("size", "pixels of each side of a pair: N or HEIGHTxWIDTH", Size),
            Flag("longest_side", "instead: proportions kept, the longer of height and width so many pixels", int),
            Flag("resize_a", f"how A is resized; nearest for label maps {default_method}", choices=methods),
            Flag("resize_b", f"how B is resized; nearest for label maps {default_method}", choices=methods),
            single,
            *sides,
            quality,
        ],
        "split": [
            Flag("fractions", "of train, val and test", list, ["0.8", "0.1", "0.1"]),
            Flag("counts", "instead: so many pairs, one of the numbers may be 'rest', as in rest,100,100", list),
            Flag(
                "group",
                "a regular expression: pairs with the same in its parentheses (or, without these, in what it finds in "
                "the file name without its ending) stay together",
            ),
            Flag("seed", "of the choice", int, 0),
            Flag("hard_link", "link the files instead of copying them: no space, but the same file twice", bool, False),
            *sides,
        ],
        "shards": [Flag("shard_mb", "a shard has about so many MB", int, 128), single, *sides],
    }
    output = Flag("output", "the folder to make")
    overwrite = Flag("overwrite", "replace what this command has put into the folder before", bool, False)
    return [output, *own[command], overwrite]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 it failed, 2 wrong usage or input."""
    argv = sys.argv if argv is None else argv
    interrupted = "what is done is kept, and the same command goes on from there"
    return run_command(_run, lambda: _help(argv), argv, interrupted)


def _help(argv: list[str]) -> str:
    asked = [argv[1]] if len(argv) > 1 and argv[1] in COMMANDS else COMMANDS
    texts = [help_of(f"{command} {COMMANDS[command]}", _flags(command)) for command in asked]
    return "\n\n".join([__doc__.strip(), *texts])


def _run(argv: list[str]) -> None:
    command = argv[1] if len(argv) > 1 else None
    if command not in COMMANDS:
        said = "the command is missing" if command is None else f"{command} is no command"
        raise InputError(f"{said}; the first word is one of {', '.join(COMMANDS)}; --help shows examples")
    given, folders = parse_flags([argv[0], *argv[2:]], _flags(command))
    settings = {flag.name: flag.default for flag in _flags(command)} | given
    if not settings["output"]:
        raise InputError("--output is missing; --help shows examples")
    if not folders or len(folders) > (2 if command == "combine" else 1):
        raise InputError(f"{command} takes one folder{' or two' if command == 'combine' else ''}, not {len(folders)}")
    _check(command, given, settings, folders)
    with start_up_notes_hidden():
        from tf_pix2pix import preparing
    output = settings.pop("output")
    getattr(preparing, command)(folders if command == "combine" else folders[0], output, **settings)


def _check(command: str, given: dict[str, Any], settings: dict[str, Any], folders: list[str]) -> None:
    """Raises InputError where flags do not fit each other, and turns the words of lists into values."""
    if ("input_dir" in given) != ("target_dir" in given):
        raise InputError("--input_dir and --target_dir go together")
    if "input_dir" in given and len(folders) == 2:
        raise InputError("--input_dir and --target_dir are of no use with two folders: the first is A")
    for name, least, most in (("quality", 1, 100), ("longest_side", 1, None), ("shard_mb", 1, None)):
        value = settings.get(name)
        if value is not None and (value < least or (most and value > most)):
            raise InputError(f"--{name}={value}: from {least}{f' to {most}' if most else ''}")
    if "input_dir" in given and settings.get("single"):
        raise InputError("--input_dir and --target_dir are of no use with --single")
    if command == "cut":
        settings["sides"] = tuple(settings["sides"])
        if len({*settings["sides"]}) != 2 or not all(side and "/" not in side for side in settings["sides"]):
            raise InputError(f"--sides={','.join(settings['sides'])}: two names of folders, between them a comma")
    if command == "resize":
        if ("size" in given) == ("longest_side" in given):
            raise InputError("resize needs --size or --longest_side, one of them")
        if "size" in given and min(given["size"]) < 1:
            raise InputError("--size: the least is 1")
        if settings["single"] and "resize_b" in given:
            raise InputError("--resize_b is of no use with --single; --resize_a is the method")
    if command == "split":
        if "fractions" in given and "counts" in given:
            raise InputError("--fractions and --counts both say how many; give one")
        settings["fractions"] = _numbers("fractions", settings["fractions"], float)
        settings["counts"] = settings["counts"] and _numbers("counts", settings["counts"], int)


def _numbers(name: str, words: list[str], kind: type) -> list[float | int | None]:
    """2 or 3 words -> numbers; 'rest' -> None, for counts."""
    try:
        numbers = [None if kind is int and word == "rest" else kind(word) for word in words]
    except ValueError:
        raise InputError(f"--{name}={','.join(words)}: numbers, with commas between them") from None
    if len(numbers) not in (2, 3):
        raise InputError(f"--{name}={','.join(words)}: two or three numbers, for train, val and test")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
