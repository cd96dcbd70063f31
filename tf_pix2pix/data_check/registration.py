"""How far the two pictures of a pair are shifted against each other, however different they look.

Phase correlation (Kuglin and Hines 1975), not of the pictures but of the directions of their gradients: a photo and its
label map share no values, and which side of an edge is bright differs, but their edges run the same way.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

GRID = 256  # pixels a side, at most, that a pair is compared in
LEAST_GRID = 32  # smaller pictures tell nothing
BAND = 0.15  # cycles a pixel: the standard deviation of the low-pass; what is finer is noise and JPEG blocks

# Measured on 492 real facades, photo against hand-drawn labels: of pairs as they are, no peak that is STRONG stands out
# more than 1.98 fold; of pairs put together at random, none is stronger than 7.1; of pairs shifted by 4 and 10 of 256
# pixels, 91 % and 97 % are both.
STRONG = 9.0
DISTINCT = 2.5
LEAST_SHIFT = 1.5  # pixels of the grid; below, a label's edge is as good as a photo's


@dataclass(frozen=True)
class Shift:
    """Where B lies against A: dx pixels of the file to the right, dy down.

    strength is the peak of the correlation in standard deviations, distinct how many times it is higher than what no
    shift would give, grid_pixels the length of the shift in pixels of the grid.
    """

    dx: float
    dy: float
    strength: float
    distinct: float
    grid_pixels: float

    def __str__(self):
        return f"B lies {direction(self.dx, self.dy)} of A, {self.strength:.0f} sigma"


def estimate(a: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> Shift | None:
    """The shift of B against A, to about 0.4 pixels of the grid; at most an eighth of the picture is found.

    Args:
      a, b: float32 [h, w, c] of any one scale, reduced to at most GRID pixels a side.
      size: (height, width) of the files' pictures.

    Returns:
      None where there is nothing to compare: too small, or no edges.
    """
    height, width = a.shape[:2]
    if min(height, width) < LEAST_GRID:
        return None
    product = np.conj(np.fft.fft2(_directions(a))) * np.fft.fft2(_directions(b))
    magnitude = np.abs(product)
    if not magnitude.max():
        return None
    whitened = product / (magnitude + 1e-6 * magnitude.max()) * _low_pass(height, width)
    correlation = np.fft.fftshift(np.fft.ifft2(whitened).real)
    noise = correlation.std()
    reach_y, reach_x = height // 8, width // 8
    near = correlation[height // 2 - reach_y :, width // 2 - reach_x :][: 2 * reach_y + 1, : 2 * reach_x + 1]
    y, x = np.unravel_index(near.argmax(), near.shape)
    dy, dx = y - reach_y + _vertex(near[:, x], y), x - reach_x + _vertex(near[y], x)
    return Shift(
        dx=float(dx * size[1] / width),
        dy=float(dy * size[0] / height),
        strength=float(near[y, x] / noise),
        distinct=float(near[y, x] / max(near[reach_y, reach_x], noise)),
        grid_pixels=float(np.hypot(dx, dy)),
    )


def direction(dx: float, dy: float) -> str:
    """Pixels to the right and down, in words."""
    return f"{abs(dx):.1f} px {'right' if dx > 0 else 'left'} and {abs(dy):.1f} px {'down' if dy > 0 else 'up'}"


def gradients(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [h, w, c] -> central differences (d/dy, d/dx) of the same shape, 0 at the border."""
    dy, dx = np.zeros_like(picture), np.zeros_like(picture)
    np.subtract(picture[2:], picture[:-2], out=dy[1:-1])
    np.subtract(picture[:, 2:], picture[:, :-2], out=dx[:, 1:-1])
    return dy, dx


def _directions(picture: np.ndarray) -> np.ndarray:
    """float32 [h, w, c] -> complex64 [h, w]: the gradients, squared as complex numbers, which makes opposite ones equal
    and lets channels be added; of magnitude |gradient| ** 0.5, so that weak edges count too; faded out at borders."""
    dy, dx = gradients(picture)
    squared = np.empty(picture.shape[:2], np.complex64)
    squared.real = np.einsum("hwc,hwc->hw", dx, dx) - np.einsum("hwc,hwc->hw", dy, dy)
    squared.imag = 2 * np.einsum("hwc,hwc->hw", dx, dy)
    magnitude = np.abs(squared)
    return squared * (magnitude + 1e-6) ** -0.75 * _window(*magnitude.shape)


@lru_cache(8)
def _window(height: int, width: int) -> np.ndarray:
    """float32 [h, w]: 1 in the middle, falling to 0 over the outer sixth."""
    sides = (np.minimum(1, 4 * np.hanning(side + 2)[1:-1]) for side in (height, width))
    return np.outer(*sides).astype(np.float32)


@lru_cache(8)
def _low_pass(height: int, width: int) -> np.ndarray:
    y, x = np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width)
    return np.exp(-(y**2 + x**2) / BAND**2 / 2).astype(np.float32)


def _vertex(values: np.ndarray, peak: int) -> float:
    """How far from `peak` the parabola through it and its neighbours has its vertex."""
    if peak in (0, len(values) - 1):
        return 0.0
    before, at, after = values[peak - 1 : peak + 2]
    return (before - after) / (2 * (before - 2 * at + after))
