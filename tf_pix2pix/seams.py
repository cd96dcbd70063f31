"""Seams: tells side-by-side pairs from single images by the jump between the two middle columns.

The halves of a single image continue each other; the two images of a pair do not.
"""

from collections.abc import Sequence

import numpy as np

NEAR = 16  # columns on each side of the seam whose neighbors are compared
LEAST_SIDE = 8  # rows, and columns of each half, that a comparison requires
LEAST_IMAGES = 3  # of a set whose seams can be measured
# Medians of seam_ratio over real sets. Single images: 0.97 to 1.04 (468 facade photos of 256x256, 24 native ones 1.31,
# 468 label maps 0.86). Pairs: 12.3 (468 facades, photo beside labels), 54 (24 native ones), 8.5 to 129 (synthetic ones
# of 36 to 286 pixels), 7.7 (photo in gray beside the same photo). The seam of single files varies more: 5 % of the
# facade photos are above 2.5 and 1 % above 4, 5 % of the pairs of gray and color are below 2.8.
SINGLE, JOINED = 2.0, 4.0  # below: one image; above: two images


def seam_ratio(left: np.ndarray, right: np.ndarray) -> float:
    """The jump from the last column of one image to the first of another, relative to neighboring columns nearby.

    Args:
      left, right: [h, w, c] of any values.

    Returns:
      About 1 if they are the halves of one image; several times that for two images side by side. NaN if the columns
      cannot tell: even or noisy ones, and images that differ in height, channels or dtype, or are very small.
    """
    are_alike = (left.shape[::2], left.dtype) == (right.shape[::2], right.dtype)
    if not are_alike or min(*left.shape[:2], right.shape[1]) < LEAST_SIDE:
        return np.nan
    near = np.concatenate([left[:, -NEAR:, :3], right[:, :NEAR, :3]], axis=1).astype(np.float32)
    seam = min(NEAR, left.shape[1])
    last, first = near[:, seam - 1], near[:, seam]
    steps = np.abs(np.diff(near, axis=1)).mean(axis=(0, 2))
    level = {"uint8": 1.0, "uint16": 257.0}.get(left.dtype.name, float(np.ptp(near)) / 255)
    typical = max(float(np.median(np.delete(steps, seam - 1))), level)
    unrelated = float(np.abs(last - np.roll(first, len(first) // 2, axis=0)).mean())
    jump = float(steps[seam - 1])
    return jump / typical if max(jump, unrelated) > 3 * typical else np.nan


def middle_seam_ratio(image: np.ndarray) -> float:
    """seam_ratio of the two halves of [h, w, c]; NaN if the width is odd."""
    half = image.shape[1] // 2
    return np.nan if image.shape[1] % 2 else seam_ratio(image[:, :half], image[:, half:])


def look_single(ratios: Sequence[float]) -> bool:
    """Whether the halves of a set's files, from their seam ratios, look like single images cut in two."""
    return _median(ratios) < SINGLE


def look_joined(ratios: Sequence[float]) -> bool:
    """Whether a set's images, from their middle seam ratios, look like side-by-side pairs."""
    return _median(ratios) > JOINED


def _median(ratios: Sequence[float]) -> float:
    """The median; NaN unless the seams of half the images, and of a few, could be measured."""
    known = [ratio for ratio in ratios if not np.isnan(ratio)]
    return float(np.median(known)) if len(known) >= max(LEAST_IMAGES, len(ratios) / 2) else np.nan
