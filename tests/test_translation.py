import contextlib
import dataclasses
import http.server
import os
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, pillow_bicubic, random_picture
from serving_double import ServingDouble

from tf_pix2pix import checkpoints, images, inference, model_card, runs, runtimes, tasks, tiling
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.inference import make_translate
from tf_pix2pix.training.step import build_state
from tf_pix2pix.translation import Translator

# As tests/test_exporting.py has it for exported models: odd, rectangular, one pixel, more than one way of mirroring.
SIZES = [(1, 1), (1, 9), (31, 64), (64, 31), (33, 97), (200, 5)]


def write_run(run_dir, **fields):
    """A run of untrained networks with large weights, so that what goes through them shows."""
    config = dataclasses.replace(TINY, **dict(input_channels=3, output_channels=3, initializer="kaiming") | fields)
    run_dir.mkdir(parents=True)
    runs.write_config(run_dir, config)
    state = build_state(config, 1)
    checkpoints.save(run_dir / "checkpoints", "step", 1, state.checkpoint())
    return run_dir


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("translation") / "run")


@pytest.fixture(scope="module")
def translator(run_dir):
    return Translator.from_run(run_dir, "latest")


def test_pictures_of_any_size_come_back_in_their_own(translator, run_dir):
    translate = make_translate(runs.restore_generator(run_dir, "latest"))
    pictures = [random_picture(number, *size) for number, size in enumerate(SIZES)]
    for picture, translated in zip(pictures, translator.translate(pictures), strict=True):
        assert (translated.dtype, translated.shape) == (np.uint8, picture.shape)
        expected = images.to_uint8(translate(images.to_float(picture[np.newaxis])))[0]
        np.testing.assert_array_equal(translated, expected)
        np.testing.assert_array_equal(translator.translate(picture), translated)
    assert np.std(translated) > 5


