"""The SavedModel: encoded pictures of any format and size in and PNG out, or float pictures in and out.

Signatures:
  serving_default: image_bytes string [n] -> image_bytes string [n] (PNG) and ok bool [n]. Rows have their own sizes; a
    row that cannot be translated has ok = False and no bytes, and changes nothing in the others. PNGs have the depth of
    the run's pictures. Floats travel as PNGs of 16 bits, of which 0 and 65535 are the ends of the run's range.
  translate: image float32 [n, h, w, input_channels] in [-1, 1] -> generated [n, h, w, output_channels], the same.
Beside the weights: assets.extra/tf_serving_warmup_requests, which TensorFlow Serving runs before it accepts requests.
It is left out if tensorflow-serving-api is not installed.
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
from tf_pix2pix.exporting.artifact import Artifact, Options, Source, reader_of
from tf_pix2pix.exporting.decoding import decode_or_refuse

WARMUP = "assets.extra/tf_serving_warmup_requests"


def export_saved_model(source: Source, directory: Path, options: Options) -> Iterator[Artifact]:
    """Writes directory / "saved_model", and runs its warm-up records as a server does.

    The artifact's readers are "tf.saved_model", of the signature translate, and "C++ session", of serving_default,
    which goes with its last reference.

    Raises:
      RunError: a warm-up record fails.
    """
    path = directory / "saved_model"
    with _quiet():
        _write(source, path, options)
        serve = load_session(path)
        if importlib.util.find_spec("tensorflow_serving"):  # a heavy package, required for the warm-up only
            write_warmup(path, images.encode(_gray(source)), options.batch_sizes)
            replay_warmup(path, serve)
        else:
            print("  no warm-up requests: pip install 'tf_pix2pix[serving]'")
    readers = {
        "tf.saved_model": reader_of(runtimes.load_saved_model(path), source),
        "C++ session": _session_reader(serve, source),
    }
    yield Artifact(path, readers, max_difference=source.max_difference)


def _write(source, path, options):
    translate = inference.any_size(inference.for_tensorflow(source.generator))
    max_pixels = options.max_pixels or inference.max_pixels(source.generator)
    taken, given = map(_in_png, source.formats)

    def served_row(encoded):
        picture, ok = decode_or_refuse(encoded, source.input_channels, max_pixels, taken)

        def translated():
            generated = translate(images.to_float(picture[tf.newaxis], taken.range))
            return tf.io.encode_png(images.from_float(generated, given)[0])

        return tf.cond(ok, translated, lambda: tf.constant(b"")), ok

    def serving_default(image_bytes):
        # One row after the other: each uses all cores, and the memory of one picture is enough.
        signature = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.bool)
        rows, ok = tf.map_fn(served_row, image_bytes, fn_output_signature=signature, parallel_iterations=1)
        return {"image_bytes": rows, "ok": ok}

    pictures = tf.TensorSpec([None, None, None, source.input_channels], tf.float32, name="image")
    archive = keras.export.ExportArchive()  # add_endpoint only: track() writes every variable a second time
    archive.add_endpoint("serving_default", serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")])
    archive.add_endpoint("translate", lambda image: {"generated": translate(image)}, [pictures])
    archive.write_out(str(path), verbose=False)


def write_warmup(path: Path, encoded: bytes, batch_sizes: tuple[int, ...]) -> None:
    """Writes the warm-up file of a SavedModel: a request of serving_default for each batch size, of one picture."""
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
    """Runs a SavedModel's warm-up records through `serve`, of `load_session`, as a server does before it starts.

    Raises:
      RunError: a record cannot be read or run, or one of its pictures is not translated.
    """
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    number = 1
    try:
        for record in tf.data.TFRecordDataset(str(path / WARMUP)).as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            pictures = tf.make_ndarray(request.inputs["image_bytes"])
            _, ok = serve(list(pictures))
            if not all(ok):
                raise ValueError(f"{ok.count(False)} of its {len(ok)} pictures are not translated")
            number += 1
    except Exception as error:
        raise RunError(f"{path / WARMUP}: record {number} fails, no server would load the model: {error}") from error


def load_session(path: Path) -> Callable[[list[bytes]], tuple[list[bytes], list[bool]]]:
    """serving_default of a SavedModel, loaded and run as TensorFlow Serving does: C++ session, tensors by name.

    Returns:
      Encoded pictures -> PNGs, and whether each was translated. The session goes with the function's last reference.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    with _quiet():
        loaded = tf.compat.v1.saved_model.loader.load(session, [tf.saved_model.SERVING], str(path))
    signature = loaded.signature_def["serving_default"]
    fed = signature.inputs["image_bytes"].name
    fetched = [signature.outputs[name].name for name in ("image_bytes", "ok")]

    def serve(encoded):
        rows, ok = session.run(fetched, {fed: np.array(encoded, dtype=object)})  # numpy's own strings end at a zero
        return list(rows), ok.tolist()

    return serve


def _in_png(format: images.Format) -> images.Format:
    """What PNGs of pictures in a format have."""
    return images.Format("uint16") if format.depth == "float32" else format


def _converted(picture: np.ndarray, format: images.Format, other: images.Format) -> np.ndarray:
    return picture if format == other else images.from_float(images.to_float(picture, format.range), other).numpy()


def _session_reader(serve, source):
    taken, given = source.formats

    def translate(picture):
        [row], [ok] = serve([images.encode(_converted(picture, taken, _in_png(taken)))])
        if not ok:
            raise RunError(f"the served graph refuses a picture of {picture.shape}")
        return _converted(images.decode(row), _in_png(given), given)

    return translate


def _gray(source):
    return images.from_float(np.zeros((*source.size, source.input_channels)), _in_png(source.formats[0])).numpy()


@contextlib.contextmanager
def _quiet():
    """Keeps TensorFlow's notes on where assets are, and on what of its version 1 is deprecated, to itself."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
