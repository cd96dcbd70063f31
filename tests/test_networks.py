import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_pix2pix.layers import Convolution2D, InstanceNormalization, ReflectionPadding2D
from tf_pix2pix.networks import GENERATORS, patchgan_discriminator, resnet_generator, unet_depth, unet_generator


@pytest.fixture(scope="module")
def paper_unet():
    return unet_generator()


@pytest.fixture(scope="module")
def paper_patchgan():
    return patchgan_discriminator()


def noise(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_parameter_counts_and_output_shapes_are_the_papers(paper_unet, paper_patchgan):
    assert paper_unet.count_params() == 54_413_955
    assert paper_patchgan.count_params() == 2_768_705
    assert unet_generator(size=(128, 128)).count_params() == 41_828_995
    assert paper_unet.compute_output_shape((1, 256, 256, 3)) == (1, 256, 256, 3)
    assert paper_patchgan([noise(1, 256, 256, 3)] * 2).shape == (1, 30, 30, 1)
    for layers in (1, 3):  # the smallest size yields one logit
        least = 3 * 2**layers
        small = patchgan_discriminator(size=(least, least), layers=layers, filters=2)
        assert small([noise(1, least, least, 3)] * 2).shape == (1, 1, 1, 1)


def kernels(model):
    return [weight.numpy() for weight in model.trainable_variables if len(weight.shape) == 4]


def test_no_two_layers_start_with_the_same_weights(paper_unet, paper_patchgan):
    every = kernels(paper_unet) + kernels(paper_patchgan)
    assert len(every) == 16 + 5
    for a, b in itertools.combinations(every, 2):
        size = min(a.size, b.size)
        correlation = np.corrcoef(a.ravel()[:size], b.ravel()[:size])[0, 1]
        assert abs(correlation) < 6 / np.sqrt(size)  # six standard deviations of two independent kernels


def test_initial_weights_are_the_papers(paper_unet):
    for kernel in kernels(paper_unet):
        error = 6 / np.sqrt(kernel.size)  # six standard errors, of the mean in units of sigma, of sigma relatively
        assert abs(kernel.mean()) < 0.02 * error
        assert abs(kernel.std() / 0.02 - 1) < error
    scales = np.concatenate([v.numpy() for v in paper_unet.trainable_variables if v.name == "gamma"])
    assert abs(scales.mean() - 1) < 0.02 * 6 / np.sqrt(scales.size)
    assert abs(scales.std() / 0.02 - 1) < 6 / np.sqrt(scales.size)


def test_the_seed_repeats_the_weights():
    first, again, other = (kernels(unet_generator(size=(16, 16), filters=2, seed=seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_first_and_the_innermost_encoder_layer_have_no_norm(paper_unet):
    convolutions = [layer for layer in paper_unet.layers if type(layer) is Convolution2D]
    assert len(convolutions) == 8

    def followed_by_norm(layer):
        return any(isinstance(node.operation, InstanceNormalization) for node in layer._outbound_nodes)

    assert [followed_by_norm(layer) for layer in convolutions] == [False] + 6 * [True] + [False]


def test_dropout_is_in_the_three_innermost_decoder_blocks_and_off_at_inference():
    model = unet_generator(size=(64, 64), filters=2)
    positions = [
        type(layer).__name__ for layer in model.layers if type(layer).__name__ in ("Convolution2DTranspose", "Dropout")
    ]
    assert positions == ["Convolution2DTranspose", "Dropout"] * 3 + ["Convolution2DTranspose"] * 3
    x = noise(1, 64, 64, 3)
    np.testing.assert_array_equal(model(x, training=False), model(x, training=False))
    assert not np.array_equal(model(x, training=True), model(x, training=True))


def test_biases_are_only_where_no_norm_follows(paper_unet, paper_patchgan):
    def with_bias(model):
        return [layer.use_bias for layer in model.layers if hasattr(layer, "use_bias")]

    assert with_bias(paper_unet) == 15 * [False] + [True]
    assert with_bias(paper_patchgan) == [True, False, False, False, True]


@pytest.mark.parametrize(("layers", "pixels"), [(0, 1), (1, 16), (3, 70), (5, 286)])
def test_receptive_fields_by_gradient(layers, pixels):
    # Without norm, which would make every logit see every pixel. All weights are positive, so no gradient cancels.
    model = patchgan_discriminator(layers=layers, filters=1, norm="none", size=(512, 512))
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable) / variable.shape.num_elements())
    image = tf.ones([1, 512, 512, 3])
    with tf.GradientTape() as tape:
        tape.watch(image)
        logits = model([tf.ones([1, 512, 512, 3]), image])
        middle = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    seen = np.abs(tape.gradient(middle, image).numpy()[0]).sum(axis=2) > 0
    assert seen.any(axis=1).sum() == pixels
    assert seen.any(axis=0).sum() == pixels


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: unet_generator(size=(100, 101)),
            "100x101 pixels can be halved only .* choose multiples of 8, such as",
        ),
        (
            lambda: unet_generator(size=(300, 200), depth=7),
            "300x200 pixels do not fit .* multiples of 128, such as 128",
        ),
        (lambda: resnet_generator(size=(66, 64)), "66x64 pixels do not fit .*; choose multiples of 4, such as 64, 68"),
        (lambda: patchgan_discriminator(size=(16, 32)), "16x32 pixels are too few: 3 discriminator layers need 24"),
        (lambda: resnet_generator(skips=False), "requires skip connections; pass skips=True"),
    ],
)
def test_networks_that_cannot_be_built_are_refused_with_suggestions(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize(
    ("norm", "upsampling"), [("instance", "resize"), ("batch", "transpose"), ("none", "transpose")]
)
def test_generators_translate_rectangles_and_other_sizes(name, norm, upsampling):
    model = GENERATORS[name](1, 4, size=(32, 48), filters=2, norm=norm, upsampling=upsampling)
    for height, width in ((32, 48), (64, 80)):
        output = model(noise(2, height, width, 1), training=True)
        assert output.shape == (2, height, width, 4)
        assert np.abs(output).max() <= 1
    assert any(isinstance(layer, ReflectionPadding2D) for layer in model.layers) == (name == "resnet")


def test_depths_by_size_and_skips():
    def count(kind, model):
        return sum(isinstance(layer, kind) for layer in model.layers)

    sizes = {(128, 128): 7, (256, 256): 8, (512, 512): 8, (256, 512): 8, (96, 160): 5}
    assert {size: unet_depth(size) for size in sizes} == sizes
    for size, depth, blocks in (((128, 128), None, 6), ((256, 256), None, 9), ((256, 256), 2, 2)):
        assert count(keras.layers.Add, resnet_generator(size=size, filters=1, depth=depth)) == blocks
    for skips in (True, False):
        assert count(keras.layers.Concatenate, unet_generator(size=(16, 16), filters=2, skips=skips)) == 3 * skips


def test_an_unconditional_discriminator_ignores_the_input():
    image, inputs = noise(1, 32, 32, 3), [noise(1, 32, 32, 3), np.zeros((1, 32, 32, 3), np.float32)]
    blind = patchgan_discriminator(filters=2, conditional=False)
    seeing = patchgan_discriminator(filters=2)
    assert np.array_equal(*(blind([x, image]) for x in inputs))
    assert not np.array_equal(*(seeing([x, image]) for x in inputs))


@pytest.mark.parametrize("low", ["float16", "bfloat16"])
def test_mixed_precision_computes_low_and_returns_float32(low):
    generator = unet_generator(size=(16, 16), filters=2, dtype=f"mixed_{low}")
    discriminator = patchgan_discriminator(size=(24, 24), filters=2, dtype=f"mixed_{low}")
    assert generator(noise(1, 16, 16, 3)).dtype == tf.float32
    assert discriminator([noise(1, 24, 24, 3)] * 2).dtype == tf.float32
    assert {layer.compute_dtype for layer in generator.layers if hasattr(layer, "kernel")} == {low}
    assert {variable.dtype for variable in generator.trainable_variables} == {"float32"}
