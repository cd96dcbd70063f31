"""Designs buildings: their parts in relative coordinates, materials and colors. drawing.py draws them."""

from dataclasses import dataclass

import numpy as np

# The probability of each feature, by material. "roller": partly lowered blinds, "base": stone blocks at street level.
FEATURES = ("arch", "frame", "hood", "shutters", "roller", "deco", "pilasters", "portal", "stripes", "base", "shop")
CHANCES = {
    "brick": (0.5, 0.8, 0.3, 0.1, 0.5, 0.4, 0.2, 0.3, 0.4, 0.4, 0.6),
    "plaster": (0.1, 0.6, 0.7, 0.7, 0.3, 0.6, 0.1, 0.4, 0.5, 0.7, 0.6),
    "stone": (0.4, 0.7, 0.6, 0.0, 0.5, 0.8, 0.8, 0.8, 0.7, 0.4, 0.6),
}

# Colors, RGB in 0..255. Each building draws one entry from each list.
WALLS = {
    "brick": [(164, 92, 72), (152, 84, 70), (174, 108, 82)],
    "plaster": [(232, 206, 156), (224, 190, 142), (226, 206, 182), (214, 212, 184), (230, 186, 156)],
    "stone": [(190, 174, 146), (182, 172, 158), (198, 176, 140)],
}
SKIES = [
    ((86, 142, 208), (196, 220, 238)),
    ((92, 150, 214), (212, 226, 236)),
    ((166, 178, 194), (224, 228, 232)),
    ((122, 140, 186), (246, 206, 168)),
]  # (zenith, horizon): clear twice, overcast, sunset
ROOFS = [(150, 84, 66), (104, 98, 102), (126, 92, 80)]
WOODS = [(96, 62, 40), (58, 82, 66), (104, 48, 42), (62, 70, 88)]  # doors, shutters, shop fronts
AWNINGS = [(176, 58, 50), (50, 104, 82), (58, 84, 130)]

NOISE = 256  # side of the square of random numbers that textures a building


@dataclass(frozen=True)
class Part:
    """A box in fractions of the image, y pointing down."""

    kind: str  # a key of shaders.KINDS
    top: float
    bottom: float
    center: float
    half: float  # half the width
    shape: str = "box"  # the silhouette that fills the box: box, arch, round, gable or mansard
    variant: int = 0  # the curtains of a window, 0 to 2


@dataclass(frozen=True)
class Building:
    """Everything that the photo and the label map are drawn from, at any size."""

    parts: list[Part]  # in any order; shaders.KINDS has the drawing order
    material: str  # brick, plaster or stone
    light: int  # 1: the sun is on the left and shadows fall to the right; -1: the reverse
    grass: bool  # grass in front of the building instead of pavement and road
    colors: dict[str, np.ndarray]  # wall, roof, wood, awning, zenith, horizon: float32 [3] in 0..255
    noise: np.ndarray  # float32 [NOISE, NOISE], standard normal


