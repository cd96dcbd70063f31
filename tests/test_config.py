import dataclasses
import importlib
import json

import pytest

from tf_pix2pix.config import FORMAT_VERSION, PRESETS, TrainConfig, choices, fields, table_keys
from tf_pix2pix.datasets.published import SETS
from tf_pix2pix.errors import InputError
from tf_pix2pix.tasks import TASKS


def test_json_round_trip():
    config = TrainConfig(dataset="x", crop_size=(64, 128), output_range=(0.0, 1.5), steps=7, skips=False)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_absent_field_has_its_default():
    values = TrainConfig(filters=3).to_json()
    assert TrainConfig.from_json({name: values[name] for name in ("format_version", "filters")}) == TrainConfig(
        filters=3
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"format_version": FORMAT_VERSION, "filter": 3},
            "unknown config key filter; use the release .* that wrote it",
        ),
        (
            {"format_version": FORMAT_VERSION + 1},
            "format version 2; this release reads version 1, so train the run again",
        ),
        ({"filters": 3}, "no format_version, so it predates release 0.1; this release reads version 1"),
        ([1], "not a config of tf_pix2pix; expected a JSON object"),
        (None, "not a config"),
    ],
)
def test_other_values_are_not_a_config(value, message):
    with pytest.raises(InputError, match=message):
        TrainConfig.from_json(value)


@pytest.mark.parametrize("name", ["filters", "crop_size", "dropout", "norm"])
def test_only_optional_fields_may_be_none(name):
    with pytest.raises(InputError, match=f"{name}=None: must be "):
        TrainConfig(**{name: None})


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().filters = 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(norm="instanse"), "norm=instanse: must be one of instance, batch, none"),
        (dict(filters=0), "filters=0: must be at least 1"),
        (dict(crop_size=(0, 8)), "crop_size=0x8: must be at least 1"),
        (dict(crop_size=(256, 256), load_size=(256, 255)), "crop_size=256x256: must not exceed load_size=256x255"),
        (dict(load_size=(300, 300), jitter=False), "load_size=300x300: has no effect with jitter=False"),
        (dict(load_size=(300, 300), fit="none"), "load_size=300x300: has no effect with fit=none"),
        (dict(dropout=1.0), "dropout=1.0: must be below 1"),
        (dict(learning_rate=float("nan")), "learning_rate=nan: must be a finite number"),
        (dict(output_channels=2), r"output_channels=2: must be 1 \(gray\), 3 \(RGB\) or 4 \(RGBA\)"),
        (dict(output_range=(5, 1)), "output_range=5.0,1.0: must be a low and a high finite number"),
        (dict(output_range=(5.0, float("inf"))), "output_range=5.0,inf: must be a low and a high finite number"),
        (dict(input_dir="a"), "input_dir=a: requires target_dir"),
        (dict(target_dir="a"), "target_dir=a: requires input_dir"),
        (dict(filters="64"), "filters='64': must be a whole number"),
        (dict(filters=64.0), "filters=64.0: must be a whole number"),
        (dict(crop_size=256), r"crop_size=256: must be \(height, width\)"),
        (dict(flip=1), "flip=1: must be true or false"),
        (dict(seed=2**31), "seed=2147483648: must be below 2147483647"),
        (dict(samples=5, eval_pairs=4), "samples=5: must not exceed eval_pairs=4"),
        (dict(adversarial_loss="wgan-gp", norm="batch"), "norm=batch: does not work with adversarial_loss=wgan-gp"),
        (dict(gan_weight=0.0, l1_weight=0.0), "gan_weight=0 with l1_weight=0: the generator has no loss"),
        (dict(task="colourize"), "task=colourize: must be one of colorize, edges, soft_edges, sketch"),
        (dict(task_scale=2), "task_scale=2: requires task=super_resolution; leave it out"),
        (dict(task="colorize", task_sigma=2.0), "task_sigma=2.0: requires task=edges or soft_edges or"),
        (dict(task="super_resolution", task_scale=3), "task_scale=3: must be 2, 4 or 8"),
        (dict(task="inpaint", task_share=0.95), "task_share=0.95: must be at most 0.9"),
        (dict(task="inpaint", task_share=0.0), "task_share=0.0: must be at least 0.01"),
        (dict(task="edges", input_dir="a", target_dir="b"), "input_dir=a: task=edges makes the inputs from photos"),
        (dict(task="edges", input_depth="uint16"), "input_depth=uint16: task=edges .*; use output_depth"),
        (dict(task="edges", output_channels=4), "output_channels=4: task=edges requires gray or RGB photos"),
        (dict(palette="p.json"), "palette=p.json: requires input_encoding=onehot or target_encoding=classes"),
        (dict(color_space="lab", input_encoding="onehot"), "color_space=lab: does not work with label maps"),
        (dict(input_encoding="onehot", task="edges"), "task=edges: does not work with label maps"),
        (dict(input_encoding="onehot", resize_a="lanczos"), "resize_a=lanczos: mixes colors of the palette"),
        (dict(target_encoding="classes", resize_b="bilinear"), "resize_b=bilinear: mixes colors"),
        (dict(target_encoding="classes", direction="BtoA", resize_a="bilinear"), "resize_a=bilinear: mixes colors"),
        (dict(target_encoding="classes", output_depth="uint16"), "output_depth=uint16: label maps have 8 bits"),
        (dict(input_encoding="onehot", input_range=(0.0, 9.0)), "input_range=0.0,9.0: palettes have no value range"),
        (dict(color_space="lab", output_channels=1), "output_channels=1: color_space=lab requires 3"),
        (dict(color_space="lab", task="deblur"), "color_space=lab: keeps .*, but task=deblur has to change it"),
        (dict(residual=True, target_encoding="classes"), "residual=True: does not work with a palette"),
        (dict(residual=True, color_space="lab", task="colorize"), "residual=True: does not work with color_space=lab"),
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


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name):
    TrainConfig(**PRESETS[name])


