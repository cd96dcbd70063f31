"""The Translator, through runs, exported files and servers."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from helpers import SIZES, TINY, change, difference, make_run, make_sides, pillow_bicubic, random_image
from serving_double import ServingDouble

from tf_pix2pix import images, inference, model_card, run, runtimes, tasks, tiling
from tf_pix2pix.datasets.synthetic_facades import facade
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.translation import Translator
from tf_pix2pix.translation.models import Model


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("translation") / "run").directory


@pytest.fixture(scope="module")
def translator(run_dir):
    return Translator.from_run(run_dir, "latest")


def recording(seen, generate=lambda values: values, **fields):
    """A model of TINY that notes the shape of each tile."""
    fields = dict(config=TINY, sides=make_sides(), max_pixels=10**6, multiple=32) | fields
    return Model(lambda values: seen.append(values.shape[1:]) or generate(values), **fields)


def spy(translator, monkeypatch, seen):
    """Notes the images [h, w, c] that pass through a translator's network, float32."""
    generate = translator._model.generate
    model = recording([], lambda values: seen.append(values[0]) or generate(values))
    model = Model(**{**vars(translator._model), "generate": model.generate})
    monkeypatch.setattr(translator, "_model", model)


def test_images_of_any_size_keep_their_size(translator, run_dir):
    translate = inference.make_translate(run.restore_generator(run_dir, "latest"))
    several = [random_image(number, *size) for number, size in enumerate(SIZES)]
    for image, generated in zip(several, translator.translate(several), strict=True):
        expected = images.from_float(translate(images.to_float(image[np.newaxis])))[0].numpy()
        np.testing.assert_array_equal(generated, expected)
        np.testing.assert_array_equal(translator.translate(image), generated)
    assert np.std(generated) > 5


def test_threads_draw_noise_one_at_a_time(run_dir, monkeypatch):
    """Drawing it changes the state of the dropout layers."""
    drawing = threading.Semaphore(1)

    def make_noisy(generator):
        def noisy(image, seed):
            assert drawing.acquire(blocking=False), "another thread is drawing"
            time.sleep(0.01)
            drawing.release()
            return tf.constant(image)

        return noisy

    monkeypatch.setattr(inference, "make_noisy_translate", make_noisy)
    translator, image = Translator.from_run(run_dir, "latest"), random_image(0, 32, 32)
    with ThreadPoolExecutor(8) as pool:
        for [variant] in pool.map(lambda seed: translator.translate(image, samples=1, noise_seed=seed), range(16)):
            np.testing.assert_array_equal(variant, image)


def test_channels_and_bit_depth_are_converted_if_nothing_is_lost(translator):
    gray = random_image(0, 20, 20, 1)
    expected = translator.translate(np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(translator.translate(gray), expected)
    np.testing.assert_array_equal(translator.translate(images.with_channels(gray, 4)), expected)
    for image, message in (
        (random_image(0, 20, 20, 4), "transparency"),
        (np.full((9, 9, 3), 300, np.uint16), "16"),
        (np.full((9, 9, 3), np.nan, np.float32), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            translator.translate(image)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.zeros((4, 4), np.uint8), "uint8 4x4"),
        (np.zeros((4, 4, 2), np.uint8), "uint8 4x4x2"),
        (np.zeros((0, 4, 3), np.uint8), "uint8 0x4x3"),
        (np.zeros((4, 4, 3), np.float64), "float64 4x4x3"),
        ("a.png", "str"),
    ],
)
def test_other_values_than_images_are_refused(translator, value, found):
    with pytest.raises(InputError, match=f"not an image: {found}; expected uint8, uint16, float32 .height, width, ch"):
        translator.translate(value)


def test_large_images_pass_in_tiles():
    seen = []
    tiled = Translator(recording(seen), max_pixels=64 * 64)
    for size, tiles in (
        ((64, 64), [(64, 64)]),
        ((70, 100), [(64, 64)] * 6),  # padded to 96 x 128: 2 x 3 tiles
        ((32, 128), [(32, 128)]),  # as many pixels as allowed
    ):
        seen.clear()
        image = random_image(0, *size)
        np.testing.assert_array_equal(tiled.translate(image), image)
        assert [shape[:2] for shape in seen] == tiles


