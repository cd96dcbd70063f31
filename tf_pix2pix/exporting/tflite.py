"""TFLite (LiteRT) files: one signature `translate`, float32 [1, h, w, c] in [-1, 1] -> the same, builtin ops only."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, inference, model_card, runtimes
from tf_pix2pix.errors import InputError, RunError, format_list
from tf_pix2pix.exporting.artifact import Artifact, Options, Source, reader_of

# dB. These catch a broken conversion, not a little less of quality. On a trained net's facades (10M parameters,
# 128x128) a mid-gray picture has 17, another picture's result 18, a negative 11; swapped colours have 24. The worst
# picture there: dynamic_int8 52, int8 36; of an untrained 54M net 46 and 26, of other untrained nets 38 and 27.
DYNAMIC_INT8_MIN_PSNR = 30.0
INT8_MIN_PSNR = 22.0

# The least share of pixels with the run's class, of label maps, likewise. On photos to 12 classes (10M parameters,
# 128x128) another picture's result has 0.29 to 0.40, a negative 0.33 to 0.44, swapped colours 0.60 to 0.78. The worst
# picture there: float16 0.9998, dynamic_int8 0.98, int8 0.86.
FLOAT16_MIN_AGREEMENT = 0.99
DYNAMIC_INT8_MIN_AGREEMENT = 0.9
INT8_MIN_AGREEMENT = 0.7

# What weights and activations are stored in, each with its bounds on the difference from the run's own pictures, as in
# Artifact. float16 and dynamic_int8: the weights only; int8: activations too, of ranges measured on training pictures.
PRECISIONS = {
    "float32": {"max_difference": 1},
    "float16": {"max_difference": 1, "min_agreement": FLOAT16_MIN_AGREEMENT},
    "dynamic_int8": {"min_psnr": DYNAMIC_INT8_MIN_PSNR, "min_agreement": DYNAMIC_INT8_MIN_AGREEMENT},
    "int8": {"min_psnr": INT8_MIN_PSNR, "min_agreement": INT8_MIN_AGREEMENT},
}
QUANTIZED = ("dynamic_int8", "int8")  # how near they come is a matter of the network, not of the conversion alone
MAX_RANK = 4  # of tensors, what GPU delegates take
MAX_BYTES = 2**31  # of a flatbuffer, whose offsets are of 32 bits


def export_tflite(source: Source, directory: Path, options: Options) -> Iterator[Artifact]:
    """Writes model-PRECISION.tflite for each of options.tflite_precision; with int8, model-int8-uint8.tflite too.

    Not with palettes the latter, nor int8 at all where 8 bits do not bear what is computed, which is said.

    The signature `translate` takes `image`, float32 [1, h, w, input_channels] in [-1, 1], and returns `generated`,
    float32 [1, h, w, output_channels] in [-1, 1]; both are uint8 in model-int8-uint8.tflite, with the scale and zero
    point that the file holds. The model card is in the metadata.

    Raises:
      InputError: options that cannot be done; the message says which can.
      RunError: TensorFlow does not convert the network to what is promised of the file.
    """
    size = options.tflite_size or source.size
    fixed_size = None if tuple(size) == (0, 0) else tuple(size)
    _check_options(source, options, fixed_size)
    precisions = [name for name in PRECISIONS if name in (options.tflite_precision or PRECISIONS)]
    if options.tflite_precision is None and (why := _why_no_int8(source, fixed_size)):
        print(f"  no int8: {why}")
        precisions.remove("int8")
    return _export(source, directory, fixed_size, precisions, asked_for=options.tflite_precision is not None)


def _export(source, directory, fixed_size, precisions, asked_for):
    with tempfile.TemporaryDirectory(prefix=".saved_model-", dir=directory) as saved_model:
        _save(source, fixed_size, saved_model)
        for precision in precisions:
            # Levels of a uint8 interface are rounded to within one, which is another class where colours are that near.
            has_uint8 = precision == "int8" and not source.has_palette
            for interface in (tf.float32, tf.uint8) if has_uint8 else (tf.float32,):
                name = f"model-{precision}{'-uint8' if interface == tf.uint8 else ''}.tflite"
                path = directory / name
                path.write_bytes(_convert(source, fixed_size, saved_model, precision, interface))
                check_graph(path)
                model_card.write_card(path, source.card)
                reader = reader_of(runtimes.load_tflite(path), source)
                bounds = _bounds(source, precision) | {"may_be_left_out": not asked_for and precision in QUANTIZED}
                yield Artifact(path, {"LiteRT": reader}, fixed_size, **bounds)


def _bounds(source, precision) -> dict[str, float]:
    """PRECISIONS, for targets of more than 8 bits: float16 may be off by as much of their range as 1 of 255."""
    bounds, levels = PRECISIONS[precision], source.formats[1].levels
    if source.formats[1].depth == "uint8" or "max_difference" not in bounds:
        return bounds
    return {"max_difference": source.max_difference if precision == "float32" else math.ceil(levels / 255)}


def check_graph(path: Path) -> None:
    """Raises RunError where a .tflite file has an op that is not builtin, or a tensor of more than 4 dimensions."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    codes = [model.OperatorCodes(number) for number in range(model.OperatorCodesLength())]
    custom = [code.CustomCode().decode() for code in codes if code.BuiltinCode() == schema.BuiltinOperator.CUSTOM]
    if custom:
        raise RunError(
            f"{path.name} needs ops that LiteRT does not have: {format_list(custom)}; the network must be built from others"
        )
    graphs = [model.Subgraphs(number) for number in range(model.SubgraphsLength())]
    tensors = [graph.Tensors(number) for graph in graphs for number in range(graph.TensorsLength())]
    deep = [
        f"{tensor.Name().decode()} {tensor.ShapeAsNumpy().tolist()}"
        for tensor in tensors
        if tensor.ShapeLength() > MAX_RANK
    ]
    if deep:
        raise RunError(
            f"{path.name} has tensors of more than {MAX_RANK} dimensions, which mobile delegates refuse: "
            f"{format_list(deep, '; ', most=3)}; the network must be built from other layers"
        )


