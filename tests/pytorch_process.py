"""The PyTorch half of comparisons with PyTorch, in a process of its own.

PyTorch 2.14 crashes with a segmentation fault in a process that holds TensorFlow. A test calls
`call(function_name, *arguments)`; it runs this file as a program that imports PyTorch and not TensorFlow.
Images are float32 [n, h, w, c] on both sides.
"""

import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

requires_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is missing: pip install -e '.[benchmark]'"
)


def call(function: str, *arguments):
    """Returns function(*arguments), where `function` names one of the functions below."""
    message = pickle.dumps((function, arguments))
    process = subprocess.run([sys.executable, __file__], input=message, capture_output=True)
    assert process.returncode == 0, f"exit code {process.returncode}\n{process.stderr.decode()[-2000:]}"
    return pickle.loads(process.stdout)


def forward(network: str, options: dict, weights: list[np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """The output of pytorch_peer's network (its class name) with a Keras network's weights."""
    module = getattr(pytorch_peer, network)(**options).eval()
    pytorch_peer.copy_weights(weights, module)
    return from_torch(module(*map(to_torch, inputs)))


def transposed_convolution(kernel: np.ndarray, bias: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A 3x3 transposed convolution with stride 2, padding 1 and output padding 1; the kernel is in Keras' order."""
    module = torch.nn.ConvTranspose2d(*kernel.shape[:1:-1], 3, stride=2, padding=1, output_padding=1)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        module.bias.copy_(torch.from_numpy(bias))
    return from_torch(module(to_torch(image)))


def train(options: dict, weights: tuple, input_image: np.ndarray, target_image: np.ndarray, steps: int) -> list:
    """The losses of each step, from the given weights of generator and discriminator."""
    networks = pytorch_peer.UNet(**options), pytorch_peer.PatchGAN(filters=options["filters"])
    for module, values in zip(networks, weights, strict=True):
        pytorch_peer.copy_weights(values, module)
    step = pytorch_peer.make_train_step(*networks)
    return [[float(loss) for loss in step(to_torch(input_image), to_torch(target_image))] for _ in range(steps)]


def to_torch(images: np.ndarray):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def from_torch(tensor) -> np.ndarray:
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    import pytorch_peer
    import torch

    name, arguments = pickle.load(sys.stdin.buffer)
    pickle.dump(globals()[name](*arguments), sys.stdout.buffer)
