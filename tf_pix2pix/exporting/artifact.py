"""What exporters receive, a Source, and what they yield, Artifacts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_pix2pix.run import Run
from tf_pix2pix.runtimes import Runtime
from tf_pix2pix.sides import Sides

# The share of the value range that another order of arithmetic may change in targets of more than 8 bits: 16 of 65535.
# At most 2 were seen, in SavedModels, LiteRT and ONNX Runtime (U-Nets of up to 54M parameters, ResNets; smooth fields,
# noise).
DEEP_DIFFERENCE = 16 / 65535

# For label maps in float32, the least share of pixels with the run's class. If two logits are equal but for rounding,
# either class may win, so the distance of their colors says nothing. In a trained run's six images of 128x128 no pixel
# differed.
SAME_LABELS = 0.999


@dataclass(frozen=True)
class Source:
    """A run's generator, ready to export.

    Attributes:
      generator: from images to images, with the weights of the checkpoint.
      card: the model card, without the figures of the export check.
      train_inputs: input images of the training split, [*size, c], on which int8 ranges are measured.
    """

    run: Run
    generator: keras.Model
    card: dict[str, Any]
    train_inputs: list[np.ndarray]

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) trained on."""
        return self.run.config.crop_size

    @property
    def sides(self) -> Sides:
        return self.run.sides

    @property
    def has_palette(self) -> bool:
        """Inputs or targets are label maps: a pixel has one color of a palette or another, nothing between."""
        return any(side.palette for side in self.sides)

    @property
    def max_difference(self) -> int:
        """The levels of the targets by which a float32 computation in another order may differ."""
        target = self.sides.target
        return 1 if target.depth == "uint8" else math.ceil(DEEP_DIFFERENCE * target.levels)


@dataclass(frozen=True)
class Options:
    """The choices that an export has."""

    tflite_precision: tuple[str, ...] | None = None  # keys of tflite.PRECISIONS; None: all
    tflite_size: tuple[int, int] | None = None  # (height, width); None: the size trained on; (0, 0): any
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)  # of the requests that warm a server up
    max_pixels: int | None = None  # of a served image, height x width; None: as many as 2 GB of memory allow


def make_reader(runtime: Runtime, sides: Sides) -> Callable[[np.ndarray], np.ndarray]:
    """A loaded model as a function from input images [h, w, c] to generated images [h, w, c'] of the sides."""

    def read(image):
        generated = runtime.generate(sides.input.to_float(image[np.newaxis]).numpy())
        return sides.target.from_float(generated[0]).numpy()

    return read


@dataclass(frozen=True)
class Artifact:
    """An exported file or folder, still in the staging directory, and how its users run it.

    Attributes:
      path: the file or folder.
      readers: the name of each runtime -> a function from input images to generated images, of the run's sides. Each
        has loaded the artifact from `path`.
      fixed_size: the only (height, width) that the readers accept; None: any.
      max_difference: threshold on the difference from the run's own image at any pixel, in levels of the targets
        (Side.levels); None: none.
      min_psnr: threshold, in dB, on the PSNR to the run's own image, for each image; None: none.
      min_agreement: for label maps, instead of these: the least share of pixels of each image with the run's color.
      optional: if it misses its thresholds, the others are exported all the same.
    """

    path: Path
    readers: dict[str, Callable[[np.ndarray], np.ndarray]]
    fixed_size: tuple[int, int] | None = None
    max_difference: int | None = None
    min_psnr: float | None = None
    min_agreement: float = SAME_LABELS
    optional: bool = False
