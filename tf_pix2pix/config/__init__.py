"""TrainConfig: every hyperparameter, declared once, with its default, help and choices."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tf_pix2pix.config.checks import check_together, checked
from tf_pix2pix.config.fields import Range, Size, choices, format_value, kind, table_keys
from tf_pix2pix.config.presets import PRESETS, TASK_SETTINGS
from tf_pix2pix.errors import InputError

__all__ = ["PRESETS", "TASK_SETTINGS", "Range", "Size", "TrainConfig", "choices", "format_value", "kind", "table_keys"]


def _task_help(name: str, text: str) -> str:
    return f"{text} (default: {', '.join(f'{task} {value}' for task, value in TASK_SETTINGS[name].items())})"


FORMAT_VERSION = 1  # of config.json, sides.json and the model card; raised when older files can no longer be read
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
    residual: bool = _field(
        False, "the generator gives what is to be added to the input picture, which has the target's channels"
    )
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
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
        self._fill_in()
        check_together(self)

    def _fill_in(self) -> None:
        """Sets the task's settings to their defaults, so that a run's config records them."""
        for name, defaults in TASK_SETTINGS.items():
            if self.task in defaults and getattr(self, name) is None:
                object.__setattr__(self, name, defaults[self.task])

    @property
    def jitter_size(self) -> Size:
        """What training pictures are resized to, or at least are where fit is none: load_size, or the paper's 286 for a
        crop of 256 in proportion."""
        if not self.jitter or self.fit == "none":
            return self.crop_size
        return self.load_size or tuple(round(side * 286 / 256) for side in self.crop_size)

    def total_steps(self, train_pairs: int) -> int:
        """The steps of a run over so many training pairs."""
        return self.steps or math.ceil(self.epochs * train_pairs / self.batch_size)

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
    def codec(self) -> str:
        """The codec between images and networks, a key of codecs.CODECS."""
        if self.color_space == "lab":
            return "lab"
        if self.residual:
            return "residual"
        if self.task == "inpaint":
            return "holes"
        return "palette" if self.palette_sides else "images"

    @property
    def task_settings(self) -> dict[str, Any]:
        """What the task needs to know, for tasks.input_maker: {"sigma": 25.0}."""
        settings = {name: getattr(self, name) for name in TASK_SETTINGS}
        return {name.removeprefix("task_"): value for name, value in settings.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The fields, and the version of the format."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> "TrainConfig":
        """The config that `to_json` returned. A field that it lacks means the behavior from before there was the field.

        Raises:
          InputError: the value is not such a config, or of another version.
        """
        if not isinstance(value, dict):
            raise InputError("not a config of tf_pix2pix; expected a JSON object")
        fields = dict(value)
        version = fields.pop("format_version", None)
        if version != FORMAT_VERSION:
            found = f"format version {version}" if version else "no format_version, so it predates release 0.1"
            raise InputError(f"{found}; this release reads version {FORMAT_VERSION}, so train the run again")
        if unknown := sorted(fields.keys() - {field.name for field in dataclasses.fields(cls)}):
            raise InputError(f"unknown config key {', '.join(unknown)}; use the release of tf_pix2pix that wrote it")
        return cls(**{key: tuple(field) if isinstance(field, list) else field for key, field in fields.items()})
