"""SizePolicy: translates images of any size: whole, mirrored at the borders to a size that fits, or in tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_pix2pix import inference, runtimes, tiling
from tf_pix2pix.errors import RunError, error_line
from tf_pix2pix.sides import Sides

SERVER_TILE_PIXELS = 2**20  # of a tile, if a server refuses the whole image: any generator needs less than 2 GB for it


@dataclass(frozen=True)
class SizePolicy:
    """The sizes that a network accepts; attributes as in Model. blended: tiles blend where they overlap."""

    sides: Sides | None
    max_pixels: int | None
    multiple: int
    fixed_size: tuple[int, int] | None
    blended: bool

    def translate(self, image: np.ndarray, generate: Callable) -> np.ndarray:
        """Translates [h, w, c] at its own size -> [h, w, c'].

        Args:
          generate: the network, float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'].

        Raises:
          RunError: the network fails (memory) or returns another size; runtimes.Refused if a server refuses the image.
        """
        size = image.shape[:2]
        if self.fixed_size:
            beyond = [max(side - tile, 0) for side, tile in zip(size, self.fixed_size, strict=True)]
            steps = [tiling.alignment(tile, self.multiple) for tile in self.fixed_size]
            padded = [
                tile - -more // step * step for tile, more, step in zip(self.fixed_size, beyond, steps, strict=True)
            ]
            return self._translate_tiles(image, generate, padded, self.fixed_size)
        if self.max_pixels is None or size[0] * size[1] <= self.max_pixels:
            try:
                return self._translate_tiles(image, generate, size, size)  # a single tile, which `generate` pads
            except runtimes.Refused:
                if self.max_pixels is not None or size[0] * size[1] <= SERVER_TILE_PIXELS:
                    raise
        side = tiling.tile_side(self.max_pixels or SERVER_TILE_PIXELS, self.multiple)
        padded = [inference.padded_side(own, self.multiple) for own in size]
        return self._translate_tiles(image, generate, padded, (side, side))

    def _translate_tiles(
        self, image: np.ndarray, generate: Callable, padded: Sequence[int], tile: Sequence[int]
    ) -> np.ndarray:
        """Mirrors the image to `padded` (height, width), translates it in tiles of (height, width), and crops it."""
        size = image.shape[:2]
        whole = image if tuple(padded) == size else inference.reflect_to(image[np.newaxis], *padded).numpy()[0]
        is_fixed = self.fixed_size is not None
        rows, columns = (
            tiling.spans(length, side, self.multiple, is_fixed, self.blended)
            for length, side in zip(padded, tile, strict=True)
        )
        try:
            translated = tiling.translate_tiled(generate, whole, rows, columns, self.sides)
        except tf.errors.OpError as error:  # memory, mostly
            raise RunError(
                f"the model failed on a {size[0]}x{size[1]} image: {error_line(error)}; lower max_pixels"
            ) from error
        return inference.crop_from(translated[np.newaxis], padded, size)[0]
