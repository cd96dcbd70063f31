"""ValidationImages: what the generated images of an evaluation look like beside their targets."""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix.codecs import Codec
from tf_pix2pix.metrics.grid import GridEnergy

BLOCK = 8  # pixels: averages over blocks of this side contain neither noise nor the grid of upsampling
MAX_INNERMOST = 16  # images whose innermost activations are computed, which takes half a translation each
EVEN = 1e-6  # statistics of targets that are all one color, but for rounding
RESPONSE = 1e-6  # a unit whose activations have a smaller standard deviation over the images does not respond


class ValidationImages:
    """Accumulates the pairs of one evaluation, all of one size.

    Args:
      innermost: from `innermost_activations`; None: the generator is not a U-Net.
    """

    def __init__(self, innermost: Callable[[tf.Tensor], tf.Tensor] | None = None):
        self._innermost, self._activations = innermost, []  # type: ignore[var-annotated]
        self._generated, self._targets = _Statistics(), _Statistics()

    def update(self, input_image, gen_output, target_image) -> None:
        """Adds a batch, float32 [n, h, w, c] in [-1, 1]."""
        self._generated.update(np.asarray(gen_output))
        self._targets.update(np.asarray(target_image))
        if self._innermost and len(self._activations) < MAX_INNERMOST:
            self._activations += [*np.asarray(self._innermost(input_image), np.float32)]

    def results(self) -> dict[str, float]:
        """Values for the evaluation's record; those that the images leave undefined are missing.

        val_detail: mean gradient magnitude of the generated images over that of the targets.
        val_contrast: standard deviation of averages over 8x8 pixels within each image, likewise over the targets'.
        val_variation: standard deviation of each pixel over the images, likewise.
        val_grid_energy, val_grid_energy_targets: energy at the strides of upsampling, in dB.
        val_bottleneck: share of the innermost units of a U-Net that respond to the input.
        """
        generated, targets = self._generated.results(), self._targets.results()
        ratios = {f"val_{name}": generated[name] / targets[name] for name in generated if targets[name] > EVEN}
        grids = {"val_grid_energy": self._generated.grid.worst, "val_grid_energy_targets": self._targets.grid.worst}
        values = ratios | {name: value for name, value in grids.items() if math.isfinite(value)}
        if len(self._activations) > 1:
            values["val_bottleneck"] = np.mean(np.std(self._activations, axis=0) > RESPONSE)
        return {name: float(value) for name, value in values.items()}


class _Statistics:
    """The generated images, or the targets."""

    def __init__(self):
        self._count, self._gradient, self._contrast = 0, 0.0, 0.0
        self._sum, self._squares = np.zeros(()), np.zeros(())
        self.grid = GridEnergy()

    def update(self, batch: np.ndarray) -> None:
        n, height, width, channels = batch.shape
        self._count += n
        self._gradient += n * sum(float(np.abs(np.diff(batch, axis=axis)).mean()) for axis in (1, 2))
        side = min(BLOCK, height, width)
        rows, columns = height // side, width // side
        blocks = batch[:, : rows * side, : columns * side].reshape(n, rows, side, columns, side, channels)
        self._contrast += float(blocks.mean(axis=(2, 4)).std(axis=(1, 2)).mean(axis=1).sum())
        self._sum = self._sum + batch.sum(axis=0, dtype=np.float64)
        self._squares = self._squares + np.square(batch, dtype=np.float64).sum(axis=0)
        self.grid.update(batch)

    def results(self) -> dict[str, float]:
        values = {"detail": self._gradient / self._count, "contrast": self._contrast / self._count}
        if self._count > 1:
            variance = self._squares / self._count - np.square(self._sum / self._count)
            values["variation"] = float(np.sqrt(np.maximum(variance, 0.0)).mean())
        return values


def innermost_activations(generator: keras.Model, codec: Codec) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function: input images -> the activations between the encoder and the decoder of a U-Net.

    The encoder's are LeakyReLU, so the first ReLU is the one that the decoder begins with.
    """
    relu = next(layer for layer in generator.layers if isinstance(layer, keras.layers.ReLU))
    encoder = keras.Model(generator.inputs, relu.output)
    return tf.function(lambda input_image: encoder(codec.encode_input(input_image)), autograph=False)
