"""ONNX files for any height and width: `image` -> `generated`, both float32 [n, h, w, c] in [-1, 1]."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from tf_pix2pix import inference, model_card, runtimes
from tf_pix2pix.errors import InputError, RunError, format_list
from tf_pix2pix.exporting.artifact import Artifact, Options, Source, make_reader
from tf_pix2pix.exporting.rebuilding import for_other_runtimes

OPSET = 18  # the newest that tf2onnx supports


def export_onnx(source: Source, directory: Path, options: Options) -> Iterator[Artifact]:
    """Writes model.onnx, with the model card in its metadata.

    Raises:
      InputError: tf2onnx, onnx or onnxruntime is not installed, or the network is too large for the format.
      RunError: the network does not convert.
    """
    missing = [name for name in ("onnx", "onnxruntime", "tf2onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"--format=onnx: {format_list(missing)} not installed; pip install 'tf_pix2pix[onnx]'")
    source.check_bytes("onnx")
    return _export(source, directory / "model.onnx")


def _export(source, path):
    try:
        path.write_bytes(_convert(source))
        model_card.write_card(path, source.card)
        reader = make_reader(runtimes.load_onnx(path), source.sides)
        artifact = Artifact(path, {"ONNX Runtime": reader}, max_difference=source.max_difference)
    except OSError:
        raise
    except Exception as error:  # tf2onnx and ONNX Runtime raise all kinds of errors
        raise RunError(f"the network does not convert to ONNX: {error}") from error
    yield artifact


def _convert(source) -> bytes:
    """The file's bytes, without the card.

    tf2onnx copies constants at every pass: 90 s and 13 GB for 54M parameters, instead of 3 s and 1 GB. So it converts a
    graph whose kernels are inputs, which become initializers of the same names afterwards.
    """
    import onnx
    import tf2onnx

    generator = for_other_runtimes(source.generator)
    any_size = inference.any_size(generator)
    weights = [weight for weight in generator.weights if len(weight.shape) == 4]
    kernels = {f"kernel_{number}": kernel for number, kernel in enumerate(weights)}

    def translate(image, *values):
        with keras.StatelessScope(state_mapping=list(zip(kernels.values(), values, strict=True))):
            return {"generated": any_size(image)}

    signature = [tf.TensorSpec([None, None, None, source.sides.input.channels], tf.float32, "image")]
    signature += [tf.TensorSpec(kernel.shape, kernel.dtype, name) for name, kernel in kernels.items()]
    function = tf.function(translate, input_signature=signature)
    model, _ = tf2onnx.convert.from_function(function, signature, opset=OPSET)
    graph = model.graph
    graph.initializer.extend(onnx.numpy_helper.from_array(kernel.numpy(), name) for name, kernel in kernels.items())
    for value in [value for value in graph.input if value.name in kernels]:
        graph.input.remove(value)
    for value in (*graph.input, *graph.output):
        for dimension, name in zip(value.type.tensor_type.shape.dim, ("n", "height", "width"), strict=False):
            dimension.dim_param = name
    return model.SerializeToString()
