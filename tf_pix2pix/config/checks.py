"""Checks of a config: each value by itself, then the values together.

Every message begins with the field, as NAME=VALUE, and names other fields in the same way. The command line turns them
into flags.
"""

import dataclasses
import math
from typing import Any, get_args

from tf_pix2pix.config.fields import Range, Size, choices, format_value, kind
from tf_pix2pix.config.presets import TASK_SETTINGS
from tf_pix2pix.errors import InputError

MAX_SEED = 2**31 - 1  # TensorFlow's seeds are int32, and the discriminator's seed is one more


def valid_value(field: dataclasses.Field, value: Any) -> Any:
    """Returns a field's value, with a range as floats. Raises InputError if the field does not allow it."""
    if value is None and type(None) in get_args(field.type):
        return None
    if not _has_kind(value, kind(field)):
        raise InputError(f"{field.name}={value!r}: must be {_KIND_NAMES[kind(field)]}")
    value = tuple(map(float, value)) if kind(field) is Range else value
    given = f"{field.name}={format_value(value)}"
    if kind(field) is Range:
        if not -math.inf < value[0] < value[1] < math.inf:
            raise InputError(f"{given}: must be a low and a high finite number")
        return value
    minimum, allowed = field.metadata["minimum"], choices(field)
    if allowed and value not in allowed:
        raise InputError(f"{given}: must be one of {', '.join(allowed)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{given}: must be a finite number")
    if minimum is not None and min(value if isinstance(value, tuple) else (value,)) < minimum:
        raise InputError(f"{given}: must be at least {minimum}")
    return value


def saved_settings(value: Any, names: set[str], version: int) -> dict[str, Any]:
    """The settings in the JSON object of a config.json.

    Args:
      names: of the fields of a config; the object may lack some.
      version: the format version that this release reads.

    Raises:
      InputError: the value is not such an object, has unknown fields, or another format version.
    """
    if not isinstance(value, dict):
        raise InputError("not a config of tf_pix2pix; expected a JSON object")
    settings = dict(value)
    found = settings.pop("format_version", None)
    if found != version:
        problem = f"format version {found}" if found else "no format_version, so it predates release 0.1"
        raise InputError(f"{problem}; this release reads version {version}, so train the run again")
    if unknown := sorted(settings.keys() - names):
        raise InputError(f"unknown config key {', '.join(unknown)}; use the release of tf_pix2pix that wrote it")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


_KIND_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Size: "(height, width)",
    Range: "(low, high)",
}


def _has_kind(value: Any, wanted: Any) -> bool:
    if wanted in (Size, Range):
        part = int if wanted is Size else float
        return isinstance(value, tuple) and len(value) == 2 and all(_has_kind(side, part) for side in value)
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


def check_together(config) -> None:
    """Raises InputError if fields of a TrainConfig contradict each other."""

    def given(name: str) -> str:
        return f"{name}={format_value(getattr(config, name))}"

    if any(crop > load for crop, load in zip(config.crop_size, config.jitter_size, strict=True)):
        raise InputError(f"{given('crop_size')}: must not exceed {given('load_size')}; lower it or raise load_size")
    for name in ("dropout", "beta_1", "beta_2", "ema_decay"):
        if getattr(config, name) >= 1:
            raise InputError(f"{given(name)}: must be below 1")
    for name in ("input_channels", "output_channels"):
        if getattr(config, name) not in (None, 1, 3, 4):
            raise InputError(f"{given(name)}: must be 1 (gray), 3 (RGB) or 4 (RGBA)")
    if config.load_size and (not config.jitter or config.fit == "none"):
        other = given("fit" if config.jitter else "jitter")
        raise InputError(f"{given('load_size')}: has no effect with {other}; leave one out")
    if config.seed >= MAX_SEED:
        raise InputError(f"{given('seed')}: must be below {MAX_SEED}")
    if config.samples > config.eval_pairs:
        raise InputError(f"{given('samples')}: must not exceed {given('eval_pairs')}; lower it or raise eval_pairs")
    if config.adversarial_loss == "wgan-gp" and config.norm == "batch":
        raise InputError(
            "norm=batch: does not work with adversarial_loss=wgan-gp, whose gradient penalty treats each example alone "
            "(arXiv 1704.00028, section 4); choose norm=instance or norm=none"
        )
    if not (config.gan_weight or config.l1_weight):
        raise InputError("gan_weight=0 with l1_weight=0: the generator has no loss; raise one of them")
    if config.best_by in ("pixel_accuracy", "mean_iou") and config.target_encoding != "classes":
        raise InputError(f"{given('best_by')}: requires target_encoding=classes; leave it out")
    for name, other in (("input_dir", "target_dir"), ("target_dir", "input_dir")):
        if getattr(config, name) and not getattr(config, other):
            raise InputError(f"{given(name)}: requires {other}")
    _check_task(config, given)
    _check_encodings(config, given)


