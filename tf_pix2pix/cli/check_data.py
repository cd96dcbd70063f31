"""Checks a data set before training: reads every image, lists defects and oddities.

pix2pix check-data my_pairs                                         a folder of pairs
pix2pix check-data my_pairs --input_dir=sketch --target_dir=photo   with more than two sub-folders
pix2pix check-data facades --data_dir=/my/archives                  a published set
pix2pix check-data my_photos --task=colorize                        photos, for a task

A folder that pix2pix prepare made, with files or shards, is a data set too. The report is
report.json, contact_sheet.png and, if the images of pairs are shifted, misregistration.png.
The exit code is 1 if the data would harm training.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_pix2pix.cli.command import (
    FLAGFILE,
    SIDE_FLAGS,
    Flag,
    help_of,
    parse_flags,
    run_command,
    start_up_notes_hidden,
)
from tf_pix2pix.config import Size, TrainConfig, table_keys
from tf_pix2pix.errors import InputError, RunError, format_list
from tf_pix2pix.files import check_writable


def _flags() -> list[Flag]:
    return [
        Flag("output_dir", "the folder for the report, outside the data set", auto="data_check_DATASET"),
        Flag("task", "check photos, from which training makes the input images", choices=table_keys("tasks.TASKS")),
        Flag(
            "crop_size", "list smaller images: N or HEIGHTxWIDTH", Size, auto="no limit; 256x256 with --task", minimum=1
        ),
        Flag("data_dir", "folder of the published archives", auto="$TFDS_DATA_DIR or ~/tensorflow_datasets"),
        *SIDE_FLAGS,
        Flag("mask_dir", "sub-folder with the masks of the training pairs"),
    ]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 fine, 1 the data would harm training, 2 wrong usage or input."""
    return run_command(
        _run, lambda: help_of(__doc__, {"Flags": [*_flags(), FLAGFILE]}), argv, "the report was not written"
    )


def _run(argv: list[str]) -> None:
    settings, words = parse_flags(argv, _flags())
    if len(words) != 1:
        raise InputError(
            f"check-data requires one data set, a folder or a name, not {len(words)}; --help shows examples"
        )
    if settings.get("task"):
        settings.setdefault("crop_size", TrainConfig.crop_size)
    dataset = words[0]
    folder = Path(dataset).resolve()
    output = Path(settings.pop("output_dir", None) or f"data_check_{folder.name}")
    if folder.is_dir() and output.resolve().is_relative_to(folder):
        raise InputError(f"--output_dir={output}: inside the data set {dataset}; choose another folder")
    check_writable(output)
    with start_up_notes_hidden():
        from tf_pix2pix.data_check import check
    report = check(dataset, output, **settings)
    print("\n".join(_lines(report)))
    if errors := [finding["title"] for finding in report["findings"] if finding["severity"] == "error"]:
        raise RunError(f"{dataset} would harm training: {'; '.join(errors)}")
    has_warnings = any(finding["severity"] == "warning" for finding in report["findings"])
    print(f"{dataset} is fine" + ("; look at the warnings" if has_warnings else ""))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """Formats the report for the terminal."""
    items = "photos" if report["task"] else "pairs"
    yield f"{'split':6} {items:>7}  {'side':5}  {'width x height':21}  {'images':12}  mean (std) of each channel"
    for row in report["statistics"]:
        split = report["splits"][row["split"]]
        side = report["sides"].index(row["side"])
        smallest, largest = ("x".join(map(str, split[end][side])) for end in ("smallest", "largest"))
        size = smallest if smallest == largest else f"{smallest} to {largest}"
        values = "  ".join(f"{mean:.4g} ({std:.4g})" for mean, std in zip(row["mean"], row["std"], strict=True))
        yield f"{row['split']:6} {split[items]:>7}  {row['side']:5}  {size:21}  {row['kind']:12}  {values}"
    registration = report["registration"]
    if registration and registration["median_shift"]:
        dx, dy = registration["median_shift"]
        share = f"{registration['measured']:.0%} of the pairs have edges in common"
        yield f"{share}; their median shift of B against A is {dx:+.1f} px across, {dy:+.1f} px down"
    for finding in report["findings"]:
        yield f"{finding['severity']}: {finding['title']}; {finding['advice']}"
        names = [" = ".join(name) if isinstance(name, list) else name for name in finding["files"]]
        if names and finding["severity"] != "note":
            yield f"    {format_list(names, chr(10) + '    ', most=5)}"
    yield f"written: {', '.join(report['files'])}"
