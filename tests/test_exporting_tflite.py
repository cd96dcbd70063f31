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
from helpers import SIZES, difference, make_sides, make_source, random_image, translate

from tf_pix2pix import exporting, model_card, runtimes
from tf_pix2pix.codecs import with_codec
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import tflite
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.networks import GENERATORS
from tf_pix2pix.palettes import Palette
from tf_pix2pix.sides import Side, Sides

ALL = tuple(tflite.PRECISIONS)
NAMES = ["model-float32", "model-float16", "model-dynamic_int8", "model-int8", "model-int8-uint8"]


def export(source, directory, size=None, precisions=ALL):
    artifacts = list(tflite.export_tflite(source, directory, Options(tflite_precision=precisions, tflite_size=size)))
    assert sorted(path.name for path in directory.iterdir()) == sorted(artifact.path.name for artifact in artifacts)
    return {artifact.path.stem: artifact for artifact in artifacts}


def assert_within_thresholds(artifact, image, expected):
    generated = artifact.readers["LiteRT"](image)
    assert (artifact.max_difference is None) != (artifact.min_psnr is None)
    if artifact.max_difference is not None:
        assert difference(generated, expected) <= artifact.max_difference
    else:
        assert generated.shape == expected.shape
        error = np.mean((generated.astype(int) - expected) ** 2)
        assert 10 * np.log10(255**2 / max(error, 1e-9)) >= artifact.min_psnr