def test_tiles_equal_the_whole_image_if_nothing_is_normalized_over_it(tmp_path):
    """Batch norm with running statistics: a pixel depends only on the pixels that the network sees around it, fewer
    than 30 at this depth (2 halvings). Tiles of 512 pixels drop 32 at their borders."""
    run_dir = make_run(tmp_path / "run", norm="batch", depth=2, filters=2).directory
    image = random_image(0, 600, 200)
    whole = Translator.from_run(run_dir, "latest", max_pixels=2**30).translate(image)
    assert whole.std() > 5
    tiled = Translator.from_run(run_dir, "latest", max_pixels=512 * 200)
    assert tiled.max_pixels == 512 * 200
    assert difference(whole, tiled.translate(image)) <= 1


def test_size_channels_depth_and_value_range_are_the_runs(translator):
    """Floats are values of the run's range; the generated image has the depth of the targets."""
    image = random_image(0, 50, 70)
    small = images.resize(image, (32, 32), "nearest")
    expected = images.resize(translator.translate(small), (50, 70), "bicubic")
    np.testing.assert_array_equal(translator.translate(image, resize="train"), expected)

    sides = Sides(Side(1, "float32", (0.0, 8.0)), Side(3, "uint16"))
    seen = []
    model = recording(
        [],
        lambda values: seen.append(values) or np.repeat(values / 2, 3, axis=3),
        sides=sides,
        config=change(crop_size=(32, 64)),
    )
    assert Translator(model).translate(np.zeros((50, 70, 1), np.float32), resize="train").shape == (50, 70, 3)
    assert seen.pop().shape == (1, 32, 64, 1)
    with pytest.raises(InputError, match="colors"):
        Translator(model).translate(np.float32(image))
    image = np.linspace(-1, 8, 24, dtype=np.float32).reshape(4, 6, 1)
    generated = Translator(model).translate(image)
    expected = np.clip(image, 0, 8) / 4 - 1
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-6)
    np.testing.assert_array_equal(generated, np.round((expected.repeat(3, 2) / 2 + 1) * 32767.5).astype(np.uint16))


def test_the_checkpoint_is_the_one_asked_for(tiny_run):
    image = random_image(0, 32, 32)
    at_3, at_6 = Translator.load(str(tiny_run), "3"), Translator.load(str(tiny_run), "6")
    for samples in (None, 1):
        assert (np.array(at_3.translate(image, samples=samples)) != at_6.translate(image, samples=samples)).any()
    np.testing.assert_array_equal(Translator.from_run(tiny_run, "3").translate(image), at_3.translate(image))


def test_variants_depend_on_their_seed(run_dir, monkeypatch):
    restored, generator = [], Run.generator
    monkeypatch.setattr(Run, "generator", lambda *args: restored.append(args) or generator(*args))
    translator = Translator.from_run(run_dir, "latest")
    image = random_image(0, 33, 40)
    first = translator.translate(image, samples=3, noise_seed=7)
    again, other = (translator.translate([image, image], samples=2, noise_seed=seed)[1] for seed in (7, 8))
    np.testing.assert_array_equal(first[:2], again)
    assert len({variant.tobytes() for variant in (*first, *other, translator.translate(image))}) == 6
    assert first[0].shape == (33, 40, 3)
    assert len(translator.translate([image], samples=1, noise_seed=-(2**31))[0]) == 1
    assert len(restored) == 1  # for all variants


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "half"}, "resize=half: choose one of native, train"),
        ({"samples": 0}, "samples=0: must be a whole number, at least 1"),
        ({"samples": 1.5}, "samples=1.5: must be a whole number"),
        ({"samples": 1, "noise_seed": 2**31}, "noise_seed=2147483648: must be a whole number of 32 bits"),
        ({"samples": 1, "noise_seed": -(2**31) - 1}, "noise_seed=-2147483649: must be"),
        ({"make_inputs": True}, "make_inputs: the model was trained on pairs, not on a task"),
        ({"enlarge": True}, "enlarge: requires task=super_resolution, but the model was trained on pairs"),
    ],
)
def test_unsupported_options_are_refused(translator, options, message):
    for call in (translator.check, lambda **options: translator.translate(random_image(0, 8, 8), **options)):
        with pytest.raises(InputError, match=message):
            call(**options)


def test_exported_models_generate_the_runs_images(tiny_run, tiny_export):
    """Of any size, within 1 of 255, or what the export measured for int8. test_runtimes.py compares all formats."""
    output, rows = tiny_export
    run = Translator.from_run(tiny_run)
    several = [random_image(number, *size) for number, size in enumerate(SIZES)]
    for one, other in zip(run.translate(several), Translator.load(str(output)).translate(several), strict=True):
        assert difference(one, other) <= 1
    example = Run.open(tiny_run).examples("val")[0][0]
    for name in ("model-float32.tflite", "model-int8.tflite", "model-int8-uint8.tflite"):
        (threshold,) = (row.max_difference for row in rows if row.path.name == name)
        exported = Translator.load(str(output / name))
        assert difference(run.translate(example), exported.translate(example)) <= threshold
        assert exported.translate(several[3]).shape == several[3].shape


