"""Exports a trained run for TensorFlow Serving, for phones, and for other software.

pix2pix export --run_dir=runs/mine --output_dir=exported    a SavedModel and TFLite files
pix2pix export --run_dir=runs/mine --output_dir=exported --format=tflite --tflite_precision=float16
pix2pix export --run_dir=runs/mine --output_dir=exported --format=onnx    (pip install '.[onnx]')

Each file is loaded again, and its images of validation examples are compared with the run's own.
A file that differs is not exported. A SavedModel becomes the next version: OUTPUT_DIR/1, 2, ...
"""

import math
from typing import Any

from tf_pix2pix.cli.command import FLAGFILE, Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import Size, table_keys
from tf_pix2pix.errors import InputError


def _flags() -> list[Flag]:
    return [
        Flag("run_dir", "the run directory that training wrote", required=True),
        Flag("output_dir", "the folder for the exported files", required=True),
        Flag("format", "what to export", list, ["saved_model", "tflite"], table_keys("exporting.EXPORTERS")),
        Flag("checkpoint", "best (on the validation split), latest, or a step", default="best"),
        Flag(
            "tflite_precision",
            "number format of the weights in TFLite files",
            list,
            choices=table_keys("exporting.tflite.PRECISIONS"),
            auto="all that stay close enough to the run",
        ),
        Flag(
            "tflite_size", "image size of TFLite files: N or HEIGHTxWIDTH; 0: any size", Size, auto="the training size"
        ),
        Flag(
            "batch_sizes", "batch sizes that a server warms up when it loads the SavedModel", list, ["1", "2", "4", "8"]
        ),
        Flag(
            "max_pixels",
            "the served model refuses images with more pixels",
            int,
            auto="as many as fit in 2 GB",
            minimum=1,
        ),
        Flag("overwrite", "replace files of the same name in --output_dir", bool, False),
    ]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 an export failed its check, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, {"Flags": [*_flags(), FLAGFILE]}), argv, "nothing was exported")


def _run(argv: list[str]) -> None:
    given, _ = parse_flags(argv, _flags(), first="run_dir")
    settings = {flag.name: flag.default for flag in _flags()} | given
    for name in ("format", "tflite_precision", "batch_sizes"):
        if settings[name] == []:
            raise InputError(f"--{name} is empty; leave it out for the default")
    for name, required in (("tflite_precision", "tflite"), ("tflite_size", "tflite"), ("batch_sizes", "saved_model")):
        if name in given and required not in settings["format"]:
            raise InputError(f"--{name} requires --format={required}")
    if not all(size.isdecimal() and int(size) for size in settings["batch_sizes"]):
        sizes = ",".join(settings["batch_sizes"])
        raise InputError(f"--batch_sizes={sizes}: must be whole numbers from 1, as in 1,2,4")
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


def _table(rows: list[Any]) -> str:
    """The exported files, and how close each is to the run's own images, as a table for the terminal."""
    error = f"max error, of {rows[0].levels:g}" if rows else "max error"
    similarity = "same class, %" if rows and rows[0].agreement is not None else "PSNR to run, dB"
    lines = [("file", "run by", "MB", "ms per image", error, similarity, "L1 to target")]
    for row in rows:
        psnr = "equal" if math.isinf(row.psnr) else f"{row.psnr:.1f}"
        closeness = psnr if row.agreement is None else f"{100 * row.agreement:.2f}"
        numbers = f"{row.megabytes:.1f}", f"{row.milliseconds:.0f}", f"{row.max_difference}", closeness, f"{row.l1:.3f}"
        lines.append((str(row.path), row.reader, *numbers))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    formats = [f"{{:{'<' if column < 2 else '>'}{width}}}" for column, width in enumerate(widths)]
    return "\n".join("  ".join(formats).format(*line) for line in lines)
