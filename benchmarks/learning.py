"""What a run on label maps learns, against the trivial answer and against PyTorch.

  python benchmarks/learning.py --run_dir=runs/facades [--data_dir=DIR] [--peer] [--every=2000]

The trivial answer paints each label in its median colour in the training photos. L1 alone says little: median
colours, which have no texture and no edge that the map has not, are hard to beat in it. --peer trains the PyTorch
networks of pytorch_peer.py on the run's own batches and measures them the same way. All on the run's held-out pairs.
"""

import argparse
from pathlib import Path

import numpy as np
import pytorch_peer
import tensorflow as tf
import torch

from tf_pix2pix import images, runs
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.synthetic_facades import PALETTE
from tf_pix2pix.input_pipeline import held_out_batches, prepare, training_batches
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics


def labels_of(picture: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] in (nearly) the CMP palette's colours -> int [...], the nearest colour's class."""
    return np.square(picture[..., None, :].astype(int) - PALETTE.astype(int)).sum(axis=-1).argmin(axis=-1)


def median_colours(pairs) -> np.ndarray:
    """Pairs of (label map, photo) -> uint8 [12, 3], each class' median colour over all pixels of all pairs."""
    counts = np.zeros((len(PALETTE), 3, 256), np.int64)
    for index in range(len(pairs)):
        label_map, photo = pairs.read(index)
        labels = labels_of(label_map)
        for label in range(len(PALETTE)):
            for channel in range(3):
                counts[label, channel] += np.bincount(photo[labels == label][:, channel], minlength=256)
    below = counts.cumsum(axis=-1)
    return (below * 2 >= below[..., -1:]).argmax(axis=-1).astype(np.uint8)


def to_torch(batch) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(batch), -1, 1)))


def train_peer(config, pairs, steps: int, every: int):
    """Trains the peer as the run was trained; yields (step, translate) every so many steps."""
    torch.manual_seed(config.seed)
    depth = min(8, int(np.log2(min(config.crop_size))))
    generator = pytorch_peer.initialise(pytorch_peer.UNet(depth=depth, filters=config.filters))
    discriminator = pytorch_peer.initialise(pytorch_peer.PatchGAN(filters=config.filters))
    step = pytorch_peer.make_train_step(generator, discriminator)

    def translate(input_image):
        generator.eval()
        with torch.no_grad():
            output = generator(to_torch(input_image)).numpy()
        generator.train()
        return tf.constant(np.moveaxis(output, 1, -1))

    options = dict(batch_size=config.batch_size, crop_size=config.crop_size, flip=config.flip, seed=config.seed)
    for number, batch in enumerate(training_batches(pairs, **options, steps=steps), start=1):
        step(*map(to_torch, batch))
        if number % every == 0:
            yield number, translate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True, type=Path)
    parser.add_argument("--data_dir")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--every", type=int, default=2000)
    args = parser.parse_args()
    config = runs.read_config(args.run_dir)
    splits = load_pairs(config.dataset, data_dir=args.data_dir or config.data_dir, size=config.jitter_size)
    options = dict(
        direction=config.direction,
        fit=config.fit,
        resize_a=config.resize_a,
        resize_b=config.resize_b,
        max_bad=config.max_bad_images,
    )
    held_out = prepare(splits["val"].spread(config.eval_pairs), size=config.crop_size, **options)
    batches = held_out_batches(held_out, batch_size=1, crop_size=config.crop_size)

    def report(name, values):
        print(f"| {name} | " + " | ".join(f"{values[metric]:.3f}" for metric in PAIRED_METRICS) + " |", flush=True)

    print(f"{len(held_out)} held-out pairs\n\n| | {' | '.join(PAIRED_METRICS)} |\n|---|" + "---|" * len(PAIRED_METRICS))
    colours = median_colours(prepare(splits["train"], size=config.crop_size, **options))
    report(
        "median colour of each label",
        paired_metrics(lambda x: images.to_float(colours[labels_of(images.from_float(x).numpy())]), batches),
    )
    records = [record for record in runs.read_metrics(args.run_dir) if "val_l1" in record]
    for record in records:
        if record["step"] % args.every == 0:
            values = {metric: record[f"val_{metric}"] for metric in PAIRED_METRICS}
            report(f"tf_pix2pix, step {record['step']}", values)
    if args.peer:
        train_pairs = prepare(splits["train"], size=config.jitter_size, **options)
        for step, translate in train_peer(config, train_pairs, records[-1]["step"], args.every):
            report(f"PyTorch, step {step}", paired_metrics(translate, batches))


if __name__ == "__main__":
    main()
