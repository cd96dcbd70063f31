"""Runs with palettes, Lab or masks, from the folder to what is exported."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, random_picture, write_picture
from helpers import make_sides
from PIL import Image
from test_training import assert_same_run

from tf_pix2pix import images, layers, losses, model_card, runs, training
from tf_pix2pix.cli.translate import main
from tf_pix2pix.codecs import CODECS, IMAGES, with_codec
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export, tflite
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.input_pipeline import training_batches
from tf_pix2pix.training import train
from tf_pix2pix.training.step import build_state, make_train_step
from tf_pix2pix.translation import Translator

COLORS = np.array([[0, 0, 170], [1, 0, 170], [9, 200, 20], [170, 255, 85], [255, 85, 0]], np.uint8)  # by value
SIZES = [(1, 1), (33, 97), (64, 32)]


def write_label_map(path, seed):
    """An indexed PNG of 40x48."""
    labels = np.random.default_rng(seed).integers(0, len(COLORS), (10, 12), np.uint8).repeat(4, 0).repeat(4, 1)
    picture = Image.fromarray(labels)
    picture.putpalette(COLORS.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    with Image.open(path) as written:
        assert written.mode == "P"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten each of label and other (indexed PNG), photo (RGB), gray, level (class numbers as grays) and mask."""
    root = tmp_path_factory.mktemp("encoded") / "set"
    for number in range(10):
        write_label_map(root / "label" / f"{number}.png", number)
        write_label_map(root / "other" / f"{number}.png", 100 + number)
        write_picture(root / "photo" / f"{number}.png", random_picture(number, 10, 12).repeat(4, 0).repeat(4, 1))
        write_picture(root / "gray" / f"{number}.png", random_picture(number, 40, 48, 1))
        level = np.random.default_rng(number).integers(0, len(COLORS), (40, 48, 1), np.uint8)
        write_picture(root / "level" / f"{number}.png", level)
        write_picture(root / "mask" / f"{number}.png", random_picture(number, 40, 48, 1))
    return root


def config_of(folder, a, b, **fields):
    own = dict(dataset=str(folder), input_dir=a, target_dir=b, direction="AtoB", resize_b="bicubic", steps=3)
    return dataclasses.replace(TINY, **own | fields)


def colors_of(picture):
    return {*map(tuple, picture.reshape(-1, picture.shape[-1]).tolist())}


@pytest.fixture(scope="module")
def label_config(folder):
    """Label maps to other ones: one-hot channels in, classes out."""
    return config_of(folder, "label", "other", input_encoding="onehot", target_encoding="classes", ema_decay=0.5)


