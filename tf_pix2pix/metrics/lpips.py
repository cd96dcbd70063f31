"""Lpips: a distance of network features that is close to human judgment (Zhang et al. 2018, arXiv 1801.03924).

Its weights are not part of this project. Where the PyTorch package `lpips` is installed, this makes a file of them (or
with net='vgg'):

    python -c "import lpips, safetensors.torch as s; s.save_model(lpips.LPIPS(net='alex'), 'lpips.safetensors')"
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_pix2pix.errors import InputError, error_line
from tf_pix2pix.metrics.colors import as_rgb

HOW_TO_MAKE_FILE = (
    "make the file with `pip install lpips safetensors` and "
    """`python -c "import lpips, safetensors.torch as s; s.save_model(lpips.LPIPS(net='alex'), 'lpips.safetensors')"`"""
)


class _Convolution(NamedTuple):
    """A convolution with ReLU. `number` is its place in torchvision's network; `pool` is the size of the max pooling
    with stride 2 before it, 0 for none."""

    number: int
    stride: int = 1
    padding: int = 1
    pool: int = 0


_Parts = tuple[tuple[_Convolution, ...], ...]

# The five parts of each network; LPIPS compares the features at the end of each (lpips.pretrained_networks).
NETWORKS: dict[str, _Parts] = {
    "alex": (
        (_Convolution(0, stride=4, padding=2),),
        (_Convolution(3, padding=2, pool=3),),
        (_Convolution(6, pool=3),),
        (_Convolution(8),),
        (_Convolution(10),),
    ),
    "vgg": (
        (_Convolution(0), _Convolution(2)),
        (_Convolution(5, pool=2), _Convolution(7)),
        (_Convolution(10, pool=2), _Convolution(12), _Convolution(14)),
        (_Convolution(17, pool=2), _Convolution(19), _Convolution(21)),
        (_Convolution(24, pool=2), _Convolution(26), _Convolution(28)),
    ),
}
SMALLEST_SIDE = {"alex": 31, "vgg": 16}  # pixels; the last pooling of smaller images is empty


class Lpips:
    """LPIPS of pairs of images, version 0.1 of the package `lpips`.

    Attributes:
      network: a key of NETWORKS.
      smallest_side: of images, in pixels.
    """

    def __init__(self, weights: str | Path):
        """Loads the weights: a .safetensors file with the state dict of lpips.LPIPS(net="alex" or "vgg").

        Raises:
          InputError: the file is missing, damaged or another one, or the package safetensors is missing.
        """
        if not Path(weights).is_file():
            raise InputError(f"{weights}: no such file; {HOW_TO_MAKE_FILE}")
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
        except ImportError:
            raise InputError(f"{weights}: needs safetensors; pip install 'tf_pix2pix[lpips]'") from None
        try:
            state = {key: value.astype(np.float32) for key, value in load_file(weights).items()}
            self.network = next(name for name, parts in NETWORKS.items() if _has(state, parts))
            self._distance = _make_distance(state, NETWORKS[self.network])
        except SafetensorError as error:
            raise InputError(f"{weights}: damaged, or not a .safetensors file ({error_line(error)})") from None
        except (StopIteration, KeyError, ValueError):
            raise InputError(f"{weights}: not the weights of LPIPS (alex or vgg); {HOW_TO_MAKE_FILE}") from None
        self.smallest_side = SMALLEST_SIDE[self.network]

    def __call__(self, gen_output: np.ndarray, target_image: np.ndarray) -> np.ndarray:
        """LPIPS of each pair, at least 0: float32 [n, h, w, c] in [-1, 1], twice -> float32 [n].

        Raises:
          InputError: the images are smaller than smallest_side.
        """
        height, width = gen_output.shape[1:3]
        if min(height, width) < self.smallest_side:
            limit = f"{self.smallest_side}x{self.smallest_side}"
            raise InputError(f"lpips: images have {height}x{width} pixels; {self.network} needs at least {limit}")
        return self._distance(as_rgb(gen_output), as_rgb(target_image)).numpy()


def _key(part: int, number: int, kind: str) -> str:
    return f"net.slice{part + 1}.{number}.{kind}"


def _has(state: dict[str, np.ndarray], parts: _Parts) -> bool:
    return all(_key(part, one.number, "weight") in state for part, group in enumerate(parts) for one in group)


def _make_distance(state: dict[str, np.ndarray], parts: _Parts) -> Callable[..., tf.Tensor]:
    """A function of two [n, h, w, 3] in [-1, 1] -> [n]. Raises KeyError or ValueError if the weights do not fit."""
    shift, scale = (state[f"scaling_layer.{name}"].reshape(3) for name in ("shift", "scale"))
    # a state dict holds these twice, and a file only once, under either name
    names = [(f"lin{part}.model.1.weight", f"lins.{part}.model.1.weight") for part in range(len(parts))]
    heads = [state[one if one in state else other] for one, other in names]

    def features(batch):
        x = (batch - shift) / scale
        for part, group in enumerate(parts):
            for number, stride, padding, pool in group:
                if pool:
                    x = tf.nn.max_pool2d(x, pool, 2, "VALID")
                kernel = state[_key(part, number, "weight")].transpose(2, 3, 1, 0)
                edges = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, edges) + state[_key(part, number, "bias")])
            yield x / (tf.norm(x, axis=3, keepdims=True) + 1e-10)

    def distance(gen_output, target_image):
        total = tf.zeros([tf.shape(gen_output)[0]])
        for head, a, b in zip(heads, features(gen_output), features(target_image), strict=True):
            total += tf.reduce_mean(tf.square(a - b) @ head.reshape(-1, 1), axis=[1, 2, 3])
        return total

    batch = tf.TensorSpec([None, None, None, 3], tf.float32)
    return tf.function(distance, autograph=False).get_concrete_function(batch, batch)
