"""Compares runs from label maps to photos that differ in their objective: L1, SSIM, and label consistency.

  python benchmarks/objectives.py RUN... [--split=test] [--data_dir=DIR] [--checkpoints=latest,best]

Prints the rows of a Markdown table: metrics with 95 % intervals (bootstrap over images), and their differences from the
first run on the same images. Real photos and one constant class bound the label consistency.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.evaluation.label_consistency import LabelConsistency
from tf_pix2pix.evaluation.label_network import STEPS, train_label_network
from tf_pix2pix.inference import make_translate
from tf_pix2pix.input_pipeline import prepare_examples, validation_batches
from tf_pix2pix.metrics import PAIRED_METRICS, ConfusionMatrix
from tf_pix2pix.run import Run

LABEL_METRICS = ("pixel_accuracy", "class_accuracy", "mean_iou")
METRICS = ("l1", "ssim", *LABEL_METRICS)
RESAMPLES = 2000


def measure(run: Run, checkpoint: str, consistency: LabelConsistency, batches) -> dict[str, np.ndarray]:
    """Values of each image: l1 and ssim, [n]; confusion of generated and real photos, [n, k, k]."""
    translate = make_translate(run.generator(checkpoint))
    found: dict[str, list] = {name: [] for name in ("l1", "ssim")}
    for input_image, target_image in batches:
        gen_output = translate(input_image)
        for name in ("l1", "ssim"):
            found[name].append(float(PAIRED_METRICS[name](gen_output, target_image)[0]))
        consistency.update(run.sides.input.from_float(input_image).numpy(), gen_output, target_image)
    return {name: np.array(values) for name, values in (found | consistency.counts).items()}


def summarize(values: dict[str, np.ndarray], confusion: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """METRICS over the images at these indices, [5]; nan for those without values."""
    matrix = ConfusionMatrix(confusion.shape[1])
    matrix.counts = confusion[indices].sum(axis=0)
    means = [values[name][indices].mean() if name in values else np.nan for name in ("l1", "ssim")]
    return np.array(means + [matrix.results()[name] for name in LABEL_METRICS])


def row(title: str, value: np.ndarray, samples: np.ndarray, sign: str = "") -> str:
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    cells = [
        "" if np.isnan(v) else f"{v:{sign}.3f} ({a:{sign}.3f} to {b:{sign}.3f})"
        for v, a, b in zip(value, low, high, strict=True)
    ]
    return f"| {title} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoints", default="latest,best")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the label network")
    options = parser.parse_args()

    runs = [Run.open(directory) for directory in options.runs]
    config = dataclasses.replace(runs[0].config, data_dir=options.data_dir or runs[0].config.data_dir)
    network = train_label_network(config, runs[0].sides, steps=options.steps)
    pairs = load_pairs(config.dataset, direction=config.direction, data_dir=config.data_dir)[options.split]
    examples = prepare_examples(pairs, runs[0].sides, size=config.crop_size, fit=config.fit)
    batches = validation_batches(examples, runs[0].sides, batch_size=1, crop_size=config.crop_size)
    count = len(pairs)
    resamples = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))

    print(f"\n{options.split}: {count} images\n\n| run, checkpoint | {' | '.join(METRICS)} |")
    print(f"|---{'|---' * len(METRICS)}|")
    for checkpoint in options.checkpoints.split(","):
        first = None
        for run in runs:
            values = measure(run, checkpoint, LabelConsistency(network), batches)
            title = f"{run.directory.name}, {checkpoint} (step {run.find_checkpoint(checkpoint)[1]:,})"
            value = summarize(values, values["generated"], np.arange(count))
            samples = np.array([summarize(values, values["generated"], indices) for indices in resamples])
            print(row(title, value, samples))
            if first is None:
                first = value, samples
            else:
                print(row(f"... minus {runs[0].directory.name}", value - first[0], samples - first[1], sign="+"))
    targets = values["targets"]
    samples = np.array([summarize({}, targets, indices) for indices in resamples])
    print(row("real photos", summarize({}, targets, np.arange(count)), samples))
    constant = np.zeros_like(targets)
    most = targets.sum(axis=(0, 2)).argmax()
    constant[:, :, most] = targets.sum(axis=2)
    samples = np.array([summarize({}, constant, indices) for indices in resamples])
    print(row(f"{class_name(network, most)} everywhere", summarize({}, constant, np.arange(count)), samples))


def class_name(network: Run, label: int) -> str:
    """The name of a class, or its color."""
    palette = network.sides.target.palette
    return palette.names[label] if palette.names else str(palette.colors[label])


if __name__ == "__main__":
    main()
