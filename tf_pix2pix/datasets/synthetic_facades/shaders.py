"""How each kind of part looks in the photo, and its class in the label map.

A shader `f(b, part, y, x, h, w)` returns the colors of a part of building b, float32 broadcastable to [r, c, 3] in
0..255. h and w are the part's height and width; y [r, 1] and x [1, c] are the centers of its samples, measured from its
top left corner. All lengths are fractions of the image. `band` and `lines` average exactly over a sample, so that thin
lines fade in small images instead of flickering.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_pix2pix.datasets.synthetic_facades.building import NOISE

# Colors of all buildings, RGB in 0..255.
TRIM, GLASS, WHITE, IRON, GRASS, PAVEMENT, ROAD, MORTAR, HAZE = np.array(
    [
        (228, 218, 198),
        (44, 54, 66),
        (240, 238, 230),
        (40, 40, 44),
        (104, 128, 66),
        (170, 166, 160),
        (92, 92, 96),
        (198, 180, 162),
        (186, 184, 180),
    ],
    np.float32,
)


def band(x: np.ndarray, start: float, stop: float) -> np.ndarray:
    """The share of each sample that lies between start and stop, 0..1, in the shape of x."""
    step = x.flat[1] - x.flat[0]
    return np.clip(np.minimum(x + step / 2, stop) - np.maximum(x - step / 2, start), 0, step) / step


def lines(x: np.ndarray, pitch: float, share: float) -> np.ndarray:
    """The share of each sample covered by lines that repeat every `pitch` and fill `share` of it, 0..1."""
    step = (x.flat[1] - x.flat[0]) / pitch
    ends = x / pitch - step / 2, x / pitch + step / 2
    first, last = (np.floor(t) * share + np.minimum(t - np.floor(t), share) for t in ends)
    return (last - first) / step


def smooth(lattice: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Smooth noise [r, c] at y and x in [0, 1), interpolated from a small lattice [m, n]."""

    def along_rows(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        position = t.ravel() * (len(rows) - 1)
        below = position.astype(int)
        share = (position - np.floor(position))[:, None]
        return rows[below] + (rows[below + 1] - rows[below]) * (share * share * (3 - 2 * share))

    return along_rows(along_rows(lattice.T, x).T, y)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blends the colors first and second, [3] or [r, c, 3], with `share` [r, c] in 0..1 of the second."""
    return first + (second - first) * share[..., None]


def masonry(b, y, x, color, joint, course, length, contrast):
    """Blocks, `length` wide and `course` high, with joints. Every other course is shifted by half a block; `contrast`
    is the spread of the blocks' brightness."""
    row = np.floor(y / course).astype(int) % NOISE
    shift = row % 2 * 0.5
    block = np.floor(x / length + shift).astype(int) % NOISE
    upright = np.where(shift, lines(x + length / 2, length, 0.002 / length), lines(x, length, 0.002 / length))
    joints = np.maximum(upright, lines(y, course, 0.0025 / course))
    return mix(color * (1 + contrast * b.noise[row, block])[..., None], joint, joints)


def sky(b, part, y, x, h, w):
    clear = mix(b.colors["zenith"], b.colors["horizon"], np.minimum(y / 0.6, 1))
    clouds = smooth(b.noise[:5, :6], y, x) + 0.6 * smooth(b.noise[:11, 6:16], y, x)
    return mix(clear, WHITE, np.clip(clouds / 3, 0, 0.6))


def neighbor(b, part, y, x, h, w):
    return mix((b.colors["horizon"] + 2 * HAZE) / 3, GLASS, lines(y - 0.04, 0.13, 0.45) * lines(x, 0.1, 0.4) * 0.3)


def ground(b, part, y, x, h, w):
    if b.grass:
        return GRASS * (1 - 0.15 * lines(x + 0.3 * y, 0.007, 0.4))[..., None]
    pavement = PAVEMENT * (1 - 0.2 * lines(x, 0.08, 0.04) - 0.2 * band(y, 0, 0.006))[..., None]
    return mix(pavement, ROAD, band(y, 0.6 * h, h))


def wall(b, part, y, x, h, w):
    color = b.colors["wall"] * (1.04 - 0.14 * y / h)[..., None]  # darker toward the street
    if b.material == "brick":
        return masonry(b, y, x, color, MORTAR, 0.0135, 0.034, 0.08)
    if b.material == "stone":
        return masonry(b, y, x, color, color * 0.74, 0.034, 0.085, 0.035)
    return color * (1 + 0.03 * smooth(b.noise[:24, :24], y, x))[..., None]


def base(b, part, y, x, h, w):
    color = b.colors["wall"] * 0.4 + TRIM * 0.45
    return masonry(b, y, x, color, color * 0.7, 0.028, 0.075, 0.03)


def roof(b, part, y, x, h, w):
    return masonry(b, y, x, b.colors["roof"], b.colors["roof"] * 0.7, 0.012, 0.016, 0.07)


def window(b, part, y, x, h, w):
    pane = mix(GLASS, b.colors["horizon"], np.clip(0.7 - 0.9 * y / h - 0.4 * b.light * (x / w - 0.5), 0.06, 0.6))
    curtains = (0 * y, 0.6 - 0.6 * band(x, 0.25 * w, 0.75 * w), 0.5 * band(y, 0.55 * h, h))[part.variant]
    pane = mix(pane, WHITE * 0.85, curtains)
    casements = max(2, round(w / 0.035))
    uprights = lines(x + 0.003, w * 1.0001 / casements, 0.006 * casements / w)
    bars = np.maximum(uprights, band(y, 0, 0.007) + band(y, h - 0.007, h) + band(y, 0.3 * h, 0.3 * h + 0.005))
    sunny_side = band(x, 0, 0.006) if b.light > 0 else band(x, w - 0.006, w)
    shadow_of_wall = np.maximum(band(y, 0, 0.012), sunny_side)
    return mix(pane, WHITE, bars) * (1 - 0.45 * shadow_of_wall)[..., None]


def blind(b, part, y, x, h, w):
    return (b.colors["wood"] + 20) * (1 - 0.35 * lines(y, 0.009, 0.4) + 0.2 * band(x, 0.003, w - 0.003))[..., None]


def door(b, part, y, x, h, w):
    leaf = np.abs(2 * x / w - 1)  # 0 in the middle of the door, 1 at its sides
    panels = (band(y, 0.3 * h, 0.58 * h) + band(y, 0.65 * h, 0.92 * h)) * ((leaf > 0.2) & (leaf < 0.8))
    wood = b.colors["wood"] * (1 - 0.22 * panels - 0.5 * band(x, w / 2 - 0.002, w / 2 + 0.002))[..., None]
    fanlight = mix(wood, GLASS * 0.7 + b.colors["horizon"] * 0.3, band(y, 0.06 * h, 0.22 * h) * (leaf < 0.85))
    return fanlight * (1 - 0.4 * band(y, 0, 0.014))[..., None]


def shop(b, part, y, x, h, w):
    """A sign (the top 0.16 of the height), an awning (to 0.42), its shadow, panes, and a wooden base from 0.88 on."""
    pane = mix(GLASS, b.colors["horizon"], 0.45 * np.clip(1.2 - y / h - 0.5 * x / w, 0, 1))
    front = mix(pane, b.colors["wood"], np.maximum(lines(x + 0.003, w * 1.0001 / 2, 0.012 / w), band(y, 0.88 * h, h)))
    front = front * (1 - 0.5 * band(y, 0.4 * h, 0.52 * h))[..., None]
    cloth = mix(b.colors["awning"], WHITE, lines(x, w / 8, 0.5)) * (1.1 - 0.6 * y / h)[..., None]
    letters = band(y, 0.05 * h, 0.1 * h) * lines(x, 0.011, 0.6) * band(x, 0.25 * w, 0.75 * w)
    sign = mix(b.colors["awning"] * 0.6, WHITE, letters)
    return mix(mix(front, cloth, band(y, 0.16 * h, 0.42 * h)), sign, band(y, 0, 0.16 * h))


def frame(b, part, y, x, h, w):
    return TRIM * (1 - 0.15 * band(x, 0.006, w - 0.006) * band(y, 0.006, h))[..., None]


def ledge(b, part, y, x, h, w):
    """A sill, stripe, hood or cornice: light on top, darker below; a cornice has teeth."""
    teeth = lines(x, 0.014, 0.5) * band(y, 0.45 * h, 0.8 * h) * (part.kind == "cornice")
    return TRIM * (1.06 - 0.14 * band(y, 0.35 * h, h) - 0.2 * band(y, 0.8 * h, h) - 0.22 * teeth)[..., None]


def deco(b, part, y, x, h, w):
    """Rosettes in relief, as many as fit next to each other."""
    tile = w / max(1, round(w / h))
    v, u = 2 * y / h - 1, 2 * (x % tile) / tile - 1
    radius, petals = np.hypot(v, u), np.cos(8 * np.arctan2(v, u))
    relief = 0.12 * petals * np.clip(radius * 4, 0, 1) * (radius < 0.65) - 0.18 * (np.abs(radius - 0.75) < 0.1)
    return TRIM * (0.92 + relief - 0.08 * (b.light * u + v))[..., None]


def pillar(b, part, y, x, h, w):
    shaft = 1.02 - 0.22 * (2 * x / w - 1 + 0.35 * b.light) ** 2 - 0.12 * lines(x, w / 4, 0.3)
    ends = band(y, 0, 0.016) + band(y, h - 0.02, h)
    return TRIM * (shaft + (1 - shaft) * ends - 0.25 * band(y, 0.016, 0.02))[..., None]


def balcony(b, part, y, x, h, w):
    """Stone balusters in front of a dark gap, or iron bars with opacity as a fourth channel, to look between them."""
    slab = band(y, 0.82 * h, h)
    solid = slab + band(y, 0, 0.1 * h)
    if b.material == "stone":
        return mix(TRIM * 0.45, TRIM * (1 - 0.25 * slab)[..., None], np.maximum(solid, lines(x, 0.014, 0.6)))
    bars = np.clip(solid + lines(x, 0.01, 0.35) + band(y, 0.4 * h, 0.4 * h + 0.003), 0, 1)
    return np.dstack([mix(IRON, TRIM * 0.85, slab + 0 * x), bars])


@dataclass(frozen=True)
class Kind:
    """The properties of all parts of one kind."""

    label: int  # index into CLASSES
    shader: Callable[..., np.ndarray]
    depth: float = 0  # distance from the wall, which sets the length of the shadow


# In drawing order: parts farther in front come later and hide or shade those behind.
KINDS = {
    "sky": Kind(0, sky),
    "neighbor": Kind(0, neighbor),
    "ground": Kind(0, ground),
    "chimney": Kind(1, roof),
    "roof": Kind(1, roof),
    "wall": Kind(1, wall),
    "base": Kind(1, base),
    "frame": Kind(9, frame, 0.004),
    "window": Kind(2, window),
    "blind": Kind(7, blind, 0.004),
    "door": Kind(3, door),
    "shop": Kind(11, shop),
    "deco": Kind(8, deco, 0.004),
    "pillar": Kind(10, pillar, 0.006),
    "stripe": Kind(9, ledge, 0.007),
    "sill": Kind(5, ledge, 0.009),
    "hood": Kind(4, ledge, 0.012),
    "cornice": Kind(4, ledge, 0.022),
    "balcony": Kind(6, balcony, 0.02),
}
