"""TFLite files, as LiteRT runs them."""

import dataclasses
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from conftest import random_picture
from helpers import make_sides

from tf_pix2pix import exporting, images, model_card, runtimes
from tf_pix2pix.codecs import CODECS, with_codec
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import tflite
from tf_pix2pix.exporting.artifact import Options, Source
from tf_pix2pix.inference import make_translate
from tf_pix2pix.networks import GENERATORS

ALL = tuple(tflite.PRECISIONS)
INTERFACES = ["model-float32", "model-float16", "model-dynamic_int8", "model-int8", "model-int8-uint8"]
SIZES = [(1, 1), (1, 40), (7, 5), (32, 32), (33, 17), (64, 32), (1025, 769)]
CARD = {"name": "tiny", "range": [-1, 1]}


def make_source(kind="unet", channels=(3, 3), **options):
    # Untrained weights of the paper's initializer give grays, and grays are near to any others.
    generator = GENERATORS[kind](*channels, size=(32, 32), initializer="kaiming", **{"filters": 4, **options})
    pictures = [random_picture(seed, 32, 32, channels[0]) for seed in range(4)]
    return Source(generator, (32, 32), *channels, train_inputs=pictures, card=CARD)


def export(source, directory, size=None, precisions=ALL):
    artifacts = list(tflite.export_tflite(source, directory, Options(tflite_precision=precisions, tflite_size=size)))
    assert sorted(path.name for path in directory.iterdir()) == sorted(artifact.path.name for artifact in artifacts)
    return {artifact.path.stem: artifact for artifact in artifacts}


def translated(source, picture):
    """The run's own."""
    return images.to_uint8(make_translate(source.generator)(images.to_float(picture[np.newaxis])))[0].numpy()