def design(rng: np.random.Generator) -> Building:
    """Draws a random building: a street level, one to four upper floors of three to six bays, and a roof."""
    material = str(rng.choice(list(CHANCES)))
    has = {feature: rng.random() < chance for feature, chance in zip(FEATURES, CHANCES[material], strict=True)}
    street, eaves = rng.uniform(0.91, 0.95), rng.uniform(0.13, 0.37)
    left, right = rng.uniform(0.03, 0.16), rng.uniform(0.84, 0.97)
    middle, half = (left + right) / 2, (right - left) / 2
    floor_count = int(np.clip(round((street - eaves) / rng.uniform(0.14, 0.2)), 2, 5))
    height = (street - eaves) / (floor_count + 0.25)  # of a floor; the street level is higher by a quarter
    count = int(np.clip(round(2 * half / rng.uniform(0.13, 0.22)), 3, 6))
    widths = np.ones(count)
    widths[count // 2] += 0.35 * (count % 2) * (rng.random() < 0.4)  # sometimes a wider middle bay
    widths *= (2 * half - 0.04) / widths.sum()
    edges = left + 0.02 + np.insert(np.cumsum(widths), 0, 0)
    window_share = rng.uniform(0.19, 0.24)
    bays = [(edge + width / 2, width, window_share * width) for edge, width in zip(edges[:-1], widths, strict=True)]

    parts = [Part("sky", 0, 1, 0.5, 0.5), Part("ground", street, 1, 0.5, 0.5)]
    parts.append(Part("wall", eaves, street, middle, half))
    for center, reach in ((left / 2, left / 2), ((1 + right) / 2, (1 - right) / 2)):
        if rng.random() < 0.5:
            parts.append(Part("neighbor", eaves + rng.uniform(0.1, 0.3), street, center, reach))
    parts += roof_parts(rng, bays, eaves, middle, half)
    floors = eaves + height * np.arange(floor_count)
    for top in floors[:-1]:
        parts += floor_parts(rng, has, bays, top, height)
    parts += [Part("stripe", top, top + 0.012, middle, half) for top in floors[1:-1] if has["stripes"]]
    parts += [Part("stripe", floors[-1], floors[-1] + 0.018, middle, half)]
    parts += [Part("base", floors[-1], street, middle, half)] if has["base"] else []
    parts += street_parts(rng, has, bays, floors[-1] + 0.018, street)
    if has["pilasters"]:
        parts += [Part("pillar", eaves, floors[-1], x, 0.011) for x in (edges if count < 6 else edges[[0, -1]])]

    zenith, horizon = SKIES[rng.integers(len(SKIES))]
    colors = {"zenith": zenith, "horizon": horizon}
    for name, choices in (("wall", WALLS[material]), ("roof", ROOFS), ("wood", WOODS), ("awning", AWNINGS)):
        colors[name] = choices[rng.integers(len(choices))]
    return Building(
        parts=parts,
        material=material,
        light=int(rng.choice([-1, 1])),
        grass=bool(rng.random() < 0.25),
        colors={name: np.array(color, np.float32) for name, color in colors.items()},
        noise=rng.standard_normal((NOISE, NOISE), np.float32),
    )


def roof_parts(rng, bays, eaves, middle, half) -> list[Part]:
    """The cornice, and above it a roof with dormers, a gable, an attic wall or nothing."""
    style, height = rng.choice(["flat", "dormers", "gable", "attic"]), min(rng.uniform(0.1, 0.16), eaves - 0.04)
    ridge, parts = eaves - height, [Part("cornice", eaves - 0.012, eaves + 0.016, middle, half + 0.012)]
    if style == "dormers":
        parts.append(Part("roof", ridge, eaves, middle, half, "mansard"))
        parts += [Part("chimney", ridge - 0.03, eaves, x, 0.018) for x in (middle - 0.65 * half, middle + 0.65 * half)]
        top, bottom = ridge + 0.4 * height, eaves - 0.02
        for center, _, _ in bays[1:-1]:
            parts += [
                Part("window", top, bottom, center, 0.02),
                Part("frame", top - 0.01, bottom, center, 0.028),
                Part("hood", top - 0.028, top - 0.01, center, 0.034, "gable"),
            ]
    elif style == "gable":
        parts.append(Part("wall", ridge, eaves, middle, half, "gable"))
        parts.append(Part("deco", eaves - 0.6 * height, eaves - 0.1 * height, middle, 0.25 * height, "round"))
    elif style == "attic":
        parts.append(Part("wall", ridge, eaves, middle, 0.4 * half))
        parts.append(Part("wall", eaves - 0.4 * height, eaves, middle, half))
        parts.append(Part("stripe", ridge - 0.012, ridge, middle, 0.4 * half + 0.01))
        parts.append(Part("deco", ridge + 0.15 * height, eaves - 0.25 * height, middle, 0.27 * half))
    return parts


def window_parts(rng, has, center, half, top, bottom, arch, shutters) -> list[Part]:
    """A window with a sill and either shutters, or a frame and sometimes a partly lowered blind."""
    shape = "arch" if arch else "box"
    parts = [
        Part("window", top, bottom, center, half, shape, int(rng.integers(3))),
        Part("sill", bottom, bottom + 0.012, center, half + 0.014),
    ]
    if shutters:
        return parts + [Part("blind", top, bottom, center + side * 1.35 * half, 0.35 * half) for side in (-1, 1)]
    if has["frame"]:
        parts.append(Part("frame", top - 0.011, bottom, center, half + 0.01, shape))
    if has["roller"] and not arch and rng.random() < 0.4:
        parts.append(Part("blind", top, top + rng.uniform(0.25, 0.6) * (bottom - top), center, half))
    return parts


def floor_parts(rng, has, bays, top, height) -> list[Part]:
    """One upper floor: equal windows in all bays, balconies at some windows, ornaments above or between them."""
    count, parts = len(bays), []
    arch, panels = has["arch"] and rng.random() < 0.6, has["deco"] and height > 0.17 and rng.random() < 0.5
    with_balcony = [(), (), (count // 2, (count - 1) // 2), (0, count - 1), range(count)][rng.integers(5)]
    glass_top, glass_bottom, gables = top + 0.27 * height, top + 0.84 * height, rng.random() < 0.4
    for bay, (center, width, half) in enumerate(bays):
        parts += window_parts(rng, has, center, half, glass_top, glass_bottom, arch, has["shutters"] and not arch)
        if panels:
            parts.append(Part("deco", top + 0.014, glass_top - 0.012, center, half))
        elif has["hood"] and not arch:
            hood_top, hood_bottom = glass_top - (0.16 * height if gables else 0.02) - 0.011, glass_top - 0.011
            parts.append(Part("hood", hood_top, hood_bottom, center, half + 0.018, "gable" if gables else "box"))
        if bay in with_balcony:
            reach = min(half + 0.03, width / 2 - 0.004)
            parts.append(Part("balcony", glass_bottom - 0.24 * height, glass_bottom + 0.015, center, reach))
    if has["deco"] and not (panels or has["pilasters"] or has["shutters"]):
        y = top + 0.5 * height
        parts += [Part("deco", y - 0.02, y + 0.02, center - width / 2, 0.02, "round") for center, width, _ in bays[1:]]
    return parts


def street_parts(rng, has, bays, top, street) -> list[Part]:
    """The street level: a door in one bay, shops or windows in the others."""
    parts, height, entrance = [], street - top, rng.integers(len(bays))
    for bay, (center, width, half) in enumerate(bays):
        if bay == entrance:
            lintel, reach = top + 0.22 * height, min(max(0.26 * width, 0.03), 0.05)
            shape = "arch" if has["arch"] else "box"
            parts.append(Part("door", lintel, street, center, reach, shape))
            parts.append(Part("frame", lintel - 0.014, street, center, reach + 0.012, shape))
            if has["portal"]:
                jambs = center - reach - 0.013, center + reach + 0.013
                parts += [Part("pillar", lintel - 0.014, street, x, 0.011) for x in jambs]
                parts.append(Part("hood", lintel - 0.034, lintel - 0.014, center, reach + 0.032))
            elif has["deco"]:
                parts.append(Part("deco", lintel - 0.014 - 0.14 * height, lintel - 0.014, center, 0.8 * reach))
        elif has["shop"] and rng.random() < 0.85:
            parts.append(Part("shop", top + 0.16 * height, street, center, 0.43 * width))
        else:
            parts += window_parts(rng, has, center, half, top + 0.26 * height, top + 0.7 * height, has["arch"], False)
    return parts
