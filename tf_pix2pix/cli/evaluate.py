"""Measures how good a model's images are, on a split that training has not learned.

pix2pix evaluate runs/mine                                    the test split
pix2pix evaluate runs/mine --split=val --checkpoint=latest
pix2pix evaluate runs/mine --dataset=new_pairs/               other pairs
pix2pix evaluate runs/mine --model=exported/model-int8.tflite an exported file instead of the run
pix2pix evaluate runs/a runs/b                                a comparison on the same images
pix2pix evaluate --generated=theirs/ --targets=photos/ --output_dir=scores    images from anywhere

Writes metrics.json, per_image.csv and report.html, by default into RUN/evaluation/SPLIT.
The same command after an interruption continues.
"""

from collections.abc import Sequence
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
from tf_pix2pix.errors import InputError

IMAGE_FLAGS = [
    Flag("split", "split to evaluate", choices=("test", "val", "train"), auto="test; of a folder without splits, all"),
    Flag("checkpoint", "checkpoint of the run: best (on the validation split), latest, or a step", default="best"),
    Flag("model", "evaluate this SavedModel, .tflite or .onnx file, or URL, instead of the run's checkpoint"),
    Flag("max_images", "evaluate at most N images, evenly spaced over the split", int, auto="all", minimum=1),
    Flag("generated", "folder of generated images, without a run", requires="targets"),
    Flag("targets", "folder of their targets, with the same file names", requires="generated"),
    Flag("output_dir", "the folder for the results", auto="RUN/evaluation/SPLIT"),
]
DATA_FLAGS = [
    Flag("dataset", "another folder of pairs (of photos, for a task), or the name of a data set", auto="the run's"),
    Flag("data_dir", "folder of the published archives", auto="the run's"),
    Flag("direction", "AtoB or BtoA, of another data set", choices=("AtoB", "BtoA"), auto="the run's"),
    *SIDE_FLAGS,
]
METRIC_FLAGS = [
    Flag(
        "palette", "compare classes of pixels: a named palette or a file, as in training", auto="the run's, if it has"
    ),
    Flag("fid", "FID and KID: --fid downloads the network's weights (88 MB)", bool, auto="if the weights are there"),
    Flag("inception_weights", "file with the weights for FID and KID"),
    Flag("lpips_weights", "file with the weights for LPIPS"),
    Flag("label_consistency", "do photos show their label maps? trains a network once to read them", bool, False),
]
SECTIONS = {"Images": IMAGE_FLAGS, "Data": DATA_FLAGS, "Metrics": [*METRIC_FLAGS, FLAGFILE]}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 the model failed, 2 wrong usage or input."""
    interrupted = "the same command continues with the images that are left"
    return run_command(_run, lambda: help_of(__doc__, SECTIONS), argv, interrupted)


def _run(argv: list[str]) -> None:
    given, runs = parse_flags(argv, [flag for section in SECTIONS.values() for flag in section])
    _check(given, runs)
    with start_up_notes_hidden():
        from tf_pix2pix.evaluation import Options, evaluate, evaluate_folders
        from tf_pix2pix.evaluation.comparison import compare
    options = Options(**{flag.name: given.pop(flag.name, flag.default) for flag in METRIC_FLAGS})
    if len(runs) > 1:
        comparison = compare(runs, options=options, **given)
        print(comparison_table(comparison.facts))
        print(comparison.report)
        return
    if "generated" in given:
        evaluation = evaluate_folders(options=options, **given)
    else:
        evaluation = evaluate(runs[0] if runs else None, options=options, **given)
    print(table(evaluation.facts))
    print(evaluation.report)


def _check(given: dict[str, Any], runs: list[str]) -> None:
    """Raises InputError if the flags contradict each other."""
    if "generated" in given:
        allowed = {"generated", "targets", "output_dir", "max_images", *(flag.name for flag in METRIC_FLAGS)}
        if runs or (others := sorted(given.keys() - allowed)):
            other = runs[0] if runs else f"--{others[0]}"
            raise InputError(
                f"--generated={given['generated']}: excludes {other}; two folders need no model or data set"
            )
        if "output_dir" not in given:
            raise InputError("--output_dir is missing; with --generated, name the folder for the results")
    elif not runs and "model" not in given:
        raise InputError("no run given: name a run directory after the flags; --help shows examples")
    if "checkpoint" in given and "model" in given:
        raise InputError("--checkpoint: of a run, but --model is evaluated instead; leave one of them out")
    if len(runs) > 1 and "model" in given:
        raise InputError(f"--model={given['model']}: excludes a comparison; name one run")
    for run in runs:
        if not Path(run).exists():
            raise InputError(f"{run}: not found; name a run directory")


def table(facts: dict[str, Any]) -> str:
    """The contents of metrics.json for the terminal."""
    from tf_pix2pix.metrics import METRICS

    source, trivial = facts["source"], facts["trivial"]
    lines = [("metric", "value", "95 % interval", "unit", "targets", "best trivial answer", "")]
    for name, found in facts["metrics"].items():
        metric = METRICS[name]
        interval = f"{_digits(found['low'])} to {_digits(found['high'])}" if found.get("low") is not None else ""
        best, mark = _best_trivial(trivial, name, found["value"])
        lines.append(
            (metric.label, _digits(found["value"]), interval, metric.unit, _digits(found.get("targets")), best, mark)
        )
    return "\n".join([_title(source, facts["images"]), *_aligned(lines), *_notes(facts)])


def comparison_table(facts: dict[str, Any]) -> str:
    """The contents of comparison.json for the terminal."""
    from tf_pix2pix.evaluation.comparison import labels, verdict
    from tf_pix2pix.metrics import METRICS

    names = labels(facts)
    lines = [["metric", names[0]]]
    for name in names[1:]:
        lines[0] += [name, "difference", "95 % interval", ""]
    for metric, values in facts["metrics"].items():
        line = [METRICS[metric].label, *([""] * (len(lines[0]) - 1))]
        for index, found in enumerate(values):
            column = 4 * index - 2 if index else 1
            line[column] = _digits(found["value"]) if found else ""
            if index and metric in facts["differences"]:
                one = facts["differences"][metric][index - 1]
                line[column + 1] = f"{one['value']:+.3g}" if "value" in one else ""
                line[column + 2] = f"{one['low']:+.3g} to {one['high']:+.3g}" if "low" in one else ""
                line[column + 3] = verdict(metric, one)
        lines.append(line)
    source = facts["runs"][0]
    title = (
        f"{facts['images']} images of the {source['split']} split of {source['dataset']}; differences from {names[0]}"
    )
    return "\n".join([title, *_aligned(lines), *(f"warning: {line}" for line in facts["warnings"])])


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells -> lines with columns of equal width, without empty columns."""
    kept = [index for index in range(len(lines[0])) if any(line[index] for line in lines[1:])]
    widths = [max(len(line[index]) for line in lines) for index in kept]
    cells = [[line[index].ljust(width) for index, width in zip(kept, widths, strict=True)] for line in lines]
    return ["  ".join(row).rstrip() for row in cells]


