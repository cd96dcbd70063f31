"""Which configs there can be: each value by itself, and which go together."""

import dataclasses
import math
from typing import Any, get_args

from tf_pix2pix.config.fields import Range, Size, choices, format_value, kind
from tf_pix2pix.config.presets import TASK_SETTINGS
from tf_pix2pix.errors import InputError

MAX_SEED = 2**31 - 1  # the discriminator's seed is one more, and TensorFlow's are int32


def checked(field: dataclasses.Field, value: Any) -> Any:
    """A field's value as the config has it. Raises InputError where the field does not allow it."""
    if value is None and type(None) in get_args(field.type):
        return None
    if not _is_of(value, kind(field)):
        raise InputError(f"{field.name}={value!r} is no {_KIND_NAMES[kind(field)]}")
    if kind(field) is Range:
        value = tuple(map(float, value))  # of whole numbers too, which sizes are of
        if not -math.inf < value[0] < value[1] < math.inf:
            raise InputError(f"{field.name}={format_value(value)} is not from a low to a high number")
        return value
    minimum, allowed = field.metadata["minimum"], choices(field)
    if allowed and value not in allowed:
        raise InputError(f"{field.name}={value} is unknown; choose one of {', '.join(allowed)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field.name}={value} is not a finite number")
    if minimum is not None and min(value if isinstance(value, tuple) else (value,)) < minimum:
        raise InputError(f"{field.name}={format_value(value)} is too small; the least is {minimum}")
    return value


_KIND_NAMES = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    Size: "(height, width)",
    Range: "(low, high)",
}


def _is_of(value: Any, kind: Any) -> bool:
    if kind in (Size, Range):
        part = int if kind is Size else float
        return isinstance(value, tuple) and len(value) == 2 and all(_is_of(side, part) for side in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def check_together(config) -> None:
    """Raises InputError where fields of a TrainConfig, allowed each by itself, do not fit together."""
    if any(crop > load for crop, load in zip(config.crop_size, config.jitter_size, strict=True)):
        raise InputError(
            f"crop_size={format_value(config.crop_size)} is larger than load_size="
            f"{format_value(config.jitter_size)}; raise load_size or lower crop_size"
        )
    for name in ("dropout", "beta_1", "beta_2", "ema_decay"):
        if getattr(config, name) >= 1:
            raise InputError(f"{name}={getattr(config, name)} is too large; it must be below 1")
    for name in ("input_channels", "output_channels"):
        if getattr(config, name) not in (None, 1, 3, 4):
            raise InputError(f"{name}={getattr(config, name)} is not 1 (gray), 3 (RGB) or 4 (RGBA)")
    if config.load_size and (not config.jitter or config.fit == "none"):
        without = "without jitter" if not config.jitter else "with fit=none"
        raise InputError(f"load_size={format_value(config.load_size)} is of no use {without}; leave out one")
    if config.seed >= MAX_SEED:
        raise InputError(f"seed={config.seed} is too large; it must be below {MAX_SEED}")
    if config.samples > config.eval_pairs:
        raise InputError(
            f"samples={config.samples} is more than eval_pairs={config.eval_pairs}, which they are taken from"
        )
    if config.adversarial_loss == "wgan-gp" and config.norm == "batch":
        raise InputError(
            "adversarial_loss=wgan-gp does not go with norm=batch: its penalty is one of each example alone "
            "(arXiv 1704.00028, section 4); take norm=instance or norm=none"
        )
    if not (config.gan_weight or config.l1_weight):
        raise InputError("gan_weight=0 with l1_weight=0: nothing would be learned; give one of them a weight")
    if bool(config.input_dir) != bool(config.target_dir):
        raise InputError("input_dir and target_dir go together; give both or neither")
    _check_task(config)
    _check_encodings(config)


def _check_task(config) -> None:
    """Raises InputError where something does not go with the task."""
    for name, defaults in TASK_SETTINGS.items():
        if config.task not in defaults and getattr(config, name) is not None:
            what = f"task={config.task}" if config.task else "no task"
            raise InputError(f"{name} goes with task={' or '.join(defaults)}, not with {what}; leave it out")
    for what in ("depth", "range"):  # of the inputs, which are made of the photos
        own, photos = getattr(config, f"input_{what}"), getattr(config, f"output_{what}")
        if config.task and own not in (None, photos):
            raise InputError(
                f"input_{what} goes with pairs, not with task={config.task}, whose inputs are as its photos: give "
                f"output_{what}"
            )
    if config.task_scale not in (None, 2, 4, 8):
        raise InputError(f"task_scale={config.task_scale} is none of 2, 4 and 8")
    if (config.task_share or 0) > 0.9:
        raise InputError(f"task_share={config.task_share} is too large; the most is 0.9")
    if config.task and config.input_dir:
        raise InputError(
            f"task={config.task} makes the inputs itself, so that input_dir and target_dir are of no use; give the "
            "folder of photos as dataset"
        )
    if config.task and config.output_channels == 4:
        raise InputError(f"task={config.task} is for gray and RGB photos, not for output_channels=4")


def _check_encodings(config) -> None:
    """Raises InputError where palettes, colour space or masks do not go with the rest."""
    if config.palette and not config.palette_sides:
        raise InputError("palette is of no use without input_encoding=onehot or target_encoding=classes")
    if config.palette_sides and (config.task or config.color_space == "lab"):
        other = f"task={config.task}" if config.task else "color_space=lab"
        raise InputError(f"{other} is for photos; leave it out, or input_encoding and target_encoding")
    for side, method in zip(("input", "target"), config.resize_methods, strict=True):
        if side in config.palette_sides and method not in ("nearest", "bicubic"):  # bicubic: nothing was said
            raise InputError(
                f"resize_a={config.resize_a}, resize_b={config.resize_b}: {method} mixes the colours of the {side}'s "
                "palette; leave it out: palettes are resized with nearest"
            )
        name = "input" if side == "input" else "output"
        depth, range = getattr(config, f"{name}_depth"), getattr(config, f"{name}_range")
        if side in config.palette_sides and depth not in (None, "uint8"):
            raise InputError(f"{name}_depth={depth}: label maps with a palette have 8 bits a channel; leave it out")
        if side in config.palette_sides and range:
            raise InputError(
                f"{name}_range={format_value(range)}: the colours of a palette have their own levels; leave it out"
            )
    if config.color_space == "lab" and config.output_channels not in (None, 3):
        raise InputError(f"output_channels={config.output_channels}: color_space=lab gives colours, which are 3")
    if config.color_space == "lab" and config.task not in (None, "colorize"):
        raise InputError(f"color_space=lab keeps the input's lightness, which task={config.task} is to change")
    if config.residual and (config.palette_sides or config.color_space == "lab" or config.task == "inpaint"):
        other = "a palette" if config.palette_sides else "task=inpaint" if config.task else "color_space=lab"
        raise InputError(f"residual adds to the input picture, which does not go with {other}; leave one of them out")
    if config.mask_dir and config.task:
        raise InputError(f"mask_dir is for folders of pairs, not for task={config.task}")
    if config.mask_dir and not config.l1_weight:
        raise InputError("mask_dir is of no use with l1_weight=0")
