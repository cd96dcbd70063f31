"""Draws a building twice, as label map and as photo: the same parts, in the same order, on the same pixels."""

import numpy as np

from tf_pix2pix.datasets.synthetic_facades.building import NOISE, Building, Part
from tf_pix2pix.datasets.synthetic_facades.shaders import KINDS, smooth

SUPERSAMPLING = 2  # the photo is drawn larger by this factor and averaged down
SHADOW = 0.68  # brightness in a shadow, relative to full light


def silhouette(part: Part, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether a part fills each sample of its box, at y [r, 1] and x [1, c]: bool, broadcastable to [r, c]."""
    height, v, u = part.bottom - part.top, y / (part.bottom - part.top), np.abs(x / part.half - 1)  # u: 0 in the middle
    if part.shape == "arch":
        rise = min(part.half / height, 0.5)
        return u**2 + np.maximum(1 - v / rise, 0) ** 2 <= 1
    if part.shape == "round":
        return u**2 + (2 * v - 1) ** 2 <= 1
    return u <= {"box": 1 + 0 * v, "gable": v, "mansard": 0.85 + 0.15 * v}[part.shape]


def pixels(part: Part, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part's top, bottom, left and right in an image of this size; at least one row and one column."""

    def span(start: float, stop: float, count: int) -> tuple[int, int]:
        first = min(max(int(start * count + 0.5), 0), count - 1)
        return first, min(max(int(stop * count + 0.5), first + 1), count)

    return *span(part.top, part.bottom, size[0]), *span(part.center - part.half, part.center + part.half, size[1])


def samples(part: Part, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The centers of the part's samples, y [rows, 1] and x [1, columns], float32, from its top left corner."""
    y, x = (np.arange(count, dtype=np.float32) + 0.5 for count in (rows, columns))
    return y[:, None] * np.float32((part.bottom - part.top) / rows), x[None] * np.float32(2 * part.half / columns)


def _in_drawing_order(parts: list[Part]) -> list[Part]:
    order = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(parts, key=lambda part: order[part.kind])


def label_map(building: Building, size: tuple[int, int]) -> np.ndarray:
    """Draws the class of every pixel, uint8 [h, w] in 0..11."""
    labels = np.zeros(size, np.uint8)
    for part in _in_drawing_order(building.parts):
        top, bottom, left, right = pixels(part, size)
        inside = silhouette(part, *samples(part, bottom - top, right - left))
        np.copyto(labels[top:bottom, left:right], np.uint8(KINDS[part.kind].label), where=inside)
    return labels


def render(building: Building, size: tuple[int, int]) -> np.ndarray:
    """Draws the photo of a building, RGB, uint8 [h, w, 3]."""
    scale = SUPERSAMPLING
    h, w = size[0] * scale, size[1] * scale
    image: np.ndarray = np.zeros((h, w, 3), np.float32)
    # Only built pixels receive shadows, not the sky.
    built = (label_map(building, size) > 0).repeat(scale, 0).repeat(scale, 1)[..., None]
    patches = {}  # equal windows are drawn once
    for part in _in_drawing_order(building.parts):
        kind, (top, bottom, left, right) = KINDS[part.kind], (edge * scale for edge in pixels(part, size))
        key = part.kind, part.shape, part.variant, bottom - top, right - left
        if key not in patches:
            y, x = samples(part, bottom - top, right - left)
            patch = kind.shader(building, part, y, x, part.bottom - part.top, 2 * part.half)
            opacity = patch[..., 3:] if patch.shape[-1] == 4 else 1
            patches[key] = patch[..., :3], opacity * silhouette(part, y, x)[..., None].astype(np.float32)
        color, opacity = patches[key]
        if kind.depth:
            down = min(round(kind.depth * h), h - bottom)
            across = min(max(round(building.light * 0.6 * kind.depth * w), -left), w - right)
            shaded = slice(top + down, bottom + down), slice(left + across, right + across)
            image[shaded] *= 1 - (1 - SHADOW) * opacity * built[shaded]
        behind = image[top:bottom, left:right]
        behind += (color - behind) * opacity
    image = np.asarray(sum(image[i::scale, j::scale] for i in range(scale) for j in range(scale))) / scale**2
    y, x = (np.arange(count, dtype=np.float32) / count for count in size)
    grain = building.noise[np.ix_((y * NOISE).astype(int), (x * NOISE).astype(int))]
    image *= (1 + 0.012 * grain + 0.03 * smooth(building.noise[-12:, -12:], y, x))[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)
