import dataclasses
import importlib
import json

import pytest

from tf_pix2pix.config import PRESETS, TrainConfig, choices, table_keys
from tf_pix2pix.datasets.published import SETS
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import TASKS


def test_json_round_trip():
    config = TrainConfig(dataset="x", crop_size=(64, 128), load_size=(70, 140), steps=7, skips=False, gan_weight=0.5)
    assert TrainConfig.from_json(config.to_json()) == config


def test_an_unknown_key_is_refused():
    text = TrainConfig().to_json().replace('"filters"', '"filter"')
    with pytest.raises(InputError, match="unknown config key filter;"):
        TrainConfig.from_json(text)


@pytest.mark.parametrize("name", ["filters", "crop_size", "dropout", "norm"])
def test_what_must_be_there_cannot_be_none(name):
    with pytest.raises(InputError, match=f"{name}=None is no "):
        TrainConfig(**{name: None})


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", "7"])
def test_what_is_no_config_is_refused(text):
    with pytest.raises(InputError, match="not a config"):
        TrainConfig.from_json(text)


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().filters = 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(norm="instanse"), "norm=instanse is unknown; choose one of instance, batch, none"),
        (dict(adversarial_loss="x"), "adversarial_loss=x is unknown; choose one of vanilla, lsgan, hinge, wgan-gp"),
        (dict(direction="atob"), "direction=atob is unknown; choose one of AtoB, BtoA"),
        (dict(filters=0), "filters=0 is too small; the least is 1"),
        (dict(crop_size=(0, 8)), "crop_size=0x8 is too small; the least is 1"),
        (dict(crop_size=(256, 256), load_size=(256, 255)), "crop_size=256x256 is larger than load_size=256x255"),
        (dict(load_size=(300, 300), jitter=False), "load_size=300x300 is of no use without jitter"),
        (dict(dropout=1.0), "dropout=1.0 is too large; it must be below 1"),
        (dict(learning_rate=float("nan")), "learning_rate=nan is not a finite number"),
        (dict(output_channels=2), r"output_channels=2 is not 1 \(gray\), 3 \(RGB\) or 4 \(RGBA\)"),
        (dict(input_dir="a"), "input_dir and target_dir go together"),
        (dict(load_size=(300, 300), fit="none"), "load_size=300x300 is of no use with fit=none"),
        (dict(filters="64"), "filters='64' is no whole number"),
        (dict(filters=64.0), "filters=64.0 is no whole number"),
        (dict(crop_size=256), r"crop_size=256 is no \(height, width\)"),
        (dict(flip=1), "flip=1 is no true or false"),
        (dict(seed=2**31), "seed=2147483648 is too large"),
        (dict(samples=5, eval_pairs=4), "samples=5 is more than eval_pairs=4"),
        (dict(adversarial_loss="wgan-gp", norm="batch"), "wgan-gp does not go with norm=batch"),
        (dict(task="colourize"), "task=colourize is unknown; choose one of colorize, edges, soft_edges, sketch"),
        (dict(task_scale=2), "task_scale goes with task=super_resolution, not with no task; leave it out"),
        (dict(task="denoise", task_scale=2), "task_scale goes with task=super_resolution, not with task=denoise"),
        (
            dict(task="colorize", task_sigma=2.0),
            "task_sigma goes with task=edges or soft_edges or .* not with .*colorize",
        ),
        (dict(task="super_resolution", task_scale=3), "task_scale=3 is none of 2, 4 and 8"),
        (dict(task="inpaint", task_share=0.95), "task_share=0.95 is too large; the most is 0.9"),
        (dict(task="inpaint", task_share=0.0), "task_share=0.0 is too small"),
        (dict(task="denoise", task_sigma=0.0), "task_sigma=0.0 is too small; the least is 0.1"),
        (dict(task="edges", input_dir="a", target_dir="b"), "task=edges makes the inputs itself"),
        (dict(task="edges", input_depth="uint16"), "input_depth goes with pairs, not with task=edges, .* output_depth"),
        (dict(task="edges", output_channels=4), "task=edges is for gray and RGB photos"),
    ],
)
def test_values_that_do_not_fit_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**fields)


