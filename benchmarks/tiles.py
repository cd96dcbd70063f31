"""How far a picture translated in tiles is from the same one translated as a whole.

python benchmarks/tiles.py --run_dir=runs/averaged --picture=large.png --max_pixels=4194304
"""

import argparse
from pathlib import Path

import numpy as np

from tf_pix2pix import images, tiling
from tf_pix2pix.inference import fitting_side, size_multiple
from tf_pix2pix.runs import restore_generator
from tf_pix2pix.translation import Translator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--picture", required=True, type=Path, help="larger than --max_pixels; fits in memory whole")
    parser.add_argument("--max_pixels", type=int, default=2**22, help="of a tile")
    args = parser.parse_args()
    picture = images.decode(args.picture.read_bytes())
    tiled = Translator.from_run(args.run_dir, max_pixels=args.max_pixels).translate(picture).astype(int)
    whole = Translator.from_run(args.run_dir, max_pixels=picture.size).translate(picture).astype(int)
    difference = np.abs(tiled - whole)
    print(f"difference of 255: mean {difference.mean():.2f}, 99th percentile {np.percentile(difference, 99):.0f}")
    multiple = size_multiple(restore_generator(args.run_dir))
    for axis, side in enumerate(picture.shape[:2]):
        padded = fitting_side(side, multiple)
        spans = tiling.spans(padded, tiling.tile_side(args.max_pixels, multiple), multiple)
        steps = [np.abs(np.diff(each, axis=axis)).mean(axis=(1 - axis, 2)) for each in (tiled, whole)]
        for first, second in zip(spans, spans[1:], strict=False):
            for border in (second.start, first.stop):
                at = border - (padded - side) // 2 - 1
                print(f"axis {axis}, border at {at + 1}: mean step {steps[0][at]:.2f} tiled, {steps[1][at]:.2f} whole")


if __name__ == "__main__":
    main()
