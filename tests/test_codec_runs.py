"""Runs with palettes, Lab, residuals and masks, from a folder of images to exported files."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_same_run, change, make_source, random_image, resume_from, write_image
from PIL import Image

from tf_pix2pix import exporting, images, model_card, training
from tf_pix2pix.codecs import with_codec
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.exporting import export, tflite
from tf_pix2pix.exporting.artifact import Artifact, Options
from tf_pix2pix.input_pipeline import training_batches
from tf_pix2pix.palettes import Palette
from tf_pix2pix.run import Run
from tf_pix2pix.training import train
from tf_pix2pix.translation import Translator

COLORS = np.array([[0, 0, 170], [1, 0, 170], [9, 200, 20], [170, 255, 85], [255, 85, 0]], np.uint8)  # by value
PALETTE = Palette(tuple(map(tuple, COLORS.tolist())))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten each of label and other (indexed PNG), photo (RGB), gray, level (class numbers as grays) and mask."""
    root = tmp_path_factory.mktemp("codecs") / "set"
    for number in range(10):
        for name, seed in (("label", number), ("other", 100 + number)):
            labels = np.random.default_rng(seed).integers(0, len(COLORS), (10, 12, 1), np.uint8)
            image = Image.fromarray(labels.repeat(4, 0).repeat(4, 1)[:, :, 0])
            image.putpalette(COLORS.tobytes())
            (root / name).mkdir(parents=True, exist_ok=True)
            image.save(root / name / f"{number}.png")
        write_image(root / "photo" / f"{number}.png", random_image(number, 10, 12).repeat(4, 0).repeat(4, 1))
        for name in ("gray", "mask"):
            write_image(root / name / f"{number}.png", random_image(number, 40, 48, 1))
        write_image(root / "level" / f"{number}.png", random_image(number, 40, 48, 1) % len(COLORS))
    return root


def config_of(folder, a, b, **fields):
    own = dict(dataset=str(folder), input_dir=a, target_dir=b, direction="AtoB", resize_b="bicubic", steps=1, depth=3)
    return change(**own | fields)


@pytest.fixture(scope="module")
def label_config(folder):
    """Label maps to other ones: one-hot channels in, classes out, pixels weighted by masks."""
    fields = dict(input_encoding="onehot", target_encoding="classes", mask_dir="mask", ema_decay=0.5)
    return config_of(folder, "label", "other", **fields, steps=3, checkpoint_every=2)


@pytest.fixture(scope="module")
def label_run(label_config, tmp_path_factory):
    return train(label_config, tmp_path_factory.mktemp("labels") / "run").run_dir


def test_a_run_keeps_its_palettes_and_never_mixes_label_maps(label_run):
    """In examples and in translations, whole and in tiles. config.json stays as the user asked."""
    run = Run.open(label_run)
    assert (run.config.resize_a, run.config.resize_b) == ("bicubic", "bicubic")
    for side in run.sides:
        assert (side.palette, side.resize) == (PALETTE, "nearest")
        assert sum(side.palette.counts) == 9 * 40 * 48  # pixels of the training images, before resizing
    for split in ("train", "val"):
        assert not any(PALETTE.count_unknown(image) for pair in run.examples(split) for image in pair)
    for translator in (Translator.from_run(label_run), Translator.from_run(label_run, max_pixels=40 * 40)):
        for resize in ("native", "train"):
            generated = translator.translate(random_image(0, 33, 97), resize=resize)
            assert (generated.shape, PALETTE.count_unknown(generated)) == ((33, 97, 3), 0)
    assert PALETTE.count_unknown(translator.translate(random_image(0, 50, 50), samples=1)[0]) == 0


def test_the_best_checkpoint_of_classes_has_the_highest_mean_iou(label_run):
    run = Run.open(label_run)
    records = run.records()
    assert any("gen_cross_entropy_loss" in record for record in records)
    assert not any("gen_l1_loss" in record for record in records)
    measured = {record["step"]: record for record in records if "val_mean_iou" in record}
    _, best = run.find_checkpoint("best")
    assert measured[best]["val_mean_iou"] == max(record["val_mean_iou"] for record in measured.values())
    translate = Translator.from_run(label_run).translate
    accuracies = [(translate(a) == b).all(axis=2).mean() for a, b in run.examples("val")]
    assert measured[best]["val_pixel_accuracy"] == pytest.approx(np.mean(accuracies))


