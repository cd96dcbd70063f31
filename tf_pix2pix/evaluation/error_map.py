"""error_map: where a generated image differs from its target, as colors that anyone can rank by brightness."""

import functools

import numpy as np

ERROR_MAP_LIMIT = 1.0  # half of the range [-1, 1]; fixed, so that the maps of all images and runs compare


def error_map(gen_output: np.ndarray, target_image: np.ndarray) -> np.ndarray:
    """The row in `error_colors` of each pixel's error, the mean absolute difference over the channels.

    Args:
      gen_output: float32 [h, w, c] in [-1, 1].
      target_image: likewise.

    Returns:
      uint8 [h, w, 1]: 0 without error, 255 for an error of ERROR_MAP_LIMIT or more.
    """
    channels = target_image.shape[2]
    scale = np.full(channels, 255 / (channels * ERROR_MAP_LIMIT), np.float32)
    levels = np.minimum(np.abs(gen_output - target_image) @ scale + 0.5, 255)
    return levels.astype(np.uint8)[..., np.newaxis]


@functools.cache
def error_colors() -> np.ndarray:
    """The 256 colors of error maps, uint8 [256, 3], from black to light yellow.

    They are matplotlib's magma, in which equal steps of error look equal.
    """
    from matplotlib import colormaps  # slow to import

    return colormaps["magma"](np.arange(256), bytes=True)[:, :3]
