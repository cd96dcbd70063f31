"""What exporters take, and what they give."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_pix2pix import images
from tf_pix2pix.runtimes import Runtime


@dataclass(frozen=True)
class Source:
    """A trained generator, and what is known of it."""

    generator: keras.Model
    size: tuple[int, int]  # (height, width) trained on
    input_channels: int
    output_channels: int
    train_inputs: list[np.ndarray]  # input pictures of the training split, uint8 [*size, input_channels]
    card: dict[str, Any]  # the model card, all but the parity figures


@dataclass(frozen=True)
class Options:
    """What can be chosen of an export."""

    tflite_precision: tuple[str, ...] | None = None  # of tflite.PRECISIONS; None: all
    tflite_size: tuple[int, int] | None = None  # (height, width); None: the size trained on; (0, 0): any
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)  # of the requests that a server is warmed up with
    max_pixels: int | None = None  # of one served picture, height x width; None: what 2 GB of memory allow


def reader_of(runtime: Runtime) -> Callable[[np.ndarray], np.ndarray]:
    """A loaded model as a function of uint8 [h, w, input_channels] to uint8 [h, w, output_channels]."""

    def read(picture):
        return images.to_uint8(runtime.generate(images.to_float(picture[np.newaxis]).numpy())[0]).numpy()

    return read


@dataclass(frozen=True)
class Artifact:
    """One exported file or folder, still in the staging directory, and how its users run it.

    Attributes:
      path: the file or folder.
      readers: by name of what runs it: a function of uint8 [h, w, input_channels] to uint8 [h, w, output_channels].
        Each one has loaded the artifact from `path`.
      fixed_size: (height, width) of the only pictures that the readers take, None: any.
      max_difference: bound on the difference from the run's own picture at any pixel, of 255. None: no such bound.
      min_psnr: bound, in dB, on the PSNR to the run's own picture, of each picture. None: no such bound.
    """

    path: Path
    readers: dict[str, Callable[[np.ndarray], np.ndarray]]
    fixed_size: tuple[int, int] | None = None
    max_difference: int | None = None
    min_psnr: float | None = None
