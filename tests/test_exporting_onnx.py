"""The ONNX file, as ONNX Runtime runs it."""

import dataclasses
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SIZES, difference, make_sides, make_source, random_image, translate

from tf_pix2pix import model_card
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.exporting.onnx import export_onnx

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")


def assert_same(source, artifact, sizes):
    for seed, size in enumerate(sizes):
        image = random_image(seed, *size, source.sides.input.channels)
        generated = artifact.readers["ONNX Runtime"](image)
        assert difference(generated, translate(source, image)) <= artifact.max_difference == 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    source, directory = make_source(depth=3), tmp_path_factory.mktemp("onnx")
    [artifact] = export_onnx(source, directory, Options())
    assert [path.name for path in directory.iterdir()] == ["model.onnx"]
    return SimpleNamespace(source=source, artifact=artifact, session=onnxruntime.InferenceSession(artifact.path))


def test_any_size(exported):
    assert exported.artifact.fixed_size is None
    assert_same(exported.source, exported.artifact, [*SIZES, (257, 193)])
    batch = np.random.default_rng(0).uniform(-1, 1, (3, 40, 35, 3)).astype(np.float32)
    (together,) = exported.session.run(["generated"], {"image": batch})
    for image, generated in zip(batch, together, strict=True):
        (alone,) = exported.session.run(["generated"], {"image": image[np.newaxis]})
        np.testing.assert_allclose(generated, alone[0], atol=1e-5)
    for [value], name in ((exported.session.get_inputs(), "image"), (exported.session.get_outputs(), "generated")):
        assert (value.name, value.type, value.shape) == (name, "tensor(float)", ["n", "height", "width", 3])
    assert model_card.read_card(exported.artifact.path) == exported.source.card


def test_images_are_not_transposed_at_each_convolution(exported):
    """The network is in ONNX' own layout; the weights' transposes are done once, when the file is loaded.

    Two are needed, at the input and the output. tf2onnx iterates over sets of nodes, and now and then leaves another.
    """
    graph = onnx.load(exported.artifact.path).graph
    weights = {weight.name for weight in graph.initializer}
    transposed = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] not in weights]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert 2 <= len(transposed) < len(convolutions) / 2
    onnx.checker.check_model(exported.artifact.path, full_check=True)


@pytest.mark.parametrize(
    ("channels", "fields"),
    [((3, 3), {"generator": "resnet"}), ((1, 4), {"norm": "batch"}), ((3, 1), {"upsampling": "resize"})],
)
def test_other_networks(tmp_path, channels, fields):
    source = make_source(make_sides(*channels), depth=2, **fields)
    for layer in source.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean + 0.1)
    [artifact] = export_onnx(source, tmp_path, Options())
    assert_same(source, artifact, [(32, 32), (33, 50)])


def test_a_network_that_does_not_convert_is_an_error(tmp_path):
    class Lgamma(keras.layers.Layer):
        def call(self, x):
            return tf.math.lgamma(x + 3.0)

    inputs = keras.Input((None, None, 3))
    source = dataclasses.replace(make_source(depth=2), generator=keras.Model(inputs, Lgamma()(inputs)))
    with pytest.raises(RunError, match="does not convert to ONNX"):
        next(export_onnx(source, tmp_path, Options()))


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "tf2onnx"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"--format=onnx: {name} not installed; pip install 'tf_pix2pix\[onnx\]'"):
        export_onnx(None, tmp_path, Options())
