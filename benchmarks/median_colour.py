"""How far a run is from the trivial answer: each label painted in the median colour that it has in the training photos.

  python benchmarks/median_colour.py RUN_DIR [DATA_DIR]

L1 alone says little on label maps: the median colours, which have no texture and no edge that the map has not, are hard
to beat in it. The table adds what they lack. Everything is measured on the held-out pairs that the run measured.
"""

import sys

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, runs
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.datasets.synthetic_facades import PALETTE
from tf_pix2pix.input_pipeline import held_out_batches, prepare
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics


def labels_of(picture: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] in (nearly) the CMP palette's colours -> int [h, w], the nearest colour's class."""
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


def main(run_dir: str, data_dir: str | None = None) -> None:
    config = runs.read_config(run_dir)
    splits = load_pairs(config.dataset, data_dir=data_dir or config.data_dir, size=config.jitter_size)
    options = dict(direction=config.direction, resize_a=config.resize_a, resize_b=config.resize_b)
    train_pairs = prepare(splits["train"], size=config.crop_size, **options)
    val_pairs = prepare(splits["val"].spread(config.eval_pairs), size=config.crop_size, **options)
    colours = median_colours(train_pairs)

    def paint(input_image):
        return images.to_float(colours[labels_of(images.to_uint8(input_image))])

    translators = {"median colour": paint}
    for which in ("latest", "best"):
        generator = runs.restore_generator(run_dir, which)
        translators[which] = tf.function(lambda x, generator=generator: generator(x, training=False))
    print(f"{len(val_pairs)} held-out pairs\n" + " | ".join(["", *PAIRED_METRICS]))
    for name, translate in translators.items():
        values = paired_metrics(translate, held_out_batches(val_pairs, batch_size=1, crop_size=config.crop_size))
        print(" | ".join([name, *(f"{value:.4f}" for value in values.values())]))


if __name__ == "__main__":
    main(*sys.argv[1:])
