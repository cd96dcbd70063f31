"""The grid that upsampling leaves in generated images: its energy in the spectrum, its zigzag in smooth places."""

import numpy as np
from scipy import fft

STRIDES = {"1/2": 2, "1/4": 4, "1/8": 8}  # cycles a pixel: the grids of one, two and three upsampling layers
_LEVELS = 127.5  # 8-bit levels of a difference of 1 in [-1, 1]
_PIECE, _SHORTEST = 64, 32  # pixels of a line in one spectrum; in shorter images fewer, but at least 32
_LINES = 8  # lines whose power is averaged before its logarithm
_NEIGHBORS = range(2, 7)  # distances in 1/64 cycles a pixel: behind the Hann window's main lobe, short of the next grid
_ROUNDING = 1.0 / 12.0  # power of the rounding to 8 bits, in squared levels; a weaker grid is invisible
_BLOCK = 16  # pixels
_STEP = 20.0  # levels; in docs/demo.png 16 to 20 find the same blocks, 30 finds some with an edge


class GridEnergy:
    """Accumulates the spectrum of images, to compare the frequencies of the upsampling strides with their neighbors.

    The power of each piece of a line (64 pixels, Hann window) is averaged over the channels and 8 lines; its logarithm
    is averaged over all pieces of all images, along rows and along columns. So all places count alike: in an average
    of the power itself the strongest textures hide a grid that is plain in the sky (docs/demo.png: 1.7 instead of
    4.6 dB, and 0.7 instead of -0.2 on its targets).
    """

    def __init__(self):
        self._log_power, self._pieces = np.zeros(_PIECE // 2 + 1), 0

    def update(self, batch) -> None:
        """Adds images, float32 [n, h, w, c] in [-1, 1], of any size. Sides below 32 pixels are left out."""
        levels = np.moveaxis(np.asarray(batch), 3, 1) * np.float32(_LEVELS)
        for lines in (levels, levels.swapaxes(2, 3)):
            if lines.shape[3] >= _SHORTEST:
                log_power = _log_power(np.ascontiguousarray(lines))
                self._log_power += log_power.sum(axis=0)
                self._pieces += len(log_power)

    def result(self) -> dict[str, float]:
        """The power at each of STRIDES over the median of its neighbors, in dB; nan without images."""
        if not self._pieces:
            return dict.fromkeys(STRIDES, float("nan"))
        decibels = 10.0 / np.log(10.0) * self._log_power / self._pieces
        excess = {}
        for name, stride in STRIDES.items():
            place = _PIECE // stride
            neighbors = [place + side * distance for distance in _NEIGHBORS for side in (-1, 1)]
            neighbors = [neighbor for neighbor in neighbors if neighbor < len(decibels)]
            excess[name] = float(decibels[place] - np.median(decibels[neighbors]))
        return excess

    @property
    def worst(self) -> float:
        """The largest of `result`."""
        return max(self.result().values())


def _log_power(lines: np.ndarray) -> np.ndarray:
    """[n, c, lines, pixels] -> the logarithm of the power of pieces of the lines, [pieces, 33]."""
    length = min(_PIECE, lines.shape[3])
    lines = lines[:, :, : lines.shape[2] // _LINES * _LINES]
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window /= np.linalg.norm(window)
    logs = []
    for start in range(0, lines.shape[3] - length + 1, length // 2):
        piece = lines[..., start : start + length]
        spectrum = fft.rfft((piece - piece.mean(axis=3, keepdims=True)) * window, n=_PIECE)
        power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)  # [n, lines, 33]
        power = power.reshape(-1, _LINES, power.shape[2]).mean(axis=1)
        logs.append(np.log(power + _ROUNDING))
    return np.concatenate(logs)


def alternation(gen_output, target_image) -> np.ndarray:
    """The zigzag from pixel to pixel where the target is smooth.

    The mean of -d(x) d(x + 1), d: the difference of neighbors, along rows and along columns, over the blocks of 16x16
    pixels in which no two neighbors of the target differ by more than 20 levels. Stripes of 2 pixels, +a and -a, add
    2 a^2 (4 a^2 along one of the two axes), white noise its variance; slopes and wide edges count below 0.

    Args:
      gen_output, target_image: float32 [n, h, w, c] in [-1, 1]; their channels are averaged.

    Returns:
      float32 [n], squared 8-bit levels; nan where no block of the target is smooth.
    """
    gen_blocks, target_blocks = _blocks(gen_output), _blocks(target_image)
    zigzag = np.full(len(gen_blocks), np.nan, np.float32)
    for index, (blocks, own_target) in enumerate(zip(gen_blocks, target_blocks, strict=True)):
        smooth = blocks.swapaxes(1, 2)[_largest_step(own_target) <= _STEP]  # [k, 16, 16]
        if len(smooth):
            steps = np.diff(smooth, axis=1), np.diff(smooth, axis=2).swapaxes(1, 2)
            zigzag[index] = np.mean([-(step[:, 1:] * step[:, :-1]).mean() for step in steps])
    return zigzag


def gray(batch) -> np.ndarray:
    """The mean over the channels: float32 [n, h, w, c] -> [n, h, w]."""
    batch = np.asarray(batch)
    return batch @ np.full(batch.shape[3], 1.0 / batch.shape[3], np.float32)


def _blocks(batch) -> np.ndarray:
    """[n, h, w, c] in [-1, 1] -> gray blocks in 8-bit levels, [n, rows, 16, columns, 16]. The rest is left out."""
    levels = gray(batch) * np.float32(_LEVELS)
    rows, columns = (side // _BLOCK for side in levels.shape[1:])
    return levels[:, : rows * _BLOCK, : columns * _BLOCK].reshape(len(levels), rows, _BLOCK, columns, _BLOCK)


def _largest_step(blocks: np.ndarray) -> np.ndarray:
    """The largest difference of neighbors in each block, [rows, 16, columns, 16] -> [rows, columns]."""
    along_rows, along_columns = (np.abs(np.diff(blocks, axis=axis)).max(axis=1).max(axis=2) for axis in (3, 1))
    return np.maximum(along_rows, along_columns)
