import dataclasses
import importlib
import json

import pytest

from tf_pix2pix.config import FORMAT_VERSION, PRESETS, TrainConfig, table_keys
from tf_pix2pix.datasets.published import SETS
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import TASKS


def test_json_round_trip():
    config = TrainConfig(dataset="x", crop_size=(64, 128), output_range=(0.0, 1.5), steps=7, skips=False)
    values = json.loads(json.dumps(config.to_json()))
    assert TrainConfig.from_json(values) == config
    del values["skips"]  # an absent field has its default
    assert TrainConfig.from_json(values) == dataclasses.replace(config, skips=True)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"format_version": FORMAT_VERSION, "filter": 3}, "unknown config key filter; use the release .* that wrote"),
        ({"format_version": FORMAT_VERSION + 1}, "format version 2; this release reads version 1, so train the run"),
        ({"filters": 3}, "no format_version, so it predates release 0.1; this release reads version 1"),
        ([1], "not a config of tf_pix2pix; expected a JSON object"),
    ],
)
def test_other_values_are_not_a_config(value, message):
    with pytest.raises(InputError, match=message):
        TrainConfig.from_json(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(norm="instanse"), "norm=instanse: must be one of instance, batch, none"),
        (dict(crop_size=(0, 8)), "crop_size=0x8: must be at least 1"),
        (dict(crop_size=(256, 256), load_size=(256, 255)), "crop_size=256x256: must not exceed load_size=256x255"),
        (dict(dropout=1.0), "dropout=1.0: must be below 1"),
        (dict(learning_rate=float("nan")), "learning_rate=nan: must be a finite number"),
        (dict(output_channels=2), r"output_channels=2: must be 1 \(gray\), 3 \(RGB\) or 4 \(RGBA\)"),
        (dict(output_range=(5, 1)), "output_range=5.0,1.0: must be a low and a high finite number"),
        (dict(input_dir="a"), "input_dir=a: requires target_dir"),
        (dict(filters="64"), "filters='64': must be a whole number"),
        (dict(filters=None), "filters=None: must be "),
        (dict(crop_size=256), r"crop_size=256: must be \(height, width\)"),
        (dict(flip=1), "flip=1: must be true or false"),
        (dict(seed=2**31), "seed=2147483648: must be below 2147483647"),
        (dict(samples=5, eval_pairs=4), "samples=5: must not exceed eval_pairs=4"),
        (dict(adversarial_loss="wgan-gp", norm="batch"), "norm=batch: does not work with adversarial_loss=wgan-gp"),
        (dict(best_by="mean_iou"), "best_by=mean_iou: requires target_encoding=classes; leave it out"),
        (dict(best_by="fid"), "best_by=fid: must be one of l1, psnr, ssim"),
        (dict(gan_weight=0.0, l1_weight=0.0), "gan_weight=0 with l1_weight=0: the generator has no loss"),
        (dict(task="colourize"), "task=colourize: must be one of colorize, edges, soft_edges, sketch"),
        (dict(task_scale=2), "task_scale=2: requires task=super_resolution; leave it out"),
        (dict(task="colorize", task_sigma=2.0), "task_sigma=2.0: requires task=edges or soft_edges or"),
        (dict(task="super_resolution", task_scale=3), "task_scale=3: must be 2, 4 or 8"),
        (dict(task="inpaint", task_share=0.95), "task_share=0.95: must be at most 0.9"),
        (dict(task="edges", input_dir="a", target_dir="b"), "input_dir=a: task=edges makes the inputs from photos"),
        (dict(task="edges", input_depth="uint16"), "input_depth=uint16: task=edges .*; use output_depth"),
        (dict(palette="p.json"), "palette=p.json: requires input_encoding=onehot or target_encoding=classes"),
        (dict(color_space="lab", input_encoding="onehot"), "color_space=lab: does not work with label maps"),
        (dict(input_encoding="onehot", task="edges"), "task=edges: does not work with label maps"),
        (dict(input_encoding="onehot", resize_a="lanczos"), "resize_a=lanczos: mixes colors of the palette"),
        (dict(target_encoding="classes", direction="BtoA", resize_a="bilinear"), "resize_a=bilinear: mixes colors"),
        (dict(input_encoding="onehot", input_range=(0.0, 9.0)), "input_range=0.0,9.0: palettes have no value range"),
        (dict(color_space="lab", output_channels=1), "output_channels=1: color_space=lab requires 3"),
        (dict(color_space="lab", task="deblur"), "color_space=lab: keeps .*, but task=deblur has to change it"),
        (dict(residual=True, target_encoding="classes"), "residual=True: does not work with a palette"),
        (dict(residual=True, task="inpaint"), "residual=True: does not work with task=inpaint"),
        (dict(mask_dir="masks", task="edges"), "mask_dir=masks: requires a folder of pairs; .* task=edges"),
        (dict(mask_dir="masks", l1_weight=0.0), "mask_dir=masks: has no effect with l1_weight=0"),
    ],
)
def test_a_wrong_value_is_named(fields, message):
    with pytest.raises(InputError, match=f"^{message}"):
        TrainConfig(**fields)


def test_the_jitter_is_the_papers():
    assert TrainConfig().jitter_size == (286, 286)
    assert TrainConfig(crop_size=(128, 128)).jitter_size == (143, 143)
    assert TrainConfig(crop_size=(128, 128), jitter=False).jitter_size == (128, 128)
    assert TrainConfig(load_size=(300, 280)).jitter_size == (300, 280)
    assert TrainConfig(crop_size=(128, 128), fit="none").jitter_size == (128, 128)


def test_published_presets_are_the_papers():
    presets = {name: TrainConfig(**PRESETS[name]) for name in SETS}
    jittered, plain = (True, True), (False, False)
    assert {name: (c.epochs, c.batch_size, (c.jitter, c.flip)) for name, c in presets.items()} == {
        **{name: (200, 1, jittered) for name in ("facades", "cityscapes", "maps")},
        **{name: (15, 4, plain) for name in ("edges2shoes", "edges2handbags")},
        "night2day": (17, 4, jittered),
    }
    assert {name for name, config in presets.items() if config.direction == "BtoA"} == {"facades", "cityscapes"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_a_task_has_one(name):
    config = TrainConfig(**PRESETS[name])
    assert config.task == (name if name in TASKS else None)
    assert config == TrainConfig.from_json(config.to_json())


def test_a_task_has_its_own_settings_and_resizes_inputs_as_photos():
    assert TrainConfig(task="denoise").task_settings == {"sigma": 25.0}
    assert TrainConfig(task="denoise", task_sigma=3.0).task_settings == {"sigma": 3.0}
    assert TrainConfig().task_settings == TrainConfig(task="colorize").task_settings == {}
    sides = dict(resize_a="bicubic", resize_b="nearest", direction="BtoA")
    assert TrainConfig(**sides).resize_methods == ("nearest", "bicubic")
    assert TrainConfig(**sides, task="edges").resize_methods == ("bicubic", "bicubic")


@pytest.mark.parametrize(
    "where",
    sorted({f.metadata["choices"] for f in dataclasses.fields(TrainConfig) if isinstance(f.metadata["choices"], str)})
    + ["datasets.DATASETS"],
)
def test_choices_read_from_source_are_the_tables_keys(where):
    module, table = where.rsplit(".", 1)
    assert table_keys(where) == tuple(getattr(importlib.import_module(f"tf_pix2pix.{module}"), table))
