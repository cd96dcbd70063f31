"""Source and Options, the arguments of exporters; Artifact, their result."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_pix2pix.errors import InputError
from tf_pix2pix.run import Run
from tf_pix2pix.runtimes import Runtime
from tf_pix2pix.sides import Sides

# Threshold for targets of more than 8 bits: the share of the value range by which another order of arithmetic may
# change a pixel. Measured at most 2 / 65535 in SavedModels, LiteRT and ONNX Runtime (U-Nets of up to 54M parameters,
# ResNets; smooth fields, noise).
DEEP_DIFFERENCE = 16 / 65535

# Threshold for label maps in float32: the least share of pixels with the run's class. Rounding can exchange two classes
# of equal logits, however far apart their colors. Measured in six images of 128x128 of a trained run: no pixel differs.
SAME_LABELS = 0.999

MAX_BYTES = 2**31  # of a TFLite or ONNX file: flatbuffers have 32-bit offsets, protocol buffers the same limit


@dataclass(frozen=True)
class Source:
    """A run's generator, ready to export.

    Attributes:
      generator: from images to images, with the weights of the checkpoint.
      card: the model card, without the figures of the export check.
      train_inputs: input images of the training split, [*size, c], for measuring the ranges of int8.
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
        """Whether inputs or targets are label maps, whose pixels have only the colors of a palette."""
        return any(side.palette for side in self.sides)

    @property
    def max_difference(self) -> int:
        """Threshold, in levels of the targets, on the effect of another order of float32 arithmetic."""
        target = self.sides.target
        return 1 if target.depth == "uint8" else math.ceil(DEEP_DIFFERENCE * target.levels)

    def check_bytes(self, file_format: str) -> None:
        """Raises InputError if the weights do not fit into one file of at most MAX_BYTES."""
        if 4 * self.generator.count_params() >= MAX_BYTES:
            raise InputError(
                f"--format={file_format}: {self.generator.count_params():,} parameters exceed the 2 GB of a "
                f".{file_format} file; train with fewer filters, or leave {file_format} out"
            )


@dataclass(frozen=True)
class Options:
    """The options of an export."""

    tflite_precision: tuple[str, ...] | None = None  # keys of tflite.PRECISIONS; None: all
    tflite_size: tuple[int, int] | None = None  # (height, width); None: the size trained on; (0, 0): any
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)  # of a server's warm-up requests
    max_pixels: int | None = None  # limit of a served image, height x width; None: as many as 2 GB of memory allow


def make_reader(runtime: Runtime, sides: Sides) -> Callable[[np.ndarray], np.ndarray]:
    """A function of a loaded model from input images [h, w, c] to generated images [h, w, c'] of the sides."""

    def read(image):
        generated = runtime.generate(sides.input.to_float(image[np.newaxis]).numpy())
        return sides.target.from_float(generated[0]).numpy()

    return read


@dataclass(frozen=True)
class Artifact:
    """An exported file or folder in the staging folder, and its thresholds.

    Attributes:
      path: the file or folder.
      readers: name of a runtime that has loaded it -> function from input images to generated images of the run's
        sides.
      fixed_size: the only (height, width) that the readers accept; None: any.
      max_difference: threshold on the difference from the run's own image at any pixel, in levels of the targets
        (Side.levels); None: not checked.
      min_psnr: threshold, in dB, on each image's PSNR to the run's own image; None: not checked.
      min_agreement: for label maps, instead of both: the least share of an image's pixels with the run's color.
      optional: skip the artifact, instead of failing, if it misses its thresholds.
    """

    path: Path
    readers: dict[str, Callable[[np.ndarray], np.ndarray]]
    fixed_size: tuple[int, int] | None = None
    max_difference: int | None = None
    min_psnr: float | None = None
    min_agreement: float = SAME_LABELS
    optional: bool = False
