"""The networks and the training step against PyTorch's own layers and optimizer. Needs the extra `benchmark`."""

import keras
import numpy as np
import pytest
import pytorch_process
from helpers import make_run

from tf_pix2pix.layers import UPSAMPLINGS
from tf_pix2pix.networks import patchgan_discriminator, unet_generator
from tf_pix2pix.training.step import LOSSES, build_state, make_train_step

pytestmark = pytorch_process.requires_torch
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 2, 256, 256, 3)).astype(np.float32)


def weights_of(model):
    return [variable.numpy() for variable in model.trainable_variables]


def scaled_up(model):
    """Enlarges the initial kernels, N(0, 0.02), to the size of trained ones: small outputs would hide differences."""
    for variable in model.trainable_variables:
        variable.assign(variable * 3.0 if len(variable.shape) == 4 else variable + 0.1)
    return model


@pytest.mark.parametrize(
    "size, channels, options",
    [
        ((256, 256), (3, 3), {}),
        ((16, 32), (1, 4), dict(depth=4, filters=8)),
        ((128, 256), (1, 4), dict(depth=7, filters=8)),
    ],
    ids=["the paper's", "depth 4", "depth 7"],
)
def test_unet(size, channels, options):
    options = dict(input_channels=channels[0], output_channels=channels[1], **options)
    model = scaled_up(unet_generator(size=size, **options))
    inputs = IMAGES[0, :, : size[0], : size[1], : channels[0]]
    ours = model(inputs, training=False).numpy()
    assert ours.std() > 0.1
    np.testing.assert_allclose(
        ours, pytorch_process.call("forward", "UNet", options, weights_of(model), inputs), atol=1e-4
    )


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_patchgan(layers):
    model = scaled_up(patchgan_discriminator(layers=layers))
    ours = model(list(IMAGES)).numpy()
    assert ours.std() > 0.1
    theirs = pytorch_process.call("forward", "PatchGAN", {"layers": layers}, weights_of(model), *IMAGES)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_transposed_convolution_of_odd_kernel():
    """The ResNet generator's upsampling."""
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, UPSAMPLINGS["transpose"](inputs, 4, 3))
    image = IMAGES[0, :, :9, :12]
    theirs = pytorch_process.call("transposed_convolution", *weights_of(model), image)
    np.testing.assert_allclose(model(image), theirs, atol=1e-5)


def test_losses_of_five_steps(tmp_path):
    """The whole step, Adam included."""
    input_image, target_image = IMAGES[0, :1, :64, :64], IMAGES[1, :1, :64, :64]
    run = make_run(tmp_path, crop_size=(64, 64), filters=8, dropout=0.0, batch_size=1)
    state = build_state(run, 10)
    weights = weights_of(state.generator), weights_of(state.discriminator)
    options = dict(depth=6, filters=8, dropout=0.0)
    theirs = pytorch_process.call("train", options, weights, input_image, target_image, 5)
    step = make_train_step(state, run.config)
    for expected in theirs:
        losses = step(input_image, target_image)
        # float32 rounding, which Adam's first steps (the gradients' signs) enlarge
        np.testing.assert_allclose([losses[name] for name in LOSSES], expected, rtol=2e-3)
