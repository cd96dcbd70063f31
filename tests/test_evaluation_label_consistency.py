import dataclasses

import numpy as np
import pytest
from helpers import change, make_run, make_sides, random_image, write_image

from tf_pix2pix import images
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.evaluation import label_network as module
from tf_pix2pix.evaluation.label_consistency import LabelConsistency, label_consistency
from tf_pix2pix.evaluation.label_network import train_label_network
from tf_pix2pix.intervals import mean_interval

COLORS = np.array([[0, 0, 170], [0, 255, 255], [255, 85, 0]], np.uint8)


def label_map(seed: int) -> np.ndarray:
    """uint8 [40, 40, 3] of 8-pixel squares."""
    return COLORS[np.random.default_rng(seed).integers(0, 3, (5, 5))].repeat(8, 0).repeat(8, 1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache; label networks in it are tiny."""
    monkeypatch.setenv("TF_PIX2PIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "LABEL_NETWORK", module.LABEL_NETWORK | dict(filters=2, samples=1))
    return tmp_path / "cache" / "label_networks"


@pytest.fixture
def config(tmp_path):
    """The config of a run on six side-by-side pairs: photos left, label maps right."""
    for number in range(6):
        pair = np.hstack([random_image(number, 40, 40), label_map(number)])
        write_image(tmp_path / "pairs" / f"{number}.png", pair)
    return change(dataset=str(tmp_path / "pairs"), direction="BtoA", resize_b="nearest")


def test_labels_read_from_photos_are_compared_with_the_label_maps(tmp_path):
    """Against the definitions, with the classes of an untrained network."""
    network = make_run(tmp_path / "network", make_sides(3, COLORS), target_encoding="classes")
    consistency = LabelConsistency(network)
    label_maps = np.stack([label_map(seed)[:32, :32] for seed in range(4)])
    photos = {name: images.to_float(np.stack([random_image(seed + shift, 32, 32) for seed in range(4)])).numpy()
              for name, shift in (("generated", 10), ("targets", 20))}  # fmt: skip
    for part in (slice(0, 3), slice(3, 4)):
        consistency.update(label_maps[part], photos["generated"][part], photos["targets"][part])

    def classes(label_maps):
        return np.argmin(np.abs(label_maps[..., np.newaxis, :].astype(int) - COLORS).sum(axis=-1), axis=-1)

    asked, results = classes(label_maps), consistency.results()
    for name in photos:
        read = classes(images.from_float(network.generator("latest")(photos[name], training=False)).numpy())
        hits = [(asked == label) & (read == label) for label in range(3)]
        expected = {
            "pixel_accuracy": np.mean(asked == read),
            "class_accuracy": np.mean([hit.sum() / (asked == label).sum() for label, hit in enumerate(hits)]),
            "mean_iou": np.mean([h.sum() / ((asked == k) | (read == k)).sum() for k, h in enumerate(hits)]),
        }
        assert {metric: found["value"] for metric, found in results[name].items()} == pytest.approx(expected)
        interval = mean_interval(np.mean(asked == read, axis=(1, 2)))
        assert results[name]["pixel_accuracy"] == pytest.approx(interval._asdict())
        assert results[name]["mean_iou"].keys() == {"value", "low", "high", "n"}
    assert results["generated"] != results["targets"] and results["network"] == str(tmp_path / "network")


def test_the_label_network_is_trained_once_and_again_when_its_pairs_change(
    config, cache, tmp_path, monkeypatch, capsys
):
    sides = make_sides()
    network = train_label_network(config, sides, steps=2)
    printed = [line for line in capsys.readouterr().out.splitlines() if "pairs: no " not in line]
    mean_iou = network.records()[-1]["val_mean_iou"]
    assert printed == [
        f"training the label network once: 2 steps, about 1 minute on two CPU cores; cached in {network.directory}",
        f"label network: step 2 of 2, mean IoU {mean_iou:.3f}",
    ]
    assert network.config.direction == "AtoB" and network.sides.target.palette.colors == tuple(
        map(tuple, COLORS.tolist())
    )

    directories = []

    def note(label_config, directory, on_record):
        directories.append(directory)
        raise InputError("training")

    monkeypatch.setattr(module, "train", note)
    moved = dataclasses.replace(
        config, steps=99, generator="resnet", data_dir=str(tmp_path)
    )  # settings of the run alone
    assert train_label_network(moved, sides, steps=2).directory == network.directory and not directories
    (tmp_path / "p.txt").write_text("".join(f"{' '.join(map(str, color))} c\n" for color in COLORS.tolist()))
    for options in ({"steps": 3}, {"steps": 2, "palette": tmp_path / "p.txt"}):
        with pytest.raises(InputError, match="--label_consistency: cannot train the label network: training"):
            train_label_network(config, sides, **options)
    for path in (tmp_path / "pairs").iterdir():
        write_image(path, np.hstack([random_image(99, 40, 40), label_map(3)]))
    with pytest.raises(InputError, match="training"):
        train_label_network(config, sides, steps=2)
    assert len({*directories, network.directory}) == 4 == len(directories) + 1


def test_an_interrupted_training_goes_on(config, cache, monkeypatch, capsys):
    train = module.train
    monkeypatch.setattr(
        module, "train", lambda label_config, *rest: train(dataclasses.replace(label_config, steps=1), *rest)
    )
    with pytest.raises(RunError, match="stopped at step 1 of 2; the same command resumes"):
        train_label_network(config, make_sides(), steps=2)
    monkeypatch.setattr(module, "train", train)
    assert train_label_network(config, make_sides(), steps=2).steps() == [2]
    assert "resuming the label network at step 1: 2 steps, " in capsys.readouterr().out


def test_a_run_is_measured(config, cache, tmp_path):
    run = make_run(tmp_path / "run", dataset=config.dataset)
    pairs = ((images.to_float(label_map(n)[np.newaxis, :32, :32]).numpy(), np.zeros([1, 32, 32, 3], np.float32),
              np.ones([1, 32, 32, 3], np.float32)) for n in range(3))  # fmt: skip
    results = label_consistency(run, pairs, steps=1)
    assert results["generated"].keys() == results["targets"].keys() == {"pixel_accuracy", "class_accuracy", "mean_iou"}
    assert [*cache.iterdir()] == [type(tmp_path)(results["network"])]


@pytest.mark.parametrize(
    ("fields", "sides", "palette", "message"),
    [
        (dict(task="colorize"), make_sides(), None, "inputs must be label maps, but --task=colorize makes others"),
        (dict(target_encoding="classes"), make_sides(3, COLORS), None, "targets must be photos, but the run generates"),
        (dict(direction="AtoB"), make_sides(), "cmp", r"inputs such as .*png are not label maps in the .* --palette=F"),
        (dict(direction="AtoB"), make_sides(), None, "target images have at least .* too many for label maps"),
        (dict(), make_sides(), "facades", r"\(\d+% of the pixels are\); pass --palette=FILE"),
        (dict(), make_sides(), "missing.txt", "--palette=.*missing.txt: No such file"),
    ],
)
def test_runs_that_do_not_make_photos_from_label_maps_are_refused(config, cache, fields, sides, palette, message):
    with pytest.raises(InputError, match=message):
        train_label_network(dataclasses.replace(config, **fields), sides, palette=palette)
    assert not cache.exists()
