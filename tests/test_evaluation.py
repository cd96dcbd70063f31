"""Evaluation: the figures of runs of every kind, continuing, and bad input."""

import csv
import functools
import json
import shutil

import numpy as np
import pytest
from helpers import make_run, make_sides, random_deep, random_image, write_image

from tf_pix2pix import files, images
from tf_pix2pix.datasets import load_pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation import Options, evaluate, evaluate_folders, pipeline, selection
from tf_pix2pix.evaluation import options as evaluation_options
from tf_pix2pix.inference import make_translate
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.metrics import METRICS, paired_metrics
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training import loop
from tf_pix2pix.translation import Translator
from tf_pix2pix.trivial_answers import trivial_answers

COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0]], np.uint8)


@pytest.fixture(scope="module", autouse=True)
def fast():
    """Loading and tracing a model, and reading 200 pairs for trivial answers, takes seconds."""
    loaded = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(evaluation_options, "trivial_answers", functools.partial(trivial_answers, max_pairs=4))
    original = Translator.from_run.__func__

    def from_run(cls, directory, checkpoint="best", max_pixels=None):
        key = str(directory), checkpoint
        return loaded.get(key) or loaded.setdefault(key, original(cls, directory, checkpoint, max_pixels))

    patch.setattr(Translator, "from_run", classmethod(from_run))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of two sides of 40x48 pixels, with 5 pairs for training, 4 for validation and 3 for the test."""
    return write_set(tmp_path_factory.mktemp("data") / "set", lambda seed: random_image(seed, 40, 48))


def write_set(root, draw, draw_target=None, extension=".png"):
    for split, seeds in {"train": range(5), "val": range(5, 9), "test": range(9, 12)}.items():
        for name, function in (("a", draw), ("b", draw_target or draw)):
            (root / split / name).mkdir(parents=True)
            for seed in seeds:
                image = function(seed + 100 * (name == "b"))
                images.write(root / split / name / f"photo {seed}{extension}", image)
    return root


def training_figures(run, split="val"):
    """What training's own evaluation of a split records."""
    config = run.config
    pairs = load_pairs(
        config.dataset, direction=config.direction, size=config.jitter_size, photos=config.task is not None
    )[split]
    examples = prepare_examples(pairs, run.sides, size=config.crop_size, fit=config.fit)
    palette = run.sides.target.palette
    batches = loop._images_of(run, examples)
    return paired_metrics(make_translate(run.generator()), batches, palette.array if palette else None)


def read_results(directory):
    facts = json.loads((directory / "metrics.json").read_text())
    with open(directory / "per_image.csv", newline="") as file:
        return facts, list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tiny_copy(tiny_run, tmp_path_factory):
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("copied") / "run")


def test_the_validation_split_has_the_figures_of_training(tiny_copy):
    found = evaluate(tiny_copy, split="val", checkpoint="latest", max_images=3)
    last = Run.open(tiny_copy).records()[-1]
    for name in ("l1", "psnr", "ssim", "gradient_correlation"):
        assert found.metrics[name]["value"] == pytest.approx(last[f"val_{name}"], rel=5e-3, abs=3e-3), name
    assert found.directory == tiny_copy / "evaluation" / "val"
    facts, rows = read_results(found.directory)
    assert facts == found.facts
    assert [row["name"] for row in rows] == [row["name"] for row in found.rows] == ["0", "13", "26"]
    assert facts["source"] | {"note": ""} == {
        "run": str(tiny_copy),
        "checkpoint": "latest",
        "step": 6,
        "model": None,
        "split": "val",
        "dataset": "synthetic_facades",
        "size": [32, 32],
        "direction": "BtoA",
        "note": "",
    }
    assert facts["source"]["note"] == "training evaluated 3 of these 40 images"
    assert facts["images"] == 3 and facts["metrics"].keys() <= METRICS.keys()
    assert float(rows[1]["l1"]) == pytest.approx(found.rows[1]["l1"])
    assert np.mean([float(row["l1"]) for row in rows]) == pytest.approx(facts["metrics"]["l1"]["value"])