def test_exported_models_know_their_run(tiny_run, tiny_export, monkeypatch):
    output, _ = tiny_export
    for model in (output, output / "model-float32.tflite"):
        exported = Translator.load(str(model))
        assert (exported.config, exported.sides) == (TINY, make_sides())
        assert Translator.sides_of(model) == make_sides()
        assert exported.translate(random_image(0, 40, 50), resize="train").shape == (40, 50, 3)
        assert exported.max_pixels == 2000 * 1000
        with pytest.raises(InputError, match="transparency"):
            exported.translate(random_image(0, 9, 9, 4))
        with pytest.raises(InputError, match="samples: exported models have no dropout and so no noise"):
            exported.translate(random_image(0, 9, 9), samples=1)
    assert Translator.sides_of(tiny_run) == make_sides()
    assert Translator.sides_of("http://host/v1/models/m") is Translator.sides_of("nowhere") is None
    seen, tiled = [], Translator.load(str(output), max_pixels=64 * 64)
    spy(tiled, monkeypatch, seen)
    tiled.translate(random_image(0, 200, 64))
    assert [values.shape[:2] for values in seen] == [(64, 64)] * 5  # multiples of the card's 32


def test_max_pixels_is_the_one_asked_for(tiny_run, tiny_export, monkeypatch):
    output, _ = tiny_export
    monkeypatch.setattr(runtimes, "load_onnx", lambda path: runtimes.Runtime(str(path), np.array, None))
    (output.parent / "model.onnx").touch()
    with ServingDouble(output) as server:
        for model in (tiny_run, output, output.parent / "model.onnx", server.url):
            assert Translator.load(model, max_pixels=77).max_pixels == 77
    with pytest.raises(InputError, match="max_pixels=77: .*float32.tflite accepts images of one size only"):
        Translator.load(output / "model-float32.tflite", max_pixels=77)
    with pytest.raises(InputError, match="max_pixels=0: must be at least 1"):
        Translator(Model(np.array), max_pixels=0)
    assert Translator.from_run(tiny_run).max_pixels == inference.max_pixels(run.restore_generator(tiny_run))


def test_a_server_translates_what_its_model_accepts(tiny_run, tiny_export):
    """The export's limit is 2000 x 1000 pixels; above it an image passes in tiles of 2**20 pixels."""
    run = Translator.from_run(tiny_run)

    def tile(image, max_pixels):
        """In the tiles of a server, which rounds each to 8 bits before they are blended."""
        return Translator(Model(run._model.generate), max_pixels).translate(image)

    with ServingDouble(tiny_export[0]) as server:
        served = Translator.load(f"{server.url}/")
        whole, large, gray = random_image(0, 400, 300), random_image(0, 1500, 1400), random_image(0, 9, 8, 1)
        assert difference(run.translate(whole), served.translate(whole)) <= 1
        assert difference(tile(large, 2**20), served.translate(large)) <= 1
        np.testing.assert_array_equal(served.translate(gray), served.translate(np.repeat(gray, 3, axis=2)))
        tiled = Translator.from_server(server.url, max_pixels=300 * 300).translate(whole)
        assert difference(tile(whole, 300 * 300), tiled) <= 1
        with pytest.raises(RunError, match="9x8"):
            served.translate(random_image(0, 9, 8, 4))
        for options in ({"resize": "train"}, {"make_inputs": True}, {"enlarge": True}):
            with pytest.raises(InputError, match=f"{[*options][0]}.*: requires the training settings"):
                served.translate(random_image(0, 9, 8), **options)
        with pytest.raises(InputError, match="floats: a server accepts only images of 8 or 16 bits"):
            served.translate(np.zeros((9, 8, 3), np.float32))


def test_a_model_without_a_card_accepts_all_images():
    halved = Translator(Model(lambda values: values / 2))
    image = random_image(0, 5, 5, 4)
    np.testing.assert_array_equal(halved.translate(image), images.from_float(images.to_float(image) / 2))
    seen = []
    tiled = Translator(Model(recording(seen).generate), max_pixels=300 * 300)
    tiled.translate(random_image(0, 600, 300))
    assert {shape[:2] for shape in seen} == {(256, 256)}  # a multiple that every generator accepts