def test_the_jitter_is_the_papers():
    assert TrainConfig().jitter_size == (286, 286)
    assert TrainConfig(crop_size=(128, 128)).jitter_size == (143, 143)
    assert TrainConfig(crop_size=(128, 128), jitter=False).jitter_size == (128, 128)
    assert TrainConfig(load_size=(300, 280)).jitter_size == (300, 280)
    assert TrainConfig(crop_size=(128, 128), fit="none").jitter_size == (128, 128)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_configs(name):
    TrainConfig(**PRESETS[name])


def test_presets_say_what_the_paper_says():
    published = {name: TrainConfig(**PRESETS[name]) for name in SETS}
    table = {name: (c.epochs, c.batch_size, c.jitter, c.flip) for name, c in published.items()}
    assert table == {
        "facades": (200, 1, True, True),
        "cityscapes": (200, 1, True, True),
        "maps": (200, 1, True, True),
        "edges2shoes": (15, 4, False, False),
        "edges2handbags": (15, 4, False, False),
        "night2day": (17, 4, True, True),
    }
    assert {name for name, c in published.items() if c.direction == "BtoA"} == {"facades", "cityscapes"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_a_preset_and_its_own_settings(task):
    config = TrainConfig(**PRESETS[task])
    assert config.task == task
    assert config == TrainConfig.from_json(config.to_json())  # what it was is in the run's config.json


def test_a_tasks_settings_can_be_given():
    assert TrainConfig(task="denoise").task_settings == {"sigma": 25.0}
    assert TrainConfig(task="denoise", task_sigma=3.0).task_settings == {"sigma": 3.0}
    assert TrainConfig(task="super_resolution", task_scale=8).task_settings == {"scale": 8}
    assert TrainConfig().task_settings == TrainConfig(task="colorize").task_settings == {}


def test_a_config_from_before_there_were_tasks_is_read():
    values = json.loads(TrainConfig(filters=3).to_json())
    old = {name: value for name, value in values.items() if not name.startswith("task")}
    assert TrainConfig.from_json(json.dumps(old)) == TrainConfig(filters=3)


def test_what_a_task_makes_is_resized_as_its_photo():
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


def test_every_field_has_help_and_every_default_is_allowed():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"]
        assert not choices(field) or field.default is None or field.default in choices(field)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(palette="p.json"), "palette is of no use without input_encoding=onehot or target_encoding=classes"),
        (dict(color_space="lab", input_encoding="onehot"), "color_space=lab is for photos"),
        (dict(color_space="lab", output_channels=1), "output_channels=1: color_space=lab gives colours"),
        (dict(target_encoding="onehot"), "target_encoding=onehot is unknown; choose one of colors, classes"),
        (dict(input_encoding="onehot", resize_a="lanczos"), "lanczos mixes the colours of the input's palette"),
        (dict(target_encoding="classes", direction="BtoA", resize_a="bilinear"), "bilinear mixes .* target's"),
        (dict(target_encoding="classes", output_depth="uint16"), "output_depth=uint16: label maps .* have 8"),
        (dict(input_encoding="onehot", task="edges"), "task=edges is for photos; leave it out"),
        (dict(color_space="lab", task="deblur"), "lab keeps the input's lightness, which task=deblur is to change"),
        (dict(residual=True, target_encoding="classes"), "residual adds to .* not go with a palette"),
        (dict(residual=True, color_space="lab"), "residual adds to .* not go with color_space=lab"),
        (dict(residual=True, task="inpaint"), "residual adds to .* not go with task=inpaint"),
        (dict(mask_dir="masks", task="edges"), "mask_dir is for folders of pairs, not for task=edges"),
        (dict(mask_dir="masks", l1_weight=0.0), "mask_dir is of no use with l1_weight=0"),
        (dict(gan_weight=0.0, l1_weight=0.0), "gan_weight=0 with l1_weight=0: nothing would be learned"),
    ],
)
def test_encodings_that_cannot_be(fields, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**fields)


def test_the_sides_that_have_palettes():
    assert TrainConfig().palette_sides == ()
    assert TrainConfig(color_space="lab", task="colorize").palette_sides == ()
    assert TrainConfig(input_encoding="onehot", resize_b="lanczos").palette_sides == ("input",)
    assert TrainConfig(input_encoding="onehot", target_encoding="classes").palette_sides == ("input", "target")
