"""The grid that upsampling leaves in generated images: its energy in the spectrum, its zigzag in smooth places."""

import numpy as np

STRIDES = {"1/2": 2, "1/4": 4, "1/8": 8}  # cycles a pixel of one, two and three upsampling layers of stride 2
_LEVELS = 127.5  # 8-bit levels of a difference of 1 in [-1, 1]
_ROWS = 8  # lines whose power is averaged before its logarithm
_NEIGHBORS = range(2, 7)  # distance in frequencies; a Hann window spreads a peak to its direct neighbors only
_ROUNDING = 1.0 / 12.0  # power of the rounding to 8 bits, in squared levels: no weaker grid can be seen
_BLOCK = 16  # pixels a side
_STEP = 20.0  # levels


class GridEnergy:
    """Accumulates the spectrum of images, to tell how far their power at the strides of upsampling exceeds the rest.

    The power of each piece of a line (64 pixels, Hann window; 32 in images smaller than 64) is averaged over channels
    and 8 lines; its logarithm is averaged over all pieces of all images, along rows and along columns. So each place
    counts alike: an average of the power itself would show the strongest edges and textures alone.
    """

    def __init__(self):
        self._log_power, self._weight = 0.0, 0

    def update(self, batch) -> None:
        """Adds images, float32 [n, h, w, c] in [-1, 1], all on one side of 64 pixels. Less than 32 are left out."""
        batch = np.asarray(batch) * np.float32(_LEVELS)
        length = 64 if min(batch.shape[1:3]) >= 64 else 32
        if min(batch.shape[1:3]) < length:
            return
        for lines in (batch, batch.swapaxes(1, 2)):
            log_power = _log_power(lines, length)
            self._log_power = self._log_power + log_power.sum(axis=0)
            self._weight += len(log_power)

    def result(self) -> dict[str, float]:
        """dB at each of STRIDES over the median of the neighboring frequencies; nan without images."""
        if not self._weight:
            return dict.fromkeys(STRIDES, float("nan"))
        decibels = 10.0 / np.log(10.0) * self._log_power / self._weight
        length = 2 * (len(decibels) - 1)
        excess = {}
        for name, stride in STRIDES.items():
            places = [length // stride + side * distance for distance in _NEIGHBORS for side in (-1, 1)]
            neighbors = [place for place in places if 0 < place < len(decibels) and place % (length // 8)]
            excess[name] = float(decibels[length // stride] - np.median(decibels[neighbors]))
        return excess

    @property
    def worst(self) -> float:
        """The largest of `result`."""
        return max(self.result().values())


def _log_power(lines: np.ndarray, length: int) -> np.ndarray:
    """[n, h, w, c] -> the logarithm of the power of pieces of its rows, [pieces, length / 2 + 1]."""
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window /= np.sqrt((window**2).sum())
    height, width = lines.shape[1] // _ROWS * _ROWS, lines.shape[2]
    pieces = []
    for start in range(0, width - length + 1, length // 2):
        piece = np.moveaxis(lines[:, :height, start : start + length], 2, 3)
        piece = piece - piece.mean(axis=3, keepdims=True)
        power = np.square(np.abs(np.fft.rfft(piece * window))).mean(axis=2)
        power = power.reshape(-1, _ROWS, power.shape[-1]).mean(axis=1)
        pieces.append(np.log(power + _ROUNDING))
    return np.concatenate(pieces)


def alternation(gen_output, target_image) -> np.ndarray:
    """The zigzag from pixel to pixel where the target is smooth.

    The mean of -d(x) d(x + 1), d: the difference of neighbors, along rows and columns, over the blocks of 16x16 pixels
    in which no two neighbors of the target differ by more than 20 levels. A grid of 2 pixels and amplitude a adds
    4 a^2, white noise its variance, a slope or a wide edge less than 0.

    Args:
      gen_output, target_image: float32 [n, h, w, c] in [-1, 1]; their channels are averaged.

    Returns:
      float32 [n], squared 8-bit levels; nan where no block of the target is smooth.
    """
    gen_blocks, target_blocks = _blocks(gen_output), _blocks(target_image)
    smooth = np.ones(target_blocks.shape[:3], bool)
    zigzag = np.zeros(gen_blocks.shape[:3], np.float32)
    for axis in (3, 4):
        if gen_blocks.size:
            smooth &= np.abs(np.diff(target_blocks, axis=axis)).max(axis=(3, 4)) <= _STEP
        steps = np.moveaxis(np.diff(gen_blocks, axis=axis), axis, 3)
        zigzag -= (steps[:, :, :, 1:] * steps[:, :, :, :-1]).mean(axis=(3, 4)) / 2.0
    count = smooth.sum(axis=(1, 2))
    total = np.where(smooth, zigzag, 0.0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _blocks(batch) -> np.ndarray:
    """[n, h, w, c] in [-1, 1] -> gray blocks in 8-bit levels, [n, rows, columns, 16, 16]. The rest is left out."""
    gray = np.asarray(batch).mean(axis=3) * np.float32(_LEVELS)
    n, rows, columns = len(gray), gray.shape[1] // _BLOCK, gray.shape[2] // _BLOCK
    gray = gray[:, : rows * _BLOCK, : columns * _BLOCK]
    return gray.reshape(n, rows, _BLOCK, columns, _BLOCK).swapaxes(2, 3)