@pytest.fixture(scope="module")
def label_run(label_config, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("labels") / "run"
    train(label_config, run_dir)
    return run_dir


@pytest.fixture(scope="module")
def lab_run(folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("lab") / "run"
    train(config_of(folder, "gray", "photo", color_space="lab"), run_dir)
    return run_dir


def test_the_palettes_are_kept_in_the_run(label_run):
    palettes = runs.read_palettes(label_run, runs.read_config(label_run))
    assert list(palettes) == ["input", "target"]
    for palette in palettes.values():
        np.testing.assert_array_equal(palette.colors, COLORS)
        assert sum(palette.counts) == 9 * 40 * 48  # of the pictures trained on, as they are on the disk


def test_label_maps_are_never_mixed(label_run):
    """Resized with nearest though the defaults say bicubic; in examples, samples and whatever is translated."""
    config = runs.read_config(label_run)
    assert (config.resize_a, config.resize_b) == ("nearest", "nearest")
    palette = colors_of(COLORS)
    for split in ("train", "held_out"):
        for pair in runs.read_examples(label_run, split):
            assert colors_of(pair[0]) | colors_of(pair[1]) <= palette
    for translator in (Translator.from_run(label_run), Translator.from_run(label_run, max_pixels=40 * 40)):
        for number, size in enumerate(SIZES):
            for resize in ("native", "train"):
                translated = translator.translate(random_picture(number, *size), resize=resize)
                assert translated.shape == (*size, 3)
                assert colors_of(translated) <= palette
        assert colors_of(translator.translate(random_picture(0, 50, 50), samples=1)[0]) <= palette


def test_classes_are_measured_and_the_best_has_the_highest_mean_iou(label_run):
    records = runs.read_metrics(label_run)
    logged = [record for record in records if "gen_cross_entropy_loss" in record]
    assert logged and not any("gen_l1_loss" in record for record in records)
    measured = {record["step"]: record for record in records if "val_mean_iou" in record}
    assert list(measured) == [3]
    _, best = runs.find_checkpoint(label_run, "best")
    assert measured[best]["val_mean_iou"] == max(record["val_mean_iou"] for record in measured.values())
    translate = Translator.from_run(label_run).translate
    own = [(translate(a) == b).all(axis=2).mean() for a, b in runs.read_examples(label_run, "held_out")]
    assert measured[best]["val_pixel_accuracy"] == pytest.approx(np.mean(own))


def test_a_resumed_run_keeps_its_palette(label_run, label_config, tmp_path, monkeypatch):
    run_dir = shutil.copytree(label_run, tmp_path / "run")
    monkeypatch.setattr(training, "find_palette", lambda *args: pytest.fail("it was searched again"))
    train(dataclasses.replace(label_config, steps=4), run_dir)
    assert (run_dir / "palette.json").read_text() == (label_run / "palette.json").read_text()


@pytest.mark.parametrize("text", [None, "{", '{"input": {"colors": [[0], [1]]}}', '{"input": [], "target": []}'])
def test_a_run_without_its_palette_says_so(label_run, tmp_path, text):
    run_dir = shutil.copytree(label_run, tmp_path / "run")
    (run_dir / "palette.json").unlink()
    if text is not None:
        (run_dir / "palette.json").write_text(text)
    with pytest.raises(InputError, match="palette.json(: No such file| is damaged)"):
        runs.restore_generator(run_dir)


def test_exported_label_maps_have_the_palettes_colours_and_the_runs_classes(label_run, tmp_path, monkeypatch):
    options = Options(tflite_precision=("float32", "int8"), batch_sizes=(1,))
    monkeypatch.setitem(tflite.PRECISIONS["int8"], "min_agreement", 0.3)  # hardly trained: all classes are near
    rows = export(label_run, tmp_path / "out", ["saved_model", "tflite", "onnx"], options=options)
    names = ["1", "1", "model-float32.tflite", "model-int8.tflite", "model.onnx"]  # no uint8 interface
    assert [row.path.name for row in rows] == names
    parity = model_card.read_card(rows[0].path)["parity"]
    assert parity["C++ session"]["agreement"] == rows[1].agreement
    picture = random_picture(0, 45, 30)
    own = Translator.from_run(label_run).translate(picture)
    for row in rows[1:]:
        assert row.agreement > (0.3 if "int8" in row.path.name else 0.999)
        translated = Translator.load(row.path).translate(picture)
        assert colors_of(translated) <= colors_of(COLORS)
        if "tflite" not in row.path.name:
            assert (translated == own).all(axis=2).mean() > 0.999
        assert model_card.read_card(row.path)["palettes"]["target"]["colors"] == COLORS.tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda picture: picture[::-1], "of the pixels have its class, at least 99.9% wanted"),
        (lambda picture: np.maximum(picture, 1), "colours that the palette has not"),
    ],
)
def test_other_classes_than_the_runs_are_not_exported(label_run, tmp_path, monkeypatch, change, said):
    from tf_pix2pix import exporting
    from tf_pix2pix.exporting.artifact import Artifact

    own = Translator.from_run(label_run)

    def fake(source, directory, options):
        (directory / "model.fake").write_bytes(b"")
        yield Artifact(directory / "model.fake", {"a reader": lambda picture: change(own.translate(picture))})

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": fake})
    with pytest.raises(RunError, match=said):
        export(label_run, tmp_path / "out", ["fake"])


def gray_levels_apart(lightness, picture):
    """How far the L of RGB pictures is from that of gray ones, both uint8, at most, of 100."""
    lab = [layers.rgb_to_lab(images.to_float(images.with_channels(p, 3)[np.newaxis])) for p in (lightness, picture)]
    return np.abs(lab[0][..., 0] - lab[1][..., 0]).max()


