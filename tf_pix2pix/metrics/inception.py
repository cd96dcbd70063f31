"""InceptionDistances: Fréchet and kernel distance of Inception features (FID and KID), and where their weights lie.

Two networks have that name. Published figures come from TensorFlow's graph of 2015, which resizes images itself. Keras'
InceptionV3 has other weights, hence other values, which compare only with each other: its metrics are named fid_keras
and kid_keras.
"""

import hashlib
import http.client
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tf_pix2pix import images
from tf_pix2pix.errors import InputError, error_line
from tf_pix2pix.metrics.colors import as_rgb
from tf_pix2pix.metrics.distributions import frechet_distance_of_features, kernel_distance

# The file of keras.applications.InceptionV3(include_top=False), 88 MB, and Keras' own checksum of it
KERAS_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{KERAS_FILE}"
KERAS_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
GRAPH_FILE = "classify_image_graph_def.pb"  # in inception-2015-12-05.tgz
CONNECT_SECONDS = 20  # limit for the server's first response
# FID of fewer images gets a note: its authors ask for at least 2,048, more than features (github.com/bioinf-jku/TTUR)
MANY_IMAGES = 2000

KERAS, GRAPH = "_keras", ""  # the networks, by the suffix of their metrics' names


class Weights(NamedTuple):
    """A file with weights, and the network that it is for: KERAS or GRAPH."""

    path: Path
    network: str


def find_weights(path: str | Path | None = None, download: bool = False) -> Weights | None:
    """Finds the weights of an Inception network.

    Args:
      path: Keras' weights file (.h5), TensorFlow's graph (.pb), or the .tgz with that graph. None: the file in Keras'
        cache, ~/.keras/models.
      download: if the cache lacks the file, Keras downloads it.

    Returns:
      The weights; None if no path is given and the cache lacks the file.

    Raises:
      InputError: the file is missing, is not such a file, or has the name of Keras' file but not its checksum; or the
        download failed.
    """
    if path is not None:
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such file; {_how_to_get_file()}")
    else:
        path = keras_cache() / KERAS_FILE
        if download and not (path.is_file() and _md5(path) == KERAS_MD5):
            path = _download()
        if not path.is_file():
            return None
    with path.open("rb") as file:
        network = KERAS if file.read(4) == b"\x89HDF" else GRAPH
    if path.name == KERAS_FILE and _md5(path) != KERAS_MD5:
        raise InputError(
            f"{path}: damaged or incomplete (its MD5 is not {KERAS_MD5}); delete it and {_how_to_get_file()}"
        )
    return Weights(path, network)


def _how_to_get_file() -> str:
    return (
        f"download {KERAS_ADDRESS} (88 MB) to {keras_cache() / KERAS_FILE}, or pass --inception_weights=FILE with that "
        f"file or with {GRAPH_FILE} of inception-2015-12-05.tgz"
    )


def keras_cache() -> Path:
    """The folder in which keras.applications keeps its weights."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _download() -> Path:
    try:
        # a short request first: Keras' download waits without a limit
        request = urllib.request.Request(KERAS_ADDRESS, method="HEAD")
        urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
        folder = keras_cache()
        folder.mkdir(parents=True, exist_ok=True)
        return Path(
            keras.utils.get_file(
                KERAS_FILE, KERAS_ADDRESS, cache_subdir=folder.name, cache_dir=str(folder.parent), file_hash=KERAS_MD5
            )
        )
    except ValueError:  # Keras leaves a file with a wrong checksum in its cache
        (keras_cache() / KERAS_FILE).unlink(missing_ok=True)
        problem = f"the downloaded file is damaged (its MD5 is not {KERAS_MD5})"
    except (OSError, http.client.HTTPException) as error:
        problem = f"download failed ({error})"
    except Exception as error:  # Keras raises Exception itself if a download breaks off
        problem = f"download failed ({error_line(error)})"
    raise InputError(f"{KERAS_ADDRESS}: {problem}; {_how_to_get_file()}")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def load_network(weights: Weights) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an Inception network.

    Returns:
      A function: uint8 RGB images [n, h, w, 3] -> the features of the last pooling layer, float32 [n, 2048].

    Raises:
      InputError: the file is damaged or is not such a file.
    """
    try:
        return {KERAS: _load_keras, GRAPH: _load_graph}[weights.network](weights.path)
    except _UNREADABLE as error:
        raise InputError(
            f"{weights.path}: damaged, or not the weights of an Inception network ({error_line(error).rstrip('.')}); "
            f"pass {KERAS_FILE}, or {GRAPH_FILE} of inception-2015-12-05.tgz"
        ) from None