def test_a_resumed_run_with_palettes_and_masks_equals_one_never_stopped(label_run, label_config, tmp_path, monkeypatch):
    resolving = sys.modules["tf_pix2pix.input_pipeline.resolve"]
    monkeypatch.setattr(resolving, "find_palette", lambda *args: pytest.fail("searched for a palette again"))
    resumed = resume_from(label_run, 2, tmp_path / "resumed")
    train(label_config, resumed)
    assert_same_run(resumed, label_run, 3)
    assert (resumed / "sides.json").read_text() == (label_run / "sides.json").read_text()


def test_exported_label_maps_have_the_palettes_colors_and_the_runs_classes(label_run, tmp_path, monkeypatch):
    options = Options(tflite_precision=("float32", "int8"), batch_sizes=(1,))
    monkeypatch.setitem(tflite.PRECISIONS["int8"], "min_agreement", 0.3)  # hardly trained: all classes are near
    rows = export(label_run, tmp_path / "out", ["saved_model", "tflite", "onnx"], options=options)
    names = ["1", "1", "model-float32.tflite", "model-int8.tflite", "model.onnx"]  # no uint8 interface
    assert [row.path.name for row in rows] == names
    assert model_card.read_card(rows[0].path)["parity"]["C++ session"]["agreement"] == rows[1].agreement
    image, unknown = random_image(0, 45, 30), np.full((20, 20, 3), 77, np.uint8)
    run = Translator.from_run(label_run)
    for row in rows[1:]:
        assert row.agreement > (0.3 if "int8" in row.path.name else 0.999)
        exported = Translator.load(row.path)
        generated = exported.translate(image)
        if "tflite" not in row.path.name:
            assert (generated == run.translate(image)).all(axis=2).mean() > 0.999
        assert exported.sides == run.sides
        assert [exported.count_unknown_colors(one) for one in (unknown, generated)] == [400, 0]


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda image: image[::-1], "of the pixels have its class, threshold 99.9%"),
        (lambda image: np.maximum(image, 1), "colors that the palette lacks"),
    ],
)
def test_other_classes_than_the_runs_are_not_exported(label_run, tmp_path, monkeypatch, alter, message):
    run = Translator.from_run(label_run)

    def fake(source, directory, options):
        (directory / "model.fake").write_bytes(b"")
        yield Artifact(directory / "model.fake", {"a reader": lambda image: alter(run.translate(image))})

    monkeypatch.setattr(exporting, "EXPORTERS", {"fake": fake})
    with pytest.raises(RunError, match=message):
        export(label_run, tmp_path / "out", ["fake"])


def test_tflite_of_another_size_is_measured_on_label_maps_that_are_not_mixed(label_run, monkeypatch):
    run = Run.open(label_run)
    source = SimpleNamespace(sides=run.sides, size=(32, 32), train_inputs=[a for a, _ in run.examples("train")])
    for [values] in tflite._representative(source, (64, 96)):
        assert values.shape == (1, 64, 96, 3)
        assert PALETTE.count_unknown(images.from_float(values[0, 1:]).numpy()) == 0


def test_int8_with_a_palette_is_refused_for_padded_sizes(label_run, tmp_path, capsys, monkeypatch):
    """Mirroring and cropping in 8 bits are half a level off, which is another color."""
    options = Options(tflite_size=(44, 64), tflite_precision=("int8",))
    with pytest.raises(InputError, match="int8: with a palette.* a --tflite_size of multiples of 8, or leave int8"):
        export(label_run, tmp_path, ["tflite"], options=options)
    source = make_source(Run.open(label_run).sides, input_encoding="onehot", target_encoding="classes")
    tflite.export_tflite(source, tmp_path, Options(tflite_size=(44, 64)))  # a generator, which converts nothing yet
    assert "  no int8: with a palette" in capsys.readouterr().out


def lightness(image):
    """uint8 [h, w, 1 or 3] -> CIE L of sRGB, in 0..100."""
    value = images.with_channels(image, 3) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > (6 / 29) ** 3, 116 * np.cbrt(luminance) - 16, (29 / 3) ** 3 * luminance)


def test_lab_runs_keep_the_inputs_lightness(folder, tmp_path):
    run_dir = train(config_of(folder, "gray", "photo", color_space="lab"), tmp_path / "run").run_dir
    options = Options(tflite_precision=("float32", "dynamic_int8"))
    rows = export(run_dir, tmp_path / "out", ["tflite"], options=options)
    assert rows[0].max_difference <= 1
    gray = random_image(3, 32, 32, 1)
    for translator in (Translator.from_run(run_dir), *(Translator.load(row.path) for row in rows)):
        generated = translator.translate(gray)
        assert generated.shape == (32, 32, 3)
        assert np.abs(lightness(generated) - lightness(gray)).max() < 0.26
    with pytest.raises(InputError, match="int8: 8 bits are too few for color_space=lab; dynamic_int8"):
        export(run_dir, tmp_path / "int8", ["tflite"], options=Options(tflite_precision=("int8",)))


