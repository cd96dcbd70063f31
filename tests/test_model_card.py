"""Model cards in files of every format."""

import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tf_pix2pix.errors import InputError
from tf_pix2pix.model_card import read_card, write_card

CARD = {"name": "façades", "value_range": [-1, 1], "config": {"filters": 64}}
OTHER = {"name": "other", "steps": 10**6}
WEIGHTS = np.arange(5000, dtype=np.uint8)


def write_tflite(path):
    """A flatbuffer with weights, and an archive with labels behind it."""
    model, weights = schema.ModelT(), schema.BufferT()
    weights.data = WEIGHTS
    model.version, model.buffers = 3, [schema.BufferT(), weights]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "sky\nwall")


def write_onnx(path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1])
    weights = onnx.numpy_helper.from_array(WEIGHTS, "weights")
    model = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [image], [image], [weights]))
    model.metadata_props.add(key="author", value="somebody else")
    onnx.save(model, path)


def write_folder(path):
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"graph")


WRITERS = {"model.tflite": write_tflite, "model.onnx": write_onnx, "saved_model": write_folder}


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    WRITERS[request.param](tmp_path / request.param)
    return tmp_path / request.param


def test_a_written_card_is_read_and_replaced(path):
    assert read_card(path) is None
    sizes = []
    for card in (CARD, OTHER, CARD):
        write_card(path, card)
        assert read_card(path) == card
        sizes.append(path.stat().st_size)
    assert path.is_dir() or sizes[0] == sizes[2]  # the earlier card is gone
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_rest_of_a_tflite_file_is_kept(tmp_path):
    path = tmp_path / "model.tflite"
    write_tflite(path)
    with zipfile.ZipFile(path) as archive:
        model = path.read_bytes()[: archive.infolist()[0].header_offset]
    write_card(path, CARD)
    assert path.read_bytes().startswith(model)
    np.testing.assert_array_equal(schema.ModelT.InitFromPackedBuf(path.read_bytes()).buffers[1].data, WEIGHTS)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt", "model_card.json"]
        assert archive.read("labels.txt") == b"sky\nwall"


def test_the_rest_of_an_onnx_file_is_kept(tmp_path):
    path = tmp_path / "model.onnx"
    write_onnx(path)
    write_card(path, CARD)
    import onnx

    model = onnx.load(path)
    assert [entry.key for entry in model.metadata_props] == ["author", "model_card"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), WEIGHTS)
    for keep in (0.97, 0.5):  # cut short
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        with pytest.raises(InputError, match="damaged"):
            read_card(path)


@pytest.mark.parametrize(
    ("name", "content"), [("model.tflite", b"not a model"), ("model.tflite", b""), ("model.onnx", b"not a model")]
)
def test_a_damaged_file_is_refused_and_kept(tmp_path, name, content):
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    path = tmp_path / name
    path.write_bytes(content)
    for action in (read_card, lambda path: write_card(path, CARD)):
        with pytest.raises(InputError, match=rf"{name}: damaged: .*export it again"):
            action(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_archive_raises_input_errors_only(tmp_path):
    path, refused = tmp_path / "model.tflite", 0
    write_tflite(path)
    write_card(path, CARD)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for position in random.integers(len(whole) - 400, len(whole), 5):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        for action in (read_card, lambda path: write_card(path, CARD)):
            try:
                action(path)
            except InputError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_a_card_that_is_not_a_json_object_is_refused(tmp_path, text):
    write_folder(tmp_path / "saved_model")
    write_card(tmp_path / "saved_model", CARD)
    (tmp_path / "saved_model/assets.extra/model_card.json").write_text(text)
    with pytest.raises(InputError, match="saved_model: damaged"):
        read_card(tmp_path / "saved_model")


@pytest.mark.parametrize("name", ["none.tflite", "none.onnx", "none", "none.h5"])
def test_a_missing_file_is_named(tmp_path, name):
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    for action in (read_card, lambda path: write_card(path, CARD)):
        with pytest.raises(InputError, match=f"{name}: (cannot be read|does not exist|not a model)"):
            action(tmp_path / name)
    assert not list(tmp_path.iterdir())
