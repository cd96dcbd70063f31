"""A built-in demonstration data set of random facades, which needs no files and no network.

A building is a list of parts (windows, sills, balconies, ...) in relative coordinates. The label map and the photo draw
the same parts, in the same order and on the same pixels, so that they match exactly. Each material prefers some parts
(stone has pilasters, plaster has shutters), so that a network can infer much of the photo from the label map.

Classes and colors are those of the CMP Facade Database. Here a "cornice" is a ledge above a window or at the eaves, a
"molding" is a stripe across the wall or the frame of an opening, and roofs are labeled "wall".
"""

import numpy as np

from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.datasets.synthetic_facades.building import design
from tf_pix2pix.datasets.synthetic_facades.drawing import label_map, render

COLORS = {
    "background": (0, 0, 170),
    "wall": (0, 0, 255),
    "window": (0, 85, 255),
    "door": (0, 170, 255),
    "cornice": (0, 255, 255),
    "sill": (85, 255, 170),
    "balcony": (170, 255, 85),
    "blind": (255, 255, 0),
    "deco": (255, 170, 0),
    "molding": (255, 85, 0),
    "pillar": (255, 0, 0),
    "shop": (170, 0, 0),
}
CLASSES, PALETTE = tuple(COLORS), np.array([*COLORS.values()], np.uint8)
SPLITS = {"train": range(0, 400), "val": range(400, 440), "test": range(440, 480)}  # building indices


def facade(seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draws a building: the same one for the same seed and index, at any size.

    Returns:
      The photo and the label map in the colors of PALETTE, both uint8 [h, w, 3].
    """
    building = design(np.random.default_rng([seed, index]))
    return render(building, size), PALETTE[label_map(building, size)]


def load(*, size: tuple[int, int], seed: int = 0) -> dict[str, Pairs]:
    """The splits train (400 pairs), val (40) and test (40), which share no building. A: photos, B: label maps."""

    def pairs(split: str, indices: range) -> Pairs:
        names = [f"synthetic_facades/{split}/{i}" for i in range(len(indices))]
        return Pairs(names=names, read=lambda i: facade(seed, indices[i], size), uniform=True)

    return {split: pairs(split, indices) for split, indices in SPLITS.items()}
