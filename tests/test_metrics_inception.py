"""FID and KID, with untrained stand-ins for both networks."""

import contextlib
import functools
import hashlib
import http.server
import io
import tarfile
import threading

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import pillow_bicubic

from tf_pix2pix.errors import InputError
from tf_pix2pix.metrics import inception
from tf_pix2pix.metrics.distributions import frechet_distance_of_features, kernel_distance
from tf_pix2pix.metrics.inception import InceptionDistances, Weights, find_weights, load_network

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (2, 5, 40, 60, 3)).astype(np.float32)  # generated and target
LEVELS = np.round((IMAGES + 1) * 127.5)  # as 8-bit files have them


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@pytest.fixture(scope="module")
def untrained():
    return keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))


@pytest.fixture(scope="module")
def keras_file(untrained, tmp_path_factory):
    """The weights of an untrained network, in the layout of Keras' published file."""
    path = tmp_path_factory.mktemp("weights") / "untrained.h5"
    layers = [layer for layer in untrained.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            names = [f"{layer.name}/{index}" for index in range(len(layer.weights))]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value
    return path


def graph_of_2015(kernel, mean, variance, beta) -> bytes:
    """A graph with the names, the resizing and the old operation of TensorFlow's graph, and one convolution."""
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = 8  # the last version with BatchNormWithGlobalNormalization
    float32 = tf.float32.as_datatype_enum

    def node(operation, name, *inputs, **attributes):
        added = graph.node.add(op=operation, name=name, input=inputs)
        for key, value in attributes.items():
            added.attr[key].CopyFrom(value)
        added.attr["dtype" if operation == "Const" else "T"].type = attributes.pop("dtype", float32)

    def constant(name, value):
        added = graph.node.add(op="Const", name=name)
        added.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
        added.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))

    def numbers(*values):
        return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(i=values))

    constant("Cast", np.zeros((4, 4, 3), np.float32))
    constant("axis", np.int32(0))
    constant("size", np.array([299, 299], np.int32))
    for name, value in dict(kernel=kernel, mean=mean, variance=variance, beta=beta).items():
        constant(name, value)
    node("ExpandDims", "ExpandDims", "Cast", "axis")
    node("ResizeBilinear", "ResizeBilinear", "ExpandDims", "size")
    stride, valid = numbers(1, 13, 13, 1), tf.compat.v1.AttrValue(s=b"VALID")
    node("Conv2D", "conv", "ResizeBilinear", "kernel", strides=stride, padding=valid)
    epsilon, unscaled = tf.compat.v1.AttrValue(f=0.001), tf.compat.v1.AttrValue(b=False)
    names = ["conv", "mean", "variance", "beta", "beta"]
    normalization = dict(variance_epsilon=epsilon, scale_after_normalization=unscaled)
    node("BatchNormWithGlobalNormalization", "normalized", *names, **normalization)
    node("AvgPool", "pool_3", "normalized", ksize=numbers(1, 23, 23, 1), strides=numbers(1, 1, 1, 1), padding=valid)
    return graph.SerializeToString()


CONVOLUTION = dict(
    kernel=(1e-3 * RNG.normal(size=(13, 13, 3, 4))).astype(np.float32),
    mean=np.float32([1, 2, 3, 4]),
    variance=np.float32([0.5, 1, 2, 3]),
    beta=np.float32([-1, 0, 1, 2]),
)


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(graph_of_2015(**CONVOLUTION))
    return path


def graph_features(levels):
    """The stand-in's features, by numpy: non-overlapping patches, each times the kernel, averaged."""
    features = []
    for image in levels:
        positions = np.arange(299) * np.array(image.shape[:2])[:, np.newaxis] / 299  # TensorFlow's first resizing
        lower = positions.astype(int)
        upper = np.minimum(lower + 1, np.array(image.shape[:2])[:, np.newaxis] - 1)
        share = positions - lower
        rows = image[lower[0]] + (image[upper[0]] - image[lower[0]]) * share[0][:, np.newaxis, np.newaxis]
        resized = rows[:, lower[1]] + (rows[:, upper[1]] - rows[:, lower[1]]) * share[1][:, np.newaxis]
        mean_patch = resized.reshape(23, 13, 23, 13, 3).mean(axis=(0, 2))
        value = np.tensordot(mean_patch, CONVOLUTION["kernel"], 3) - CONVOLUTION["mean"]
        features.append(value / np.sqrt(CONVOLUTION["variance"] + 0.001) + CONVOLUTION["beta"])
    return np.array(features)


def test_graph_of_2015_runs_as_it_is(graph_file):
    weights = find_weights(graph_file)
    assert weights == Weights(graph_file, inception.GRAPH)
    features = load_network(weights)(LEVELS[0].astype(np.uint8))
    np.testing.assert_allclose(features, graph_features(LEVELS[0]), rtol=1e-4)


def test_graph_in_its_archive(graph_file, tmp_path):
    archive = tmp_path / "inception-2015-12-05.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(graph_file, "./classify_image_graph_def.pb")
    features = [load_network(find_weights(path))(LEVELS[0].astype(np.uint8)) for path in (graph_file, archive)]
    np.testing.assert_array_equal(*features)


