"""TrainConfig: every hyperparameter, declared once, with its default, help text and choices."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tf_pix2pix.config.checks import check_together, saved_settings, valid_value
from tf_pix2pix.config.fields import Range, Size, choices, format_value, kind, option, table_keys, task_defaults
from tf_pix2pix.config.presets import PRESETS, TASK_SETTINGS

__all__ = ["PRESETS", "TASK_SETTINGS", "Range", "Size", "TrainConfig", "choices", "format_value", "kind", "table_keys"]

FORMAT_VERSION = 1  # of config.json, sides.json and model cards; raised when older files can no longer be read
_DEPTHS = "images.DEPTHS"
_AS_FILES = "as in the files"
_BEST_BY = ("l1", "psnr", "ssim", "gradient_correlation", "pixel_accuracy", "mean_iou")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run. Sizes are (height, width) in pixels.

    None means that the data or other fields decide. A heading starts a section of `train --help`.

    Raises:
      InputError: a value is not allowed, or two values contradict each other.
    """

    dataset: str = option("", "a folder of pairs (of photos, with --task), or the name of a data set", heading="Data")
    data_dir: str | None = option(
        None,
        "folder of the published archives; a missing archive is downloaded into it",
        auto="$TFDS_DATA_DIR or ~/tensorflow_datasets",
        may_change=True,
    )
    input_dir: str | None = option(None, "sub-folder with the images of side A", auto="the first of two by name")
    target_dir: str | None = option(None, "sub-folder with the images of side B", auto="the second of two by name")
    mask_dir: str | None = option(
        None, "sub-folder with gray masks that weight the pixels in the L1 loss or cross-entropy"
    )
    direction: str = option(
        "AtoB", "translate A to B or B to A; A is the left half or the first sub-folder", choices=("AtoB", "BtoA")
    )
    input_channels: int | None = option(None, "channels of the input images: 1, 3 or 4", auto=_AS_FILES, minimum=1)
    output_channels: int | None = option(None, "channels of the target images: 1, 3 or 4", auto=_AS_FILES, minimum=1)
    input_depth: str | None = option(
        None, "bit depth of the input images; uint16 converts 8-bit files", auto=_AS_FILES, choices=_DEPTHS
    )
    output_depth: str | None = option(
        None, "bit depth of the target images and the generated images", auto=_AS_FILES, choices=_DEPTHS
    )
    input_range: Range | None = option(
        None,
        "LOW,HIGH: the input values that become -1 and 1; values outside are clipped",
        auto="all values of 8 or 16 bits; for floats the extremes of the training images",
    )
    output_range: Range | None = option(None, "LOW,HIGH: the same for the target images", auto="likewise")
    input_encoding: str = option(
        "colors", "the networks' input: colors, or one channel for each palette color", choices=("colors", "onehot")
    )
    target_encoding: str = option(
        "colors",
        "the generator's output: colors, or a palette class for each pixel (trained by cross-entropy)",
        choices="losses.TARGET_LOSSES",
    )
    palette: str | None = option(
        None,
        "palette for onehot or classes: facades, cmp, cityscapes, or else a file: JSON, or lines of R G B name",
        auto="the published set's, or from the images",
    )
    color_space: str = option(
        "rgb", "lab: predict a and b, keep the input's lightness; --task=colorize sets lab", choices=("rgb", "lab")
    )
    task: str | None = option(
        None, "make the inputs from the targets; --dataset is a folder of photos", choices="tasks.TASKS"
    )
    task_scale: int | None = option(None, "factor of the enlargement: 2, 4 or 8", auto=task_defaults("task_scale"))
    task_sigma: float | None = option(
        None, "blur in pixels, or noise in 8-bit levels (sigma)", auto=task_defaults("task_sigma"), minimum=0.1
    )
    task_share: float | None = option(
        None, "share of the image in holes", auto=task_defaults("task_share"), minimum=0.01
    )
    max_bad_images: int = option(0, "skip up to N unreadable pairs; fail beyond that", minimum=0)
    cache_gb: float = option(2.0, "keep up to N GB of decoded images in memory", minimum=0, may_change=True)

    # Paper, appendix 6.2.
    crop_size: Size = option(
        (256, 256), "size of the training images: N or HEIGHTxWIDTH pixels", heading="Sizes and jitter", minimum=1
    )
    jitter: bool = option(True, "resize to --load_size and crop at random; --nojitter: resize to --crop_size")
    load_size: Size | None = option(
        None, "size before the random crop: N or HEIGHTxWIDTH pixels", auto="286/256 of --crop_size", minimum=1
    )
    fit: str = option(
        "stretch",
        "how to resize to --load_size: stretch, cover (keep proportions), or none (do not resize)",
        choices=("stretch", "cover", "none"),
    )
    flip: bool = option(True, "mirror half of the training pairs")
    resize_a: str = option(
        "bicubic",
        "resize method of side A; choose nearest for label maps (palettes always use it)",
        choices="images.RESIZE_METHODS",
    )
    resize_b: str = option("bicubic", "resize method of side B, likewise", choices="images.RESIZE_METHODS")

    # Paper, section 3.2 and appendix 6.1.
    generator: str = option("unet", "architecture of the generator", heading="Generator", choices="networks.GENERATORS")
    filters: int = option(64, "filters of the generator's first layer", minimum=1)
    depth: int | None = option(
        None,
        "halvings of the U-Net, or residual blocks of the ResNet",
        auto="as many as --crop_size allows, up to 8; ResNet: 6, or 9 from 256 pixels on",
        minimum=1,
    )
    skips: bool = option(True, "skip connections of the U-Net; --noskips: the paper's encoder-decoder")
    residual: bool = option(False, "the generator predicts the difference from the input to the target image")
    dropout: float = option(0.5, "dropout rate of the generator, its source of noise", minimum=0)
    norm: str = option("instance", "normalization in both networks", choices="layers.NORMS")
    upsampling: str = option(
        "transpose", "transposed convolution, or resizing before a convolution", choices="layers.UPSAMPLINGS"
    )
    initializer: str = option("normal", "initial weights of the convolutions", choices="layers.INITIALIZERS")

    # Paper, section 3.3 and appendix 6.1.2.
    discriminator_layers: int = option(
        3,
        "PatchGAN layers: 0, 1, 3 and 5 judge patches of 1, 16, 70 and 286 pixels",
        heading="Discriminator",
        minimum=0,
    )
    discriminator_filters: int | None = option(None, "filters of its first layer", auto="as --filters", minimum=1)
    conditional: bool = option(True, "the discriminator sees the input image too")

    # Paper, section 3.1.
    adversarial_loss: str = option(
        "vanilla", "adversarial loss of both networks", heading="Objective", choices="losses.ADVERSARIAL_LOSSES"
    )
    gan_weight: float = option(1.0, "weight of the adversarial loss; 0 trains without a discriminator", minimum=0)
    l1_weight: float = option(100.0, "weight of the L1 loss or cross-entropy", minimum=0)
    gradient_penalty_weight: float = option(10.0, "weight of the gradient penalty of wgan-gp", minimum=0)

    # Paper, section 3.3.
    epochs: int = option(200, "passes over the training pairs", heading="Optimization", minimum=1, may_change=True)
    steps: int | None = option(None, "training steps, instead of epochs", minimum=1, may_change=True)
    batch_size: int = option(1, "pairs in each step", minimum=1)
    learning_rate: float = option(2e-4, "learning rate of both networks (Adam)", minimum=0)
    beta_1: float = option(0.5, "Adam's beta_1", minimum=0)
    beta_2: float = option(0.999, "Adam's beta_2", minimum=0)
    schedule: str = option(
        "constant",
        "course of the learning rate: constant, or falling linearly to zero over the second half",
        choices=("constant", "linear"),
    )
    ema_decay: float = option(
        0.0,
        "decay of a moving average of the generator's weights, from which samples and exports are made; at step n at "
        "most (1 + n) / (4 + n); 0: no average",
        minimum=0,
    )
    precision: str = option(
        "float32",
        "arithmetic of the layers; weights stay float32",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: bool = option(False, "compile the training step with XLA")
    seed: int = option(0, "random seed of weights, order, jitter and dropout", minimum=0)

    sample_every: int = option(1000, "steps between sample grids", heading="Output", minimum=1, may_change=True)
    eval_every: int = option(1000, "steps between evaluations on the validation split", minimum=1, may_change=True)
    checkpoint_every: int = option(1000, "steps between checkpoints", minimum=1, may_change=True)
    log_every: int = option(20, "steps between lines of metrics.jsonl", minimum=1, may_change=True)
    keep_checkpoints: int = option(2, "latest checkpoints to keep, besides the best", minimum=1, may_change=True)
    samples: int = option(4, "validation images in each sample grid", minimum=1, may_change=True)
    eval_pairs: int = option(100, "largest number of validation pairs to evaluate", minimum=1)
    best_by: str | None = option(
        None, "validation metric of the best checkpoint", auto="l1, or mean_iou for classes", choices=_BEST_BY
    )
    early_stop: int = option(0, "stop after N evaluations without a new best; 0: never", minimum=0, may_change=True)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, valid_value(field, getattr(self, field.name)))
        for name, defaults in TASK_SETTINGS.items():  # filled in, so that a run's config records them
            if self.task in defaults and getattr(self, name) is None:
                object.__setattr__(self, name, defaults[self.task])
        check_together(self)

    @property
    def jitter_size(self) -> Size:
        """The size before the crop: load_size, or 286/256 of crop_size (the paper's); with fit=none the least size."""
        if not self.jitter or self.fit == "none":
            return self.crop_size
        height, width = (round(side * 286 / 256) for side in self.crop_size)
        return self.load_size or (height, width)

    def total_steps(self, train_pairs: int) -> int:
        """The steps of a run with this number of training pairs."""
        return self.steps or math.ceil(self.epochs * train_pairs / self.batch_size)

    @property
    def resize_methods(self) -> tuple[str, str]:
        """The resize methods of inputs and targets; with a task both have the targets' method."""
        a_to_b = self.direction == "AtoB"
        input_method, target_method = (self.resize_a, self.resize_b) if a_to_b else (self.resize_b, self.resize_a)
        return (target_method, target_method) if self.task else (input_method, target_method)

    @property
    def palette_sides(self) -> tuple[str, ...]:
        """The sides, "input" and "target", whose images are label maps with a palette."""
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
    def best_metric(self) -> str:
        """The metric of the validation split that decides which checkpoint is the best, a key of metrics.METRICS."""
        return self.best_by or ("mean_iou" if self.target_encoding == "classes" else "l1")

    @property
    def task_settings(self) -> dict[str, Any]:
        """The task's settings, as tasks.input_maker accepts them: {"sigma": 25.0}."""
        settings = {name: getattr(self, name) for name in TASK_SETTINGS}
        return {name.removeprefix("task_"): value for name, value in settings.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The fields and the format version, as in config.json."""
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> "TrainConfig":
        """The config that `to_json` wrote. A missing field, newer than the file, means the behavior without it.

        Raises:
          InputError: the value is not such a config, or has another format version.
        """
        return cls(**saved_settings(value, {field.name for field in dataclasses.fields(cls)}, FORMAT_VERSION))
