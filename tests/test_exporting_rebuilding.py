"""The generator in the forms of other runtimes: the same function."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.cpu import convolutions
from tf_pix2pix.exporting import rebuilding
from tf_pix2pix.exporting.rebuilding import for_other_runtimes, for_tensorflow
from tf_pix2pix.inference import any_size, make_translate
from tf_pix2pix.layers import Convolution2D, Convolution2DTranspose, InterleavedConvolution2D
from tf_pix2pix.networks import GENERATORS

CASES = [
    (0, "unet", {}),
    (2**20, "unet", {"norm": "batch"}),
    (0, "unet", {"upsampling": "resize"}),
    (0, "resnet", {"depth": 2}),
    (2**20, "resnet", {"depth": 2}),
]


@pytest.mark.parametrize(("threshold", "kind", "options"), CASES, ids=str)
def test_other_forms_are_the_same_function(monkeypatch, threshold, kind, options):
    for module in (rebuilding, convolutions):
        monkeypatch.setattr(module, "LARGE_KERNEL", threshold)
    generator = GENERATORS[kind](3, 3, size=(32, 32), filters=2, **dict(depth=3, initializer="kaiming") | options)
    values = np.random.default_rng(0).uniform(-1, 1, (2, 65, 97, 3)).astype(np.float32)
    batches = [tf.constant(values[:, :height, :width]) for height, width in ((33, 17), (64, 32), (65, 97))]
    generator(batches[1], training=True)  # running statistics other than the initial ones
    for variable in generator.non_trainable_variables:
        if variable.dtype == "float32":
            variable.assign(variable * 0.9 + 0.05)
    expected = [any_size(generator)(batch).numpy() for batch in batches]
    assert min(one.std() for one in expected) > 0.1
    for form in (for_tensorflow, for_other_runtimes):
        other = form(generator)
        assert other.count_params() >= generator.count_params()
        translate = make_translate(other)
        for batch, one in zip(batches, expected, strict=True):
            np.testing.assert_allclose(translate(batch), one, atol=1e-4)  # float32 rounding


def test_the_form_for_other_runtimes_has_no_transposed_convolution():
    kinds = {type(layer) for layer in for_other_runtimes(GENERATORS["unet"](3, 3, size=(32, 32), filters=2)).layers}
    assert {InterleavedConvolution2D, keras.layers.Conv2D} <= kinds
    assert not kinds & {Convolution2D, Convolution2DTranspose, keras.layers.Conv2DTranspose}