def test_channels_become_the_models_where_nothing_is_lost(translator):
    gray = random_picture(0, 20, 20, 1)
    expected = translator.translate(np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(translator.translate(gray), expected)
    np.testing.assert_array_equal(translator.translate(images.with_channels(gray, 4)), expected)
    with pytest.raises(InputError, match="it has transparency"):
        translator.translate(random_picture(0, 20, 20, 4))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4, 3), np.float64), "not float64 4x4x3"),
        (np.zeros((4, 4), np.uint8), "not uint8 4x4"),
        (np.zeros((4, 4, 2), np.uint8), "not uint8 4x4x2"),
        (np.zeros((1, 4, 4, 3), np.uint8), "not uint8 1x4x4x3"),
        (np.zeros((0, 4, 3), np.uint8), "not uint8 0x4x3"),
        (np.zeros((4, 4, 3), np.int16), "not int16 4x4x3"),
        ("a.png", "not str"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(translator, picture, said):
    with pytest.raises(InputError, match=f"a picture is uint8, uint16, float32 .height, width, channels. .*{said}"):
        translator.translate(picture)


def test_large_pictures_go_through_in_tiles(run_dir, monkeypatch):
    tiled = Translator.from_run(run_dir, "latest", max_pixels=64 * 64)
    seen = []
    generate = tiled._generate
    tiled._generate = lambda image: seen.append(image.shape[1:3]) or generate(image)
    assert tiled.translate(random_picture(0, 64, 64)).shape == (64, 64, 3)
    assert seen == [(64, 64)]
    assert tiled.translate(random_picture(0, 200, 64)).shape == (200, 64, 3)  # padded to 224: (224 - 16) / 48 tiles
    assert seen[1:] == [(64, 64)] * 5
    assert tiled.translate(random_picture(0, 70, 100)).shape == (70, 100, 3)  # padded to 96 x 128: 2 x 3 tiles
    assert seen[6:] == [(64, 64)] * 6
    tiled.translate(random_picture(0, 32, 128))
    assert seen[12:] == [(32, 128)]  # as many as may be


def test_tiled_is_near_untiled(run_dir):
    """Not equal: a tile is normalised over its own pixels. On a picture that is alike all over, as here, each tile's
    statistics are near the whole's, and so is the result; the bound is twice what was seen (6.3 of 255 in the mean)."""
    picture = random_picture(0, 256, 256)
    whole = Translator.from_run(run_dir, "latest").translate(picture).astype(int)
    tiled = Translator.from_run(run_dir, "latest", max_pixels=128 * 128).translate(picture)
    assert 0 < np.abs(whole - tiled).mean() < 13


def test_tiled_is_untiled_where_nothing_is_normalised_over_the_picture(tmp_path):
    """Batch norm with running statistics: a pixel depends on what the network sees around it, 58 pixels at this depth
    (3 halvings of 4x4 convolutions and back). Tiles of 1024 drop 64 at a border; beyond that they are equal but for
    rounding, to 1 of 255."""
    run_dir = write_run(tmp_path / "run", norm="batch", depth=3)
    picture = random_picture(0, 1200, 1301)
    whole = Translator.from_run(run_dir, "latest", max_pixels=2**30).translate(picture).astype(int)
    tiled = Translator.from_run(run_dir, "latest", max_pixels=2**20).translate(picture)
    assert whole.std() > 5
    assert np.abs(whole - tiled).max() <= 1


def test_resized_as_for_training(run_dir, translator):
    picture = random_picture(0, 50, 70)
    translated = translator.translate(picture, resize="train")
    small = images.resize(picture, (32, 32), "nearest")  # TINY is BtoA, its B nearest
    expected = images.resize(translator.translate(small), (50, 70), "bicubic")
    np.testing.assert_array_equal(translated, expected)


def test_sizes_and_channels_are_those_of_the_config():
    seen = []
    config = dataclasses.replace(TINY, crop_size=(32, 64), input_channels=1, output_channels=3)
    coloured = Translator(lambda image: seen.append(image.shape) or np.repeat(image, 3, axis=3), config=config)
    assert coloured.translate(random_picture(0, 50, 70, 1), resize="train").shape == (50, 70, 3)
    assert seen == [(1, 32, 64, 1)]
    with pytest.raises(InputError, match="it has colours, which 1 channel does not hold"):
        coloured.translate(random_picture(0, 50, 70))


def test_the_checkpoint_is_the_one_asked_for(tiny_run):
    picture = random_picture(0, 32, 32)
    of_3, of_6 = Translator.load(str(tiny_run), "3"), Translator.load(str(tiny_run), "6")
    assert (of_3.translate(picture) != of_6.translate(picture)).any()
    assert (of_3.translate(picture, samples=1)[0] != of_6.translate(picture, samples=1)[0]).any()
    np.testing.assert_array_equal(Translator.from_run(tiny_run, "3").translate(picture), of_3.translate(picture))


def test_variants_are_of_their_seed(translator):
    picture = random_picture(0, 33, 40)
    first = translator.translate(picture, samples=3, noise_seed=7)
    again, other = (translator.translate(picture, samples=2, noise_seed=seed) for seed in (7, 8))
    assert [variant.shape for variant in first] == [(33, 40, 3)] * 3
    np.testing.assert_array_equal(first[:2], again)
    different = [first[0], first[1], first[2], other[0], other[1], translator.translate(picture)]
    for number, variant in enumerate(different):
        for earlier in different[:number]:
            assert (variant != earlier).any()
    by_list = translator.translate([picture, picture], samples=2, noise_seed=7)
    np.testing.assert_array_equal(by_list[1], again)
    assert len(translator.translate([picture], samples=1, noise_seed=-(2**31))[0]) == 1


def test_the_generator_is_restored_once_for_all_variants(run_dir, monkeypatch):
    restored, restore = [], runs.restore_generator
    monkeypatch.setattr(runs, "restore_generator", lambda *given: restored.append(given) or restore(*given))
    translator = Translator.from_run(run_dir, "latest")
    translator.translate([random_picture(0, 8, 8)] * 2, samples=1)
    assert restored == [(run_dir, "latest")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "half"}, "resize=half is unknown; choose one of native, train"),
        ({"samples": 0}, "samples=0 is no whole number from 1 on"),
        ({"samples": 1.5}, "samples=1.5 is no whole number"),
        ({"samples": 1, "noise_seed": 2**31}, "noise_seed=2147483648 is no 32-bit whole number"),
        ({"samples": 1, "noise_seed": 0.5}, "noise_seed=0.5 is no 32-bit whole number"),
        ({"samples": 1, "noise_seed": -(2**31) - 1}, "noise_seed=-2147483649 is no 32-bit whole number"),
    ],
)
def test_options_that_cannot_be_are_refused(translator, options, message):
    with pytest.raises(InputError, match=message):
        translator.translate(random_picture(0, 8, 8), **options)