# What Keras, h5py, tarfile and TensorFlow raise for damaged files and for other files
_UNREADABLE = (ValueError, OSError, KeyError, EOFError, DecodeError, tarfile.TarError, zlib.error, tf.errors.OpError)


def _load_keras(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Images are resized to 299x299 with an antialiased bicubic filter, in floats, as Parmar et al. 2022 advise
    (arXiv 2104.11222, clean-fid): a filter without antialiasing changes the distance more than many a method does."""
    network = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))
    network.load_weights(path)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)], autograph=False)
    def features(batch):
        resized = tf.image.resize(tf.cast(batch, tf.float32), [299, 299], "bicubic", antialias=True)
        return network(tf.clip_by_value(resized, 0.0, 255.0) / 127.5 - 1.0, training=False)

    return lambda batch: features(batch).numpy()


def _load_graph(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A session runs the graph: eager TensorFlow refuses its old operation BatchNormWithGlobalNormalization."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            file = tar.extractfile(next((name for name in tar.getnames() if Path(name).name == GRAPH_FILE), GRAPH_FILE))
            content = file.read() if file else b""
    else:
        content = path.read_bytes()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3])
        (pooled,) = tf.import_graph_def(
            tf.compat.v1.GraphDef.FromString(content), input_map={"ExpandDims:0": image}, return_elements=["pool_3:0"]
        )
    session = tf.compat.v1.Session(graph=graph)
    return lambda batch: session.run(pooled, {image: batch}).reshape(len(batch), -1)


class InceptionDistances:
    """FID and KID between generated images and targets. It keeps their features, 16 KB for each pair.

    Images are rounded to 8 bits first: published figures are computed from files.
    """

    def __init__(self, weights: Weights):
        """Loads the network. Raises InputError as load_network does."""
        self._network = load_network(weights)
        self._suffix = weights.network
        self._features: list[np.ndarray] = []  # [2, n, features] of each batch: generated, target

    def update(self, gen_output: np.ndarray, target_image: np.ndarray) -> None:
        """Adds pairs: float32 [n, h, w, c] in [-1, 1]."""
        both = np.concatenate([as_rgb(gen_output), as_rgb(target_image)])
        features = self._network(images.from_float(both).numpy())
        self._features.append(features.reshape(2, len(gen_output), -1))

    def results(self) -> dict[str, dict]:
        """`fid` and `kid`, or `fid_keras` and `kid_keras`. FID has no interval: drawing images again would bias it."""
        if self._count() < 2:
            return {}
        generated, target = np.concatenate(self._features, axis=1)
        count = {"n": self._count()}
        fid: dict = {"value": frechet_distance_of_features(generated, target)} | count
        if count["n"] < MANY_IMAGES:
            fid["note"] = "biased upward for fewer than 2,000 images; compare only equal numbers of images"
        kid: dict = kernel_distance(generated, target, paired=True) | count
        kid["note"] = "unbiased, products of the two images of a pair left out"
        return {f"fid{self._suffix}": fid, f"kid{self._suffix}": kid}

    def left_out(self) -> list[str]:
        """A line if results() lacks the metrics."""
        if self._count() >= 2:
            return []
        return [f"fid{self._suffix}, kid{self._suffix}: need at least 2 images"]

    def _count(self) -> int:
        return sum(features.shape[1] for features in self._features)