def count_operations(path):
    """How often a file uses each operation."""
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    counts = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
            counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Every file, of the size trained on."""
    source = make_source(filters=4)
    return SimpleNamespace(source=source, artifacts=export(source, tmp_path_factory.mktemp("fixed")))


def test_every_precision_has_its_files(fixed):
    assert list(fixed.artifacts) == NAMES
    sizes = {name: artifact.path.stat().st_size for name, artifact in fixed.artifacts.items()}
    assert sizes["model-float16"] < 0.7 * sizes["model-float32"]
    assert max(sizes["model-dynamic_int8"], sizes["model-int8"]) < 0.7 * sizes["model-float16"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_generates_the_runs_images_and_describes_itself(fixed, name):
    artifact = fixed.artifacts[name]
    assert artifact.fixed_size == (32, 32)
    for seed in range(10, 13):
        image = random_image(seed, 32, 32)
        expected = translate(fixed.source, image)
        assert expected.std() > 30  # otherwise any image would be close to it
        assert_within_thresholds(artifact, image, expected)
    runner = Interpreter(model_path=str(artifact.path)).get_signature_runner("translate")
    dtype = np.uint8 if name.endswith("uint8") else np.float32
    for details, tensor in ((runner.get_input_details(), "image"), (runner.get_output_details(), "generated")):
        assert list(details) == [tensor]
        assert details[tensor]["dtype"] == dtype
        assert details[tensor]["shape_signature"].tolist() == [1, 32, 32, 3]
    assert model_card.read_card(artifact.path) == fixed.source.card


def test_the_graph_is_the_fastest_known(fixed):
    """Only the network's own operations, without transposed layouts or variables."""
    assert count_operations(fixed.artifacts["model-float32"].path) == {
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


@pytest.mark.parametrize("kind", GENERATORS)
def test_any_size_in_every_precision_without_transposed_convolutions(tmp_path, kind):
    """Those take LiteRT two to two hundred times as long."""
    source = make_source(generator=kind, depth=3)
    artifacts = export(source, tmp_path, (0, 0), precisions=None)
    assert list(artifacts) == NAMES
    for artifact in artifacts.values():
        assert artifact.fixed_size is runtimes.load_tflite(artifact.path).fixed_size is None
    # Narrow images are nearly constant, with a tiny variance: a ResNet's normalization magnifies quantization there.
    for seed, size in enumerate([*SIZES, (1025, 769)] if kind == "unet" else [(33, 97)]):
        image = random_image(seed, *size)
        expected = translate(source, image)
        for artifact in artifacts.values() if size[0] < 1000 else [artifacts["model-float32"]]:
            assert_within_thresholds(artifact, image, expected)
    operations = count_operations(artifacts["model-float32"].path)
    assert "CONV_2D" in operations
    assert "TRANSPOSE_CONV" not in operations


def test_other_channels_norms_and_a_size_that_does_not_fit_the_network(tmp_path, capfd):
    """And the converter prints nothing."""
    source = make_source(make_sides(1, 4), norm="batch")
    capfd.readouterr()
    artifacts = export(source, tmp_path, (45, 70), precisions=("float16", "int8"))
    assert capfd.readouterr() == ("", "")
    image = random_image(0, 45, 70, 1)
    for artifact in artifacts.values():
        assert artifact.fixed_size == (45, 70)
        assert_within_thresholds(artifact, image, translate(source, image))


def test_the_uint8_interface_covers_all_values(tmp_path):
    """Although the images that ranges are measured on are all of mid-gray."""
    gray = [np.full((32, 32, 3), 120, np.uint8)] * 2
    source = dataclasses.replace(make_source(depth=3), train_inputs=gray)
    path = export(source, tmp_path, precisions=("int8",))["model-int8-uint8"].path
    details = Interpreter(model_path=str(path)).get_signature_runner("translate").get_input_details()["image"]
    scale, zero_point = details["quantization"]
    assert (0 - zero_point) * scale == pytest.approx(-1, abs=0.01)
    assert (255 - zero_point) * scale == pytest.approx(1, abs=0.01)


def convert(function, shape, path, custom=False):
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.allow_custom_ops = custom
    with runtimes.quiet():
        path.write_bytes(converter.convert())
    return path


def test_graphs_that_phones_do_not_run_are_refused(tmp_path):
    five = convert(lambda x: tf.transpose(x, [0, 2, 1, 4, 3]), [1, 2, 3, 4, 5], tmp_path / "five.tflite")
    with pytest.raises(RunError, match=r"five.tflite: tensors of more than 4 dimensions.* \[1, 2, 3, 4, 5\]"):
        tflite.check_graph(five)
    tflite.check_graph(convert(lambda x: tf.transpose(x, [0, 2, 1, 3]), [1, 2, 3, 4], five))
    custom = convert(lambda x: tf.image.adjust_hue(x, 0.1), [1, 4, 4, 3], tmp_path / "custom.tflite", custom=True)
    with pytest.raises(RunError, match=r"custom.tflite: LiteRT lacks the ops \w*AdjustHue"):
        tflite.check_graph(custom)


def test_a_network_that_does_not_convert_is_an_error_and_leaves_no_file(tmp_path):
    class AdjustHue(keras.layers.Layer):
        def call(self, x):
            return tf.image.adjust_hue(x, 0.1)

    inputs = keras.Input((None, None, 3))
    source = dataclasses.replace(make_source(), generator=keras.Model(inputs, AdjustHue()(inputs)))
    with pytest.raises(RunError, match="cannot convert the network to TFLite, float32: .") as raised:
        export(source, tmp_path, precisions=("float32",))
    assert len(str(raised.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tflite_precision": ("int4",)}, "--tflite_precision=int4: choose among float32, float16, dynamic_int8, int8"),
        ({"tflite_size": (0, 32)}, "--tflite_size=0x32: height and width must be at least 16, or 0x0 for any size"),
    ],
)
def test_unsupported_options_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        tflite.export_tflite(make_source(), tmp_path, Options(**options))
    assert not list(tmp_path.iterdir())


def test_palettes_are_exact_in_int8(tmp_path):
    """Around one convolution that passes the classes on: each color comes back, also neighbors of one level.

    The converter quantizes tf.one_hot, a table of floats, and a division, so that they would not.
    """
    colors = ((0, 0, 0), (255, 255, 255), (1, 0, 0), (128, 127, 90), (129, 127, 90), (255, 254, 0))
    sides = Sides(*[Side(3, palette=Palette(colors))] * 2)
    source = make_source(sides, input_encoding="onehot", target_encoding="classes")
    inputs = keras.Input((None, None, 6))
    convolution = keras.layers.Conv2D(6, 1, use_bias=False)
    generator = with_codec(keras.Model(inputs, convolution(inputs)), source.run.codec, 3)
    convolution.set_weights([np.eye(6)[np.newaxis, np.newaxis]])
    maps = [sides.input.palette.array[np.random.default_rng(seed).integers(0, 6, (32, 32))] for seed in range(4)]
    source = dataclasses.replace(source, generator=generator, train_inputs=maps[1:])
    assert source.has_palette
    (artifact,) = export(source, tmp_path, precisions=("int8",)).values()
    np.testing.assert_array_equal(artifact.readers["LiteRT"](maps[0]), maps[0])


def test_quantized_files_beyond_their_thresholds_are_left_out_unless_asked_for(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tflite, "PRECISIONS", {"float32": {"max_difference": 1}, "int8": {"min_psnr": 1000.0}})
    rows = exporting.export(tiny_run, tmp_path / "most", ["tflite"])
    assert [path.name for path in (tmp_path / "most").iterdir()] == ["model-float32.tflite"]
    assert [row.path.name for row in rows] == ["model-float32.tflite"]
    printed = capsys.readouterr().out
    assert re.search("left out: model-int8.tflite in LiteRT differs .* dB, threshold 1000\n", printed)
    with pytest.raises(RunError, match="model-int8.tflite .* threshold 1000; nothing was exported"):
        options = Options(tflite_precision=("int8",))
        exporting.export(tiny_run, tmp_path / "asked", ["tflite"], options=options)
    assert not (tmp_path / "asked").exists()