def test_a_model_of_one_size_translates_all_sizes(monkeypatch):
    """Smaller images are mirrored to it, larger ones pass in tiles of it, all aligned to the network's multiple."""
    seen = []
    translator = Translator(recording(seen, fixed_size=(32, 48), multiple=8))
    for size in ((32, 48), (1, 1), (31, 100), (100, 47), (40, 50), (20, 30)):
        seen.clear()
        image = random_image(0, *size)
        np.testing.assert_array_equal(translator.translate(image), image)
        assert {shape[:2] for shape in seen} == {(32, 48)}
    assert len(seen) == 1
    lengths, spans = [], tiling.spans
    monkeypatch.setattr(tiling, "spans", lambda length, *args: lengths.append(length) or spans(length, *args))
    translator.translate(random_image(0, 77, 99))
    assert lengths == [32 + 6 * 8, 48 + 7 * 8]  # so that the last tiles begin at multiples of 8, too


def test_failures_of_the_model_name_the_image():
    def fail(values):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(RunError, match="the model failed on a 9x8 image: OOM when allocating tensor; lower max_pixels"):
        Translator(Model(fail)).translate(random_image(0, 9, 8))
    with pytest.raises(RunError, match="the model returned 1x1 pixels for a tile of 4x5; it must keep the size"):
        Translator(Model(lambda values: values[:, :1, :1])).translate(random_image(0, 4, 5))


def test_a_card_of_another_kind_is_named(tiny_export, tmp_path):
    path = shutil.copy(tiny_export[0] / "model-float32.tflite", tmp_path / "1.tflite")
    card = model_card.read_card(path)
    changes = (
        {"config": None},
        {"config": {"filters": None}},
        {"sides": {}},
        {"max_pixels": -5},
        {"size_multiple": None},
    )
    for each in changes:
        model_card.write_card(path, card | each)
        with pytest.raises(InputError, match=f"{path}: this release cannot read its model card .*export it again"):
            Translator.load(path)


def test_other_things_than_models_are_named(tmp_path):
    (tmp_path / "a.TFLITE").write_bytes(b"nonsense")
    for model, message in (
        ("nothing/here", "nothing/here: not found; pass a run, a SavedModel, a .tflite or .onnx file"),
        (tmp_path, f"{tmp_path}: not a model"),
        (tmp_path / "a.TFLITE", "a.TFLITE: cannot be loaded"),
    ):
        with pytest.raises(InputError, match=message):
            Translator.load(str(model))


def task_translator(tmp_path, task, channels=3, **options):
    run = make_run(tmp_path / "run", Sides(Side(channels), Side(3)), task=task, depth=3, filters=2)
    return Translator.from_run(run.directory, "latest", **options)


@pytest.mark.parametrize(("task", "channels"), [("colorize", 1), ("denoise", 3), ("inpaint", 4)])
def test_inputs_are_made_from_photos_as_in_training(tmp_path, task, channels):
    translator = task_translator(tmp_path, task, channels)
    photo = random_image(0, 33, 40)
    made = tasks.input_maker(task, translator.sides.target, **translator.config.task_settings)(photo).numpy()
    generated = translator.translate(photo, make_inputs=True)
    np.testing.assert_array_equal(generated, translator.translate(made))
    np.testing.assert_array_equal(translator.translate([photo], make_inputs=True)[0], generated)
    rgba = images.with_channels(photo, 4)
    np.testing.assert_array_equal(translator.translate(rgba, make_inputs=True), generated)
    if task != "colorize":
        return
    assert len(translator.translate(photo, make_inputs=True, samples=2)) == 2
    small = images.resize(photo, (32, 32), "bicubic")
    expected = images.resize(translator.translate(small, make_inputs=True), (33, 40), "bicubic")
    np.testing.assert_array_equal(translator.translate(photo, make_inputs=True, resize="train"), expected)
    with pytest.raises(InputError, match="; for a plain photo pass make_inputs, which makes the input of colorize"):
        translator.translate(photo)


