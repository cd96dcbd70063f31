"""TFLite (LiteRT) files with one signature `translate` and builtin ops only."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, inference, model_card, runtimes
from tf_pix2pix.errors import InputError, RunError, error_line, format_list
from tf_pix2pix.exporting.artifact import Artifact, Options, Source, make_reader
from tf_pix2pix.exporting.rebuilding import for_other_runtimes

# dB. These thresholds catch a broken conversion, not a slight loss of quality. Measured on facades with a trained net
# (10M parameters, 128x128): a mid-gray image 17, another image's result 18, a negative 11, swapped colors 24; the worst
# image of dynamic_int8 52, of int8 36. An untrained 54M net: 46 and 26; other untrained nets: 38 and 27.
DYNAMIC_INT8_MIN_PSNR = 30.0
INT8_MIN_PSNR = 22.0

# For label maps, the least share of pixels with the run's class. Measured on photos to 12 classes (10M parameters,
# 128x128): another image's result 0.29 to 0.40, a negative 0.33 to 0.44, swapped colors 0.60 to 0.78; the worst image
# of float16 0.9998, of dynamic_int8 0.98, of int8 0.86.
FLOAT16_MIN_AGREEMENT = 0.99
DYNAMIC_INT8_MIN_AGREEMENT = 0.9
INT8_MIN_AGREEMENT = 0.7

# Precisions, each with its thresholds (see Artifact). float16 and dynamic_int8 are the precision of the weights; int8
# is that of the activations too, whose ranges are measured on training images.
PRECISIONS: dict[str, dict[str, Any]] = {
    "float32": {"max_difference": 1},
    "float16": {"max_difference": 1, "min_agreement": FLOAT16_MIN_AGREEMENT},
    "dynamic_int8": {"min_psnr": DYNAMIC_INT8_MIN_PSNR, "min_agreement": DYNAMIC_INT8_MIN_AGREEMENT},
    "int8": {"min_psnr": INT8_MIN_PSNR, "min_agreement": INT8_MIN_AGREEMENT},
}
QUANTIZED = ("dynamic_int8", "int8")  # they may miss their thresholds because of the network, not of the conversion
MAX_RANK = 4  # the most dimensions of a tensor that GPU delegates accept


def export_tflite(source: Source, directory: Path, options: Options) -> Iterator[Artifact]:
    """Writes model-PRECISION.tflite for each of options.tflite_precision; with int8 also model-int8-uint8.tflite.

    Palettes exclude the latter, and some codecs exclude int8, which is printed.

    The signature `translate` has the input `image`, float32 [1, h, w, input channels] in [-1, 1], and the output
    `generated`, float32 [1, h, w, target channels] in [-1, 1]; in model-int8-uint8.tflite both are uint8, with the
    scale and zero point in the file. Each file contains the model card.

    Raises:
      InputError: unsupported options; the message says which are supported.
      RunError: TensorFlow cannot convert the network to such a file.
    """
    size = options.tflite_size or source.size
    fixed_size = None if tuple(size) == (0, 0) else tuple(size)
    _check_options(source, options, fixed_size)
    precisions = [name for name in PRECISIONS if name in (options.tflite_precision or PRECISIONS)]
    if options.tflite_precision is None and (why := _why_not_int8(source, fixed_size)):
        print(f"  no int8: {why}")
        precisions.remove("int8")
    return _export(source, directory, fixed_size, precisions, requested=options.tflite_precision is not None)


def _export(source, directory, fixed_size, precisions, requested):
    with tempfile.TemporaryDirectory(prefix=".saved_model-", dir=directory) as saved_model:
        _save(source, fixed_size, saved_model)
        for precision in precisions:
            # A uint8 interface rounds colors by up to one level, which can be another class.
            has_uint8 = precision == "int8" and not source.has_palette
            for interface in (tf.float32, tf.uint8) if has_uint8 else (tf.float32,):
                name = f"model-{precision}{'-uint8' if interface == tf.uint8 else ''}.tflite"
                path = directory / name
                path.write_bytes(_convert(source, fixed_size, saved_model, precision, interface))
                check_graph(path)
                model_card.write_card(path, source.card)
                reader = make_reader(runtimes.load_tflite(path), source.sides)
                thresholds = _thresholds(source, precision)
                thresholds["optional"] = not requested and precision in QUANTIZED
                yield Artifact(path, {"LiteRT": reader}, fixed_size, **thresholds)


def _thresholds(source, precision) -> dict[str, Any]:
    """PRECISIONS, with max_difference in levels of the targets; in float16 it is 1 / 255 of their range."""
    thresholds, target = dict(PRECISIONS[precision]), source.sides.target
    if target.depth == "uint8" or "max_difference" not in thresholds:
        return thresholds
    return {"max_difference": source.max_difference if precision == "float32" else math.ceil(target.levels / 255)}


def check_graph(path: Path) -> None:
    """Raises RunError if a .tflite file has an op that is not builtin, or a tensor of more than MAX_RANK dimensions."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    custom = [code.CustomCode().decode() for code in codes if code.BuiltinCode() == schema.BuiltinOperator.CUSTOM]
    if custom:
        raise RunError(f"{path.name}: LiteRT lacks the ops {format_list(custom)}; build the network from other layers")
    graphs = [model.Subgraphs(number) for number in range(model.SubgraphsLength())]
    tensors = [graph.Tensors(number) for graph in graphs for number in range(graph.TensorsLength())]
    if deep := [tensor for tensor in tensors if tensor.ShapeLength() > MAX_RANK]:
        shapes = [f"{tensor.Name().decode()} {tensor.ShapeAsNumpy().tolist()}" for tensor in deep]
        raise RunError(
            f"{path.name}: tensors of more than {MAX_RANK} dimensions, which mobile delegates refuse: "
            f"{format_list(shapes, '; ', most=3)}; build the network from other layers"
        )


