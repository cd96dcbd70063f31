"""A built-in demonstration data set: facades drawn from random numbers, so that it needs no files and no network.

Each building is designed once as a list of parts (windows, sills, balconies, ...) in relative coordinates. Label map
and photo are two drawings of the same parts, in the same order and on the same pixels, so the photo follows the map
exactly. Materials have their habits (stone has pilasters, plaster has shutters), so that much of the look can be read
from the map.

The classes and their colours are those of the CMP Facade Database. Here a "cornice" is a ledge over a window or at the
eaves, a "molding" is a stripe across the wall or a frame round an opening, and a roof counts as wall.
"""

import numpy as np

from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.datasets.synthetic_facades.building import design
from tf_pix2pix.datasets.synthetic_facades.drawing import label_map, render

CLASSES = (
    "background",
    "wall",
    "window",
    "door",
    "cornice",
    "sill",
    "balcony",
    "blind",
    "deco",
    "molding",
    "pillar",
    "shop",
)
PALETTE = np.array(
    [
        (0, 0, 170),
        (0, 0, 255),
        (0, 85, 255),
        (0, 170, 255),
        (0, 255, 255),
        (85, 255, 170),
        (170, 255, 85),
        (255, 255, 0),
        (255, 170, 0),
        (255, 85, 0),
        (255, 0, 0),
        (170, 0, 0),
    ],
    np.uint8,
)
SPLITS = {"train": range(0, 400), "val": range(400, 440), "test": range(440, 480)}  # indices of the buildings


def facade(seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Photo and labels (in PALETTE colours), both uint8 [h, w, 3], of building `index`: the same one at any size."""
    building = design(np.random.default_rng([seed, index]))
    return render(building, size), PALETTE[label_map(building, size)]


def load(*, size: tuple[int, int], seed: int = 0) -> dict[str, Pairs]:
    """The splits train (400), val (40) and test (40); A is the photo, B the label map. No building is in two splits."""

    def pairs(split: str, indices: range) -> Pairs:
        names = [f"synthetic_facades/{split}/{i}" for i in range(len(indices))]
        return Pairs(names=names, read=lambda i: facade(seed, indices[i], size), uniform=True)

    return {split: pairs(split, indices) for split, indices in SPLITS.items()}
