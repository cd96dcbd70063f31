import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import REPOSITORY, make_sides, random_image

from tf_pix2pix import images
from tf_pix2pix.codecs import CODECS, IMAGES, with_codec
from tf_pix2pix.errors import InputError
from tf_pix2pix.exporting.rebuilding import for_other_runtimes, for_tensorflow
from tf_pix2pix.inference import make_translate, max_pixels, size_multiple
from tf_pix2pix.networks import unet_generator

COLORS = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [1, 0, 0], [90, 100, 110], [91, 100, 110]], np.uint8)
CASES = {
    "images": ("images", make_sides(3, 3)),
    "one-hot inputs": ("palette", make_sides(COLORS, 3)),
    "classes": ("palette", make_sides(3, COLORS)),
    "both palettes": ("palette", make_sides(COLORS, COLORS[:4])),
    "lab": ("lab", make_sides(1, 3)),
    "lab from RGB": ("lab", make_sides(3, 3)),
    "residual": ("residual", make_sides(3, 3)),
    "holes": ("holes", make_sides(4, 3)),
}


def make_models(case, **options):
    """The codec of a case, a small generator for it, and the model from images to images."""
    name, sides = CASES[case]
    codec = CODECS[name](sides)
    channels = codec.input_channels or sides.input.channels, codec.output_channels or sides.target.channels
    options = dict(size=(32, 32), filters=2, depth=3, initializer="kaiming", activation=codec.activation) | options
    generator = unet_generator(*channels, **options)
    return codec, generator, with_codec(generator, codec, sides.input.channels)


def random_input(case, seed, height, width):
    return images.to_float(random_image(seed, height, width, CASES[case][1].input.channels)[np.newaxis])


@pytest.mark.parametrize("case", CASES)
def test_the_model_encodes_generates_and_decodes(case):
    codec, generator, model = make_models(case)
    image = random_input(case, 1, 64, 32)
    expected = codec.decode_output(generator(codec.encode_input(image), training=False), image)
    generated = model(image, training=False)
    np.testing.assert_allclose(generated, expected, atol=1e-6)
    assert generated.shape == (1, 64, 32, 3)
    assert (model.input_shape[3], model.output_shape[3]) == (image.shape[3], 3)
    generator.trainable_variables[-1].assign_add([1.0, *[0.0] * (generator.output_shape[3] - 1)])
    assert np.abs(model(image, training=False) - generated).max() > 0  # both share their weights


@pytest.mark.parametrize("case", ["both palettes", "lab", "residual", "holes"])
def test_the_model_lists_the_generators_layers(case):
    _, generator, model = make_models(case)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert size_multiple(model) == size_multiple(generator) == 8
    assert 1e4 < max_pixels(model) < 1e10
    image = random_input(case, 2, 50, 70)
    expected = make_translate(model)(image).numpy()
    for form in (for_tensorflow, for_other_runtimes):
        generated = make_translate(form(model))(image).numpy()
        assert (np.abs(generated - expected).max(axis=3) > 1e-3).mean() < 0.001  # classes may flip at ties


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # raised by Keras while it saves
def test_a_saved_model_loads_where_only_the_layers_are_imported_and_computes_the_same(tmp_path):
    expected = {}
    for number, case in enumerate(CASES):
        options = dict(dtype="mixed_bfloat16", norm="batch", upsampling="resize") if case == "images" else {}
        image, model = random_input(case, number, 32, 64), make_models(case, **options)[2]
        model.save(tmp_path / f"{number}.keras")
        expected |= {f"image{number}": image.numpy(), f"generated{number}": model(image, training=False).numpy()}
    np.savez(tmp_path / "expected.npz", **expected)
    script = """
import sys, keras, numpy as np
import tf_pix2pix.layers
expected = np.load(f"{sys.argv[1]}/expected.npz")
for number in range(len(expected) // 2):
    model = keras.models.load_model(f"{sys.argv[1]}/{number}.keras")
    np.testing.assert_array_equal(model(expected[f"image{number}"], training=False), expected[f"generated{number}"])
    print(number)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(number) for number in range(len(CASES))]


def test_images_leave_the_generator_as_it_is():
    codec, generator, model = make_models("images")
    assert model is generator and codec is IMAGES
    image = object()
    assert codec.encode_input(image) is codec.as_target(image) is codec.decode_output(image, None) is image


def test_a_residual_plus_the_input_is_the_target():
    codec = make_models("residual")[0]
    image, target = (images.to_float(random_image(seed, 6, 7)[np.newaxis]) for seed in (0, 1))
    residual = codec.encode_target(target, image)
    np.testing.assert_allclose(codec.decode_output(residual, image), target, atol=1e-6)
    np.testing.assert_array_equal(codec.decode_output(tf.zeros_like(image), image), image)
    clipped = codec.decode_output(tf.fill(image.shape, 3.0) * tf.sign(residual), image)
    assert set(np.unique(clipped[residual != 0])) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("name", "sides", "message"),
    [
        ("lab", make_sides(1, 1), "--color_space=lab: .* target images have 1 channels; provide RGB targets"),
        ("residual", make_sides(1, 3), "--residual: inputs have 1 channels and targets 3, .* pass --noresidual"),
        ("holes", make_sides(3, 3), "--task=inpaint: .* input images have 3 channels; provide RGBA inputs"),
    ],
)
def test_channels_that_do_not_fit_are_refused(name, sides, message):
    with pytest.raises(InputError, match=message):
        CODECS[name](sides)


def test_codecs_compute_in_float32_under_any_global_policy():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        codec, _, model = make_models("both palettes", dtype="float32")
        image = images.to_float(COLORS[np.newaxis, np.newaxis])
        assert codec.encode_input(image).dtype == model(random_input("both palettes", 0, 32, 32)).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
