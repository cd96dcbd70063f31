"""Measures in turns how long `evaluate` takes against translating the same images, and its memory. Linux only.

  python benchmarks/evaluation.py                                     1,000 images of 256x256, the paper's U-Net
  python benchmarks/evaluation.py --repetitions=1 --warm_ups=0        6 minutes on two idle cores
  python benchmarks/evaluation.py --images=100 --repetitions=3        2 minutes
  python benchmarks/evaluation.py --images=20 --repetitions=1 --filters=4 --size=64

Both load the model, read the files, translate and write PNGs; evaluate adds the metrics that need no network, error
maps and the report. The targets: at most 1.3 times the time of translating, and the same peak memory for 100 and for
1,000 images. Tables go to stdout, progress goes to stderr. Times are medians, with the range from the 10th to the 90th
percentile. CPU seconds count all threads; their ratio means something on a busy machine too.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from speed import machine
from tables import MEMORY, Table, median_and_range, memory_cell, ratio_cell, rows_of
from turns import Contestant, Measured, Work, in_turns

IMPORTS = ("tf_pix2pix.evaluation", "tf_pix2pix.translation")


def make_data(root: Path, count: int, size: int, filters: int) -> None:
    """Writes `count` test pairs of the built-in set, as side-by-side PNGs, and a run with an untrained U-Net."""
    import tensorflow as tf

    from tf_pix2pix import checkpoints, images
    from tf_pix2pix.config import TrainConfig
    from tf_pix2pix.datasets.synthetic_facades import facade
    from tf_pix2pix.run import Run
    from tf_pix2pix.sides import Side, Sides
    from tf_pix2pix.threads import map_in_threads

    splits = {"train": 20, "val": 1, "test": count}

    def write(job):
        split, index = job
        photo, labels = facade(["train", "val", "test"].index(split), index, (size, size))
        images.write(root / "pairs" / split / f"{index:04d}.png", images.join_side_by_side(photo, labels))
        if split == "test":
            images.write(root / "inputs" / f"{index:04d}.png", labels)

    for folder in (*(root / "pairs" / split for split in splits), root / "inputs"):
        folder.mkdir(parents=True)
    for _ in map_in_threads(write, [(split, i) for split, n in splits.items() for i in range(n)], "drawing", "pair"):
        pass
    config = TrainConfig(
        dataset=str(root / "pairs"), direction="BtoA", resize_b="nearest", crop_size=(size, size), filters=filters
    )
    run = Run(root / "run", config, Sides(Side(3, resize="nearest"), Side(3)))
    run.write_settings()
    checkpoints.save(run.checkpoints, "step", 1, tf.train.Checkpoint(generator=run.build_generator()))


def translating(root: Path) -> Work:
    """`pix2pix translate` of the test images."""
    from tf_pix2pix.cli.translate import main

    def repeat():
        words = [f"--model={root}/run", f"{root}/inputs", f"--output={root}/translated", "--overwrite"]
        _expect_0(main(["translate", *words]))

    return Work(repeat)


def evaluating(root: Path, images: int) -> Work:
    """`pix2pix evaluate` of the test images, into a new folder each time."""
    from tf_pix2pix.cli.evaluate import main

    def repeat():
        with tempfile.TemporaryDirectory(dir=root) as output:
            words = [f"{root}/run", "--nofid", f"--max_images={images}", f"--output_dir={output}"]
            _expect_0(main(["evaluate", *words]))

    return Work(repeat)


def _expect_0(code: int) -> None:
    if code:
        raise RuntimeError(f"the command failed with exit code {code}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="number of images [1000]")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images [256]")
    parser.add_argument("--filters", type=int, default=64, help="filters of the first layer [64]")
    parser.add_argument("--repetitions", type=int, default=5, help="timed repetitions, after the warm-ups [5]")
    parser.add_argument("--warm_ups", type=int, default=1, help="repetitions that do not count [1]")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_data(root, args.images, args.size, args.filters)
        few = max(1, args.images // 10)
        contestants = [
            Contestant("translate", translating, {"root": root}, IMPORTS, tuned=True),
            Contestant("evaluate", evaluating, {"root": root, "images": args.images}, IMPORTS, tuned=True),
        ]
        measured = in_turns(contestants, args.repetitions, warm_ups=args.warm_ups)
        one_tenth = Contestant(f"evaluate {few} images", evaluating, {"root": root, "images": few}, IMPORTS, tuned=True)
        measured += in_turns([one_tenth], 1, warm_ups=0)
    table = make_table(measured, args.images, args.size)
    print(f"\n{table.title}\n\n" + "\n".join(table.lines()))
    return int(any(one.failure for one in measured))


def wall(one: Measured) -> list[float]:
    """The seconds of each timed repetition."""
    return one.seconds


def cpu(one: Measured) -> list[float]:
    """The CPU seconds of each timed repetition, of all threads."""
    return one.facts["cpu_seconds"][-len(one.seconds) :] if one.seconds else []


def make_table(measured: list[Measured], images: int, size: int) -> Table:
    def cells(one: Measured) -> list[str]:
        ratios = [ratio_cell(times(one), times(measured[0])) if one is measured[1] else "-" for times in (wall, cpu)]
        median_cpu = median_and_range(cpu(one))[0]
        return [*median_and_range(one.seconds), ratios[0], median_cpu, ratios[1], memory_cell(one)]

    header = ["s, median", "10th to 90th percentile", "times translate's", "CPU s", "times translate's", MEMORY]
    return Table(f"{images} images of {size}x{size}", header, rows_of(measured, len(header), cells), measured)


if __name__ == "__main__":
    sys.exit(main())
