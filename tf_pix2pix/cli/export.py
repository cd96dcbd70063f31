"""Exports a trained run for TensorFlow Serving, for phones, and for other software.

python run_export.py --run_dir=runs/mine --output_dir=exported                       a SavedModel and TFLite files
python run_export.py --run_dir=runs/mine --output_dir=exported --format=tflite --tflite_precision=float16
python run_export.py --run_dir=runs/mine --output_dir=exported --format=onnx         with pip install 'tf_pix2pix[onnx]'

Each file is loaded again and compared with the run's own pictures of held-out examples before it gets to its place;
what does not give the same is not exported. A SavedModel becomes the next numbered version, OUTPUT_DIR/1, 2, ...
"""

import math
import sys
from typing import Any

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import Size, table_keys
from tf_pix2pix.errors import InputError


def _flags() -> list[Flag]:
    precisions = table_keys("exporting.tflite.PRECISIONS")
    return [
        Flag("run_dir", "the run directory, as training wrote it"),
        Flag("output_dir", "the folder that the exports go to"),
        Flag("format", "what to export", list, ["saved_model", "tflite"], table_keys("exporting.EXPORTERS")),
        Flag("checkpoint", "best (on the held-out pairs), latest, or a step", default="best"),
        Flag(
            "tflite_precision",
            "what TFLite files store weights in (default: all that are near enough to the run)",
            list,
            None,
            precisions,
        ),
        Flag(
            "tflite_size",
            "pixels that TFLite files take: N or HEIGHTxWIDTH; 0: any (default: as trained)",
            Size,
        ),
        Flag(
            "batch_sizes", "pictures a request that a server warms the SavedModel up with", list, ["1", "2", "4", "8"]
        ),
        Flag("max_pixels", "the served model refuses pictures with more (default: what 2 GB of memory allow)", int),
        Flag("overwrite", "replace files of the same name in output_dir", bool, False),
    ]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 an export is not what it must be, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, _flags()), argv, "nothing was exported")


def _run(argv: list[str]) -> None:
    given, words = parse_flags(argv, _flags())
    if words:
        raise InputError(f"{words[0]} is no flag; flags look like --run_dir=DIR, --help lists them")
    settings = {flag.name: flag.default for flag in _flags()} | given
    for name in ("run_dir", "output_dir"):
        if not settings[name]:
            raise InputError(f"--{name} is missing; --help shows examples")
    for name in ("format", "tflite_precision", "batch_sizes"):
        if settings[name] == []:
            raise InputError(f"--{name} is empty; leave it out for the default")
    for name, formats in (("tflite_precision", "tflite"), ("tflite_size", "tflite"), ("batch_sizes", "saved_model")):
        if name in given and formats not in settings["format"]:
            raise InputError(f"--{name} is of no use without --format={formats}")
    if not all(size.isdecimal() and int(size) for size in settings["batch_sizes"]):
        raise InputError(f"--batch_sizes={','.join(settings['batch_sizes'])}: whole numbers from 1, between commas")
    if settings["max_pixels"] is not None and settings["max_pixels"] < 1:
        raise InputError(f"--max_pixels={settings['max_pixels']} is too small; the least is 1")
    with start_up_notes_hidden():
        from tf_pix2pix.exporting import export
        from tf_pix2pix.exporting.artifact import Options
    options = Options(
        tflite_precision=settings["tflite_precision"] and tuple(settings["tflite_precision"]),
        tflite_size=settings["tflite_size"],
        batch_sizes=tuple(int(size) for size in settings["batch_sizes"]),
        max_pixels=settings["max_pixels"],
    )
    rows = export(
        settings["run_dir"],
        settings["output_dir"],
        settings["format"],
        checkpoint=settings["checkpoint"],
        options=options,
        overwrite=settings["overwrite"],
    )
    print(_table(rows))


def _likeness(row: Any) -> str:
    if row.agreement is not None:
        return f"{100 * row.agreement:.2f}"
    return "equal" if math.isinf(row.psnr) else f"{row.psnr:.1f}"


def _table(rows: list[Any]) -> str:
    """What was exported, and how near it is to the run's own pictures, for the terminal."""
    off = f"off by, of {rows[0].levels:g}" if rows else "off by"
    likeness = "same class, %" if rows and rows[0].agreement is not None else "PSNR to run, dB"
    titles = ("file", "run by", "MB", "ms a picture", off, likeness, "L1 to target")
    cells = [
        (
            str(row.path),
            row.reader,
            f"{row.megabytes:.1f}",
            f"{row.milliseconds:.0f}",
            f"{row.max_difference}",
            _likeness(row),
            f"{row.l1:.3f}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zipped))
        for zipped in (zip(line, widths, strict=True) for line in (titles, *cells))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
