"""The SavedModel: translates image files of any format and size to PNG, or float images to float images.

Signatures:
  serving_default: image_bytes string [n] -> image_bytes string [n] (PNG) and ok bool [n]. Each row has its own size. A
    row that cannot be translated has ok = False and empty bytes, and leaves the others unchanged. PNGs have the depth
    of the run's targets; floats become 16-bit PNGs, in which 0 and 65535 are the ends of the run's value range.
  translate: image float32 [n, h, w, input channels] in [-1, 1] -> generated [n, h, w, target channels], likewise.
If tensorflow-serving-api is installed, assets.extra/tf_serving_warmup_requests has requests that TensorFlow Serving
runs before it accepts others.
"""

import contextlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix import images, inference, runtimes
from tf_pix2pix.errors import RunError
from tf_pix2pix.exporting.artifact import Artifact, Options, Source, make_reader
from tf_pix2pix.exporting.decoding import decode_or_refuse
from tf_pix2pix.exporting.rebuilding import for_tensorflow
from tf_pix2pix.sides import Side

WARMUP = "assets.extra/tf_serving_warmup_requests"


def export_saved_model(source: Source, directory: Path, options: Options) -> Iterator[Artifact]:
    """Writes directory / "saved_model". Its readers are "tf.saved_model" (translate), "C++ session" (serving_default).

    Raises:
      RunError: a warm-up request fails.
    """
    path = directory / "saved_model"
    with _quiet():
        _write(source, path, options)
        serve = load_session(path)
        if importlib.util.find_spec("tensorflow_serving"):  # a heavy package, for the warm-up requests only
            write_warmup(path, images.encode(_gray(source)), options.batch_sizes)
            replay_warmup(path, serve)
        else:
            print("  no warm-up requests: pip install 'tf_pix2pix[serving]'")
    readers = {
        "tf.saved_model": make_reader(runtimes.load_saved_model(path), source.sides),
        "C++ session": _session_reader(serve, source),
    }
    yield Artifact(path, readers, max_difference=source.max_difference)


def _write(source, path, options):
    translate = inference.any_size(for_tensorflow(source.generator))
    max_pixels = options.max_pixels or inference.max_pixels(source.generator)
    received, sent = map(_in_png, source.sides)

    def served_row(encoded):
        widen = received.value_range is None
        image, ok = decode_or_refuse(encoded, received.channels, max_pixels, received.depth, widen)

        def translated():
            return tf.io.encode_png(sent.from_float(translate(received.to_float(image[tf.newaxis])))[0])

        return tf.cond(ok, translated, lambda: tf.constant(b"")), ok

    def serving_default(image_bytes):
        # One row after another: each uses all cores, and they share the memory for one image.
        signature = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool)
        rows, ok = tf.map_fn(served_row, image_bytes, fn_output_signature=signature, parallel_iterations=1)
        return {"image_bytes": rows, "ok": ok}

    image_spec = tf.TensorSpec([None, None, None, received.channels], tf.float32, name="image")
    archive = keras.export.ExportArchive()  # add_endpoint only: track() writes every variable a second time
    archive.add_endpoint("serving_default", serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")])
    archive.add_endpoint("translate", lambda image: {"generated": translate(image)}, [image_spec])
    archive.write_out(str(path), verbose=False)


def write_warmup(path: Path, encoded: bytes, batch_sizes: tuple[int, ...]) -> None:
    """Writes the warm-up file of a SavedModel: for each batch size a serving_default request of one repeated image."""
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    file = path / WARMUP
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for size in batch_sizes:
            record = PredictionLog()
            request = record.predict_log.request
            request.model_spec.signature_name = "serving_default"
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([encoded] * size))
            writer.write(record.SerializeToString())


def replay_warmup(path: Path, serve: Callable[[list[bytes]], tuple[list[bytes], list[bool]]]) -> None:
    """Runs a SavedModel's warm-up requests through `serve` (from load_session), as a starting server does.

    Raises:
      RunError: a request cannot be read or run, or one of its images is not translated.
    """
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    number = 1
    try:
        for record in tf.data.TFRecordDataset(str(path / WARMUP)).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            _, ok = serve(list(tf.make_ndarray(request.inputs["image_bytes"])))
            if not all(ok):
                raise ValueError(f"{ok.count(False)} of its {len(ok)} images are not translated")
            number += 1
    except Exception as error:
        raise RunError(f"{path / WARMUP}: request {number} fails, and servers refuse the model: {error}") from error


def load_session(path: Path) -> Callable[[list[bytes]], tuple[list[bytes], list[bool]]]:
    """Loads the signature serving_default as TensorFlow Serving does: C++ session, tensors by name.

    Returns:
      A function from image files to (PNGs, whether each was translated). The session closes with its last reference.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    with _quiet():
        loaded = tf.compat.v1.saved_model.loader.load(session, [tf.saved_model.SERVING], str(path))
    signature = loaded.signature_def["serving_default"]
    fed = signature.inputs["image_bytes"].name
    fetched = [signature.outputs[name].name for name in ("image_bytes", "ok")]

    def serve(encoded):
        batch = np.array(encoded, dtype=object)  # NumPy's own strings end at a zero byte
        rows, ok = session.run(fetched, {fed: batch})
        return list(rows), ok.tolist()

    return serve


def _in_png(side: Side) -> Side:
    """The side in PNG files, where floats become 16 bits."""
    return Side(side.channels, "uint16") if side.depth == "float32" else side


def _session_reader(serve, source):
    received, sent = map(_in_png, source.sides)

    def translate(image):
        if received != source.sides.input:
            image = received.from_float(source.sides.input.to_float(image)).numpy()
        [row], [ok] = serve([images.encode(image)])
        if not ok:
            raise RunError(f"the served graph refuses an image of shape {image.shape}")
        generated = images.decode(row)
        if sent == source.sides.target:
            return generated
        return source.sides.target.from_float(sent.to_float(generated)).numpy()

    return translate


def _gray(source):
    received = _in_png(source.sides.input)
    return received.from_float(np.zeros((*source.size, received.channels))).numpy()


@contextlib.contextmanager
def _quiet():
    """Silences TensorFlow's notes on assets and on deprecated functions of version 1."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
