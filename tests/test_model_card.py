"""Model cards, in files that others made."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tf_pix2pix.errors import InputError
from tf_pix2pix.model_card import read_card, write_card

CARD = {"name": "façades", "range": [-1, 1], "config": {"filters": 64}}
OTHER = {"name": "other", "steps": 10**6}
WEIGHTS = np.arange(5000, dtype=np.uint8)


def write_tflite(path):
    """A .tflite file of a buffer of weights and a metadata entry of somebody else."""
    model, weights, metadata = schema.ModelT(), schema.BufferT(), schema.MetadataT()
    weights.data = WEIGHTS
    metadata.name, metadata.buffer = "min_runtime_version", 1
    model.version, model.buffers, model.metadata = 3, [schema.BufferT(), weights], [metadata]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(builder.Output())


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


def test_what_is_written_is_read(path):
    assert read_card(path) is None
    for card in (CARD, OTHER, CARD):
        write_card(path, card)
        assert read_card(path) == card
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing is left beside


def test_a_second_card_takes_the_place_of_the_first(path):
    write_card(path, CARD)
    if path.is_file():
        size = path.stat().st_size
        write_card(path, CARD)
        assert path.stat().st_size == size


def test_what_else_is_in_a_tflite_file_stays(tmp_path):
    write_tflite(tmp_path / "model.tflite")
    write_card(tmp_path / "model.tflite", CARD)
    model = schema.ModelT.InitFromPackedBuf((tmp_path / "model.tflite").read_bytes())
    assert model.version == 3
    assert [entry.name for entry in model.metadata] == [b"min_runtime_version", b"model_card.json"]
    np.testing.assert_array_equal(model.buffers[1].data, WEIGHTS)


def test_what_else_is_in_an_onnx_file_stays(tmp_path):
    write_onnx(tmp_path / "model.onnx")
    write_card(tmp_path / "model.onnx", CARD)
    import onnx

    model = onnx.load(tmp_path / "model.onnx")
    assert [entry.key for entry in model.metadata_props] == ["author", "model_card"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), WEIGHTS)


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
@pytest.mark.parametrize("keep", [0, 3, 40, 0.5, 0.97])
def test_files_that_are_cut_short_are_refused(tmp_path, name, keep):
    path = tmp_path / name
    WRITERS[name](path)
    write_card(path, CARD)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    damaged = path.read_bytes()
    with pytest.raises(InputError, match=rf"{name} is damaged: .*export it again"):
        read_card(path)
    with pytest.raises(InputError, match="damaged"):
        write_card(path, CARD)
    assert path.read_bytes() == damaged


def test_overwritten_bytes_end_in_input_errors_alone(tmp_path):
    path, random = tmp_path / "model.tflite", np.random.default_rng(0)
    write_tflite(path)
    write_card(path, CARD)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(300):
        bytes_ = whole.copy()
        bytes_[random.integers(0, 400, 5)] = random.integers(0, 256, 5)
        path.write_bytes(bytes_)
        for action in (lambda: read_card(path), lambda: write_card(path, CARD)):
            try:
                action()
            except InputError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_cards_that_are_no_json_objects_are_refused(tmp_path, text):
    write_folder(tmp_path / "saved_model")
    write_card(tmp_path / "saved_model", CARD)
    (tmp_path / "saved_model/assets.extra/model_card.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        read_card(tmp_path / "saved_model")


@pytest.mark.parametrize("name", ["none.tflite", "none.onnx", "none", "none.h5"])
def test_files_that_are_not_there_are_named(tmp_path, name):
    if name.endswith("onnx"):
        pytest.importorskip("onnx", reason="the extra onnx is not installed")
    with pytest.raises(InputError, match=name):
        read_card(tmp_path / name)
    with pytest.raises(InputError, match=name):
        write_card(tmp_path / name, CARD)
    assert not list(tmp_path.iterdir())