def test_exported_models_give_the_runs_pictures(tiny_run, tiny_export):
    """Whatever the size and the way: within 1 of 255."""
    output, rows = tiny_export
    run = Translator.from_run(tiny_run)
    with ServingDouble(output) as server:
        for model in (output, output / "1", server.url):
            exported = Translator.load(str(model))
            for number, size in enumerate([*SIZES, (1025, 769)]):
                picture = random_picture(number, *size)
                given = exported.translate(picture)
                assert given.shape == picture.shape
                assert np.abs(run.translate(picture).astype(int) - given).max() <= 1
    for name in ("model-float32.tflite", "model-int8.tflite", "model-int8-uint8.tflite"):
        (bound,) = (row.max_difference for row in rows if row.path.name == name)  # as the export measured it
        exported = Translator.load(str(output / name))
        picture = runs.read_examples(tiny_run, "held_out")[0][0]
        assert np.abs(run.translate(picture).astype(int) - exported.translate(picture)).max() <= bound
        for size in SIZES:
            assert exported.translate(random_picture(0, *size)).shape == (*size, 3)


def test_exported_models_know_what_they_take(tiny_export):
    output, _ = tiny_export
    for model in (output, output / "model-float32.tflite"):
        exported = Translator.load(str(model))
        assert exported.config.crop_size == (32, 32)
        assert exported.translate(random_picture(0, 40, 50), resize="train").shape == (40, 50, 3)
        assert exported.max_pixels == 2000 * 1000
        with pytest.raises(InputError, match="it has transparency"):
            exported.translate(random_picture(0, 9, 9, 4))
        with pytest.raises(InputError, match="only a run directory has"):
            exported.translate(random_picture(0, 9, 9), samples=1)
    seen = []
    tiled = Translator.load(str(output), max_pixels=64 * 64)
    tiled._generate = lambda image: seen.append(image.shape[1:3]) or image
    tiled.translate(random_picture(0, 200, 64))
    assert seen == [(64, 64)] * 5  # a multiple of the 32 that the card says


def test_the_most_pixels_are_those_asked_for(tiny_run, tiny_export, monkeypatch):
    output, _ = tiny_export
    monkeypatch.setattr(runtimes, "load_onnx", lambda path: runtimes.Runtime(str(path), np.array, None))
    (output.parent / "model.onnx").touch()
    with ServingDouble(output) as server:
        for model in (tiny_run, output, output.parent / "model.onnx", server.url):
            assert Translator.load(model, max_pixels=77).max_pixels == 77
    with pytest.raises(InputError, match="max_pixels=77: .*float32.tflite takes pictures of one size only"):
        Translator.load(output / "model-float32.tflite", max_pixels=77)
    expected = inference.max_pixels(runs.restore_generator(tiny_run))
    assert Translator.from_run(tiny_run).max_pixels == expected


