"""What runs of tasks learn, against the trivial answers, on their held-out photos; and a picture with a row for each.

python benchmarks/tasks.py --run_dir=runs/photos-denoise [--run_dir=...] [--data_dir=DIR] [--picture=FILE.png]
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix import images, runs, tasks
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.formats import with_formats
from tf_pix2pix.inference import make_translate
from tf_pix2pix.input_pipeline import held_out_batches, prepare, with_channels
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics

SMOOTHED = (0.5, 0.8, 1.2)  # pixels, the blurs that noise is answered with


def mean_colour(photos) -> np.ndarray:
    """float32 [3] in [-1, 1], over all pixels of all photos."""
    as_floats = (images.to_float(photos.read(index)[1], photos.formats[1].range) for index in range(len(photos)))
    return np.mean([photo.numpy().mean(axis=(0, 1)) for photo in as_floats], 0)


def blurred(noisy: tf.Tensor, sigma: float) -> tf.Tensor:
    """float32 [1, h, w, c] -> the same under a Gaussian of so many pixels."""
    return tasks.deblur(noisy[0], None, sigma=sigma)[tf.newaxis]


def mean_filled(rgba: tf.Tensor) -> tf.Tensor:
    """float32 [1, h, w, 4] -> [1, h, w, 3], the holes in the mean colour of the rest."""
    known = rgba[..., 3:] > 0.0
    colour = tf.reduce_sum(tf.where(known, rgba[..., :3], 0.0), axis=[1, 2], keepdims=True)
    return tf.where(known, rgba[..., :3], colour / tf.reduce_sum(tf.cast(known, tf.float32)))


def trivial_answers(task: str, colour: np.ndarray) -> dict:
    """Name -> input picture, float32 [1, h, w, c] -> answer. colour: the mean one of the photos trained on."""
    tint = colour - np.dot(colour, tasks.LUMA)
    answers = {
        "colorize": {
            "the gray picture": lambda gray: tf.repeat(gray, 3, axis=-1),
            "the gray picture in the mean tint": lambda gray: tf.clip_by_value(gray + tint, -1.0, 1.0),
        },
        "super_resolution": {"bicubic": tf.identity},
        "denoise": {
            "the noisy picture": tf.identity,
            **{f"the same blurred, sigma {sigma}": partial(blurred, sigma=sigma) for sigma in SMOOTHED},
        },
        "inpaint": {"the holes in the mean of the rest": mean_filled},
        "deblur": {"the blurred picture": tf.identity},
    }
    drawing = {
        "the drawing itself": lambda drawn: tf.repeat(drawn, 3, axis=-1),
        "mean colour of the photos trained on": lambda drawn: tf.zeros_like(drawn) + colour,
    }
    return answers.get(task, drawing)


def measure(run_dir: Path, data_dir: str | None, shown: list[int]) -> list[np.ndarray]:
    """Prints the table of a run; returns a row of its picture: label, then input, output, target of each held-out photo
    shown, by its number; uint8."""
    config = runs.read_config(run_dir)
    splits = load_pairs(
        config.dataset, data_dir=data_dir or config.data_dir, size=config.jitter_size, photos=config.task is not None
    )
    options = dict(
        direction=config.direction,
        size=config.crop_size,
        fit=config.fit,
        resize_a=config.resize_a,
        resize_b=config.resize_b,
        photos=True,
        max_bad=config.max_bad_images,
    )
    sources = splits["train"], splits["val"].spread(config.eval_pairs)
    prepared = with_formats([prepare(photos, **options) for photos in sources], config)
    train, held_out = with_channels(prepared, None, config.output_channels)
    make_input = tasks.input_maker(config.task, held_out.formats[0], **config.task_settings)
    batches = held_out_batches(held_out, batch_size=1, crop_size=config.crop_size, make_input=make_input)
    translate = make_translate(runs.restore_generator(run_dir))
    step = runs.find_checkpoint(run_dir, "best")[1]
    answers = trivial_answers(config.task, mean_colour(train))
    answers[f"trained, step {step}"] = translate
    print(
        f"| {config.task}, {len(held_out)} held out | {' | '.join(PAIRED_METRICS)} |\n|---|"
        + "---|" * len(PAIRED_METRICS)
    )
    for name, answer in answers.items():
        values = paired_metrics(answer, batches)
        print(f"| {name} | " + " | ".join(f"{values[metric]:.3f}" for metric in PAIRED_METRICS) + " |", flush=True)
    row = [label(config.task, config.crop_size)]
    for number in shown:
        ((input_image, target_image),) = batches.skip(number).take(1)
        row += [images.from_float(side[0]).numpy() for side in (input_image, translate(input_image), target_image)]
    return row


def label(text: str, size: tuple[int, int]) -> np.ndarray:
    """The text on white, uint8 [*size, 3]."""
    picture = Image.new("RGB", size[::-1], "white")
    font = ImageFont.load_default(size=size[1] / 7)
    centre, lines = (size[1] / 2, size[0] / 2), text.replace("_", "\n")
    ImageDraw.Draw(picture).text(centre, lines, "black", font, "mm", align="center")
    return np.asarray(picture)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True, type=Path, action="append")
    parser.add_argument("--data_dir")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--show", default="0,1", help="numbers of the held-out photos in a row of the picture")
    args = parser.parse_args()
    shown = [int(number) for number in args.show.split(",")]
    rows = []
    for run_dir in args.run_dir:
        rows.append(measure(run_dir, args.data_dir, shown))
        print()
    if args.picture:
        columns = ["", *["input", "output", "target"] * len(shown)]
        grid = Image.fromarray(images.sample_grid(columns, rows))
        grid.quantize(256, dither=Image.Dither.NONE).save(args.picture, optimize=True)  # a third of the bytes


if __name__ == "__main__":
    main()
