"""Compares a run with the trivial answers and with PyTorch, on the validation pairs of the run.

  python benchmarks/learning.py --run_dir=runs/facades [--data_dir=DIR] [--peer] [--every=2000]

For label maps the best trivial answer paints each label in its median color in the training photos. L1 alone is a poor
measure: median colors have no texture and no edges of their own, and yet are hard to beat in L1. --peer trains the
PyTorch networks of pytorch_peer.py on the run's own batches and measures them the same way.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.input_pipeline import prepare_examples, training_batches, validation_batches
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.trivial_answers import trivial_answers


def train_peer(run: Run, pairs, steps: int, every: int):
    """Trains the PyTorch networks as the run was trained. Yields (step, translate) after every `every` steps."""
    import pytorch_peer
    import torch  # only with --peer; 2.14 cannot share a process with TensorFlow, 2.13 can

    config = run.config
    torch.manual_seed(config.seed)
    depth = min(8, int(np.log2(min(config.crop_size))))
    generator = pytorch_peer.initialize(pytorch_peer.UNet(depth=depth, filters=config.filters))
    discriminator = pytorch_peer.initialize(pytorch_peer.PatchGAN(filters=config.filters))
    step = pytorch_peer.make_train_step(generator, discriminator)

    def to_torch(batch):
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(batch), -1, 1)))

    def translate(input_image):
        generator.eval()
        with torch.no_grad():
            output = generator(to_torch(input_image)).numpy()
        generator.train()
        return tf.constant(np.moveaxis(output, 1, -1))

    options = dict(batch_size=config.batch_size, crop_size=config.crop_size, flip=config.flip, seed=config.seed)
    for number, batch in enumerate(training_batches(pairs, run.sides, **options, steps=steps), start=1):
        step(*map(to_torch, batch))
        if number % every == 0:
            yield number, translate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, type=Path, help="a run directory")
    parser.add_argument("--data_dir", help="folder with the data set [that of the run]")
    parser.add_argument("--peer", action="store_true", help="train the PyTorch networks, too")
    parser.add_argument("--every", type=int, default=2000, help="steps between the rows [2000]")
    args = parser.parse_args()
    run = Run.open(args.run_dir)
    config = run.config
    splits = load_pairs(
        config.dataset,
        direction=config.direction,
        data_dir=args.data_dir or config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
    )
    validation = prepare_examples(
        splits["val"].spread(config.eval_pairs), run.sides, size=config.crop_size, fit=config.fit
    )
    batches = validation_batches(validation, run.sides, batch_size=1, crop_size=config.crop_size)

    def report(name, values):
        print(f"| {name} | " + " | ".join(f"{values[metric]:.3f}" for metric in PAIRED_METRICS) + " |", flush=True)

    print(
        f"{len(validation)} validation pairs\n\n| | {' | '.join(PAIRED_METRICS)} |\n|---|"
        + "---|" * len(PAIRED_METRICS)
    )
    examples = prepare_examples(splits["train"], run.sides, size=config.crop_size, fit=config.fit)
    for name, answer in trivial_answers(examples, run.sides).items():
        report(name, paired_metrics(answer, batches))
    records = [record for record in run.records() if "val_l1" in record]
    for record in records:
        if record["step"] % args.every == 0:
            values = {metric: record[f"val_{metric}"] for metric in PAIRED_METRICS}
            report(f"tf_pix2pix, step {record['step']}", values)
    if args.peer:
        train_pairs = prepare_examples(splits["train"], run.sides, size=config.jitter_size, fit=config.fit)
        for step, translate in train_peer(run, train_pairs, records[-1]["step"], args.every):
            report(f"PyTorch, step {step}", paired_metrics(translate, batches))


if __name__ == "__main__":
    main()