def _title(source: dict[str, Any], count: int) -> str:
    """One line: the model, and its images."""
    if source["model"]:
        model = source["model"]
    else:
        model = f"{source['run']}, {source['checkpoint']} checkpoint, step {source['step']}"
    size = f", {source['size'][0]}x{source['size'][1]} pixels" if source["size"] else ""
    split = f"{source['split']} split of " if source["split"] in ("train", "val", "test") else ""
    return f"{model}: {count} image{'' if count == 1 else 's'} of the {split}{source['dataset']}{size}"


def _notes(facts: dict[str, Any]) -> Sequence[str]:
    """The note on the split, what is left out, and the warnings."""
    note = [f"note: {facts['source']['note']}"] if facts["source"]["note"] else []
    return [*note, *(f"left out: {line}" for line in facts["left_out"]), *(f"warning: {x}" for x in facts["warnings"])]


def _best_trivial(trivial: dict[str, Any], name: str, value: float) -> tuple[str, str]:
    """The best trivial answer in a metric, and whether the model is better or worse."""
    from tf_pix2pix.metrics import METRICS

    values = {answer: found[name]["value"] for answer, found in trivial.items() if name in found}
    values = {answer: one for answer, one in values.items() if one is not None}
    if not values:
        return "", ""
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    answer = max(values, key=lambda one: sign * values[one])
    mark = "better" if sign * value > sign * values[answer] else "worse" if value != values[answer] else "equal"
    return f"{_digits(values[answer])} ({answer})", mark


def _digits(value: float | None) -> str:
    """Four significant digits."""
    return "" if value is None else f"{value:.4g}"