def test_small_images_are_enlarged(tmp_path, monkeypatch):
    translator, seen = task_translator(tmp_path, "super_resolution"), []
    image = random_image(0, 20, 33)
    scale = translator.config.task_scale
    spy(translator, monkeypatch, seen)
    assert translator.translate(image, enlarge=True).shape == (20 * scale, 33 * scale, 3)
    expected = pillow_bicubic(image, (20 * scale, 33 * scale))
    assert np.abs((seen[0] + 1) * 127.5 - expected).max() < 0.6  # 0.5 is rounding
    for other, name in (({"make_inputs": True}, "make_inputs"), ({"resize": "train"}, "resize=train")):
        with pytest.raises(InputError, match=f"enlarge: excludes {name}; leave out one"):
            translator.translate(image, enlarge=True, **other)


def test_transparent_pixels_are_filled_and_all_others_kept(tmp_path):
    """Whatever color an editor left in the holes; also in tiles."""
    translator = task_translator(tmp_path, "inpaint", 4)
    image = random_image(0, 33, 40, 4)
    image[..., 3] = np.where(image[..., 3] > 60, 255, 0)
    other = np.where(image[..., 3:] == 0, np.uint8([9, 9, 9, 0]), image)
    filled, known = translator.translate(image), image[..., 3] == 255
    np.testing.assert_array_equal(filled, translator.translate(other))
    for one in (filled, Translator.from_run(tmp_path / "run", max_pixels=600).translate(image)):
        np.testing.assert_array_equal(one[known], image[known][:, :3])
        assert (one[~known] != image[~known][:, :3]).any(axis=1).mean() > 0.9
    with pytest.raises(InputError, match="transparency.*; without make_inputs the transparent parts are filled"):
        translator.translate(image, make_inputs=True)
    with pytest.raises(InputError, match="enlarge: requires task=super_resolution, but the .* trained on task=inpaint"):
        translator.translate(image, enlarge=True)


def test_a_photos_input_is_the_runs_also_in_exported_models(inpaint_run, tmp_path, monkeypatch):
    """They generate the run's images, and keep the known pixels of RGBA images bit for bit."""
    run, seen = Translator.from_run(inpaint_run), []
    photo, image = random_image(0, 32, 32), random_image(1, 32, 32, 4)
    generated = run.translate(photo, make_inputs=True)
    export(inpaint_run, tmp_path / "out", ["tflite"], options=Options(tflite_precision=("float32",)))
    image[..., 3] = np.where(image[..., 3] > 60, 255, image[..., 3])  # also half transparent
    known = image[..., 3] == 255
    exported = Translator.load(tmp_path / "out" / "model-float32.tflite")
    np.testing.assert_array_equal(exported.translate(image)[known], image[known][:, :3])
    assert difference(exported.translate(photo, make_inputs=True), generated) <= 1
    spy(run, monkeypatch, seen)
    for made, photo in Run.open(inpaint_run).examples("val"):
        run.translate(photo, make_inputs=True)
        np.testing.assert_array_equal(images.from_float(seen.pop()), made)


def test_the_relative_scale_of_an_image():
    """TINY resizes to 36x36 for training and to 32x32 for validation."""
    side = Side(3, image_size=(144, 144))
    translator = Translator(recording([], sides=Sides(side, side)))
    assert translator.relative_scale((144, 144)) == translator.relative_scale((999, 144)) == 4
    assert translator.relative_scale((36, 36)) == translator.relative_scale((32, 32)) == 1
    full_size = Translator(recording([], sides=Sides(side, side), config=change(fit="none")))
    assert full_size.relative_scale((144, 144)) == 1
    for unknown in (recording([]), recording([], config=None, sides=None)):
        assert Translator(unknown).relative_scale((144, 144)) is None


def test_pairs_look_like_pairs_by_their_shape_and_seam():
    photo, labels = facade(0, 0, (64, 64))
    pair = np.hstack([photo, labels])
    square, wide = Side(3, image_size=(50, 50)), Side(3, image_size=(50, 100))
    for sides, image, expected in (
        (Sides(square, square), pair, True),
        (Sides(square, square), photo, False),
        (Sides(square, square), facade(0, 0, (64, 128))[0], False),  # as wide, but without a seam
        (Sides(square, square), np.hstack([pair, pair]), False),
        (Sides(wide, wide), pair, False),
        (make_sides(), pair, True),  # an older run, whose crop is square
        (None, pair, False),
    ):
        model = recording([], sides=sides, config=TINY if sides else None)
        assert Translator(model).looks_like_pair(image) == expected


def test_exported_files_know_the_image_size(tiny_run, tiny_export):
    assert Run.open(tiny_run).sides.input.image_size == (36, 36)
    for path in (".", "model-float32.tflite"):
        assert Translator.load(tiny_export[0] / path).relative_scale((36, 36)) == 1
