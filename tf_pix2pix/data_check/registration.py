"""Measures how far the two images of a pair are shifted against each other, however different they look.

Phase correlation (Kuglin and Hines 1975) of the directions of the gradients instead of the images: a photo and its
label map share no values, and either side of an edge may be the bright one, but their edges run in the same directions.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

GRID = 256  # pixels a side at most; larger images are reduced to it
LEAST_GRID = 32  # smaller images are not compared
BAND = 0.15  # standard deviation of the low-pass in cycles per pixel; finer detail is noise and JPEG blocks

# A pair is shifted if its peak is STRONG and DISTINCT. Measured on 492 real facades, photo against hand-drawn labels:
# no STRONG peak of an unshifted pair is more than 1.98 times as high as the correlation at no shift; no peak of a
# random pair is stronger than 7.3; of pairs shifted by 4 and 10 of 256 pixels, 91 % and 97 % are found. On the same
# pairs, skimage.registration.phase_cross_correlation on gray images estimates a false shift for 44 % of the unshifted
# pairs and the right one for 56 % of the shifted ones; on our gradient directions 9 % and 91 %. Ours: 4 % and 96 %. No
# threshold on its error separates right from false: one without false shifts finds less than 3 % of the true ones.
STRONG = 9.0
DISTINCT = 2.5
LEAST_SHIFT = 1.5  # pixels of the grid; hand-drawn edges are not more exact


@dataclass(frozen=True)
class Shift:
    """Where B lies relative to A.

    Attributes:
      dx, dy: to the right and down, in pixels of the file.
      strength: the peak of the correlation, in standard deviations.
      distinct: the peak divided by the correlation at no shift.
      grid_pixels: the length of the shift in pixels of the grid.
    """

    dx: float
    dy: float
    strength: float
    distinct: float
    grid_pixels: float

    def __str__(self):
        return f"B lies {direction(self.dx, self.dy)} of A, {self.strength:.0f} sigma"


def estimate(a: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> Shift | None:
    """Estimates the shift of B against A, up to an eighth of the image, to about 0.4 pixels of the grid.

    Args:
      a, b: float32 [h, w, c] in any value range, reduced to at most GRID pixels a side.
      size: (height, width) of the images in the files.

    Returns:
      None if the images are too small or have no edges.
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
    """Formats a shift of dx pixels to the right and dy down."""
    return f"{abs(dx):.1f} px {'right' if dx > 0 else 'left'} and {abs(dy):.1f} px {'down' if dy > 0 else 'up'}"


def gradients(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [h, w, c] -> central differences (d/dy, d/dx) of the same shape, 0 at the border."""
    dy, dx = np.zeros_like(image), np.zeros_like(image)
    np.subtract(image[2:], image[:-2], out=dy[1:-1])
    np.subtract(image[:, 2:], image[:, :-2], out=dx[:, 1:-1])
    return dy, dx


def _directions(image: np.ndarray) -> np.ndarray:
    """float32 [h, w, c] -> complex64 [h, w], gradients squared as complex numbers.

    Squaring makes opposite gradients equal, so that channels add up. The magnitude is |gradient| ** 0.5, so that weak
    edges count too, and fades out at the border.
    """
    dy, dx = gradients(image)
    squared = np.empty(image.shape[:2], np.complex64)
    squared.real = np.einsum("hwc,hwc->hw", dx, dx) - np.einsum("hwc,hwc->hw", dy, dy)
    squared.imag = 2 * np.einsum("hwc,hwc->hw", dx, dy)
    magnitude = np.abs(squared)
    return squared * (magnitude + 1e-6) ** -0.75 * _window(*magnitude.shape)


@lru_cache(8)
def _window(height: int, width: int) -> np.ndarray:
    """float32 [h, w]: 1 in the middle, falling to 0 in the outer sixth."""
    sides = (np.minimum(1, 4 * np.hanning(side + 2)[1:-1]) for side in (height, width))
    return np.outer(*sides).astype(np.float32)


@lru_cache(8)
def _low_pass(height: int, width: int) -> np.ndarray:
    y, x = np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width)
    return np.exp(-(y**2 + x**2) / BAND**2 / 2).astype(np.float32)


def _vertex(values: np.ndarray, peak: int) -> float:
    """The distance from `peak` to the vertex of the parabola through it and its neighbors."""
    if peak in (0, len(values) - 1):
        return 0.0
    before, at, after = values[peak - 1 : peak + 2]
    return (before - after) / (2 * (before - 2 * at + after))
