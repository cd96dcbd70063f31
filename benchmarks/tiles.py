"""Compares an image translated in tiles with the same image translated as a whole.

python benchmarks/tiles.py --run_dir=runs/averaged --image=large.png --max_pixels=4194304
"""

import argparse
from pathlib import Path

import numpy as np

from tf_pix2pix import images, tiling
from tf_pix2pix.inference import padded_side, size_multiple
from tf_pix2pix.run import restore_generator
from tf_pix2pix.translation import Translator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", required=True, help="a run directory")
    parser.add_argument("--image", required=True, type=Path, help="larger than a tile, but fits in memory as a whole")
    parser.add_argument("--max_pixels", type=int, default=2**22, help="pixels per tile [4194304]")
    args = parser.parse_args()
    image = images.decode(args.image.read_bytes())
    tiled = Translator.from_run(args.run_dir, max_pixels=args.max_pixels).translate(image).astype(int)
    whole = Translator.from_run(args.run_dir, max_pixels=image.size).translate(image).astype(int)
    difference = np.abs(tiled - whole)
    print(f"difference in levels: mean {difference.mean():.2f}, 99th percentile {np.percentile(difference, 99):.0f}")
    multiple = size_multiple(restore_generator(args.run_dir))
    for axis, side in enumerate(image.shape[:2]):
        padded = padded_side(side, multiple)
        spans = tiling.spans(padded, tiling.tile_side(args.max_pixels, multiple), multiple)
        steps = [np.abs(np.diff(each, axis=axis)).mean(axis=(1 - axis, 2)) for each in (tiled, whole)]
        for first, second in zip(spans, spans[1:], strict=False):
            for border in (second.start, first.stop):
                at = border - (padded - side) // 2 - 1
                in_tiles, as_whole = steps[0][at], steps[1][at]
                print(f"axis {axis}, border at {at + 1}: mean step {in_tiles:.2f} in tiles, {as_whole:.2f} as a whole")


if __name__ == "__main__":
    main()