def test_published_presets_are_the_papers():
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
    assert config == TrainConfig.from_json(config.to_json())


def test_a_tasks_settings_can_be_given():
    assert TrainConfig(task="denoise").task_settings == {"sigma": 25.0}
    assert TrainConfig(task="denoise", task_sigma=3.0).task_settings == {"sigma": 3.0}
    assert TrainConfig(task="super_resolution", task_scale=8).task_settings == {"scale": 8}
    assert TrainConfig().task_settings == TrainConfig(task="colorize").task_settings == {}


def test_the_inputs_of_a_task_are_resized_as_its_photos():
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


def test_choices_are_found_in_a_module_or_in_any_file_of_a_package(tmp_path, monkeypatch):
    monkeypatch.setattr(fields, "__file__", str(tmp_path / "config" / "fields.py"))
    (tmp_path / "one.py").write_text("OTHER = {}\nTABLE = {'a': 1, 'b': 2}\n")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "__init__.py").write_text("from somewhere import TABLE\nOTHER = dict()\n")
    (tmp_path / "two" / "part.py").write_text("TABLE: dict[str, int] = {'c': 3}\n")
    assert (table_keys("one.TABLE"), table_keys("two.TABLE")) == (("a", "b"), ("c",))
    with pytest.raises(LookupError, match="two has no dict OTHER"):
        table_keys("two.OTHER")


def test_every_field_has_help_and_an_allowed_default():
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"]
        assert not choices(field) or field.default is None or field.default in choices(field)


def test_palette_sides():
    assert TrainConfig().palette_sides == ()
    assert TrainConfig(color_space="lab", task="colorize").palette_sides == ()
    assert TrainConfig(input_encoding="onehot", resize_b="lanczos").palette_sides == ("input",)
    assert TrainConfig(input_encoding="onehot", target_encoding="classes").palette_sides == ("input", "target")
