"""error_map: where a generated image differs from its target, as colors that anyone can rank by brightness."""

import functools

import numpy as np

ERROR_MAP_LIMIT = 1.0  # half of the range [-1, 1]; fixed, so that the maps of all images and runs compare


def error_map(gen_output: np.ndarray, target_image: np.ndarray) -> np.ndarray:
    """Colors each pixel by its error, the mean absolute difference over the channels.

    The colors are matplotlib's magma, in which equal steps of error look equal: black is no error, and light yellow an
    error of ERROR_MAP_LIMIT or more.

    Args:
      gen_output: float32 [h, w, c] in [-1, 1].
      target_image: likewise.

    Returns:
      uint8 [h, w, 3].
    """
    channels = target_image.shape[2]
    scale = np.full(channels, 255 / (channels * ERROR_MAP_LIMIT), np.float32)
    levels = np.minimum(np.abs(gen_output - target_image) @ scale + 0.5, 255)
    return np.take(_colors(), levels.astype(np.uint8), axis=0)


@functools.cache
def _colors() -> np.ndarray:
    """The 256 colors of error maps, uint8 [256, 3], from dark to light."""
    from matplotlib import colormaps  # slow to import

    return colormaps["magma"](np.arange(256), bytes=True)[:, :3]