def test_a_given_palette_accepts_noisy_label_maps(folder, tmp_path, capsys):
    for number in range(4):
        write_image(tmp_path / "set" / "photo" / f"{number}.png", random_image(number, 37, 37))
        noisy = Image.open(folder / "label" / f"{number}.png").convert("RGB").crop((3, 3, 40, 40))
        (tmp_path / "set" / "label").mkdir(exist_ok=True)
        noisy.save(tmp_path / "set" / "label" / f"{number}.jpg", quality=70)
    config = config_of(tmp_path / "set", "photo", "label", target_encoding="classes")
    with pytest.raises(InputError, match="--palette=FILE"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "p.json").write_text(json.dumps({"colors": COLORS.tolist(), "names": list("abcde")}))
    train(dataclasses.replace(config, palette=str(tmp_path / "p.json")), tmp_path / "run")
    assert "get the nearest" in capsys.readouterr().err
    run = Run.open(tmp_path / "run")
    assert run.sides.target.palette.names == tuple("abcde")
    assert not any(PALETTE.count_unknown(target) for _, target in run.examples("train"))


@pytest.fixture
def loop_arguments(monkeypatch):
    """The (run, state, examples, ...) that `train` hands to run_loop, which then returns at once."""
    given = []
    monkeypatch.setattr(training, "run_loop", lambda *args: given.extend(args) or 1)
    return given


@pytest.mark.parametrize(
    ("a", "b", "fields", "channels"),
    [
        ("photo", "label", dict(target_encoding="classes", output_channels=4), (3, 4)),
        ("level", "photo", dict(input_encoding="onehot", input_channels=4), (4, 3)),
    ],
)
def test_palettes_have_the_channels_asked_for(folder, tmp_path, loop_arguments, a, b, fields, channels):
    train(config_of(folder, a, b, **fields), tmp_path / "run")
    run, state = loop_arguments[:2]
    assert tuple(side.channels for side in run.sides) == channels
    model = with_codec(state.generator, run.codec, run.sides.input.channels)
    assert (model.input_shape[3], model.output_shape[3]) == channels
    [palette] = [side.palette for side in Run.open(tmp_path / "run").sides if side.palette]
    assert palette.array.shape == (5, channels["target_encoding" in fields])


@pytest.mark.parametrize(("direction", "fit"), [("AtoB", "stretch"), ("BtoA", "cover"), ("AtoB", "none")])
def test_a_masks_pixels_stay_at_their_places_in_both_images(tmp_path, loop_arguments, direction, fit):
    """Through resizing, cropping and mirroring: the gray side is the mask itself, the palette's side has one color for
    each of its four levels."""
    for number in range(4):
        labels = np.random.default_rng(number).integers(0, 4, (8, 12)).repeat(8, 0).repeat(8, 1)
        level = (85 * labels).astype(np.uint8)[:, :, np.newaxis]
        for side, image in {"gray": level, "label": COLORS[labels], "mask": level}.items():
            write_image(tmp_path / "set" / side / f"{number}.png", image)
    encoding = dict(target_encoding="classes") if direction == "AtoB" else dict(input_encoding="onehot")
    fields = dict(direction=direction, fit=fit, resize_a="bilinear", mask_dir="mask", **encoding)
    train(config_of(tmp_path / "set", "gray", "label", **fields), tmp_path / "run")
    run, _, examples = loop_arguments[:3]
    options = dict(batch_size=2, crop_size=(32, 32), flip=True, seed=1)
    for batch in training_batches(examples["train"], run.sides, **options).take(6):
        *sides, weights = (part.numpy() for part in batch)
        gray, labels = sides if direction == "AtoB" else sides[::-1]
        np.testing.assert_allclose(weights, (gray + 1) / 2, atol=1e-6)
        assert np.ptp(weights) > 0.3
        classes = np.argmin([np.abs(labels - images.to_float(color)).sum(axis=-1) for color in COLORS[:4]], axis=0)
        assert (np.abs(3 * weights[..., 0] - classes) < 0.51).mean() > 0.8  # bilinear blends the others