def assert_within_bounds(artifact, picture, expected):
    got = artifact.readers["LiteRT"](picture)
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    error = got.astype(int) - expected
    assert (artifact.max_difference is None) != (artifact.min_psnr is None)
    if artifact.max_difference is not None:
        assert np.abs(error).max() <= artifact.max_difference
    else:
        assert 10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)) >= artifact.min_psnr


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Every file, of the size trained on."""
    source = make_source()
    return SimpleNamespace(source=source, artifacts=export(source, tmp_path_factory.mktemp("fixed")))


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    """Files of any size."""
    source = make_source()
    directory = tmp_path_factory.mktemp("dynamic")
    return SimpleNamespace(source=source, artifacts=export(source, directory, (0, 0), ("float32", "float16", "int8")))


def test_every_precision_gives_its_files(fixed):
    assert list(fixed.artifacts) == INTERFACES
    sizes = {name: artifact.path.stat().st_size for name, artifact in fixed.artifacts.items()}
    assert sizes["model-float16"] < 0.7 * sizes["model-float32"]
    assert max(sizes["model-dynamic_int8"], sizes["model-int8"]) < 0.7 * sizes["model-float16"]


@pytest.mark.parametrize("name", INTERFACES)
def test_readers_give_the_runs_own_pictures(fixed, name):
    assert fixed.artifacts[name].fixed_size == (32, 32)
    for seed in range(10, 13):
        picture = random_picture(seed, 32, 32)
        expected = translated(fixed.source, picture)
        assert expected.std() > 30  # there is something to miss
        assert_within_bounds(fixed.artifacts[name], picture, expected)


@pytest.mark.parametrize("name", INTERFACES)
def test_the_signature(fixed, name):
    runner = Interpreter(model_path=str(fixed.artifacts[name].path)).get_signature_runner("translate")
    dtype = np.uint8 if name.endswith("uint8") else np.float32
    for details, tensor in ((runner.get_input_details(), "image"), (runner.get_output_details(), "generated")):
        assert list(details) == [tensor]
        assert details[tensor]["dtype"] == dtype
        assert details[tensor]["shape_signature"].tolist() == [1, 32, 32, 3]


def test_the_uint8_interface_takes_all_of_the_range(tmp_path):
    """Though the pictures that ranges are measured on are all of mid-gray."""
    gray = [np.full((32, 32, 3), 120, np.uint8)] * 2
    source = dataclasses.replace(make_source(), train_inputs=gray)
    path = export(source, tmp_path, precisions=("int8",))["model-int8-uint8"].path
    details = Interpreter(model_path=str(path)).get_signature_runner("translate").get_input_details()["image"]
    scale, zero_point = details["quantization"]
    assert (0 - zero_point) * scale == pytest.approx(-1, abs=0.01)
    assert (255 - zero_point) * scale == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", INTERFACES)
def test_the_card_is_in_the_file(fixed, name):
    assert model_card.read_card(fixed.artifacts[name].path) == CARD


@pytest.mark.parametrize("name", ["model-float32", "model-float16", "model-int8", "model-int8-uint8"])
def test_any_size(dynamic, name):
    artifact = dynamic.artifacts[name]
    assert artifact.fixed_size is runtimes.load_tflite(artifact.path).fixed_size is None
    for seed, size in enumerate(SIZES):
        picture = random_picture(seed, *size)
        assert_within_bounds(artifact, picture, translated(dynamic.source, picture))


def test_a_fixed_size_that_does_not_fit_the_network(tmp_path):
    source = make_source(filters=2)
    artifacts = export(source, tmp_path, (45, 70))
    for artifact in artifacts.values():
        assert artifact.fixed_size == (45, 70)
        picture = random_picture(0, 45, 70)
        assert_within_bounds(artifact, picture, translated(source, picture))


@pytest.mark.parametrize(("kind", "channels", "norm"), [("resnet", (3, 3), "instance"), ("unet", (1, 4), "batch")])
def test_other_networks(tmp_path, kind, channels, norm):
    source = make_source(kind, channels, norm=norm)
    picture = random_picture(0, 32, 32, channels[0])
    expected = translated(source, picture)
    for artifact in export(source, tmp_path, precisions=("float16", "int8")).values():
        assert_within_bounds(artifact, picture, expected)


def test_the_graph_is_the_fastest_that_there_is(fixed):
    """Nothing but the network's own ops, no transposed layouts, no variables."""
    counted = ops(fixed.artifacts["model-float32"].path)
    assert counted == {
        "CONV_2D": 10,
        "LEAKY_RELU": 4,
        "PAD": 5,
        "DEPTH_TO_SPACE": 5,
        "STRIDED_SLICE": 5,
        "RELU": 4,
        "CONCATENATION": 4,
        "TANH": 1,
        "MEAN": 14,
        "SQUARED_DIFFERENCE": 7,
        "RSQRT": 7,
        "MUL": 21,
        "ADD": 14,
        "SUB": 7,
    }


def ops(path):
    """How often a file uses each op."""
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    counted = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
            counted[name] = counted.get(name, 0) + 1
    return counted


def convert(function, shape, path, custom=False):
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    if custom:
        converter.allow_custom_ops = True
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with runtimes.quiet():
        path.write_bytes(converter.convert())
    return path


def test_tensors_of_five_dimensions_are_refused(tmp_path):
    path = convert(lambda x: tf.transpose(x, [0, 2, 1, 4, 3]), [1, 2, 3, 4, 5], tmp_path / "five.tflite")
    with pytest.raises(RunError, match=r"five.tflite has tensors of more than 4 dimensions.* \[1, 2, 3, 4, 5\]"):
        tflite.check_graph(path)
    tflite.check_graph(convert(lambda x: tf.transpose(x, [0, 2, 1, 3]), [1, 2, 3, 4], path))


def test_ops_that_are_not_builtin_are_refused(tmp_path):
    path = convert(lambda x: tf.image.adjust_hue(x, 0.1), [1, 4, 4, 3], tmp_path / "custom.tflite", custom=True)
    with pytest.raises(RunError, match=r"custom.tflite needs ops that LiteRT does not have: \w*AdjustHue"):
        tflite.check_graph(path)


