"""Sliced Wasserstein distance of Laplacian pyramid patches (Karras et al. 2018, arXiv 1710.10196, section 5)."""

import numpy as np

from tf_pix2pix.metrics.colors import as_rgb

# Karras et al. 2018, section 5 and the published code: 128 patches of 7x7 pixels for each image and level, levels down
# to 16 pixels, 4 times 128 directions.
PATCH_SIZE = 7
PATCHES_PER_IMAGE = 128
SMALLEST_LEVEL = 16
DIRECTIONS = 512
CAPACITY = 2**14  # patches of one level and side: 10 MB


class SlicedWasserstein:
    """Distance of the patches of generated images and of targets, at every scale: 0 if they occur equally often.

    Descriptors are normalized for each channel and side, as the paper does: a brightness or contrast that is wrong in
    all images does not count. Patches have the same positions in a generated image and in its target, drawn from the
    image's number in the sequence: results do not depend on how images are batched. Memory is bounded: of all patches
    of a level at most CAPACITY are kept, each with equal probability.
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._levels: list[_PatchSample] = []
        self._images = 0

    def update(self, gen_output: np.ndarray, target_image: np.ndarray) -> None:
        """Adds pairs: float32 [n, h, w, c] in [-1, 1]. Images below 16 pixels have no level and do not count."""
        for pair in zip(as_rgb(gen_output), as_rgb(target_image), strict=True):
            rng = np.random.default_rng(self._images)
            self._images += 1
            for level, bands in enumerate(zip(*map(laplacian_pyramid, pair), strict=True)):
                if level == len(self._levels):
                    self._levels.append(_PatchSample(self._capacity))
                self._levels[level].add(bands, rng)

    def results(self) -> dict[str, dict]:
        """`sliced_wasserstein`: the mean over the levels, times 1,000; the note has each level's."""
        if not self._levels:
            return {}
        directions = np.random.default_rng(0).normal(size=(PATCH_SIZE**2 * 3, DIRECTIONS)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        values = [1000.0 * sliced_wasserstein(*level.descriptors(), directions) for level in self._levels]
        names = ["full size", *(f"1/{2**level}" for level in range(1, len(values)))]
        levels = ", ".join(f"{name} {value:.1f}" for name, value in zip(names, values, strict=True))
        note = f"{levels}; compare only equal numbers of images"
        return {"sliced_wasserstein": {"value": float(np.mean(values)), "n": self._images, "note": note}}

    def left_out(self) -> list[str]:
        """A line if results() lacks the metric."""
        if self._levels or not self._images:
            return []
        return [f"sliced_wasserstein: needs images of at least {SMALLEST_LEVEL}x{SMALLEST_LEVEL} pixels"]


class _PatchSample:
    """At most `capacity` patches of both sides, a uniform sample of all that were added: those with the least of random
    priorities, which do not depend on the order."""

    def __init__(self, capacity: int):
        self._priorities = np.full(capacity, np.inf)
        self._patches = np.empty([2, capacity, 3, PATCH_SIZE, PATCH_SIZE], np.float32)

    def add(self, bands: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> None:
        """Adds patches at random positions of one level of a generated image and of its target, [3, h, w]."""
        height, width = bands[0].shape[1:]
        rows = rng.integers(0, height - PATCH_SIZE + 1, PATCHES_PER_IMAGE)
        columns = rng.integers(0, width - PATCH_SIZE + 1, PATCHES_PER_IMAGE)
        priorities = rng.random(PATCHES_PER_IMAGE)
        capacity = len(self._priorities)
        least = np.argpartition(np.concatenate([self._priorities, priorities]), capacity)[:capacity]
        is_kept = np.zeros(capacity + PATCHES_PER_IMAGE, bool)
        is_kept[least] = True
        replaced, new = np.flatnonzero(~is_kept[:capacity]), np.flatnonzero(is_kept[capacity:])
        self._priorities[replaced] = priorities[new]
        for patches, band in zip(self._patches, bands, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(band, (PATCH_SIZE, PATCH_SIZE), axis=(1, 2))
            patches[replaced] = np.moveaxis(windows[:, rows[new], columns[new]], 0, 1)

    def descriptors(self) -> tuple[np.ndarray, np.ndarray]:
        """The kept patches of both sides, each channel with mean 0 and standard deviation 1, [patches, 147]."""
        kept = self._patches[:, np.isfinite(self._priorities)]
        centered = kept - kept.mean(axis=(1, 3, 4), keepdims=True)
        deviation = centered.std(axis=(1, 3, 4), keepdims=True)
        # channels without any contrast stay 0
        normalized = np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 1e-6)
        generated, target = normalized.reshape(2, kept.shape[1], -1)
        return generated, target


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> float:
    """Mean Wasserstein-1 distance of two equal numbers of points [n, d], projected to the directions [d, k]."""
    projections = [np.sort(np.ascontiguousarray((points @ directions).T), axis=1) for points in (a, b)]
    return float(np.abs(projections[0] - projections[1]).mean())


def laplacian_pyramid(image: np.ndarray) -> list[np.ndarray]:
    """float32 [h, w, 3] -> the bands of its levels, [3, h, w], finest first; the last is a blur.

    Burt and Adelson 1983. Levels have at least 16 pixels a side. A smaller image has none.
    """
    if min(image.shape[:2]) < SMALLEST_LEVEL:
        return []
    bands = [np.ascontiguousarray(np.moveaxis(image, 2, 0))]  # planes: three times as fast
    while min(bands[-1].shape[1:]) // 2 >= SMALLEST_LEVEL:
        bands.append(halve(bands[-1]))
        bands[-2] = bands[-2] - double(bands[-1], bands[-2].shape[1:])
    return bands


def halve(planes: np.ndarray) -> np.ndarray:
    """[3, h, w] blurred by [1, 4, 6, 4, 1] / 16 along both axes, mirrored at its edges: every second row and column."""
    for axis in (1, 2):
        lines = np.moveaxis(planes, axis, 0)
        lines = np.concatenate([lines[2:0:-1], lines, lines[-2:-4:-1]])
        count = (len(lines) - 3) // 2
        a, b, c, d, e = (lines[shift : shift + 2 * count - 1 : 2] for shift in range(5))
        planes = np.moveaxis((a + e + 4.0 * (b + d) + 6.0 * c) / 16.0, 0, axis)
    return planes


def double(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[3, h, w] with zeros in between, blurred by [1, 4, 6, 4, 1] / 8 along both axes, cut to size (height, width)."""
    for axis, length in zip((1, 2), size, strict=True):
        lines = np.moveaxis(planes, axis, 0)
        before, after = np.concatenate([lines[1:2], lines[:-1]]), np.concatenate([lines[1:], lines[-1:]])
        doubled = np.empty((2 * len(lines), *lines.shape[1:]), np.float32)
        doubled[::2] = (before + 6.0 * lines + after) / 8.0
        doubled[1::2] = (lines + after) / 2.0
        planes = np.moveaxis(doubled[:length], 0, axis)
    return planes
