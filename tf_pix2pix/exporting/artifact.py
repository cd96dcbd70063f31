"""What exporters take, and what they give."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_pix2pix import images
from tf_pix2pix.images import EIGHT_BITS, Format
from tf_pix2pix.runtimes import Runtime

# Of the range of targets of more than 8 bits, what arithmetic in another order may differ by: 16 of 65535. At most 2
# were seen, in SavedModels, LiteRT and ONNX Runtime (U-Nets of up to 54M parameters, ResNets; smooth fields, noise).
DEEP_DIFFERENCE = 16 / 65535

# Of label maps, by what computes in float32: the least share of pixels with the run's class. A class is the highest of
# the logits. Where two are equal but for rounding either may win, which is no matter of how far off the picture is; it
# happened to no pixel of a trained run's six pictures of 128x128.
SAME_LABELS = 0.999


@dataclass(frozen=True)
class Source:
    """A trained generator, and what is known of it."""

    generator: keras.Model
    size: tuple[int, int]  # (height, width) trained on
    input_channels: int
    output_channels: int
    train_inputs: list[np.ndarray]  # input pictures of the training split, [*size, input_channels]
    card: dict[str, Any]  # the model card, all but the parity figures
    formats: tuple[Format, Format] = (EIGHT_BITS, EIGHT_BITS)  # of the inputs and of the targets
    resize_method: str = "bicubic"  # of inputs, one of images.RESIZE_METHODS
    has_palette: bool = False  # inputs are one-hot or targets classes: pixels are of this colour or of another
    has_lab: bool = False  # a and b are predicted from L

    @property
    def max_difference(self) -> int:
        """By how many levels of the targets arithmetic in another order may be off: whatever computes in float32."""
        target = self.formats[1]
        return 1 if target.depth == "uint8" else math.ceil(DEEP_DIFFERENCE * target.levels)


@dataclass(frozen=True)
class Options:
    """What can be chosen of an export."""

    tflite_precision: tuple[str, ...] | None = None  # of tflite.PRECISIONS; None: all
    tflite_size: tuple[int, int] | None = None  # (height, width); None: the size trained on; (0, 0): any
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)  # of the requests that a server is warmed up with
    max_pixels: int | None = None  # of one served picture, height x width; None: what 2 GB of memory allow


def reader_of(runtime: Runtime, source: Source) -> Callable[[np.ndarray], np.ndarray]:
    """A loaded model as a function of [h, w, input_channels] to [h, w, output_channels], in the source's formats."""
    taken, given = source.formats

    def read(picture):
        generated = runtime.generate(images.to_float(picture[np.newaxis], taken.range).numpy())
        return images.from_float(generated[0], given).numpy()

    return read


@dataclass(frozen=True)
class Artifact:
    """One exported file or folder, still in the staging directory, and how its users run it.

    Attributes:
      path: the file or folder.
      readers: by name of what runs it: a function of [h, w, input_channels] to [h, w, output_channels], in the formats
        of the source. Each one has loaded the artifact from `path`.
      fixed_size: (height, width) of the only pictures that the readers take, None: any.
      max_difference: bound on the difference from the run's own picture at any pixel, in levels of the targets
        (images.Format), for 8 bits of 255. None: no such bound.
      min_psnr: bound, in dB, on the PSNR to the run's own picture, of each picture. None: no such bound.
      min_agreement: of label maps, in place of these: the least share of pixels of each picture with the run's colour.
      may_be_left_out: where it is beyond its bounds, the others are exported all the same.
    """

    path: Path
    readers: dict[str, Callable[[np.ndarray], np.ndarray]]
    fixed_size: tuple[int, int] | None = None
    max_difference: int | None = None
    min_psnr: float | None = None
    min_agreement: float = SAME_LABELS
    may_be_left_out: bool = False
