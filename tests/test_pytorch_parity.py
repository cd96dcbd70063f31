"""The networks and the training step against PyTorch, which nobody here wrote. Needs the extra `benchmark`."""

import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY

torch = pytest.importorskip("torch", reason="no PyTorch: pip install 'tf_pix2pix[benchmark]'", exc_type=ImportError)
sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import pytorch_peer  # noqa: E402

from tf_pix2pix.layers import UPSAMPLINGS  # noqa: E402
from tf_pix2pix.networks import patchgan_discriminator, unet_generator  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (2, 2, 256, 256, 3)).astype(np.float32)


def to_torch(pictures):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1)))


def from_torch(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def widened(model):
    """Gives the kernels, N(0, 0.02) at first, the size of trained ones: small outputs would hide differences."""
    for variable in model.trainable_variables:
        variable.assign(variable * 3.0 if len(variable.shape) == 4 else variable + 0.1)
    return model


def test_the_papers_unet_is_pytorchs(pictures):
    model = widened(unet_generator())
    peer = pytorch_peer.UNet().eval()
    pytorch_peer.copy_weights(model, peer)
    assert sum(p.numel() for p in peer.parameters()) == 54_413_955
    ours = model(pictures[0], training=False).numpy()
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, from_torch(peer(to_torch(pictures[0]))), atol=1e-4)


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_the_patchgan_is_pytorchs(pictures, layers):
    model = widened(patchgan_discriminator(layers=layers))
    peer = pytorch_peer.PatchGAN(layers=layers)
    pytorch_peer.copy_weights(model, peer)
    ours = model(list(pictures)).numpy()
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, from_torch(peer(*map(to_torch, pictures))), atol=1e-4)


@pytest.mark.parametrize("depth", [4, 7])
def test_smaller_unets_are_pytorchs(pictures, depth):
    size = (2**depth, 2 ** (depth + 1))
    model = widened(unet_generator(1, 4, size=size, depth=depth, filters=8))
    peer = pytorch_peer.UNet(1, 4, depth=depth, filters=8).eval()
    pytorch_peer.copy_weights(model, peer)
    x = pictures[0, :, : size[0], : size[1], :1]
    np.testing.assert_allclose(model(x, training=False), from_torch(peer(to_torch(x))), atol=1e-4)


def test_odd_transposed_convolutions_are_pytorchs(pictures):
    """Those of the resnet, which Torch pads by 1 and by 1 more at the output."""
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, UPSAMPLINGS["transpose"](inputs, 4, 3))
    peer = torch.nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1)
    kernel, bias = (variable.numpy() for variable in model.trainable_variables)
    with torch.no_grad():
        peer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        peer.bias.copy_(torch.from_numpy(bias))
    x = pictures[0, :, :9, :12]
    np.testing.assert_allclose(model(x), from_torch(peer(to_torch(x))), atol=1e-5)


def test_a_few_steps_are_pytorchs(pictures):
    """The whole step, Adam included: the losses of five steps."""
    from tf_pix2pix.config import TrainConfig
    from tf_pix2pix.training.step import LOSSES, build_state, make_train_step

    x, y = pictures[0, :1, :64, :64], pictures[1, :1, :64, :64]
    config = TrainConfig(crop_size=(64, 64), filters=8, dropout=0.0, input_channels=3, output_channels=3)
    state = build_state(config, 10)
    generator, discriminator = pytorch_peer.UNet(depth=6, filters=8, dropout=0.0), pytorch_peer.PatchGAN(filters=8)
    pytorch_peer.copy_weights(state.generator, generator)
    pytorch_peer.copy_weights(state.discriminator, discriminator)
    ours, theirs = make_train_step(state, config), pytorch_peer.make_train_step(generator, discriminator)
    for _ in range(5):
        losses = ours(x, y)
        expected = [float(value) for value in theirs(to_torch(x), to_torch(y))]
        # float32 rounding, which Adam's first steps (the gradients' signs) enlarge
        np.testing.assert_allclose([losses[name] for name in LOSSES], expected, rtol=2e-3)