def _check_task(config, given) -> None:
    """Raises InputError if a field contradicts the task."""
    for name, defaults in TASK_SETTINGS.items():
        if config.task not in defaults and getattr(config, name) is not None:
            raise InputError(f"{given(name)}: requires task={' or '.join(defaults)}; leave it out")
    for name in ("depth", "range"):
        if config.task and getattr(config, f"input_{name}") not in (None, getattr(config, f"output_{name}")):
            raise InputError(
                f"{given(f'input_{name}')}: {given('task')} makes inputs with the photos' {name}; use output_{name}"
            )
    if config.task_scale not in (None, 2, 4, 8):
        raise InputError(f"{given('task_scale')}: must be 2, 4 or 8")
    if (config.task_share or 0) > 0.9:
        raise InputError(f"{given('task_share')}: must be at most 0.9")
    if config.task and config.input_dir:
        raise InputError(
            f"{given('input_dir')}: {given('task')} makes the inputs from photos; leave out input_dir and target_dir, "
            "and give the folder of photos as dataset"
        )
    if config.task and config.output_channels == 4:
        raise InputError(f"output_channels=4: {given('task')} requires gray or RGB photos, 1 or 3 channels")


def _check_encodings(config, given) -> None:
    """Raises InputError if a palette, the color space, residual or masks contradict other fields."""
    encodings = "input_encoding=onehot or target_encoding=classes"
    if config.palette and not config.palette_sides:
        raise InputError(f"{given('palette')}: requires {encodings}")
    if config.palette_sides and (config.task or config.color_space == "lab"):
        other = given("task" if config.task else "color_space")
        raise InputError(f"{other}: does not work with label maps; leave it out, or {encodings}")
    for side in config.palette_sides:
        letter = "ab"[(side == "target") == (config.direction == "AtoB")]
        if getattr(config, f"resize_{letter}") not in ("nearest", "bicubic"):  # bicubic: the default, thus not given
            raise InputError(
                f"{given(f'resize_{letter}')}: mixes colors of the palette; leave it out (palettes use nearest)"
            )
        name = "input" if side == "input" else "output"
        if getattr(config, f"{name}_depth") not in (None, "uint8"):
            raise InputError(f"{given(f'{name}_depth')}: label maps have 8 bits a channel; leave it out")
        if getattr(config, f"{name}_range"):
            raise InputError(f"{given(f'{name}_range')}: palettes have no value range; leave it out")
    if config.color_space == "lab" and config.output_channels not in (None, 3):
        raise InputError(f"{given('output_channels')}: color_space=lab requires 3; leave it out")
    if config.color_space == "lab" and config.task not in (None, "colorize"):
        raise InputError(f"color_space=lab: keeps the input's lightness, but {given('task')} has to change it")
    if config.residual and (config.palette_sides or config.color_space == "lab" or config.task == "inpaint"):
        other = "a palette" if config.palette_sides else given("task" if config.task == "inpaint" else "color_space")
        raise InputError(f"residual=True: does not work with {other}; leave one of them out")
    if config.mask_dir and config.task:
        raise InputError(f"{given('mask_dir')}: requires a folder of pairs; leave it out with {given('task')}")
    if config.mask_dir and not config.l1_weight:
        raise InputError(f"{given('mask_dir')}: has no effect with l1_weight=0; leave one of them out")
