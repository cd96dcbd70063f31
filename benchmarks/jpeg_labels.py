"""How many pixels of JPEG label maps get a wrong class: by nearest color, and by `Palette.restore_colors`.

  python benchmarks/jpeg_labels.py FOLDER

FOLDER holds palette PNGs of the CMP Facade Database, classes 1 to 12. They are resized to 256 pixels in the published
colors and saved as JPEG. Prints the rows of a Markdown table.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tf_pix2pix.metrics import ConfusionMatrix
from tf_pix2pix.palettes import PALETTES, color_codes

SIZE = (256, 256)
METHODS = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
CODINGS = {"75, 4:2:0": (75, 2), "95, 4:2:0": (95, 2), "95, 4:4:4": (95, 0)}  # quality, Pillow's subsampling


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    files = sorted(parser.parse_args().folder.glob("*.png"))
    palette = PALETTES["facades"]
    print("| resized by | JPEG | nearest color | closest clear pixel |\n|---|---|---|---|")
    for method, resampling in METHODS.items():
        for coding, (quality, subsampling) in CODINGS.items():
            confusions = [ConfusionMatrix(len(palette.colors)) for _ in range(2)]
            for file in files:
                labels = np.array(Image.open(file)) - 1
                true_labels = np.array(Image.fromarray(labels).resize(SIZE, Image.Resampling.NEAREST))
                buffer = io.BytesIO()
                resized = Image.fromarray(palette.array[labels]).resize(SIZE, resampling)
                resized.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
                noisy = np.array(Image.open(buffer))
                mapped = (palette.map_colors(noisy), palette.restore_colors(noisy))
                for confusion, label_map in zip(confusions, mapped, strict=True):
                    confusion.update(true_labels, palette.classify(color_codes(label_map))[0])
            results = [confusion.results() for confusion in confusions]
            cells = [f"{1 - found['pixel_accuracy']:.1%} ({found['mean_iou']:.3f})" for found in results]
            print(f"| {method} | {coding} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