def test_distances_of_the_graphs_features(graph_file):
    weights = find_weights(graph_file)
    distances = InceptionDistances(weights)
    distances.update(IMAGES[0, :2], IMAGES[1, :2])
    distances.update(IMAGES[0, 2:], IMAGES[1, 2:])
    results = distances.results()
    generated, target = map(load_network(weights), LEVELS.astype(np.uint8))
    assert results["fid"] == {
        "value": pytest.approx(frechet_distance_of_features(generated, target), rel=1e-4),
        "n": 5,
        "note": "biased upward for fewer than 2,000 images; compare only equal numbers of images",
    }
    expected = kernel_distance(generated, target, paired=True)
    assert {key: results["kid"][key] for key in expected} == pytest.approx(expected, rel=1e-4)
    assert results.keys() == {"fid", "kid"} and distances.left_out() == []


def test_large_sets_have_no_bias_note(graph_file):
    distances = InceptionDistances(find_weights(graph_file))
    distances._features = [RNG.normal(size=(2, 2000, 4))]
    assert "note" not in distances.results()["fid"]


def test_one_image_is_left_out(graph_file):
    distances = InceptionDistances(find_weights(graph_file))
    distances.update(IMAGES[0, :1], IMAGES[1, :1])
    assert distances.results() == {}
    assert distances.left_out() == ["fid, kid: need at least 2 images"]


def test_gray_is_repeated_and_alpha_ignored(graph_file):
    gray = IMAGES[..., :1]
    rgba = np.concatenate([np.repeat(gray, 3, axis=4), IMAGES[..., 1:2]], axis=4)
    results = []
    for batches in (gray, rgba):
        distances = InceptionDistances(find_weights(graph_file))
        distances.update(*batches)
        results.append(distances.results())
    assert results[0] == results[1]


def test_keras_network_sees_antialiased_images(keras_file, untrained):
    weights = find_weights(keras_file)
    assert weights == Weights(keras_file, inception.KERAS)
    levels = RNG.integers(0, 256, (2, 400, 330, 3), dtype=np.uint8)
    resized = np.stack([pillow_bicubic(image, (299, 299)) for image in levels])
    expected = untrained(keras.applications.inception_v3.preprocess_input(resized), training=False)
    features = load_network(weights)(levels)
    assert features.shape == (2, 2048) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    distances = InceptionDistances(weights)
    distances.update(*IMAGES[:, :2])
    assert distances.results().keys() == {"fid_keras", "kid_keras"}


def test_no_weights(keras_home):
    assert find_weights() is None


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    """The address of an HTTP server of the files in a folder."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_download_through_keras_into_its_cache(keras_file, keras_home, monkeypatch):
    content = keras_file.read_bytes()
    monkeypatch.setattr(inception, "KERAS_MD5", hashlib.md5(content).hexdigest())
    with serve(keras_file.parent) as address:
        monkeypatch.setattr(inception, "KERAS_ADDRESS", f"{address}/{keras_file.name}")
        weights = find_weights(download=True)
    assert weights == Weights(keras_home / inception.KERAS_FILE, inception.KERAS)
    assert weights.path.read_bytes() == content
    assert find_weights() == find_weights(download=True) == weights  # without the server


@pytest.mark.parametrize(
    "file, problem",
    [("absent.h5", r"download failed \(HTTP Error 404"), ("half.h5", "the downloaded file is damaged")],
)
def test_failed_downloads(tmp_path, keras_home, monkeypatch, file, problem):
    (tmp_path / "half.h5").write_bytes(b"\x89HDF half of it")
    with serve(tmp_path) as address:
        monkeypatch.setattr(inception, "KERAS_ADDRESS", f"{address}/{file}")
        with pytest.raises(InputError, match=problem) as error:
            find_weights(download=True)
    assert str(error.value).startswith(f"{address}/{file}: ") and "--inception_weights" in str(error.value)
    assert not list(keras_home.glob("*"))


def test_download_without_a_network(monkeypatch):
    monkeypatch.setattr(inception, "KERAS_ADDRESS", "http://127.0.0.1:9/weights.h5")
    with pytest.raises(InputError, match=r"127.0.0.1:9/weights.h5: download failed \(.*refused"):
        find_weights(download=True)


def test_a_damaged_file_in_the_cache_is_refused(keras_file, keras_home):
    keras_home.mkdir(parents=True)
    (keras_home / inception.KERAS_FILE).write_bytes(keras_file.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged or incomplete"):
        find_weights()


def truncated(path):
    return path.read_bytes()[: path.stat().st_size // 2]


def other_hdf5(path):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["numbers"] = np.arange(5)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name, content",
    [
        ("keras_file", truncated),
        ("keras_file", other_hdf5),
        ("graph_file", truncated),
        ("graph_file", lambda path: b""),
        ("graph_file", lambda path: b"not weights"),
        ("graph_file", lambda path: b"\x1f\x8b damaged archive"),
    ],
)
def test_damaged_and_other_files(request, tmp_path, name, content):
    path = request.getfixturevalue(name)
    wrong = tmp_path / f"wrong{path.suffix}"
    wrong.write_bytes(content(path))
    with pytest.raises(InputError) as error:
        load_network(find_weights(wrong))
    assert str(error.value).startswith(f"{wrong}: damaged, or not the weights of an Inception network (")
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="nowhere.h5: no such file; download https"):
        find_weights(tmp_path / "nowhere.h5")
