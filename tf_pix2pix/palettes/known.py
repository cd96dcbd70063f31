"""Palettes by name, and palette files."""

import itertools
import json
import os
from pathlib import Path

from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes.palette import Palette

# Classes in the order of the CMP Facade Database's label files (Tylecek and Sara, GCPR 2013).
_CMP = ("background", "facade", "window", "door", "cornice", "sill", "balcony", "blind", "deco", "molding", "pillar",
        "shop")  # fmt: skip

# Cityscapes' own color of each class (Cordts et al., CVPR 2016). Black stands for all pixels without a class.
_CITYSCAPES = {
    "unlabeled": (0, 0, 0), "dynamic": (111, 74, 0), "ground": (81, 0, 81), "road": (128, 64, 128),
    "sidewalk": (244, 35, 232), "parking": (250, 170, 160), "rail track": (230, 150, 140), "building": (70, 70, 70),
    "wall": (102, 102, 156), "fence": (190, 153, 153), "guard rail": (180, 165, 180), "bridge": (150, 100, 100),
    "tunnel": (150, 120, 90), "pole": (153, 153, 153), "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35), "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100), "caravan": (0, 0, 90),
    "trailer": (0, 0, 110), "train": (0, 80, 100), "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip

PALETTES = {
    # The published pairs. They are JPEGs: these are the median colors of the flat areas of 400 label maps, 12 steps of
    # 80 levels through Matlab's "jet".
    "facades": Palette(
        ((0, 0, 222), (0, 48, 255), (0, 128, 255), (0, 207, 255), (32, 255, 223), (112, 255, 143), (192, 255, 63),
         (255, 239, 0), (255, 159, 0), (255, 80, 0), (255, 0, 0), (174, 0, 0)), _CMP
    ),
    # The database's own label files, whose colors differ from those of the published pairs.
    "cmp": Palette(
        ((0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170), (170, 255, 85),
         (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0)), _CMP
    ),
    "cityscapes": Palette(tuple(_CITYSCAPES.values()), tuple(_CITYSCAPES)),
}  # fmt: skip


def read_palette(name: str | os.PathLike) -> Palette:
    """The palette of a name in PALETTES, or else of a file.

    The file holds JSON with `colors`, or lines "R G B name" or "LEVEL name" (GIMP's .gpl too).

    Raises:
      InputError: the file is missing, or is not a palette.
    """
    if name in PALETTES:
        if Path(name).is_file():
            print(f"--palette={name}: the named palette; for the file of this name pass --palette=./{name}")
        return PALETTES[name]
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"--palette={name}: {error.strerror}; pass a file or one of {', '.join(PALETTES)}") from None
    except UnicodeDecodeError:
        raise InputError(f"--palette={name}: not a text file; write JSON, or lines of R G B and a name") from None
    try:
        return Palette.from_json(json.loads(text) if text.lstrip().startswith(("{", "[")) else _parse_lines(text))
    except ValueError as error:
        raise InputError(f"--palette={name}: {error}") from None


def _parse_lines(text):
    colors: list[list[int]] = []
    names: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#") or words[0] == "GIMP" or words[0].endswith(":"):
            continue
        levels = [int(word) for word in itertools.takewhile(str.isdecimal, words[:3])]
        if len(levels) not in (1, 3):
            raise ValueError(f'the line "{line}" does not begin with R G B or a gray level')
        colors.append(levels)
        names.append(" ".join(words[len(levels) :]) or f"{len(names)}")
    return {"colors": colors, "names": names}