def test_what_a_server_refuses_or_fails_in_is_told(tiny_export, tmp_path):
    output, _ = tiny_export
    with ServingDouble(output) as server:
        translator = Translator.from_server(server.url)
        with pytest.raises(RunError, match="refuses a picture of 9x8 pixels and 4 channels"):
            translator.translate(random_picture(0, 9, 8, 4))
        with pytest.raises(InputError, match="/nothing/metadata answers 404: Servable not found for request: Latest"):
            Translator.from_server(server.url.replace("pix2pix", "nothing"))
        with pytest.raises(InputError, match="resize=train needs the size trained on"):
            translator.translate(random_picture(0, 9, 8), resize="train")
        gray = random_picture(0, 9, 8, 1)
        with_slash = Translator.load(f"{server.url}/")
        np.testing.assert_array_equal(with_slash.translate(gray), translator.translate(np.repeat(gray, 3, axis=2)))
    with pytest.raises(RunError, match="cannot be reached: .*refused"):
        translator.translate(random_picture(0, 9, 8))
    with pytest.raises(InputError, match="cannot be reached"):
        Translator.load(server.url)


@pytest.mark.parametrize("answer", [{}, [], None, {"predictions": []}, {"predictions": [1]}, {"predictions": [{}]}])
def test_a_server_that_answers_oddly_is_told(monkeypatch, answer):
    signature = {"inputs": {"image_bytes": {}}, "outputs": {"image_bytes": {}, "ok": {}}}
    metadata = {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}
    monkeypatch.setattr(runtimes, "_ask", lambda url, request=None: answer if request else metadata)
    with pytest.raises(RunError, match="http://host/v1/models/m answers, but not with one picture"):
        Translator.from_server("http://host/v1/models/m").translate(random_picture(0, 4, 4))
    monkeypatch.setattr(runtimes, "_ask", lambda url, request=None: answer)
    with pytest.raises(InputError, match="http://host/v1/models/m serves no model that was exported by tf_pix2pix"):
        Translator.from_server("http://host/v1/models/m")


def test_a_model_that_returns_another_size_is_told():
    with pytest.raises(RunError, match="the model makes 1x1 of 4x5 pixels"):
        Translator(lambda image: image[:, :1, :1]).translate(random_picture(0, 4, 5))


def test_a_server_takes_what_its_model_takes(tiny_run, tiny_export):
    """The export's limit is 2000 x 1000 pixels; only above it a picture goes in tiles, of 2**20 pixels."""
    run = Translator.from_run(tiny_run)
    with ServingDouble(tiny_export[0]) as server:
        served = Translator.load(server.url)
        whole = random_picture(0, 1100, 1000)
        assert np.abs(run.translate(whole).astype(int) - served.translate(whole)).max() <= 1
        large = random_picture(0, 1500, 1400)
        tiled = Translator(run._generate, max_pixels=2**20).translate(large)
        assert np.abs(tiled.astype(int) - served.translate(large)).max() <= 1


def test_damaged_exports_are_named(tiny_export, tmp_path):
    output, _ = tiny_export
    shutil.copytree(output / "1", tmp_path / "1")
    (data,) = (tmp_path / "1" / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:5000])
    with pytest.raises(InputError, match=f"{tmp_path}/1 cannot be loaded: "):
        Translator.load(tmp_path / "1")
    whole = (output / "model-float32.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:5000])
    with pytest.raises(InputError, match=f"{tmp_path}/cut.tflite "):
        Translator.load(tmp_path / "cut.tflite")


def test_models_of_others_are_named(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([1, 8, 8, 3], name="x")])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"translate": module.f})
    with pytest.raises(InputError, match="has no signature translate from image to generated: it is no export"):
        Translator.load(tmp_path)
    with runtimes.quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "1"), signature_keys=["translate"])
        (tmp_path / "other.TFLITE").write_bytes(converter.convert())
    with pytest.raises(InputError, match="has no 'image' in its signature translate"):
        Translator.load(tmp_path / "other.TFLITE")


@pytest.mark.parametrize(
    "changes",
    [{"config": None}, {"config": {"filters": None}}, {"max_pixels": "x"}, {"max_pixels": -5}, {"size_multiple": None}],
)
def test_a_card_of_another_kind_is_named(tiny_export, tmp_path, changes):
    shutil.copytree(tiny_export[0] / "1", tmp_path / "1")
    card = model_card.read_card(tmp_path / "1")
    model_card.write_card(tmp_path / "1", card | changes)
    with pytest.raises(InputError, match=f"the model card in {tmp_path}/1 is not one that this version writes: "):
        Translator.load(tmp_path)