def _check_options(source, options, fixed_size):
    asked = options.tflite_precision or ()
    if unknown := [precision for precision in asked if precision not in PRECISIONS]:
        raise InputError(f"tflite_precision={format_list(unknown)}: it is none of {', '.join(PRECISIONS)}")
    if "int8" in asked and (why := _why_no_int8(source, fixed_size)):
        raise InputError(f"tflite_precision=int8: {why}")
    if fixed_size and min(fixed_size) < inference.LEAST_SIDE:
        raise InputError(
            f"tflite_size={'x'.join(map(str, fixed_size))}: a height and a width from {inference.LEAST_SIDE} on, or "
            "0x0 for any size"
        )
    if 4 * source.generator.count_params() >= MAX_BYTES:
        raise InputError(
            f"{source.generator.count_params():,} parameters are more than the 2 GB of a .tflite file hold; "
            "train with fewer filters, or leave tflite out"
        )


def _why_no_int8(source, fixed_size) -> str | None:
    """What activations in 8 bits do not bear, and the way out. None: they may do."""
    if source.has_lab:
        return "its 8 bits are too few for color_space=lab; dynamic_int8 is as small and keeps L"
    multiple = inference.size_multiple(source.generator)
    if source.has_palette and (fixed_size is None or any(side % multiple for side in fixed_size)):
        return (
            "with a palette its 8 bits hold colours only where nothing is mirrored and cut off: give --tflite_size "
            f"sides that are multiples of {multiple}; or leave int8 out"
        )
    return None


def _save(source, fixed_size, directory):
    """Writes the SavedModel that is converted."""
    generator = inference.for_other_runtimes(source.generator)
    translate = inference.any_size(generator)
    shape = [1, *(fixed_size or (None, None)), source.input_channels]
    module = tf.Module()
    # The tf.Variables, not Keras' own: variables that are not found below the module are not made constants.
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
    except Exception as error:  # what the converter raises has no type of its own
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"TensorFlow does not convert the network to TFLite, {precision}: {first_line}") from error


def _representative(source, fixed_size) -> Iterator[list[np.ndarray]]:
    """The pictures on which the ranges of all values are measured, two pixels of each made black and white.

    So the input's range is that of all pictures, not only of those that happen to be there.
    """
    for picture in source.train_inputs:
        picture = images.resize(picture, fixed_size or source.size, source.resize_method)
        image = images.to_float(picture[np.newaxis], source.formats[0].range).numpy()
        image[:, 0, 0], image[:, 0, -1] = -1, 1
        yield [image]