def test_what_does_not_convert_is_a_failed_run(tmp_path):
    """And leaves no file of that name."""

    class AdjustHue(keras.layers.Layer):
        def call(self, x):
            return tf.image.adjust_hue(x, 0.1)

    inputs = keras.Input((None, None, 3))
    generator = keras.Model(inputs, AdjustHue()(inputs))
    source = dataclasses.replace(make_source(), generator=generator)
    with pytest.raises(RunError, match="does not convert the network to TFLite, float32: .") as raised:
        export(source, tmp_path, precisions=("float32",))
    assert len(str(raised.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", GENERATORS)
def test_any_size_goes_with_every_precision(tmp_path, kind):
    source = make_source(kind, filters=2, depth=3)
    artifacts = export(source, tmp_path, (0, 0), precisions=None)
    assert list(artifacts) == INTERFACES
    picture = random_picture(0, 33, 50)
    assert_within_bounds(artifacts["model-dynamic_int8"], picture, translated(source, picture))


@pytest.mark.parametrize("kind", GENERATORS)
def test_no_convolution_is_transposed(tmp_path, kind):
    """They take LiteRT two to two hundred times as long."""
    path = export(make_source(kind, filters=2, depth=3), tmp_path, precisions=("float32",))["model-float32"].path
    assert "CONV_2D" in ops(path)
    assert "TRANSPOSE_CONV" not in ops(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tflite_precision": ("int4",)}, "int4: it is none of float32, float16, dynamic_int8, int8"),
        ({"tflite_size": (0, 32)}, "tflite_size=0x32"),
    ],
)
def test_options_that_cannot_be_done(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        tflite.export_tflite(make_source(), tmp_path, Options(**options))
    assert not list(tmp_path.iterdir())


def test_the_converter_says_nothing(tmp_path, capfd):
    export(make_source(filters=2), tmp_path, precisions=("int8",))
    assert capfd.readouterr() == ("", "")


def test_palettes_are_exact_in_int8(tmp_path):
    """Around one convolution that only tells the channels apart: each colour comes back, also neighbours of one level.

    What the converter makes of tf.one_hot, of a table of floats or of a division is quantised, and does not.
    """
    colors = np.array([[0, 0, 0], [255, 255, 255], [1, 0, 0], [128, 127, 90], [129, 127, 90], [255, 254, 0]], np.uint8)
    codec = CODECS["palette"](make_sides(colors, colors))
    inputs = keras.Input((None, None, 6))
    convolution = keras.layers.Conv2D(6, 1, use_bias=False)
    generator = with_codec(keras.Model(inputs, convolution(inputs)), codec, 3)
    convolution.set_weights([np.eye(6)[np.newaxis, np.newaxis]])
    pictures = [colors[np.random.default_rng(seed).integers(0, 6, (32, 32))] for seed in range(4)]
    source = Source(generator, (32, 32), 3, 3, train_inputs=pictures[1:], card=CARD, has_palette=True)
    (artifact,) = export(source, tmp_path, precisions=("int8",)).values()
    np.testing.assert_array_equal(artifact.readers["LiteRT"](pictures[0]), pictures[0])


def test_quantised_files_beyond_their_bounds_are_left_out_unless_asked_for(tiny_run, tmp_path, monkeypatch, capsys):
    precisions = {"float32": {"max_difference": 1}, "int8": {"min_psnr": 1000.0}}
    monkeypatch.setattr(tflite, "PRECISIONS", precisions)
    rows = exporting.export(tiny_run, tmp_path / "most", ["tflite"])
    assert [path.name for path in (tmp_path / "most").iterdir()] == ["model-float32.tflite"]
    assert [row.path.name for row in rows] == ["model-float32.tflite"]
    said = capsys.readouterr().out
    assert re.search("left out: model-int8.tflite in LiteRT differs .* dB, at least 1000 wanted\n", said)
    with pytest.raises(RunError, match="model-int8.tflite .* at least 1000 wanted; nothing was exported"):
        exporting.export(
            tiny_run, tmp_path / "asked", ["tflite"], options=Options(tflite_precision=("float32", "int8"))
        )
    assert not (tmp_path / "asked").exists()