def test_lab_runs_keep_the_inputs_lightness_everywhere(lab_run, tmp_path):
    options = Options(tflite_precision=("float32", "dynamic_int8"), batch_sizes=(1,))
    rows = export(lab_run, tmp_path / "out", options=options)
    models = [Translator.from_run(lab_run), *(Translator.load(row.path) for row in rows[1:])]
    gray = random_picture(3, 32, 32, 1)
    for translator in models:
        translated = translator.translate(gray)
        assert translated.shape == (32, 32, 3)
        assert gray_levels_apart(gray, translated) < 0.26
    assert [row.path.name for row in rows[2:]] == ["model-float32.tflite", "model-dynamic_int8.tflite"]
    assert max(row.max_difference for row in rows[:3]) <= 1


def test_lab_in_8_bits_is_refused(lab_run, tmp_path):
    with pytest.raises(InputError, match="int8: its 8 bits are too few for color_space=lab"):
        export(lab_run, tmp_path / "out", options=Options(tflite_precision=("int8",)))


def test_lab_needs_targets_with_colours(folder, tmp_path):
    with pytest.raises(InputError, match="output_channels=1: color_space=lab gives colours, which are 3"):
        train(config_of(folder, "photo", "gray", color_space="lab"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_given_palette_takes_noisy_label_maps(folder, tmp_path, capsys):
    for number in range(4):
        (tmp_path / "set" / "photo").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "photo" / f"{number}.png", tmp_path / "set" / "photo")
        noisy = Image.open(folder / "label" / f"{number}.png").convert("RGB").crop((3, 3, 40, 40))
        write_picture(tmp_path / "set" / "photo" / f"{number}.png", random_picture(number, 37, 37))
        (tmp_path / "set" / "label").mkdir(exist_ok=True)
        noisy.save(tmp_path / "set" / "label" / f"{number}.jpg", quality=70)
    config = config_of(tmp_path / "set", "photo", "label", target_encoding="classes", steps=1)
    with pytest.raises(InputError, match="the target side .B. has .* name.*--palette=FILE"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "p.json").write_text(json.dumps({"colors": COLORS.tolist(), "names": list("abcde")}))
    train(dataclasses.replace(config, palette=str(tmp_path / "p.json")), tmp_path / "run")
    assert "get the nearest" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "palette.json").read_text())["target"]["names"] == list("abcde")
    for _, target in runs.read_examples(tmp_path / "run", "train"):
        assert colors_of(target) <= colors_of(COLORS)


def step_losses(config, codec, *batch):
    """The losses of the first step, and the generator's output before it."""
    state = build_state(config, 10, codec)
    gen_output = state.generator(codec.encode_input(batch[0]), training=True)
    return make_train_step(state, config, codec)(*batch), gen_output


def batch_of(input_channels, target_channels):
    sides = [random_picture(channels, 32, 64, channels) for channels in (input_channels, target_channels)]
    return [images.to_float(side.reshape(2, 32, 32, -1)) for side in sides]


def test_the_step_weighs_pixels_with_their_masks(changed):
    config = changed(input_channels=3, output_channels=3, dropout=0.0)
    batch = batch_of(3, 3)
    weights = tf.constant(np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 1)).astype(np.float32))
    found, gen_output = step_losses(config, IMAGES, *batch, weights)
    expected = np.mean(losses.l1(gen_output, batch[1], weights))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-4)
    assert abs(expected - np.mean(losses.l1(gen_output, batch[1]))) > 1e-4


def test_the_step_compares_classes_with_cross_entropy(changed):
    """The networks see 4 channels and give 5; the discriminator sees one-hot targets and probabilities."""
    codec = CODECS["palette"](make_sides(COLORS[:4], COLORS))
    config = changed(input_channels=3, output_channels=3, dropout=0.0, target_encoding="classes")
    batch = batch_of(3, 3)
    found, logits = step_losses(config, codec, *batch)
    assert logits.shape[3] == 5
    expected = np.mean(losses.cross_entropy(logits, codec.encode_target(batch[1], batch[0])))
    assert float(found["gen_cross_entropy_loss"]) == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(np.log(5), abs=0.3)  # untrained
    assert [*found] == ["gen_gan_loss", "gen_cross_entropy_loss", "disc_real_loss", "disc_fake_loss"]


def test_the_step_compares_a_and_b(changed):
    config = changed(input_channels=1, output_channels=3, dropout=0.0)
    batch = batch_of(1, 3)
    found, chroma = step_losses(config, CODECS["lab"](make_sides(1, 3)), *batch)
    expected = np.mean(np.abs(chroma - layers.rgb_to_lab(batch[1])[..., 1:] / layers.CHROMA_SCALE))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-3)


