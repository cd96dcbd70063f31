import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix import inference
from tf_pix2pix.cpu import convolutions
from tf_pix2pix.inference import (
    any_size,
    fitting_side,
    for_other_runtimes,
    for_tensorflow,
    make_noisy_translate,
    make_translate,
    max_pixels,
    reflect_to,
    size_multiple,
)
from tf_pix2pix.layers import Convolution2D, Convolution2DTranspose, InterleavedConvolution2D
from tf_pix2pix.networks import GENERATORS

SIZES = [(1, 1), (1, 40), (7, 5), (16, 16), (33, 17), (64, 32), (65, 130)]


def tiny(kind="unet", **options):
    return GENERATORS[kind](3, 3, size=(32, 32), filters=2, **options)


def pictures(height, width, n=1, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)).astype(np.float32))


@pytest.mark.parametrize(("kind", "depth", "multiple"), [("unet", None, 32), ("unet", 3, 8), ("resnet", 2, 4)])
def test_the_multiple_is_what_the_network_halves(kind, depth, multiple):
    generator = tiny(kind, depth=depth)
    assert size_multiple(generator) == multiple
    assert (fitting_side(1, multiple), fitting_side(33, multiple)) == (max(multiple, 16), 32 + multiple)
    assert generator(pictures(*[fitting_side(17, multiple)] * 2)).shape[1] == fitting_side(17, multiple)


@pytest.mark.parametrize("form", [for_tensorflow, for_other_runtimes])
@pytest.mark.parametrize("least", [0, 2**20], ids=["products", "convolutions"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("unet", {}),
        ("unet", {"norm": "batch", "depth": 3}),
        ("unet", {"upsampling": "resize"}),
        ("resnet", {"depth": 2}),
    ],
    ids=str,
)
def test_other_forms_are_the_same_function(monkeypatch, form, least, kind, options):
    monkeypatch.setattr(inference, "LARGE_KERNEL", least)
    monkeypatch.setattr(convolutions, "LARGE_KERNEL", least)
    generator = tiny(kind, initializer="kaiming", **options)
    generator(pictures(64, 64, n=2), training=True)  # running statistics other than those it begins with
    for variable in generator.non_trainable_variables:
        if variable.dtype == "float32":
            variable.assign(variable * 0.9 + 0.05)
    other = form(generator)
    assert other.count_params() >= generator.count_params()
    translate = make_translate(other)
    for size in ((33, 17), (64, 32), (65, 130)):
        expected = any_size(generator)(pictures(*size, n=2)).numpy()
        assert expected.std() > 0.1
        np.testing.assert_allclose(translate(pictures(*size, n=2)), expected, atol=1e-4)  # float32 rounding


def test_the_form_for_other_runtimes_has_no_transposed_convolution():
    kinds = {type(layer) for layer in for_other_runtimes(tiny()).layers}
    assert InterleavedConvolution2D in kinds
    assert keras.layers.Conv2D in kinds
    assert not kinds & {Convolution2D, Convolution2DTranspose, keras.layers.Conv2DTranspose}


@pytest.mark.parametrize("size", SIZES)
def test_mirroring_is_that_of_numpy(size):
    """numpy's "reflect" mirrors as often as it takes, too."""
    picture = pictures(*size).numpy()
    height, width = size[0] + 75, size[1] + 4
    borders = [((wanted - side) // 2, -(-(wanted - side) // 2)) for side, wanted in zip(size, (height, width))]  # noqa: B905
    expected = np.pad(picture, [(0, 0), *borders, (0, 0)], mode="reflect")
    np.testing.assert_array_equal(reflect_to(pictures(*size), height, width), expected)


@pytest.mark.parametrize(("kind", "depth"), [("unet", None), ("unet", 3), ("resnet", 2)])
def test_any_size_comes_back_in_its_own(kind, depth):
    generator = tiny(kind, depth=depth)
    translate = make_translate(generator)
    for height, width in SIZES:
        image = pictures(height, width, n=2)
        generated = translate(image)
        assert generated.shape == (2, height, width, 3)
        fitting = [fitting_side(side, size_multiple(generator)) for side in (height, width)]
        top, left = (fitting[0] - height) // 2, (fitting[1] - width) // 2
        whole = generator(reflect_to(image, *fitting), training=False)
        np.testing.assert_allclose(generated, whole[:, top : top + height, left : left + width], atol=1e-6)  # rounding
    assert translate.experimental_get_tracing_count() == 3  # the first two sizes, and then any


def test_what_fits_is_the_generator_alone():
    """Sizes known when the graph is made: the picture goes through nothing else."""
    generator = tiny()
    graph = tf.function(any_size(generator)).get_concrete_function(tf.TensorSpec([1, 64, 32, 3])).graph
    assert "GatherV2" not in {op.type for op in graph.get_operations()}


def test_noise_is_its_seeds():
    generator = tiny(norm="batch", initializer="kaiming")
    noisy, image = make_noisy_translate(generator), pictures(33, 20)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 0.1)
    before = [variable.numpy() for variable in generator.non_trainable_variables if variable.dtype == "float32"]
    one, other, again = (noisy(image, (1, seed)).numpy() for seed in (3, 4, 3))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert one.shape == image.shape
    after = [variable.numpy() for variable in generator.non_trainable_variables if variable.dtype == "float32"]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)  # batch norm kept its running statistics
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    seeds = {tuple(layer.seed_generator.state.numpy()) for layer in dropouts}
    assert len(seeds) == len(dropouts) > 1  # each layer draws its own
    clean = make_translate(generator)
    np.testing.assert_array_equal(clean(image), clean(image))


def test_a_generator_without_dropout_has_no_noise():
    with pytest.raises(ValueError, match="without dropout"):
        make_noisy_translate(tiny(dropout=0.0))


def test_the_most_pixels_are_those_whose_activations_fit():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 1)(inputs)  # its bias is added in an operation of its own: 8 + 8 channels at a time
    model = keras.Model(inputs, keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x))  # kernels are not counted
    assert max_pixels(model) == int(2e9 / (1.6 * 4 * 16))
