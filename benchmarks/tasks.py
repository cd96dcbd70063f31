"""Compares runs of tasks with trivial answers on their validation photos, and draws a grid with one row per run.

python benchmarks/tasks.py --run_dir=runs/photos-denoise [--run_dir=...] [--data_dir=DIR] [--grid=FILE.png]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tf_pix2pix import images, tasks
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.inference import make_translate
from tf_pix2pix.input_pipeline import prepare_examples, validation_batches
from tf_pix2pix.metrics import PAIRED_METRICS, paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.survey import survey
from tf_pix2pix.trivial_answers import trivial_answers


def measure(run_dir: Path, data_dir: str | None, shown: list[int]) -> list[np.ndarray]:
    """Prints the table of a run.

    Args:
      shown: numbers of the validation photos for the grid.

    Returns:
      A row of the grid, uint8: the run's label, then input, generated and target image of each shown photo.
    """
    run = Run.open(run_dir)
    config, size = run.config, run.config.crop_size
    splits = load_pairs(
        config.dataset,
        direction=config.direction,
        data_dir=data_dir or config.data_dir,
        size=config.jitter_size,
        photos=True,
    )
    min_size = size if config.fit == "none" else None
    train, validation = (
        prepare_examples(
            survey(photos, min_size=min_size, description="reading photos").pairs, run.sides, size=size, fit=config.fit
        )
        for photos in (splits["train"], splits["val"].spread(config.eval_pairs))
    )
    make_input = tasks.input_maker(config.task, run.sides.target, **config.task_settings)
    batches = validation_batches(validation, run.sides, batch_size=1, crop_size=size, make_input=make_input)
    translate = make_translate(run.generator())
    functions = trivial_answers(train, run.sides, task=config.task)
    functions[f"trained, step {run.find_checkpoint('best')[1]}"] = translate
    print(
        f"| {config.task}, {len(validation)} validation photos | {' | '.join(PAIRED_METRICS)} |\n|---|"
        + "---|" * len(PAIRED_METRICS)
    )
    for name, function in functions.items():
        values = paired_metrics(function, batches)
        print(f"| {name} | " + " | ".join(f"{values[metric]:.3f}" for metric in PAIRED_METRICS) + " |", flush=True)
    row = [draw_label(config.task, size)]
    for number in shown:
        ((input_image, target_image),) = batches.skip(number).take(1)
        row += [images.from_float(side[0]).numpy() for side in (input_image, translate(input_image), target_image)]
    return row


def draw_label(text: str, size: tuple[int, int]) -> np.ndarray:
    """Draws text on white, uint8 [*size, 3]."""
    image = Image.new("RGB", size[::-1], "white")
    font = ImageFont.load_default(size=size[1] / 7)
    center, lines = (size[1] / 2, size[0] / 2), text.replace("_", "\n")
    ImageDraw.Draw(image).text(center, lines, "black", font, "mm", align="center")
    return np.asarray(image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, type=Path, action="append", help="a run directory; repeatable")
    parser.add_argument("--data_dir", help="folder with the data set [that of the run]")
    parser.add_argument("--grid", type=Path, help="image file for the grid")
    parser.add_argument("--show", default="0,1", help="numbers of the validation photos in the grid [0,1]")
    args = parser.parse_args()
    shown = [int(number) for number in args.show.split(",")]
    rows = []
    for run_dir in args.run_dir:
        rows.append(measure(run_dir, args.data_dir, shown))
        print()
    if args.grid:
        columns = ["", *["input", "output", "target"] * len(shown)]
        grid = Image.fromarray(images.sample_grid(columns, rows))
        grid.quantize(256, dither=Image.Dither.NONE).save(args.grid, optimize=True)  # a third of the RGB file


if __name__ == "__main__":
    main()