def test_metrics_are_of_the_images_as_written(tiny_copy):
    found = evaluate(tiny_copy, max_images=2)
    assert found.facts["source"]["split"] == "test"
    side = Run.open(tiny_copy).sides.target
    for row in found.rows:
        shown = {part: images.decode((found.directory / path).read_bytes()) for part, path in row["images"].items()}
        assert [*shown] == ["input", "generated", "target", "error"]
        generated, target = (side.to_float(shown[part]).numpy() for part in ("generated", "target"))
        assert row["l1"] == pytest.approx(np.abs(generated - target).mean(), rel=1e-5)
        translated = Translator.from_run(tiny_copy).translate(shown["input"])
        np.testing.assert_array_equal(shown["generated"], translated)


KINDS = {
    "cover": dict(fit="cover"),
    "no resizing": dict(fit="none"),
    "task": dict(task="inpaint"),
    "colors": dict(task="colorize", color_space="lab"),
    "residual": dict(residual=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_the_figures_of_training(kind, folder, tmp_path):
    fields = KINDS[kind]
    sides = {"inpaint": make_sides(4, 3), "colorize": make_sides(1, 3)}.get(fields.get("task"), make_sides())
    dataset = folder / "train" / "b" if "task" in fields else folder
    own = dict(dataset=str(dataset), direction="AtoB", resize_b="bicubic", depth=3)
    run = make_run(tmp_path / "run", sides, **own | fields)
    found, expected = evaluate(run.directory, split="val"), training_figures(run)
    for name, value in expected.items():
        assert found.metrics[name]["value"] == pytest.approx(value, rel=5e-3, abs=3e-3), name
    assert found.facts["trivial"] and "trivial answers" not in " ".join(found.facts["left_out"])


def test_label_maps_have_class_metrics(tmp_path):
    def draw(seed):
        return COLORS[np.random.default_rng(seed).integers(0, 3, (20, 24))].repeat(2, 0).repeat(2, 1)

    data = write_set(tmp_path / "set", draw)
    fields = dict(direction="AtoB", resize_b="nearest", input_encoding="onehot", target_encoding="classes", depth=3)
    run = make_run(tmp_path / "run", make_sides(COLORS, COLORS), dataset=str(data), **fields)
    found, expected = evaluate(run.directory, split="val"), training_figures(run)
    for name in ("pixel_accuracy", "mean_iou", "l1"):
        assert found.metrics[name]["value"] == pytest.approx(expected[name], rel=1e-5), name
    assert found.metrics["pixel_accuracy"]["low"] < found.metrics["pixel_accuracy"]["value"]
    labels = found.facts["labels"]
    confusion = np.array(labels["confusion"])
    assert confusion.sum() == 4 * 32 * 32 and labels["colors"] == COLORS.tolist()
    assert labels["class_accuracy"] == pytest.approx(np.diag(confusion) / confusion.sum(1))
    assert {"pixel_accuracy", "class_accuracy", "mean_iou"} <= found.facts["trivial"]["most frequent class"].keys()


@pytest.mark.parametrize("depth", ["uint16", "float32"])
def test_deep_images_are_measured_in_their_own_units(depth, tmp_path):
    extension, value_range = (".npy", (-1000.0, 3000.0)) if depth == "float32" else (".png", None)
    data = write_set(tmp_path / "set", lambda seed: random_deep(seed, 40, 48, 1, depth), extension=extension)
    side = Side(1, depth, value_range)
    fields = dict(direction="AtoB", resize_b="bicubic", depth=3)
    run = make_run(tmp_path / "run", Sides(side, side), dataset=str(data), **fields)
    found, expected = evaluate(run.directory, split="val"), training_figures(run)
    assert found.metrics["l1"]["value"] == pytest.approx(expected["l1"], rel=1e-3)
    low, high = side.bounds
    assert found.metrics["l1_file"]["value"] == pytest.approx(expected["l1"] * (high - low) / 2, rel=1e-3)
    written = images.decode((found.directory / "images" / "photo 5_generated.npy").read_bytes())
    assert (written.shape, written.dtype) == ((32, 32, 1), depth)
    preview = images.decode((found.directory / found.rows[0]["images"]["generated"]).read_bytes())
    assert preview.dtype == np.uint8


def test_an_interrupted_evaluation_goes_on(folder, tmp_path, monkeypatch):
    own = dict(dataset=str(folder), direction="AtoB", resize_b="bicubic", depth=3)
    run = make_run(tmp_path / "run", **own)
    translated = []
    original = Translator.translate

    def translate(self, image, **options):
        if len(translated) == 2:
            raise KeyboardInterrupt
        translated.append(image)
        return original(self, image, **options)

    monkeypatch.setattr(Translator, "translate", translate)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run.directory)
    output = run.directory / "evaluation" / "test"
    assert not (output / "metrics.json").exists() and not (output / "per_image.csv").exists()
    assert not [*output.rglob("*.partial")]
    translated.clear()
    first = evaluate(run.directory)
    assert len(translated) == 1
    translated.clear()
    assert evaluate(run.directory).facts == first.facts
    assert translated == []
    (output / first.rows[1]["images"]["generated"]).write_bytes(b"damaged")
    assert evaluate(run.directory).facts == first.facts
    assert len(translated) == 1


def test_a_changed_image_is_translated_again(tmp_path, monkeypatch):
    data = write_set(tmp_path / "set", lambda seed: random_image(seed, 40, 48))
    run = make_run(tmp_path / "run", dataset=str(data), direction="AtoB", resize_b="bicubic", depth=3)
    first = evaluate(run.directory)
    write_image(data / "test" / "a" / "photo 9.png", random_image(77, 40, 48))
    second = evaluate(run.directory)
    assert [one["l1"] == other["l1"] for one, other in zip(first.rows, second.rows, strict=True)] == [True, True, False]


def test_images_of_other_settings_are_replaced(tiny_copy, tmp_path):
    output = tmp_path / "out"
    evaluate(tiny_copy, split="val", max_images=4, output_dir=output)
    assert len([*(output / "images").iterdir()]) == 16
    evaluate(tiny_copy, split="val", max_images=2, output_dir=output)
    assert len([*(output / "images").iterdir()]) == 8
    stale = output / "images" / "stale_generated.png"
    stale.write_bytes(b"")
    evaluate(tiny_copy, split="test", max_images=2, output_dir=output)
    assert not stale.exists() and len([*(output / "images").iterdir()]) == 8
    assert json.loads((output / "metrics.json").read_text())["source"]["split"] == "test"


def test_a_folder_with_images_of_the_user_is_refused(tiny_copy, tmp_path):
    kept = write_image(tmp_path / "mine" / "images" / "a.png", random_image(0, 4, 4))
    with pytest.raises(InputError, match="has a folder images already; choose another folder"):
        evaluate(tiny_copy, output_dir=tmp_path / "mine")
    assert kept.exists()


def test_folders_have_the_figures_of_the_run(tiny_copy, tmp_path):
    found = evaluate(tiny_copy, max_images=3, output_dir=tmp_path / "run")
    for part in ("generated", "target"):
        (tmp_path / part).mkdir()
        for row in found.rows:
            shutil.copy(found.directory / row["images"][part], tmp_path / part / f"{row['name']}.png")
    same = evaluate_folders(tmp_path / "generated", tmp_path / "target", tmp_path / "scores")
    assert same.metrics == found.metrics
    assert same.facts["left_out"][0] == "trivial answers: they are made from the training images of a run"
    assert [*same.rows[0]["images"]] == ["generated", "target", "error"]
    read_results(tmp_path / "scores")


def test_folders_of_different_sizes_of_pairs_and_equal_images(tmp_path):
    """Pairs may differ in size from each other. A PSNR without error is left out, not infinite."""
    for number, size in enumerate([(40, 50), (70, 90), (12, 16)]):
        image = random_image(number, *size, 1)
        write_image(tmp_path / "t" / f"{number}.png", image)
        write_image(tmp_path / "g" / f"{number}.png", image if number else 255 - image)
    found = evaluate_folders(tmp_path / "g", tmp_path / "t", tmp_path / "out")
    assert found.metrics["psnr"]["n"] == 1 and "2 of 3 images equal their targets" in found.metrics["psnr"]["note"]
    assert found.metrics["ms_ssim"]["note"] == "1 to 3 of 5 scales fit the images"
    read_results(tmp_path / "out")


def test_classes_of_folders_by_a_palette(tmp_path):
    ids = np.arange(64).reshape(8, 8) % 3
    write_image(tmp_path / "t" / "x.png", COLORS[ids])
    wrong = COLORS[np.where(ids == 2, 0, ids)]
    write_image(tmp_path / "g" / "x.png", wrong.clip(3, 252))  # other colors count as the nearest
    (tmp_path / "palette.txt").write_text("".join(f"{r} {g} {b} class{r}\n" for r, g, b in COLORS.tolist()))
    options = Options(palette=str(tmp_path / "palette.txt"))
    found = evaluate_folders(tmp_path / "g", tmp_path / "t", tmp_path / "out", options=options)
    counts = np.bincount(ids.ravel())
    assert found.metrics["pixel_accuracy"]["value"] == pytest.approx(1 - counts[2] / 64)
    assert found.facts["labels"]["confusion"][2] == [counts[2], 0, 0]


def refused(message, function, *args, error=InputError, **kwargs):
    with pytest.raises(error, match=message) as raised:
        function(*args, **kwargs)
    assert "\n" not in str(raised.value)


def test_bad_folders_are_one_line(tmp_path):
    a, b, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    write_image(a / "x.png", random_image(0, 8, 8))
    refused("--targets=.*b: not a folder", evaluate_folders, a, b, out)
    b.mkdir()
    refused("1 image has no partner of the same name.*a/x.png", evaluate_folders, a, b, out)
    write_image(b / "x.png", random_image(0, 8, 9))
    refused("a/x.png is 8x8 but .*b/x.png is 9x8", evaluate_folders, a, b, out)
    (b / "x.png").write_bytes(b"no image")
    refused("b/x.png: not a PNG", evaluate_folders, a, b, out)
    images.write(b / "x.png", random_deep(0, 8, 8, 3))
    refused("images differ in depth: ", evaluate_folders, a, b, out)
    refused("inside .*b; choose another folder", evaluate_folders, a, b, b / "out")
    for name in ("empty", "empty 2"):
        (tmp_path / name).mkdir()
    refused("the same folder as --targets; pass two folders", evaluate_folders, a, a, out)
    refused("neither folder has images", evaluate_folders, tmp_path / "empty", tmp_path / "empty 2", out)
    assert not out.exists()


def test_bad_sources_are_one_line_and_write_nothing(tiny_copy, folder, tmp_path):
    output = tmp_path / "out"
    refused("not a run directory", evaluate, tmp_path, output_dir=output)
    refused("no run given", evaluate, output_dir=output)
    refused("checkpoint 9 is missing; choose one of", evaluate, tiny_copy, checkpoint="9", output_dir=output)
    refused("neither a folder nor a named set", evaluate, tiny_copy, dataset="absent", output_dir=output)
    undivided = folder / "test"
    refused("--split=val: .* has no sub-folder of this name", evaluate, tiny_copy, dataset=str(undivided), split="val")
    refused("--model=nowhere: not found|nowhere: not found", evaluate, tiny_copy, model="nowhere", output_dir=output)
    options = Options(palette=str(tmp_path / "absent.txt"))
    refused("absent.txt", evaluate, tiny_copy, max_images=1, output_dir=output, options=options)
    assert not output.exists()


def test_another_data_set_and_an_unreadable_image(tiny_copy, folder, tmp_path):
    data = shutil.copytree(folder / "test", tmp_path / "new pairs")
    found = evaluate(tiny_copy, dataset=str(data), direction="AtoB")
    assert found.directory == tiny_copy / "evaluation" / "new pairs-all"
    assert [row["name"] for row in found.rows] == ["photo 10", "photo 11", "photo 9"]
    assert found.facts["source"]["direction"] == "AtoB"
    (data / "b" / "photo 9.png").write_bytes(b"")
    refused("1 images? cannot be used: .*photo 9.png: the file is empty", evaluate, tiny_copy, dataset=str(data))


def test_a_missing_test_split_is_named(folder, tmp_path):
    data = tmp_path / "set"
    for split in ("train", "val"):
        shutil.copytree(folder / split, data / split)
    run = make_run(tmp_path / "run", dataset=str(data), direction="BtoA", resize_b="bicubic", depth=3)
    found = evaluate(run.directory)
    assert found.facts["source"]["note"].startswith("the data set has no test split; this is the validation split")


def test_a_run_that_trains_is_evaluated_so_far(tiny_copy):
    with files.locked(tiny_copy, "trains in"):
        found = evaluate(tiny_copy, max_images=1)
    assert any("still training" in line and "step 6" in line for line in found.facts["warnings"])
    assert not any("still training" in line for line in evaluate(tiny_copy, max_images=1).facts["warnings"])


def test_a_folder_that_another_process_writes_to_is_refused(tiny_copy, tmp_path):
    with files.locked(tmp_path / "out", "evaluates into"):
        refused("another process evaluates into it", evaluate, tiny_copy, max_images=1, output_dir=tmp_path / "out")


def test_an_artifact_has_nearly_the_figures_of_its_run(tiny_copy, tiny_export, tmp_path):
    own = evaluate(tiny_copy, max_images=3, output_dir=tmp_path / "own")
    (file,) = [row.path for row in tiny_export[1] if "float32" in str(row.path) and str(row.path).endswith(".tflite")]
    found = evaluate(tiny_copy, model=file, max_images=3)
    assert found.directory == tiny_copy / "evaluation" / f"test-{file.name}"
    assert found.metrics["l1"]["value"] == pytest.approx(own.metrics["l1"]["value"], abs=1e-3)
    alone = evaluate(model=file, max_images=3, output_dir=tmp_path / "alone")
    assert alone.metrics["l1"] == found.metrics["l1"]
    assert alone.facts["source"]["run"] is None and alone.facts["trivial"].keys() == own.facts["trivial"].keys()


def test_a_model_of_other_images_is_refused(tiny_copy, folder, tmp_path):
    other = make_run(tmp_path / "other", make_sides(1, 1), dataset=str(folder))
    refused("its images are of another kind", evaluate, tiny_copy, model=other.directory)


def test_short_names_are_stems_or_numbers():
    names = ["a/x.png and b/x.jpg", "set: y.png", "synthetic_facades/test/3", "d/v1.2"]
    assert selection.short_names(names) == ["x", "y", "3", "v1.2"]
    assert selection.short_names(["a/x.png", "b/X.png"]) == ["0001", "0002"]


def test_the_last_images_are_measured_too(monkeypatch, tmp_path):
    """Whatever the number of images that are measured together."""
    for number in range(5):
        write_image(tmp_path / "t" / f"{number}.png", random_image(number, 8, 8))
        write_image(tmp_path / "g" / f"{number}.png", random_image(number + 9, 8, 8))
    found = []
    for pixels in (1, 2 * 64, 10**6):
        monkeypatch.setattr(pipeline, "PART_PIXELS", pixels)
        found.append(evaluate_folders(tmp_path / "g", tmp_path / "t", tmp_path / "out"))
    assert [one.facts["images"] for one in found] == [5, 5, 5]
    assert repr(found[0].rows) == repr(found[1].rows) == repr(found[2].rows)  # nan is not equal to nan
