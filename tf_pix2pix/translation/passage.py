"""How a picture of any size goes through a network: as a whole, mirrored at its borders, or in tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, inference, runtimes, tiling
from tf_pix2pix.errors import RunError, error_line

UNKNOWN_MAX_PIXELS = 2**20  # of a tile for a server that refuses the whole: any generator stays within 2 GB
UNKNOWN_MULTIPLE = 256  # the largest that a U-Net of the paper has


@dataclass(frozen=True)
class Passage:
    """What a network takes and gives, and in which sizes."""

    formats: tuple[images.Format, images.Format]  # of what it takes and gives
    max_pixels: int | None  # of a picture that goes through as a whole; None: as many as a server takes
    multiple: int  # what sides are padded to multiples of
    fixed_size: tuple[int, int] | None  # the only (height, width) that it takes
    blended: bool  # tiles are where they meet; label maps are not

    def translate(self, picture: np.ndarray, generate: Callable) -> np.ndarray:
        """The picture, [h, w, c], in its own size through `generate`: [h, w, c'], in the format that the network gives.

        Args:
          generate: the network, or a variant of it: float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'].

        Raises:
          RunError: it fails (memory), or gives another size; runtimes.Refused: a server does not take the picture.
        """
        size = picture.shape[:2]
        if self.fixed_size:
            over = [max(side - tile, 0) for side, tile in zip(size, self.fixed_size, strict=True)]
            steps = [tiling.alignment(tile, self.multiple) for tile in self.fixed_size]
            padded = [
                tile - -more // step * step for tile, more, step in zip(self.fixed_size, over, steps, strict=True)
            ]
            return self._tiled(picture, generate, padded, self.fixed_size)
        if self.max_pixels is None or size[0] * size[1] <= self.max_pixels:
            try:
                return self._tiled(picture, generate, size, size)  # one; `generate` pads it
            except runtimes.Refused:
                if self.max_pixels is not None or size[0] * size[1] <= UNKNOWN_MAX_PIXELS:
                    raise
        side = tiling.tile_side(self.max_pixels or UNKNOWN_MAX_PIXELS, self.multiple)
        padded = [inference.fitting_side(own, self.multiple) for own in size]  # as for a whole picture
        return self._tiled(picture, generate, padded, (side, side))

    def _tiled(
        self, picture: np.ndarray, generate: Callable, padded: Sequence[int], tiles: Sequence[int]
    ) -> np.ndarray:
        """The picture mirrored to `padded` (height, width), through tiles of (height, width), and cropped again."""
        size = picture.shape[:2]
        before = [(whole - side) // 2 for whole, side in zip(padded, size, strict=True)]
        borders = [(least, whole - side - least) for least, whole, side in zip(before, padded, size, strict=True)]
        picture = np.pad(picture, [*borders, (0, 0)], mode="reflect")  # as inference.reflect_to
        fixed = self.fixed_size is not None
        axes = zip(padded, tiles, strict=True)
        rows, columns = (tiling.spans(*axis, self.multiple, fixed, self.blended) for axis in axes)
        translated = _run(generate, picture, rows, columns, self.formats[0].range, self.formats[1])
        return translated[before[0] : before[0] + size[0], before[1] : before[1] + size[1]]


def _run(generate: Callable, picture: np.ndarray, *how) -> np.ndarray:
    """tiling.translate_tiled."""
    try:
        return tiling.translate_tiled(generate, picture, *how)
    except tf.errors.OpError as error:  # memory, mostly
        height, width = picture.shape[:2]
        raise RunError(f"a picture of {height}x{width} pixels: {error_line(error)}; lower max_pixels") from error
