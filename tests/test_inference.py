import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SIZES

from tf_pix2pix.inference import (
    any_size,
    crop_from,
    make_noisy_translate,
    make_translate,
    max_pixels,
    padded_side,
    reflect_to,
    size_multiple,
)
from tf_pix2pix.networks import GENERATORS


def tiny(kind="unet", **options):
    return GENERATORS[kind](3, 3, **dict(size=(32, 32), filters=2, depth=3) | options)


def random_batch(height, width, n=1, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)).astype(np.float32))


@pytest.mark.parametrize(("kind", "depth", "multiple"), [("unet", 5, 32), ("unet", 3, 8), ("resnet", 2, 4)])
def test_any_size_comes_back_in_its_own(kind, depth, multiple):
    generator = tiny(kind, depth=depth)
    assert size_multiple(generator) == multiple
    assert (padded_side(1, multiple), padded_side(33, multiple)) == (max(multiple, 16), 32 + multiple)
    translate = make_translate(generator)
    for height, width in SIZES:
        image = random_batch(height, width, n=2)
        generated = translate(image)
        padded = [padded_side(side, multiple) for side in (height, width)]
        whole = generator(reflect_to(image, *padded), training=False)
        assert whole.shape[1:3] == padded
        expected = crop_from(whole, padded, (height, width))
        assert generated.shape == expected.shape == image.shape
        np.testing.assert_allclose(generated, expected, atol=1e-6)  # rounding
    assert translate.experimental_get_tracing_count() == 3  # the first two sizes, and then any


@pytest.mark.parametrize("size", SIZES)
def test_mirroring_is_that_of_numpy(size):
    """numpy's "reflect" mirrors as often as needed, too."""
    image = random_batch(*size)
    height, width = size[0] + 75, size[1] + 4
    expected = np.pad(image, [(0, 0), (37, 38), (2, 2), (0, 0)], mode="reflect")
    reflected = reflect_to(image, height, width)
    np.testing.assert_array_equal(reflected, expected)
    np.testing.assert_array_equal(crop_from(reflected, (height, width), size), image)


def test_an_images_result_does_not_depend_on_its_batch():
    translate, several = make_translate(tiny(initializer="kaiming")), random_batch(32, 32, n=5)
    together = translate(several)
    for n in range(5):
        np.testing.assert_allclose(translate(several[n : n + 1])[0], together[n], atol=2e-5)  # rounding of sums


def test_a_size_that_fits_passes_through_the_generator_alone():
    """If the graph is traced with it."""
    graph = tf.function(any_size(tiny())).get_concrete_function(tf.TensorSpec([1, 64, 32, 3])).graph
    assert "GatherV2" not in {op.type for op in graph.get_operations()}


def test_noise_depends_on_its_seed_alone():
    generator = tiny(norm="batch", initializer="kaiming")
    noisy, image = make_noisy_translate(generator), random_batch(33, 20)
    for layer in generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 0.1)
    statistics = [variable for variable in generator.non_trainable_variables if variable.dtype == "float32"]
    before = [variable.numpy() for variable in statistics]
    one, other, again = (noisy(image, (1, seed)).numpy() for seed in (3, 4, 3))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3
    assert one.shape == image.shape
    for variable, value in zip(statistics, before, strict=True):
        np.testing.assert_array_equal(variable, value)  # batch norm keeps its running statistics
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    seeds = {tuple(layer.seed_generator.state.numpy()) for layer in dropouts}
    assert len(seeds) == len(dropouts) > 1  # each layer draws its own
    clean = make_translate(generator)
    np.testing.assert_array_equal(clean(image), clean(image))


def test_a_generator_without_dropout_has_no_noise():
    with pytest.raises(ValueError, match="without dropout"):
        make_noisy_translate(tiny(dropout=0.0))


def test_max_pixels_counts_the_activations_held_at_once():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 1)(inputs)  # its bias is added in an operation of its own: 8 + 8 channels at a time
    model = keras.Model(inputs, keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x))  # kernels are not counted
    assert max_pixels(model) == int(2e9 / (1.6 * 4 * 16))