def _check_options(source, options, fixed_size):
    requested = options.tflite_precision or ()
    if unknown := [precision for precision in requested if precision not in PRECISIONS]:
        raise InputError(f"--tflite_precision={format_list(unknown)}: choose among {', '.join(PRECISIONS)}")
    if "int8" in requested and (why := _why_not_int8(source, fixed_size)):
        raise InputError(f"--tflite_precision=int8: {why}")
    if fixed_size and min(fixed_size) < inference.MIN_SIDE:
        flag = f"--tflite_size={'x'.join(map(str, fixed_size))}"
        raise InputError(f"{flag}: height and width must be at least {inference.MIN_SIDE}, or 0x0 for any size")
    source.check_bytes("tflite")


def _why_not_int8(source, fixed_size) -> str | None:
    """The reason why 8-bit activations do not work for a run, and the fix; None if they may work."""
    if source.run.config.codec == "lab":
        return "8 bits are too few for color_space=lab; use dynamic_int8, which is as small and keeps the lightness"
    multiple = inference.size_multiple(source.generator)
    if source.has_palette and (fixed_size is None or any(side % multiple for side in fixed_size)):
        return (
            "with a palette, 8 bits hold the colors only without padding; pass a --tflite_size of multiples of "
            f"{multiple}, or leave int8 out"
        )
    return None


def _save(source, fixed_size, directory):
    """Writes the SavedModel that the converter reads."""
    generator = for_other_runtimes(source.generator)
    translate = inference.any_size(generator)
    shape = [1, *(fixed_size or (None, None)), source.sides.input.channels]
    module = tf.Module()
    # The tf.Variables, not Keras' own: only variables found below the module become constants.
    module.variables_of_generator = [variable.value for variable in generator.variables]
    module.translate = tf.function(
        lambda image: {"generated": translate(image)}, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")]
    )
    tf.saved_model.save(module, directory, signatures={"translate": module.translate})


def _convert(source, fixed_size, saved_model, precision, interface) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["translate"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = interface
        converter.representative_dataset = lambda: _representative(source, fixed_size)
    try:
        with runtimes.quiet():
            return converter.convert()
    except Exception as error:  # the converter raises all kinds of errors
        raise RunError(f"TensorFlow cannot convert the network to TFLite, {precision}: {error_line(error)}") from error


def _representative(source, fixed_size) -> Iterator[list[np.ndarray]]:
    """The images for measuring the ranges of all values. Each gets a black and a white pixel, so that the input's range
    covers all possible images."""
    for image in source.train_inputs:
        image = images.resize(image, fixed_size or source.size, source.sides.input.resize)
        values = source.sides.input.to_float(image[np.newaxis]).numpy()
        values[:, 0, 0], values[:, 0, -1] = -1, 1
        yield [values]
