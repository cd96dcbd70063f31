"""Is a data set fine? Reads it whole, as training would, and lists all that is wrong or odd about it.

python -m tf_pix2pix.cli.check_data my_pairs                                        a folder of pairs
python -m tf_pix2pix.cli.check_data my_pairs --input_dir=sketch --target_dir=photo  where there are more sub-folders
python -m tf_pix2pix.cli.check_data facades --data_dir=/my/archives                 a published set
python -m tf_pix2pix.cli.check_data my_photos --task=colorize                       plain photos, for a task

Folders that cli.prepare has made, shards too, are checked as any other.

Writes report.json, contact_sheet.png and, where the pictures of pairs are shifted, misregistration.png.
The exit code is 1 where training would be harmed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import Size, TrainConfig, table_keys
from tf_pix2pix.errors import InputError, RunError, format_list
from tf_pix2pix.files import check_writable


def _flags() -> list[Flag]:
    tasks = table_keys("tasks.TASKS")
    own_size = "with --task training's own, else any size will do"
    return [
        Flag("output_dir", "where the report goes, never inside the data set [data_check_NAME_OF_THE_DATASET]"),
        Flag("task", "the pictures are plain photos, which training makes the inputs of", choices=tasks),
        Flag("crop_size", f"training's, N or HEIGHTxWIDTH; what is smaller is named (default: {own_size})", Size),
        Flag("data_dir", "where published archives lie (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)"),
        Flag("input_dir", "folder data: the sub-folder of input pictures (A)"),
        Flag("target_dir", "folder data: the sub-folder of target pictures (B)"),
        Flag("mask_dir", "folder data: the sub-folder with the weights of the training pairs' pixels"),
    ]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 fine, 1 training would be harmed, 2 wrong usage or input."""
    return run_command(_run, lambda: help_of(__doc__, _flags()), argv, "the report was not written")


def _run(argv: list[str]) -> None:
    settings, words = parse_flags(argv, _flags())
    if len(words) != 1:
        raise InputError(f"one data set is checked, a folder or a name; {len(words)} are given. --help shows examples")
    if bool(settings.get("input_dir")) != bool(settings.get("target_dir")):
        raise InputError("input_dir and target_dir go together; give both or neither")
    if min(settings.get("crop_size") or (1, 1)) < 1:
        raise InputError("--crop_size: the least is 1")
    if settings.get("task"):
        settings.setdefault("crop_size", TrainConfig.crop_size)
    dataset = words[0]
    folder = Path(dataset).resolve()
    output = Path(settings.pop("output_dir", None) or f"data_check_{folder.name}")
    if folder.is_dir() and output.resolve().is_relative_to(folder):
        raise InputError(f"{output} is inside the data set {dataset}; choose another --output_dir")
    check_writable(output)
    with start_up_notes_hidden():
        from tf_pix2pix.data_check import check
    report = check(dataset, output, **settings)
    print("\n".join(_lines(report)))
    titles = {"error": [], "warning": [], "note": []}
    for finding in report["findings"]:
        titles[finding["severity"]].append(finding["title"])
    if titles["error"]:
        raise RunError(f"training on {dataset} would be harmed: {'; '.join(titles['error'])}")
    print(f"{dataset} is fine" + ("; the warnings are worth a look" if titles["warning"] else ""))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """The report for the terminal."""
    things = "photos" if report["task"] else "pairs"
    yield f"{'split':6} {things:>7}  {'side':5}  {'width x height':21}  {'pictures':12}  mean (std) of each channel"
    for row in report["statistics"]:
        split = report["splits"][row["split"]]
        side = report["sides"].index(row["side"])
        low, high = ("x".join(map(str, split[end][side])) for end in ("smallest", "largest"))
        size = low if low == high else f"{low} to {high}"
        values = "  ".join(f"{mean:.4g} ({std:.4g})" for mean, std in zip(row["mean"], row["std"], strict=True))
        yield f"{row['split']:6} {split[things]:>7}  {row['side']:5}  {size:21}  {row['kind']:12}  {values}"
    registration = report["registration"]
    if registration and registration["median_shift"]:
        dx, dy = registration["median_shift"]
        share = f"{registration['measured']:.0%} of pairs have edges in common"
        yield f"{share}; the median of B against A is {dx:+.1f} px across, {dy:+.1f} px down"
    for finding in report["findings"]:
        yield f"{finding['severity']}: {finding['title']}: {finding['advice']}"
        names = [" = ".join(name) if isinstance(name, list) else name for name in finding["files"]]
        if names and finding["severity"] != "note":
            yield f"    {format_list(names, chr(10) + '    ', most=5)}"
    yield f"written: {', '.join(report['files'])}"


if __name__ == "__main__":
    sys.exit(main())
