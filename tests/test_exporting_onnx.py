"""The ONNX file, as ONNX Runtime runs it."""

import dataclasses
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import random_picture

from tf_pix2pix import images, model_card
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting.artifact import Options, Source
from tf_pix2pix.exporting.onnx import export_onnx
from tf_pix2pix.inference import make_translate
from tf_pix2pix.networks import GENERATORS

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")

SIZES = [(1, 1), (1, 40), (7, 5), (32, 32), (33, 17), (64, 32), (1025, 769)]
CARD = {"name": "tiny", "range": [-1, 1]}


def make_source(kind="unet", channels=(3, 3), **options):
    generator = GENERATORS[kind](*channels, size=(32, 32), filters=2, initializer="kaiming", **options)
    return Source(generator, (32, 32), *channels, train_inputs=[], card=CARD)


def assert_same(source, artifact, sizes):
    translate = make_translate(source.generator)
    for seed, size in enumerate(sizes):
        picture = random_picture(seed, *size, source.input_channels)
        expected = images.to_uint8(translate(images.to_float(picture[np.newaxis])))[0].numpy()
        got = artifact.readers["ONNX Runtime"](picture)
        assert got.dtype == np.uint8
        assert got.shape == expected.shape
        assert np.abs(got.astype(int) - expected).max() <= artifact.max_difference == 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    source = make_source()
    directory = tmp_path_factory.mktemp("onnx")
    [artifact] = export_onnx(source, directory, Options())
    assert [path.name for path in directory.iterdir()] == ["model.onnx"]
    return SimpleNamespace(source=source, artifact=artifact)


def test_any_size(exported):
    assert exported.artifact.fixed_size is None
    assert_same(exported.source, exported.artifact, SIZES)


def test_a_batch_is_its_pictures(exported):
    session = onnxruntime.InferenceSession(exported.artifact.path)
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 40, 35, 3)).astype(np.float32)
    (together,) = session.run(["generated"], {"image": batch})
    for image, generated in zip(batch, together, strict=True):
        (alone,) = session.run(["generated"], {"image": image[np.newaxis]})
        np.testing.assert_allclose(generated, alone[0], atol=1e-5)


def test_the_interface(exported):
    session = onnxruntime.InferenceSession(exported.artifact.path)
    for [value], name in ((session.get_inputs(), "image"), (session.get_outputs(), "generated")):
        assert (value.name, value.type, value.shape) == (name, "tensor(float)", ["n", "height", "width", 3])


def test_the_card_is_in_the_file(exported):
    assert model_card.read_card(exported.artifact.path) == CARD


def test_pictures_are_not_transposed_at_each_convolution(exported):
    """The network is in ONNX' own layout; the weights' transposes are done once, when the file is loaded.

    Two are needed, on the way in and out. tf2onnx goes through sets of nodes, and now and then leaves another.
    """
    graph = onnx.load(exported.artifact.path).graph
    weights = {weight.name for weight in graph.initializer}
    transposed = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] not in weights]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert 2 <= len(transposed) < len(convolutions) / 2
    onnx.checker.check_model(exported.artifact.path, full_check=True)


@pytest.mark.parametrize(
    ("kind", "channels", "options"),
    [
        ("resnet", (3, 3), {}),
        ("unet", (1, 4), {"norm": "batch"}),
        ("unet", (3, 1), {"upsampling": "resize"}),
    ],
)
def test_other_networks(tmp_path, kind, channels, options):
    source = make_source(kind, channels, **options)
    for layer in source.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 0.1)
    [artifact] = export_onnx(source, tmp_path, Options())
    assert_same(source, artifact, [(32, 32), (33, 50)])


def test_what_does_not_convert_is_a_failed_run(tmp_path):
    class Lgamma(keras.layers.Layer):
        def call(self, x):
            return tf.math.lgamma(x + 3.0)

    inputs = keras.Input((None, None, 3))
    source = dataclasses.replace(make_source(), generator=keras.Model(inputs, Lgamma()(inputs)))
    with pytest.raises(RunError, match="does not convert to ONNX"):
        next(export_onnx(source, tmp_path, Options()))


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "tf2onnx"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"format=onnx: {name} not installed; pip install 'tf_pix2pix\[onnx\]'"):
        export_onnx(make_source(), tmp_path, Options())
