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
from tf_pix2pix.errors import InputError, format_count

IMAGE_FLAGS = [
    Flag("split", "split to evaluate", choices=("test", "val", "train"), auto="test; of a folder without splits, all"),
    Flag("checkpoint", "checkpoint of the run: best (on the validation split), latest, or a step", default="best"),
    Flag("model", "evaluate this SavedModel, .tflite or .onnx file, or URL, instead of the run's checkpoint"),
    Flag("max_images", "evaluate at most N images, evenly spaced over the split", int, auto="all", minimum=1),
    Flag("generated", "folder of generated images, without a run", requires="targets"),
    Flag("targets", "folder of their targets, with the same file names", requires="generated"),
    Flag("output_dir", "folder for the results", auto="RUN/evaluation/SPLIT; of a comparison SPLIT-comparison there"),
]
DATA_FLAGS = [
    Flag("dataset", "another folder of pairs (of photos, for a task), or the name of a data set", auto="the run's"),
    Flag("data_dir", "folder of the published archives", auto="the run's"),
    Flag("direction", "AtoB or BtoA, of another data set", choices=("AtoB", "BtoA"), auto="the run's"),
    *SIDE_FLAGS,
]
METRIC_FLAGS = [
    Flag("palette", "compare classes of pixels: a named palette or a file, as in training", auto="the run's"),
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
        import tensorflow as tf

        from tf_pix2pix.evaluation import Options, evaluate, evaluate_folders
        from tf_pix2pix.evaluation.comparison import compare
    tf.get_logger().setLevel("ERROR")  # several models are not a model traced several times, of which it warns
    options = Options(**{flag.name: given.pop(flag.name, flag.default) for flag in METRIC_FLAGS})
    if len(runs) > 1:
        comparison = compare(runs, options=options, **given)
        print(comparison_table(comparison.facts))
        print(f"report: {comparison.report}")
        return
    if "generated" in given:
        evaluation = evaluate_folders(options=options, **given)
    else:
        evaluation = evaluate(runs[0] if runs else None, options=options, **given)
    print(table(evaluation.facts))
    print(f"report: {evaluation.report}")


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
    """The contents of metrics.json for the terminal: the verdict, the metrics, and what they do not show."""
    from tf_pix2pix.evaluation import describe
    from tf_pix2pix.evaluation.standing import compare, verdict

    lines = [describe(facts["source"], facts["images"])]
    if overall := verdict(facts):
        answer = overall["best_answer"]
        label, value, other = overall["metric"].label, _digits(overall["value"]), _digits(overall["answers"][answer])
        lines.append(f"{overall['heading']}: {label} {value}, of the best trivial answer ({answer}) {other}")
    rows = [("metric", "value", "95 % interval", "unit", "better", "targets", "best trivial answer", "verdict")]
    for name, found in facts["metrics"].items():
        compared = compare(name, found, facts["trivial"])
        answer = compared["best_answer"]
        best = f"{_digits(compared['answers'][answer])} ({answer})" if answer else ""
        label, unit, better = _described(name)
        value, targets = _digits(found["value"]), _digits(found.get("targets"))
        rows.append((label, value, _interval(found), unit, better, targets, best, compared["standing"] or ""))
    lines += ["", *_aligned(rows)]
    if consistency := facts["label_consistency"]:
        photos = {"generated photos": consistency["generated"], "real photos": consistency["targets"]}
        lines += ["", *_consistency(photos)]
    note = [f"note: {facts['source']['note']}"] if facts["source"]["note"] else []
    notes = [*note, *(f"left out: {line}" for line in facts["left_out"]), *(f"warning: {x}" for x in facts["warnings"])]
    return "\n".join([*lines, "", *notes])


def comparison_table(facts: dict[str, Any]) -> str:
    """The contents of comparison.json for the terminal."""
    from tf_pix2pix.evaluation.comparison import labels, verdict

    names, source = labels([run["run"] for run in facts["runs"]]), facts["runs"][0]
    lines = [f"{format_count(facts['images'], 'image')} of the {source['split']} split of {source['dataset']}"]
    rows = [("metric", "better", "run", "value", f"difference from {names[0]}", "95 % interval", "verdict")]
    for metric, values in facts["metrics"].items():
        label, unit, better = _described(metric)
        label = f"{label}, {unit}" if unit else label
        for index, (name, found) in enumerate(zip(names, values, strict=True)):
            row = [label, better, name, _digits(found["value"]) if found else "", "", "", ""]
            if index and metric in facts["differences"]:
                difference = facts["differences"][metric][index - 1]
                row[4:] = _digits(difference.get("value"), "+"), _interval(difference, "+"), verdict(metric, difference)
            rows.append(tuple(row))
            label = better = ""
    lines += ["", *_aligned(rows)]
    if consistency := facts["label_consistency"]:
        runs = dict(zip(names, consistency["runs"], strict=True))
        lines += ["", *_consistency({"real photos": consistency["targets"], **runs})]
    return "\n".join([*lines, "", *(f"warning: {line}" for line in facts["warnings"])])


def _consistency(found: dict[str, dict[str, Any]]) -> list[str]:
    """A table of label consistencies: the title of each row -> metric -> value and interval."""
    names = [*next(iter(found.values()))]
    rows = [["label consistency"], *([title] for title in found)]
    for name in names:
        rows[0] += [_described(name)[0], "95 % interval"]
        for row, metrics in zip(rows[1:], found.values(), strict=True):
            row += [_digits(metrics[name]["value"]), _interval(metrics[name])]
    return _aligned(rows)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells -> lines with columns of equal width, without empty columns."""
    kept = [index for index in range(len(lines[0])) if any(line[index] for line in lines[1:])]
    widths = [max(len(line[index]) for line in lines) for index in kept]
    cells = [[line[index].ljust(width) for index, width in zip(kept, widths, strict=True)] for line in lines]
    return ["  ".join(row).rstrip() for row in cells]


def _described(name: str) -> tuple[str, str, str]:
    """The label and unit of a metric, and whether lower or higher values are better."""
    from tf_pix2pix.metrics import METRICS

    metric = METRICS[name]
    return metric.label, metric.unit, {True: "higher", False: "lower", None: ""}[metric.higher_is_better]


def _interval(found: dict[str, Any], sign: str = "") -> str:
    return "" if found.get("low") is None else f"{_digits(found['low'], sign)} to {_digits(found['high'], sign)}"


def _digits(value: float | None, sign: str = "") -> str:
    """Four significant digits."""
    return "" if value is None else f"{value:{sign}.4g}"
