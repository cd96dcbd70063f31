"""Two drawings of a building, the label map and the photo: the same parts, in the same order, on the same pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_pix2pix.datasets.synthetic_facades.building import NOISE, Building, Part

# Colours, RGB in 0..255, that all buildings share.
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

SUPERSAMPLING = 2  # the photo is drawn at this multiple of its size and box-averaged
SHADOW = 0.68  # brightness in a shadow


# Shaders give the colours, float32 broadcastable to [r, c, 3] in 0..255, of a part of height h and width w. Its samples
# lie at y [r, 1], x [1, c], from its top left corner. All lengths are fractions of the picture. `band` and `lines` are
# exact averages over a sample, so that thin lines fade in small pictures instead of coming and going.


def band(x: np.ndarray, start: float, stop: float) -> np.ndarray:
    """How much of each sample lies between start and stop, 0..1, in the shape of x."""
    step = x.flat[1] - x.flat[0]
    return np.clip(np.minimum(x + step / 2, stop) - np.maximum(x - step / 2, start), 0, step) / step


def lines(x: np.ndarray, pitch: float, share: float) -> np.ndarray:
    """How much of each sample is covered by lines repeating every `pitch`, each `share` of it wide, 0..1."""
    step = (x.flat[1] - x.flat[0]) / pitch
    first, last = (
        np.floor(t) * share + np.minimum(t - np.floor(t), share) for t in (x / pitch - step / 2, x / pitch + step / 2)
    )
    return (last - first) / step


def smooth(lattice: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Noise [r, c] at y, x in 0..1 (below 1), interpolated smoothly from a small lattice [m, n]."""

    def along_rows(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        position = t.ravel() * (len(rows) - 1)
        below = position.astype(int)
        share = (position - np.floor(position))[:, None]
        return rows[below] + (rows[below + 1] - rows[below]) * (share * share * (3 - 2 * share))

    return along_rows(along_rows(lattice.T, x).T, y)


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From the colours first to second, [3] or [r, c, 3], by share [r, c] in 0..1."""
    return first + (second - first) * share[..., None]


def masonry(b, y, x, colour, joint, course, length, contrast):
    """Blocks of this size in courses shifted by a half in turn, differing in tone by contrast, with joints between."""
    row = np.floor(y / course).astype(int) % NOISE
    shift = row % 2 * 0.5
    block = np.floor(x / length + shift).astype(int) % NOISE
    upright = np.where(shift, lines(x + length / 2, length, 0.002 / length), lines(x, length, 0.002 / length))
    joints = np.maximum(upright, lines(y, course, 0.0025 / course))
    return mix(colour * (1 + contrast * b.noise[row, block])[..., None], joint, joints)


def sky(b, part, y, x, h, w):
    clear = mix(b.colours["zenith"], b.colours["horizon"], np.minimum(y / 0.6, 1))
    clouds = smooth(b.noise[:5, :6], y, x) + 0.6 * smooth(b.noise[:11, 6:16], y, x)
    return mix(clear, WHITE, np.clip(clouds / 3, 0, 0.6))


def neighbour(b, part, y, x, h, w):
    return mix((b.colours["horizon"] + 2 * HAZE) / 3, GLASS, lines(y - 0.04, 0.13, 0.45) * lines(x, 0.1, 0.4) * 0.3)


def ground(b, part, y, x, h, w):
    if b.grass:
        return GRASS * (1 - 0.15 * lines(x + 0.3 * y, 0.007, 0.4))[..., None]
    pavement = PAVEMENT * (1 - 0.2 * lines(x, 0.08, 0.04) - 0.2 * band(y, 0, 0.006))[..., None]
    return mix(pavement, ROAD, band(y, 0.6 * h, h))


def wall(b, part, y, x, h, w):
    colour = b.colours["wall"] * (1.04 - 0.14 * y / h)[..., None]  # dirtier towards the street
    if b.material == "brick":
        return masonry(b, y, x, colour, MORTAR, 0.0135, 0.034, 0.08)
    if b.material == "stone":
        return masonry(b, y, x, colour, colour * 0.74, 0.034, 0.085, 0.035)
    return colour * (1 + 0.03 * smooth(b.noise[:24, :24], y, x))[..., None]


def base(b, part, y, x, h, w):
    colour = b.colours["wall"] * 0.4 + TRIM * 0.45
    return masonry(b, y, x, colour, colour * 0.7, 0.028, 0.075, 0.03)


def roof(b, part, y, x, h, w):
    return masonry(b, y, x, b.colours["roof"], b.colours["roof"] * 0.7, 0.012, 0.016, 0.07)


def window(b, part, y, x, h, w):
    pane = mix(GLASS, b.colours["horizon"], np.clip(0.7 - 0.9 * y / h - 0.4 * b.light * (x / w - 0.5), 0.06, 0.6))
    curtains = (0 * y, 0.6 - 0.6 * band(x, 0.25 * w, 0.75 * w), 0.5 * band(y, 0.55 * h, h))[part.variant]
    pane = mix(pane, WHITE * 0.85, curtains)
    casements = max(2, round(w / 0.035))
    uprights = lines(x + 0.003, w * 1.0001 / casements, 0.006 * casements / w)
    bars = np.maximum(uprights, band(y, 0, 0.007) + band(y, h - 0.007, h) + band(y, 0.3 * h, 0.3 * h + 0.005))
    sunny_side = band(x, 0, 0.006) if b.light > 0 else band(x, w - 0.006, w)
    return mix(pane, WHITE, bars) * (1 - 0.45 * np.maximum(band(y, 0, 0.012), sunny_side))[..., None]  # set back


def blind(b, part, y, x, h, w):
    return (b.colours["wood"] + 20) * (1 - 0.35 * lines(y, 0.009, 0.4) + 0.2 * band(x, 0.003, w - 0.003))[..., None]


def door(b, part, y, x, h, w):
    leaf = np.abs(2 * x / w - 1)  # 0 between the leaves, 1 at the jambs
    panels = (band(y, 0.3 * h, 0.58 * h) + band(y, 0.65 * h, 0.92 * h)) * ((leaf > 0.2) & (leaf < 0.8))
    wood = b.colours["wood"] * (1 - 0.22 * panels - 0.5 * band(x, w / 2 - 0.002, w / 2 + 0.002))[..., None]
    fanlight = mix(wood, GLASS * 0.7 + b.colours["horizon"] * 0.3, band(y, 0.06 * h, 0.22 * h) * (leaf < 0.85))
    return fanlight * (1 - 0.4 * band(y, 0, 0.014))[..., None]


def shop(b, part, y, x, h, w):
    """From the top: a sign (0.16 of the height), an awning (to 0.42), its shadow, panes, a wooden foot (from 0.88)."""
    pane = mix(GLASS, b.colours["horizon"], 0.45 * np.clip(1.2 - y / h - 0.5 * x / w, 0, 1))
    front = mix(pane, b.colours["wood"], np.maximum(lines(x + 0.003, w * 1.0001 / 2, 0.012 / w), band(y, 0.88 * h, h)))
    front = front * (1 - 0.5 * band(y, 0.4 * h, 0.52 * h))[..., None]
    cloth = mix(b.colours["awning"], WHITE, lines(x, w / 8, 0.5)) * (1.1 - 0.6 * y / h)[..., None]
    letters = band(y, 0.05 * h, 0.1 * h) * lines(x, 0.011, 0.6) * band(x, 0.25 * w, 0.75 * w)
    sign = mix(b.colours["awning"] * 0.6, WHITE, letters)
    return mix(mix(front, cloth, band(y, 0.16 * h, 0.42 * h)), sign, band(y, 0, 0.16 * h))


def frame(b, part, y, x, h, w):
    return TRIM * (1 - 0.15 * band(x, 0.006, w - 0.006) * band(y, 0.006, h))[..., None]


def ledge(b, part, y, x, h, w):
    """Sills, stripes, hoods and cornices: lit on top, darker below; the cornice at the eaves has teeth."""
    teeth = lines(x, 0.014, 0.5) * band(y, 0.45 * h, 0.8 * h) * (part.kind == "cornice")
    return TRIM * (1.06 - 0.14 * band(y, 0.35 * h, h) - 0.2 * band(y, 0.8 * h, h) - 0.22 * teeth)[..., None]


def deco(b, part, y, x, h, w):
    """Rosettes in relief, as many as fit side by side."""
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
    """Stone balusters before a dark gap, or iron bars: for these [r, c, 4] with opacity, as one sees between them."""
    slab = band(y, 0.82 * h, h)
    solid = slab + band(y, 0, 0.1 * h)
    if b.material == "stone":
        return mix(TRIM * 0.45, TRIM * (1 - 0.25 * slab)[..., None], np.maximum(solid, lines(x, 0.014, 0.6)))
    bars = np.clip(solid + lines(x, 0.01, 0.35) + band(y, 0.4 * h, 0.4 * h + 0.003), 0, 1)
    return np.dstack([mix(IRON, TRIM * 0.85, slab + 0 * x), bars])


@dataclass(frozen=True)
class Kind:
    """What parts of one kind have in common."""

    label: int  # index into CLASSES
    shader: Callable[..., np.ndarray]
    depth: float = 0  # how far it stands out of the wall, and so casts a shadow


# In drawing order: what stands out further comes later and hides or shades what lies behind.
KINDS = {
    "sky": Kind(0, sky),
    "neighbour": Kind(0, neighbour),
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


def silhouette(part: Part, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Which samples of its box, at y [r, 1] and x [1, c], a part fills: bool, broadcastable to [r, c]."""
    height, v, u = part.bottom - part.top, y / (part.bottom - part.top), np.abs(x / part.half - 1)  # u: 0 in the middle
    if part.shape == "arch":
        rise = min(part.half / height, 0.5)
        return u**2 + np.maximum(1 - v / rise, 0) ** 2 <= 1
    if part.shape == "round":
        return u**2 + (2 * v - 1) ** 2 <= 1
    return u <= {"box": 1 + 0 * v, "gable": v, "mansard": 0.85 + 0.15 * v}[part.shape]


def pixels(part: Part, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part's rows and columns: top, bottom, left, right, at least one pixel each way, in a picture of this size."""

    def span(start: float, stop: float, count: int) -> tuple[int, int]:
        first = min(max(int(start * count + 0.5), 0), count - 1)
        return first, min(max(int(stop * count + 0.5), first + 1), count)

    return *span(part.top, part.bottom, size[0]), *span(part.centre - part.half, part.centre + part.half, size[1])


def samples(part: Part, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The centres y [rows, 1] and x [1, columns] of the part's samples, float32, from its top left corner."""
    y, x = (np.arange(count, dtype=np.float32) + 0.5 for count in (rows, columns))
    return y[:, None] * np.float32((part.bottom - part.top) / rows), x[None] * np.float32(2 * part.half / columns)


def _in_drawing_order(parts: list[Part]) -> list[Part]:
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(parts, key=lambda part: order[part.kind])


def label_map(building: Building, size: tuple[int, int]) -> np.ndarray:
    """The class of every pixel, uint8 [h, w] in 0..11."""
    labels = np.zeros(size, np.uint8)
    for part in _in_drawing_order(building.parts):
        top, bottom, left, right = pixels(part, size)
        inside = silhouette(part, *samples(part, bottom - top, right - left))
        np.copyto(labels[top:bottom, left:right], np.uint8(KINDS[part.kind].label), where=inside)
    return labels


def render(building: Building, size: tuple[int, int]) -> np.ndarray:
    """The photo of a building, uint8 [h, w, 3] RGB."""
    scale = SUPERSAMPLING
    h, w = size[0] * scale, size[1] * scale
    image: np.ndarray = np.zeros((h, w, 3), np.float32)
    built = (label_map(building, size) > 0).repeat(scale, 0).repeat(scale, 1)[..., None]  # no shadows fall on the sky
    patches = {}  # like windows of one size in pixels are drawn once
    for part in _in_drawing_order(building.parts):
        kind, (top, bottom, left, right) = KINDS[part.kind], (edge * scale for edge in pixels(part, size))
        key = part.kind, part.shape, part.variant, bottom - top, right - left
        if key not in patches:
            y, x = samples(part, bottom - top, right - left)
            patch = kind.shader(building, part, y, x, part.bottom - part.top, 2 * part.half)
            opacity = patch[..., 3:] if patch.shape[-1] == 4 else 1
            patches[key] = patch[..., :3], opacity * silhouette(part, y, x)[..., None].astype(np.float32)
        colour, opacity = patches[key]
        if kind.depth:
            down = min(round(kind.depth * h), h - bottom)
            across = min(max(round(building.light * 0.6 * kind.depth * w), -left), w - right)
            shaded = slice(top + down, bottom + down), slice(left + across, right + across)
            image[shaded] *= 1 - (1 - SHADOW) * opacity * built[shaded]
        behind = image[top:bottom, left:right]
        behind += (colour - behind) * opacity
    image = np.asarray(sum(image[i::scale, j::scale] for i in range(scale) for j in range(scale))) / scale**2
    y, x = (np.arange(count, dtype=np.float32) / count for count in size)
    grain = building.noise[np.ix_((y * NOISE).astype(int), (x * NOISE).astype(int))]
    image *= (1 + 0.012 * grain + 0.03 * smooth(building.noise[-12:, -12:], y, x))[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)