def test_the_step_compares_what_is_added_with_what_is_missing(changed):
    config = changed(input_channels=3, output_channels=3, dropout=0.0, residual=True)
    batch = batch_of(3, 3)
    found, added = step_losses(config, CODECS["residual"](make_sides(3, 3)), *batch)
    expected = np.mean(np.abs(batch[0] + added - batch[1]))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-4)


def test_a_residual_run_adds_to_its_input_in_every_form(folder, tmp_path):
    run_dir = tmp_path / "run"
    train(config_of(folder, "photo", "photo", residual=True, gan_weight=0.0, steps=1, learning_rate=1e-6), run_dir)
    rows = export(run_dir, tmp_path / "out", options=Options(tflite_precision=("float32",)))
    assert max(row.max_difference for row in rows) <= 1
    picture = random_picture(3, 45, 70)  # of a net that has learned nothing yet, whose part is small
    for model in (Translator.from_run(run_dir), *(Translator.load(row.path) for row in rows)):
        assert 0 < np.abs(model.translate(picture).astype(int) - picture).mean() < 20


def test_residual_needs_as_many_channels_on_both_sides(folder, tmp_path):
    with pytest.raises(InputError, match="--residual: inputs have 1 channels and targets 3, .* pass --noresidual"):
        train(config_of(folder, "gray", "photo", residual=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_with_masks(folder, tmp_path):
    train(config_of(folder, "label", "photo", mask_dir="mask", steps=1), tmp_path / "run")
    assert runs.read_config(tmp_path / "run").mask_dir == "mask"
    with pytest.raises(InputError, match="the sub-folders with pictures are gray, label, level, mask, other, photo"):
        train(config_of(folder, "label", "nothing", steps=1), tmp_path / "other")


@pytest.fixture
def looped(monkeypatch):
    """What run_loop is given by `train`, which then returns."""
    given = []
    monkeypatch.setattr(training, "run_loop", lambda *args: given.extend(args))
    return given


@pytest.mark.parametrize(
    ("a", "b", "fields", "channels"),
    [
        ("photo", "label", dict(target_encoding="classes", output_channels=4), (3, 4)),
        ("photo", "level", dict(target_encoding="classes", output_channels=3), (3, 3)),
        ("level", "photo", dict(input_encoding="onehot", input_channels=4), (4, 3)),
    ],
)
def test_palettes_have_the_channels_asked_for(folder, tmp_path, looped, a, b, fields, channels):
    train(config_of(folder, a, b, **fields), tmp_path / "run")
    state, codec = looped[2:4]
    config = runs.read_config(tmp_path / "run")
    model = with_codec(state.generator, codec, config.input_channels)
    assert (config.input_channels, config.output_channels) == channels
    assert (model.input_shape[3], model.output_shape[3]) == channels
    [palette] = runs.read_palettes(tmp_path / "run", config).values()
    assert palette.colors.shape == (5, channels["target_encoding" in fields])


def test_a_palette_without_a_config_is_of_no_run(folder, tmp_path, looped):
    """A run killed between the two files was none: what begins here has its own palette."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "palette.json").write_text('{"input": {"colors": [[0, 0, 0], [9, 9, 9]]}}')
    config = config_of(folder, "label", "photo", input_encoding="onehot", steps=1)
    train(config, run_dir)
    np.testing.assert_array_equal(runs.read_palettes(run_dir, config)["input"].colors, COLORS)
    (run_dir / "palette.json").unlink()  # another search might find others, in another order
    with pytest.raises(InputError, match="palette.json: No such file.*without its palette the run cannot be used"):
        train(dataclasses.replace(config, steps=2), run_dir)


def test_palettes_and_masks_stopped_and_resumed_are_never_stopped(folder, tmp_path):
    sides = dict(input_encoding="onehot", target_encoding="classes", mask_dir="mask", ema_decay=0.5)
    config = config_of(folder, "label", "other", direction="BtoA", steps=4, **sides)
    train(config, tmp_path / "whole")
    for steps in (2, 4):
        train(dataclasses.replace(config, steps=steps), tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole", 4)
    palettes = [(tmp_path / name / "palette.json").read_text() for name in ("whole", "stopped")]
    assert palettes[0] == palettes[1]


@pytest.mark.parametrize(("direction", "fit"), [("AtoB", "stretch"), ("BtoA", "cover"), ("AtoB", "none")])
def test_a_pixels_weight_is_that_of_its_place_in_both_pictures(tmp_path, looped, direction, fit):
    """Through all that is done to pairs: the gray side is the mask itself, the palette's side has a colour for each of
    four levels of it."""
    for number in range(4):
        labels = np.random.default_rng(number).integers(0, 4, (8, 12)).repeat(8, 0).repeat(8, 1)
        level = (85 * labels).astype(np.uint8)[:, :, np.newaxis]
        for side, picture in {"gray": level, "label": COLORS[labels], "mask": level}.items():
            write_picture(tmp_path / "set" / side / f"{number}.png", picture)
    encoding = dict(target_encoding="classes") if direction == "AtoB" else dict(input_encoding="onehot")
    config = config_of(tmp_path / "set", "gray", "label", direction=direction, fit=fit, resize_a="bilinear")
    config = dataclasses.replace(config, mask_dir="mask", **encoding)
    train(config, tmp_path / "run")
    options = dict(batch_size=2, crop_size=(32, 32), flip=True, seed=1)
    for batch in training_batches(looped[4], **options).take(6):
        *sides, weights = (part.numpy() for part in batch)
        gray, labels = sides if direction == "AtoB" else sides[::-1]
        np.testing.assert_allclose(weights, (gray + 1) / 2, atol=1e-6)
        assert np.ptp(weights) > 0.3
        of_labels = np.argmin([np.abs(labels - images.to_float(color)).sum(axis=-1) for color in COLORS[:4]], axis=0)
        assert (np.abs(3 * weights[..., 0] - of_labels) < 0.51).mean() > 0.8  # but for what bilinear has between


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_range_would_change_a_palettes_colours(folder, side):
    encoding = dict(input_encoding="onehot") if side == "input" else dict(target_encoding="classes")
    with pytest.raises(InputError, match=f"{side}_range=0.0,100.0: palettes have no value range"):
        config_of(folder, "label", "other", **encoding, **{f"{side}_range": (0.0, 100.0)})


def test_colours_that_the_palette_has_not_are_said_when_they_are_translated(label_run, folder, tmp_path, capsys):
    export(label_run, tmp_path / "out", ["onnx"])
    write_picture(tmp_path / "in" / "strange.png", np.full((20, 20, 3), 77, np.uint8))
    shutil.copy(folder / "label" / "0.png", tmp_path / "in" / "known.png")
    for number, model in enumerate((label_run, tmp_path / "out" / "model.onnx")):
        capsys.readouterr()
        assert main(["translate", f"--model={model}", f"{tmp_path / 'in'}", f"--output={tmp_path}/{number}"]) == 0
        said = capsys.readouterr().err
        assert re.search("1 have colors that the model's palette lacks.*strange.png .100.00% of its pixels.", said)
        assert "known.png" not in said


def test_tflite_of_another_size_is_measured_on_label_maps_that_are_not_mixed(label_run, tmp_path, monkeypatch):
    measured = []
    own = tflite._representative

    def representative(*args):
        for sample in own(*args):
            measured.append(sample)
            yield sample

    monkeypatch.setattr(tflite, "_representative", representative)
    monkeypatch.setitem(tflite.PRECISIONS["int8"], "min_agreement", 0.0)
    export(label_run, tmp_path, ["tflite"], options=Options(tflite_precision=("int8",), tflite_size=(64, 96)))
    assert measured
    for [picture] in measured:
        assert picture.shape == (1, 64, 96, 3)
        assert colors_of(images.to_uint8(picture[:, 1:]).numpy()) <= colors_of(COLORS)


def test_int8_of_sizes_that_are_padded_is_refused_with_a_palette(label_run, tmp_path, capsys):
    """What is mirrored and cut off in 8 bits is half a level off: of other colours than the palette's."""
    options = dict(tflite_size=(48, 64), tflite_precision=("int8",))
    with pytest.raises(InputError, match="int8: with a palette.* sides that are multiples of 32; or leave int8 out"):
        export(label_run, tmp_path, ["tflite"], options=Options(**options))
    rows = export(label_run, tmp_path / "most", ["tflite"], options=Options(tflite_size=(48, 64)))
    assert [row.path.name for row in rows][:2] == ["model-float32.tflite", "model-float16.tflite"]
    assert not any("-int8" in row.path.name for row in rows)
    assert "  no int8: with a palette" in capsys.readouterr().out
