"""TrainConfig: every hyperparameter, declared once, with its default, help and choices. PRESETS: the paper's."""

import ast
import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tf_pix2pix.errors import InputError

Size = tuple[int, int]  # (height, width) in pixels
Range = tuple[float, float]  # (low, high), values of pixels
MAX_SEED = 2**31 - 1  # the discriminator's seed is one more, and TensorFlow's are int32

# What a task needs to know beside the photo: field -> the tasks that have it, with their defaults.
TASK_SETTINGS: dict[str, dict[str, Any]] = {
    "task_scale": {"super_resolution": 4},
    "task_sigma": {"edges": 1.5, "soft_edges": 1.0, "sketch": 4.0, "denoise": 25.0, "deblur": 2.0},
    "task_share": {"inpaint": 0.2},
}


def _task_help(name: str, text: str) -> str:
    return f"{text} (default: {', '.join(f'{task} {value}' for task, value in TASK_SETTINGS[name].items())})"


_DEPTHS = "images.DEPTHS"


def _field(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | str | None = None,
    minimum: float | None = None,
    may_change: bool = False,
):
    """A field of TrainConfig.

    Args:
      choices: the values allowed, or "module.TABLE": the keys of that dict of the package.
      minimum: the smallest value allowed.
      may_change: a resumed run may have another value.
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, "may_change": may_change}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Sizes are (height, width) in pixels; None means "chosen from the data or the other fields".

    Raises:
      InputError: a value is not allowed, or two do not fit together.
    """

    # The pairs.
    dataset: str = _field("", "a data set's name, or a folder of pairs")
    data_dir: str | None = _field(
        None,
        "where published archives lie or are downloaded to (default: $TFDS_DATA_DIR or ~/tensorflow_datasets)",
        may_change=True,
    )
    input_dir: str | None = _field(None, "folder data: the sub-folder of input pictures (A)")
    target_dir: str | None = _field(None, "folder data: the sub-folder of target pictures (B)")
    mask_dir: str | None = _field(
        None,
        "folder data: the sub-folder of gray pictures that say how much each pixel counts in the L1 loss, or "
        "cross-entropy, 0..255",
    )
    direction: str = _field("AtoB", "which side is translated to which", choices=("AtoB", "BtoA"))
    input_channels: int | None = _field(None, "1, 3 or 4 (default: as in the files)", minimum=1)
    output_channels: int | None = _field(None, "1, 3 or 4 (default: as in the files)", minimum=1)
    input_depth: str | None = _field(
        None, "what a channel of the inputs is; 8-bit files become 16-bit (default: as in the files)", choices=_DEPTHS
    )
    output_depth: str | None = _field(None, "the same of the targets, and of what is translated", choices=_DEPTHS)
    input_range: Range | None = _field(
        None,
        "LOW,HIGH: the inputs' values that become -1 and 1, others are clipped "
        "(default: all of 8 or 16 bits; of floats the least and the most in the training pairs)",
    )
    output_range: Range | None = _field(None, "LOW,HIGH: the same of the targets")
    input_encoding: str = _field(
        "colors",
        "what the networks see of input pictures: their colours, or a channel for each colour of label maps",
        choices=("colors", "onehot"),
    )
    target_encoding: str = _field(
        "colors",
        "what is predicted: colours, or which of a palette each pixel has (cross-entropy instead of L1; best is by "
        "mean IoU)",
        choices="losses.TARGET_LOSSES",
    )
    palette: str | None = _field(
        None,
        "the colours of onehot inputs or classes: a JSON file with colors, or lines of R G B name (default: found in "
        "the pictures)",
    )
    color_space: str = _field(
        "rgb",
        "lab: the input's lightness is kept, and a and b are predicted from it; task=colorize starts from lab",
        choices=("rgb", "lab"),
    )
    task: str | None = _field(
        None,
        "make the input pictures from the target pictures; a folder then holds plain photos",
        choices="tasks.TASKS",
    )
    task_scale: int | None = _field(None, _task_help("task_scale", "how many times larger: 2, 4 or 8"))
    task_sigma: float | None = _field(
        None,
        _task_help("task_sigma", "standard deviation of the blur, in pixels, or of the noise, in 8-bit levels"),
        minimum=0.1,
    )
    task_share: float | None = _field(
        None, _task_help("task_share", "about how much of a picture is masked"), minimum=0.01
    )
    max_bad_images: int = _field(0, "so many unreadable pairs are left out, more end the run", minimum=0)
    cache_gb: float = _field(
        2.0, "a set that fits into so many GB of memory is kept there decoded", minimum=0, may_change=True
    )
    # Sizes and jitter (paper, appendix 6.2).
    crop_size: Size = _field((256, 256), "pixels trained on: N or HEIGHTxWIDTH", minimum=1)
    jitter: bool = _field(True, "resize to load_size, then crop at random; without: resize to crop_size")
    load_size: Size | None = _field(
        None, "pixels resized to before the crop: N or HEIGHTxWIDTH (default: 286/256 of crop_size)", minimum=1
    )
    fit: str = _field(
        "stretch",
        "how a picture gets to load_size: stretched, covering it with its own aspect, or not resized at all",
        choices=("stretch", "cover", "none"),
    )
    flip: bool = _field(True, "mirror half of the pairs")
    resize_a: str = _field(
        "bicubic", "how A is resized; nearest for label maps, with a palette always", choices="images.RESIZE_METHODS"
    )
    resize_b: str = _field("bicubic", "how B is resized, likewise", choices="images.RESIZE_METHODS")
    # The generator (paper, section 3.2 and appendix 6.1).
    generator: str = _field("unet", "the generator's architecture", choices="networks.GENERATORS")
    filters: int = _field(64, "filters of the generator's first layer", minimum=1)
    depth: int | None = _field(
        None,
        "halvings in the U-Net (default: the most that fit crop_size, up to 8), or residual blocks (6, from 256 on 9)",
        minimum=1,
    )
    skips: bool = _field(True, "U-Net skip connections; without: the paper's encoder-decoder")
    dropout: float = _field(0.5, "dropout rate, the generator's noise", minimum=0)
    norm: str = _field("instance", "normalisation in both networks", choices="layers.NORMS")
    upsampling: str = _field(
        "transpose", "transposed convolution, or nearest-resize + convolution", choices="layers.UPSAMPLINGS"
    )
    initializer: str = _field("normal", "initial weights of the convolutions", choices="layers.INITIALIZERS")
    # The discriminator (paper, section 3.3 and appendix 6.1.2).
    discriminator_layers: int = _field(3, "PatchGAN layers: 0, 1, 3, 5 see 1, 16, 70, 286 pixels", minimum=0)
    discriminator_filters: int | None = _field(None, "filters of its first layer (default: as filters)", minimum=1)
    conditional: bool = _field(True, "the discriminator sees the input picture too")
    # The objective (paper, section 3.1).
    adversarial_loss: str = _field("vanilla", "the adversarial loss", choices="losses.ADVERSARIAL_LOSSES")
    gan_weight: float = _field(1.0, "weight of the generator's adversarial loss; 0: no discriminator", minimum=0)
    l1_weight: float = _field(100.0, "weight of the generator's L1 loss, or cross-entropy", minimum=0)
    gradient_penalty_weight: float = _field(10.0, "weight of the gradient penalty of wgan-gp", minimum=0)
    # The optimisation (paper, section 3.3).
    epochs: int = _field(200, "passes over the training pairs", minimum=1, may_change=True)
    steps: int | None = _field(None, "training steps, instead of epochs", minimum=1, may_change=True)
    batch_size: int = _field(1, "pairs a step", minimum=1)
    learning_rate: float = _field(2e-4, "Adam's learning rate in both networks", minimum=0)
    beta_1: float = _field(0.5, "Adam's beta_1", minimum=0)
    beta_2: float = _field(0.999, "Adam's beta_2", minimum=0)
    schedule: str = _field(
        "constant",
        "learning rate: constant, or constant for half of the steps and linear to zero over the rest",
        choices=("constant", "linear"),
    )
    ema_decay: float = _field(
        0.0,
        "decay of a moving average of the generator's weights, used for samples, at step n at most (1 + n) / (4 + n); "
        "0: off",
        minimum=0,
    )
    precision: str = _field(
        "float32",
        "what the layers compute in; weights stay float32",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: bool = _field(False, "compile the training step with XLA")
    seed: int = _field(0, "of weights, order, jitter and dropout", minimum=0)
    # What is written, and when.
    sample_every: int = _field(1000, "steps between sample grids", minimum=1, may_change=True)
    eval_every: int = _field(1000, "steps between evaluations on the held-out split", minimum=1, may_change=True)
    checkpoint_every: int = _field(1000, "steps between checkpoints", minimum=1, may_change=True)
    log_every: int = _field(20, "steps between lines of metrics.jsonl", minimum=1, may_change=True)
    keep_checkpoints: int = _field(2, "checkpoints kept, beside the best", minimum=1, may_change=True)
    samples: int = _field(4, "held-out pictures in a sample grid", minimum=1, may_change=True)
    eval_pairs: int = _field(100, "held-out pairs evaluated at most", minimum=1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and type(None) in get_args(field.type):
                continue
            if not _is_of(value, kind(field)):
                raise InputError(f"{field.name}={value!r} is no {_KIND_NAMES[kind(field)]}")
            if kind(field) is Range:
                value = tuple(map(float, value))
                object.__setattr__(self, field.name, value)  # of whole numbers too, which sizes are of
                if not -math.inf < value[0] < value[1] < math.inf:
                    raise InputError(f"{field.name}={format_value(value)} is not from a low to a high number")
                continue
            minimum, allowed = field.metadata["minimum"], choices(field)
            if allowed and value not in allowed:
                raise InputError(f"{field.name}={value} is unknown; choose one of {', '.join(allowed)}")
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"{field.name}={value} is not a finite number")
            if minimum is not None and min(value if isinstance(value, tuple) else (value,)) < minimum:
                raise InputError(f"{field.name}={format_value(value)} is too small; the least is {minimum}")
        if any(crop > load for crop, load in zip(self.crop_size, self.jitter_size, strict=True)):
            raise InputError(
                f"crop_size={format_value(self.crop_size)} is larger than load_size="
                f"{format_value(self.jitter_size)}; raise load_size or lower crop_size"
            )
        for name in ("dropout", "beta_1", "beta_2", "ema_decay"):
            if getattr(self, name) >= 1:
                raise InputError(f"{name}={getattr(self, name)} is too large; it must be below 1")
        for name in ("input_channels", "output_channels"):
            if getattr(self, name) not in (None, 1, 3, 4):
                raise InputError(f"{name}={getattr(self, name)} is not 1 (gray), 3 (RGB) or 4 (RGBA)")
        if self.load_size and (not self.jitter or self.fit == "none"):
            without = "without jitter" if not self.jitter else "with fit=none"
            raise InputError(f"load_size={format_value(self.load_size)} is of no use {without}; leave out one")
        if self.seed >= MAX_SEED:
            raise InputError(f"seed={self.seed} is too large; it must be below {MAX_SEED}")
        if self.samples > self.eval_pairs:
            raise InputError(
                f"samples={self.samples} is more than eval_pairs={self.eval_pairs}, which they are taken from"
            )
        if self.adversarial_loss == "wgan-gp" and self.norm == "batch":
            raise InputError(
                "adversarial_loss=wgan-gp does not go with norm=batch: its penalty is one of each example alone "
                "(arXiv 1704.00028, section 4); take norm=instance or norm=none"
            )
        if bool(self.input_dir) != bool(self.target_dir):
            raise InputError("input_dir and target_dir go together; give both or neither")
        self._check_task()
        self._check_encodings()

    def _check_task(self) -> None:
        """Raises InputError where something does not go with the task, and puts in the task's own defaults."""
        for name, defaults in TASK_SETTINGS.items():
            if self.task in defaults and getattr(self, name) is None:
                object.__setattr__(self, name, defaults[self.task])  # so that a run's config says what it was
            if self.task not in defaults and getattr(self, name) is not None:
                what = f"task={self.task}" if self.task else "no task"
                raise InputError(f"{name} goes with task={' or '.join(defaults)}, not with {what}; leave it out")
        for what in ("depth", "range"):  # of the inputs, which are made of the photos
            own, photos = getattr(self, f"input_{what}"), getattr(self, f"output_{what}")
            if self.task and own not in (None, photos):
                raise InputError(
                    f"input_{what} goes with pairs, not with task={self.task}, whose inputs are as its photos: give "
                    f"output_{what}"
                )
            if self.task:
                object.__setattr__(self, f"input_{what}", photos)
        if self.task_scale not in (None, 2, 4, 8):
            raise InputError(f"task_scale={self.task_scale} is none of 2, 4 and 8")
        if (self.task_share or 0) > 0.9:
            raise InputError(f"task_share={self.task_share} is too large; the most is 0.9")
        if self.task and self.input_dir:
            raise InputError(
                f"task={self.task} makes the inputs itself, so that input_dir and target_dir are of no use; give the "
                "folder of photos as dataset"
            )
        if self.task and self.output_channels == 4:
            raise InputError(f"task={self.task} is for gray and RGB photos, not for output_channels=4")

    def _check_encodings(self) -> None:
        """Raises InputError where palettes, colour space or masks do not go with the rest."""
        if self.palette and not self.palette_sides:
            raise InputError("palette is of no use without input_encoding=onehot or target_encoding=classes")
        if self.palette_sides and (self.task or self.color_space == "lab"):
            other = f"task={self.task}" if self.task else "color_space=lab"
            raise InputError(f"{other} is for photos; leave it out, or input_encoding and target_encoding")
        for side, method in zip(("input", "target"), self.resize_methods, strict=True):
            if side in self.palette_sides and method not in ("nearest", "bicubic"):  # bicubic: nothing was said
                raise InputError(
                    f"resize_a={self.resize_a}, resize_b={self.resize_b}: {method} mixes the colours of the {side}'s "
                    "palette; leave it out: palettes are resized with nearest"
                )
            name = "input" if side == "input" else "output"
            depth, range = getattr(self, f"{name}_depth"), getattr(self, f"{name}_range")
            if side in self.palette_sides and depth not in (None, "uint8"):
                raise InputError(f"{name}_depth={depth}: label maps with a palette have 8 bits a channel; leave it out")
            if side in self.palette_sides and range:
                raise InputError(
                    f"{name}_range={format_value(range)}: the colours of a palette have their own levels; leave it out"
                )
        if self.color_space == "lab" and self.output_channels not in (None, 3):
            raise InputError(f"output_channels={self.output_channels}: color_space=lab gives colours, which are 3")
        if self.color_space == "lab" and self.task not in (None, "colorize"):
            raise InputError(f"color_space=lab keeps the input's lightness, which task={self.task} is to change")
        if self.mask_dir and self.task:
            raise InputError(f"mask_dir is for folders of pairs, not for task={self.task}")
        if self.mask_dir and not self.l1_weight:
            raise InputError("mask_dir is of no use with l1_weight=0")

    @property
    def jitter_size(self) -> Size:
        """What training pictures are resized to, or at least are where fit is none: load_size, or the paper's 286 for a
        crop of 256 in proportion."""
        if not self.jitter or self.fit == "none":
            return self.crop_size
        return self.load_size or tuple(round(side * 286 / 256) for side in self.crop_size)

    @property
    def resize_methods(self) -> tuple[str, str]:
        """How inputs and targets are resized; with a task both as targets, which the inputs are made from."""
        methods = (self.resize_a, self.resize_b)[:: 1 if self.direction == "AtoB" else -1]
        return (methods[1], methods[1]) if self.task else methods

    @property
    def palette_sides(self) -> tuple[str, ...]:
        """The sides, "input" and "target", whose pictures have the colours of a palette and no others."""
        sides = (("input", self.input_encoding == "onehot"), ("target", self.target_encoding == "classes"))
        return tuple(side for side, has_palette in sides if has_palette)

    @property
    def task_settings(self) -> dict[str, Any]:
        """What the task needs to know, for tasks.input_maker: {"sigma": 25.0}."""
        settings = {name: getattr(self, name) for name in TASK_SETTINGS}
        return {name.removeprefix("task_"): value for name, value in settings.items() if value is not None}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """The config that `to_json` wrote; what is missing is as it was before there was such a field.

        Raises:
          InputError: the text is no JSON object, or has a key that is no field.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("no JSON object")
        except ValueError as error:
            raise InputError(f"it is not a config written by tf_pix2pix: {error}") from None
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise InputError(f"unknown config key {', '.join(unknown)}; written by another version of tf_pix2pix?")
        values = {"input_depth": "uint8", "output_depth": "uint8"} | values  # once, there was no other
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def kind(field: dataclasses.Field) -> Any:
    """A field's type, without the "or None": int, float, bool, str, Size or Range."""
    parts = [part for part in get_args(field.type) if part is not type(None)]
    return parts[0] if type(None) in get_args(field.type) else field.type


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


def format_value(value: Any) -> str:
    """A field's value as a flag takes it: sizes as HEIGHTxWIDTH, ranges as LOW,HIGH."""
    if isinstance(value, tuple):
        return ("," if isinstance(value[0], float) else "x").join(map(str, value))
    return str(value)


def choices(field: dataclasses.Field) -> tuple[str, ...] | None:
    """The values that a field allows, None: any.

    Where they are the keys of a table they are read from its source: importing it would load TensorFlow, which takes
    seconds that neither `--help` nor a misspelt name should cost.
    """
    where = field.metadata["choices"]
    if not isinstance(where, str):
        return where
    return table_keys(where)


def table_keys(where: str) -> tuple[str, ...]:
    """The keys of a plain dict of the package, "module.TABLE", without importing the module."""
    module, table = where.rsplit(".", 1)
    path = Path(__file__).parent / module.replace(".", "/")
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == table:
            return tuple(ast.literal_eval(key) for key in node.value.keys)
    raise LookupError(f"{source} has no dict {table}")


# What is to be restored is not to be invented: no adversary, no noise. Figures: benchmarks/tasks.py.
_RESTORING = dict(dropout=0.0, gan_weight=0.0, learning_rate=1e-3, schedule="linear")

# One row per published model (paper, appendix 6.2). The files' left side is A.
PRESETS: dict[str, dict[str, Any]] = {
    "facades": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "cityscapes": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "maps": dict(direction="AtoB", epochs=200, batch_size=1),
    "edges2shoes": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    "edges2handbags": dict(direction="AtoB", epochs=15, batch_size=4, jitter=False, flip=False),
    # The direction is ours: no source at hand says which side of the published files is the day.
    "night2day": dict(direction="AtoB", epochs=17, batch_size=4),
    # Pairs of one's own: label maps to photos, low to high resolution, one style to another. The average of the weights
    # is better in every figure on real label maps (README); anatomy has a left and a right.
    "labels": dict(resize_a="nearest", ema_decay=0.999),
    "medical": dict(fit="cover", flip=False, **_RESTORING),
    "style": dict(ema_decay=0.999),
    # Tasks from plain photos. In Lab a net has the colours alone to learn.
    "colorize": dict(task="colorize", color_space="lab", ema_decay=0.999),
    **{task: dict(task=task, ema_decay=0.999) for task in ("edges", "soft_edges", "sketch")},
    **{task: dict(task=task, **_RESTORING) for task in ("super_resolution", "denoise", "inpaint", "deblur")},
    # Not published models: the built-in set, and something to look at after minutes on a plain CPU.
    "synthetic_facades": dict(direction="BtoA", resize_b="nearest", epochs=200, batch_size=1),
    "demo": dict(
        direction="BtoA",
        resize_b="nearest",
        crop_size=(128, 128),
        filters=32,
        steps=2500,
        schedule="linear",
        sample_every=500,
        eval_every=500,
        checkpoint_every=500,
    ),
}
