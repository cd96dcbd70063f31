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
    Flag("palette", "compare classes: a JSON file with colors, or lines of R G B name", auto="of runs with classes"),
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
    options = Options(**{flag.name: given.pop(flag.name, None) for flag in METRIC_FLAGS})
    if "generated" in given:
        evaluation = evaluate_folders(options=options, **given)
    else:
        evaluation = evaluate(runs[0] if runs else None, options=options, **given)
    print(table(evaluation.facts))
    print(evaluation.directory / "metrics.json")


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
    if runs and not Path(runs[0]).exists():
        raise InputError(f"{runs[0]}: not found; name a run directory")


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
    kept = [index for index in range(len(lines[0])) if index < 2 or any(line[index] for line in lines[1:])]
    widths = [max(len(line[index]) for line in lines) for index in kept]
    cells = [[line[index].ljust(width) for index, width in zip(kept, widths, strict=True)] for line in lines]
    body = ["  ".join(row).rstrip() for row in cells]
    return "\n".join([_title(source, facts["images"]), *body, *_notes(facts)])


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