def test_what_fails_in_a_runtime_is_told_of_the_picture():
    def fail(image):
        raise ValueError("no memory\nat all")

    with pytest.raises(RunError, match="a.onnx fails in a picture of 4x5 pixels: no memory$"):
        runtimes._failing_in_one_line("a.onnx", fail)(np.zeros((1, 4, 5, 3), np.float32))


@contextlib.contextmanager
def answering(status, body, gate=None):
    """The address of a server that answers everything with the same, once the gate is open."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if gate:
                gate.wait()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/models/pix2pix"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "does not answer as a TensorFlow Serving model does"),
        (502, b"<html>", "answers 502: <html>"),
        (503, b"", "answers 503: Service Unavailable"),
    ],
)
def test_what_is_no_model_server_is_told(status, body, said):
    with answering(status, body) as url, pytest.raises(InputError, match=f"{url}/metadata {said}"):
        Translator.from_server(url)


def test_a_server_that_is_silent_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(runtimes, "SERVER_TIMEOUT", 0.2)
    gate = threading.Event()
    threading.Timer(3, gate.set).start()
    with answering(200, b"{}", gate) as url, pytest.raises(InputError, match="timed out"):
        try:
            Translator.from_server(url)
        finally:
            gate.set()


def test_large_pictures_go_to_a_server_in_tiles(tiny_run, tiny_export):
    picture = random_picture(0, 100, 300)
    with ServingDouble(tiny_export[0]) as server:
        given = Translator.from_server(server.url, max_pixels=64 * 256).translate(picture)
    own = Translator(Translator.from_run(tiny_run)._generate, max_pixels=64 * 256).translate(picture)
    assert np.abs(own.astype(int) - given).max() <= 1  # a server's tiles are rounded to 8 bits before they are blended


def test_without_dropout_there_are_no_variants(tmp_path):
    run_dir = write_run(tmp_path / "run", dropout=0.0)
    with pytest.raises(InputError, match="without dropout"):
        Translator.from_run(run_dir, "latest").check(samples=1)


def test_a_model_that_says_nothing_of_itself(tmp_path):
    halved = Translator(lambda image: image / 2)
    np.testing.assert_array_equal(
        halved.translate(random_picture(0, 5, 5, 4)),
        images.to_uint8(images.to_float(random_picture(0, 5, 5, 4)) / 2),
    )
    with pytest.raises(InputError, match="resize=train needs the size trained on"):
        halved.translate(random_picture(0, 5, 5), resize="train")
    with pytest.raises(InputError, match="max_pixels=0 is too small"):
        Translator(lambda image: image, max_pixels=0)
    with pytest.raises(InputError, match="which only a run directory has"):
        halved.translate(random_picture(0, 5, 5), samples=2)
    seen = []
    tiled = Translator(lambda image: seen.append(image.shape[1:3]) or image, max_pixels=300 * 300)
    tiled.translate(random_picture(0, 600, 300))
    assert set(seen) == {(256, 256)}  # what any generator takes


def test_a_model_of_one_size_takes_all(tmp_path):
    """Smaller pictures mirrored to it, larger ones in tiles of it."""
    seen = []
    translator = Translator(lambda image: seen.append(image.shape[1:3]) or image, fixed_size=(32, 48))
    for size in ((32, 48), (1, 1), (20, 30), (31, 100), (100, 47), (77, 99)):
        picture = random_picture(0, *size)
        np.testing.assert_array_equal(translator.translate(picture), picture)
    assert set(seen) == {(32, 48)}
    seen.clear()
    translator.translate(random_picture(0, 20, 30))
    assert len(seen) == 1


def test_tiles_of_one_size_are_aligned(monkeypatch):
    lengths, spans = [], tiling.spans
    monkeypatch.setattr(tiling, "spans", lambda length, *given: lengths.append(length) or spans(length, *given))
    seen = []
    translator = Translator(lambda image: seen.append(image.shape[1:3]) or image, fixed_size=(32, 48), multiple=8)
    translator.translate(random_picture(0, 77, 99))
    assert lengths == [32 + 6 * 8, 48 + 7 * 8]  # so that the last ones begin at multiples of 8, too
    translator.translate(random_picture(0, 40, 50))  # two of 24 pixels would do
    assert set(seen) == {(32, 48)}


def test_out_of_memory_is_told(translator, monkeypatch):
    def fail(image):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(translator, "_generate", fail)
    with pytest.raises(RunError, match="a picture of 9x8 pixels: OOM when allocating tensor; lower max_pixels"):
        translator.translate(random_picture(0, 9, 8))


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing/here does not exist"):
        Translator.load("nothing/here")
    with pytest.raises(InputError, match="is no SavedModel and holds no numbered version"):
        Translator.load(str(tmp_path))
    (tmp_path / "a.tflite").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="a.tflite cannot be loaded"):
        Translator.load(str(tmp_path / "a.tflite"))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="1 cannot be loaded: .*"):
        Translator.load(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "2"))
    with pytest.raises(InputError, match="2 has no signature translate from image to generated"):
        Translator.load(str(tmp_path))


def test_the_latest_version_is_the_highest_number(tmp_path):
    for name in ("9", "10", "11.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert runtimes.latest_version(tmp_path) == tmp_path / "10"


def test_of_a_long_error_the_first_line_is_told(tmp_path, monkeypatch):
    def fail(path):
        raise ValueError("no model\nand a long trace")

    (tmp_path / "saved_model.pb").touch()
    monkeypatch.setattr(tf.saved_model, "load", fail)
    with pytest.raises(InputError, match=f"^{tmp_path} cannot be loaded: no model$"):
        Translator.from_saved_model(tmp_path)


def test_what_a_quantized_tensor_takes_is_rounded_and_clipped():
    tensor = {"dtype": np.uint8, "quantization": (1 / 127, 127)}
    values = (np.arange(255) - 127) / 127 * 0.998
    np.testing.assert_array_equal(runtimes._quantized(values, tensor), np.arange(255))
    np.testing.assert_array_equal(runtimes._quantized(np.array([-1.2, 1.2]), tensor), [0, 255])


def test_quiet_gives_stderr_back(capfd):
    opened = len(os.listdir("/dev/fd"))
    with runtimes.quiet():
        os.write(2, b"noise")
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"
    assert len(os.listdir("/dev/fd")) == opened


def task_translator(tmp_path, task, channels=3, **fields):
    run_dir = write_run(tmp_path / task, task=task, input_channels=channels, **fields)
    return Translator.from_run(run_dir, "latest")


@pytest.mark.parametrize(("task", "channels"), [("colorize", 1), ("edges", 1), ("denoise", 3), ("inpaint", 4)])
def test_a_plain_photo_is_prepared_as_in_training(tmp_path, task, channels):
    translator = task_translator(tmp_path, task, channels)
    photo = random_picture(0, 33, 40)
    made = tasks.input_maker(task, **translator.config.task_settings)(photo).numpy()
    translated = translator.translate(photo, task=True)
    np.testing.assert_array_equal(translated, translator.translate(made))
    np.testing.assert_array_equal(translator.translate([photo], task=True)[0], translated)
    np.testing.assert_array_equal(translator.translate(images.with_channels(photo, 4), task=True), translated)
    gray = photo[:, :, :1]
    np.testing.assert_array_equal(
        translator.translate(gray, task=True), translator.translate(gray.repeat(3, axis=2), task=True)
    )
    assert len(translator.translate(photo, task=True, samples=2)) == 2
    small = images.resize(photo, (32, 32), "bicubic")  # TINY is BtoA: the target is A, whose way is bicubic
    expected = images.resize(translator.translate(small, task=True), (33, 40), "bicubic")
    np.testing.assert_array_equal(translator.translate(photo, task=True, resize="train"), expected)


def test_a_photo_where_what_a_task_makes_is_wanted(tmp_path):
    message = "it has colours, .*; or it is a plain photo, of which task makes what colorize takes"
    with pytest.raises(InputError, match=message):
        task_translator(tmp_path, "colorize", 1).translate(random_picture(0, 33, 40))


def test_a_held_out_photo_gets_the_input_that_the_run_has(inpaint_run):
    translator = Translator.from_run(inpaint_run)
    seen = []
    translator._generate = lambda image: seen.append(images.to_uint8(image[0]).numpy()) or image[..., :3]
    for made, photo in runs.read_examples(inpaint_run, "held_out"):
        translator.translate(photo, task=True)
        np.testing.assert_array_equal(seen.pop(), made)


def test_small_pictures_are_enlarged(tmp_path):
    translator = task_translator(tmp_path, "super_resolution", task_scale=2)
    picture = random_picture(0, 20, 33)
    large = translator.translate(picture, enlarge=True)
    assert large.shape == (40, 66, 3)
    seen, generate = [], translator._generate
    translator._generate = lambda image: seen.append(image[0]) or generate(image)
    np.testing.assert_array_equal(translator.translate(picture, enlarge=True), large)
    assert np.abs((seen[0] + 1) * 127.5 - pillow_bicubic(picture, (40, 66))).max() < 0.6  # 0.5 is rounding


def test_what_is_transparent_is_filled_and_the_rest_kept(tmp_path):
    """Whatever colour an editor has left in the holes; also in tiles."""
    translator = task_translator(tmp_path, "inpaint", 4)
    picture = random_picture(0, 33, 40, 4)
    picture[..., 3] = np.where(picture[..., 3] > 60, 255, 0)
    other = np.where(picture[..., 3:] == 0, np.uint8([9, 9, 9, 0]), picture)
    assert (picture != other).any()
    filled, known = translator.translate(picture), picture[..., 3] == 255
    np.testing.assert_array_equal(filled, translator.translate(other))
    for one in (filled, Translator.from_run(tmp_path / "inpaint", max_pixels=600).translate(picture)):
        np.testing.assert_array_equal(one[known], picture[known][:, :3])
        assert (one[~known] != picture[~known][:, :3]).any(axis=1).mean() > 0.9
    with pytest.raises(InputError, match="it has transparency, .*; without task, what is transparent is filled"):
        translator.translate(picture, task=True)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (None, {"task": True}, "task is of no use here: the model was trained on pairs, not on a task"),
        ("denoise", {"enlarge": True}, "enlarge is of no use here: the model was trained on task=denoise"),
        ("super_resolution", {"enlarge": True, "task": True}, "enlarge does not go with task"),
        ("super_resolution", {"enlarge": True, "resize": "train"}, "enlarge does not go with resize=train"),
    ],
)
def test_what_does_not_go_with_the_task_is_refused(task, options, message):
    config = dataclasses.replace(TINY, task=task, input_channels=3, output_channels=3)
    with pytest.raises(InputError, match=message):
        Translator(np.array, config=config).translate(random_picture(0, 8, 8), **options)


@pytest.mark.parametrize("option", ["task", "enlarge"])
def test_a_server_does_not_say_its_task(option):
    with pytest.raises(InputError, match=f"{option} needs the task trained on, which this model does not say"):
        Translator(np.array).translate(random_picture(0, 8, 8), **{option: True})


def test_exported_models_have_the_task(inpaint_run, tmp_path):
    """And give the run's pictures, of RGBA with holes too; what is known in those is kept bit for bit."""
    export(inpaint_run, tmp_path / "exported", options=Options(tflite_precision=("float32",)))
    run, photo = Translator.from_run(inpaint_run), random_picture(0, 32, 32)
    picture = random_picture(1, 32, 32, 4)
    picture[..., 3] = np.where(picture[..., 3] > 60, 255, picture[..., 3])  # also half transparent
    known = picture[..., 3] == 255
    for name in ("1", "model-float32.tflite"):
        exported = Translator.load(tmp_path / "exported" / name)
        np.testing.assert_array_equal(exported.translate(picture)[known], picture[known][:, :3])
        given = exported.translate(photo, task=True)
        assert np.abs(given.astype(int) - run.translate(photo, task=True)).max() <= 1
