"""Translator: any picture, of any size, through a run, an exported file or a server."""

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, inference, model_card, runs, runtimes, tasks
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError
from tf_pix2pix.formats import formats_of
from tf_pix2pix.palettes import Palette, count_strange
from tf_pix2pix.translation.passage import UNKNOWN_MULTIPLE, Passage
from tf_pix2pix.translation.pictures import checked

RESIZE = ("native", "train")


class Translator:
    """Translates pictures: [h, w, c] in, [h, w, c'] of the same height and width out, as deep as the run's targets.

    A picture goes through the network as a whole, mirrored at its borders to the next size that fits, or, where it has
    more than max_pixels, in overlapping tiles (tiling.py). Made by `from_run`, `from_saved_model`, `from_tflite`,
    `from_onnx` and `from_server`, or by `load`, which tells them apart.

    Attributes:
      config: the TrainConfig of the run that the model is from; None where a model does not say (a server).
      formats: what the model takes and gives, two images.Format.
      max_pixels: of a picture that goes through as a whole; None: as many as a server takes.
    """

    def __init__(
        self,
        generate: Callable[[np.ndarray], np.ndarray],  # float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c']
        *,
        config: TrainConfig | None = None,
        max_pixels: int | None = None,  # of a picture that goes through as a whole
        multiple: int = UNKNOWN_MULTIPLE,  # what sides are padded to multiples of
        fixed_size: tuple[int, int] | None = None,  # the only (height, width) that generate takes
        make_noisy: Callable[[], Callable] | None = None,  # -> (image, noise_seed, number of the variant) -> generated
        input_palette: Palette | None = None,
    ):
        if max_pixels is not None and max_pixels < 1:
            raise InputError(f"max_pixels={max_pixels} is too small; the least is 1")
        self.config, self.max_pixels = config, max_pixels
        self.formats = formats_of(config) if config else (images.EIGHT_BITS, images.EIGHT_BITS)
        self._generate, self._make_noisy, self._input_palette = generate, make_noisy, input_palette
        self._passage = Passage(
            formats=self.formats,
            max_pixels=max_pixels,
            multiple=multiple,
            fixed_size=fixed_size,
            blended=config is None or config.target_encoding == "colors",
        )
        self._make_input = config and tasks.input_maker(config.task, self.formats[0], **config.task_settings)

    @classmethod
    def from_run(
        cls, run_dir: str | os.PathLike, checkpoint: str = "best", max_pixels: int | None = None
    ) -> "Translator":
        """From a run directory. checkpoint: "best", "latest" or a step, as for `restore_generator`."""
        generator = runs.restore_generator(run_dir, checkpoint)
        translate = inference.make_translate(generator)

        @functools.cache
        def make_noisy():
            try:
                noisy = inference.make_noisy_translate(generator)
            except ValueError as error:
                raise InputError(f"{run_dir}: {error}") from None
            return lambda image, noise_seed, number: noisy(image, np.array([noise_seed, number], np.int32)).numpy()

        config = runs.read_config(run_dir)
        return cls(
            lambda image: translate(image).numpy(),
            config=config,
            max_pixels=inference.max_pixels(generator) if max_pixels is None else max_pixels,
            multiple=inference.size_multiple(generator),
            make_noisy=make_noisy,
            input_palette=runs.read_palettes(run_dir, config).get("input"),
        )

    @classmethod
    def from_saved_model(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From an exported SavedModel: its folder, or the one with its numbered versions, of which it is the latest."""
        return cls._from_artifact(runtimes.load_saved_model(Path(path)), max_pixels)

    @classmethod
    def from_tflite(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From a TFLite file. One of a fixed size takes larger pictures in tiles, smaller ones mirrored to it."""
        return cls._from_artifact(runtimes.load_tflite(Path(path)), max_pixels)

    @classmethod
    def from_onnx(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From an ONNX file."""
        return cls._from_artifact(runtimes.load_onnx(Path(path)), max_pixels)

    @classmethod
    def from_server(cls, url: str, max_pixels: int | None = None) -> "Translator":
        """From TensorFlow Serving's REST address, http://HOST:8501/v1/models/NAME.

        A server does not say whether it gives label maps: those that it refuses as too large are blended where tiles
        meet, and have other colours than the palette's there.
        """
        return cls._from_artifact(runtimes.connect(url.rstrip("/")), max_pixels)

    @classmethod
    def load(cls, model: str | os.PathLike, checkpoint: str = "best", max_pixels: int | None = None) -> "Translator":
        """From whatever `model` is: an address, a .tflite or .onnx file, a run directory or a SavedModel's folder.

        Args:
          checkpoint: of a run.

        Raises:
          InputError: it is none of these, or cannot be loaded.
        """
        model, path = os.fspath(model), Path(model)
        if model.startswith(("http://", "https://")):
            return cls.from_server(model, max_pixels)
        if not path.exists():
            raise InputError(
                f"{model} does not exist; a model is a run, a SavedModel, a .tflite or .onnx file, or a URL"
            )
        if path.suffix.lower() == ".tflite":
            return cls.from_tflite(path, max_pixels)
        if path.suffix.lower() == ".onnx":
            return cls.from_onnx(path, max_pixels)
        if (path / "config.json").exists():
            return cls.from_run(path, checkpoint, max_pixels)
        return cls.from_saved_model(path, max_pixels)

    @staticmethod
    def config_of(model: str | os.PathLike) -> TrainConfig | None:
        """The config of the run that a model is from, without loading more of it; None where it does not say.

        Raises:
          InputError: as `load`, of what is found to be wrong so far.
        """
        path = Path(model)
        if os.fspath(model).startswith(("http://", "https://")) or not path.exists():
            return None
        if (path / "config.json").exists():
            return runs.read_config(path)
        is_file = path.suffix.lower() in (".tflite", ".onnx")
        card = model_card.read_card(path if is_file else runtimes.latest_version(path))
        return None if card is None else _read(card, path)[0]

    @classmethod
    def _from_artifact(cls, runtime: runtimes.Runtime, max_pixels: int | None) -> "Translator":
        if runtime.card is None:
            return cls(runtime.generate, max_pixels=max_pixels, fixed_size=runtime.fixed_size)
        if max_pixels is not None and runtime.fixed_size:
            raise InputError(f"max_pixels={max_pixels}: {runtime.source} takes pictures of one size only")
        config, input_palette = _read(runtime.card, runtime.source)
        return cls(
            runtime.generate,
            config=config,
            max_pixels=int(runtime.card["max_pixels"]) if max_pixels is None else max_pixels,
            multiple=int(runtime.card["size_multiple"]),
            fixed_size=runtime.fixed_size,
            input_palette=input_palette,
        )

    def strange_pixels(self, picture: np.ndarray) -> int:
        """How many pixels of a picture that the model takes have none of the colours of its palette of inputs, and are
        taken for the nearest; 0 where it has no such palette, or does not say."""
        if self._input_palette is None:
            return 0
        return count_strange(checked(picture, self.config, self.formats[0], task=False), self._input_palette.colors)

    def translate(
        self,
        image: np.ndarray | Sequence[np.ndarray],
        *,
        resize: str = "native",
        samples: int | None = None,
        noise_seed: int = 0,
        task: bool = False,
        enlarge: bool = False,
    ):
        """Translates one picture, uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4, or a list of them, of any sizes.

        Gray, RGB and RGBA, and 8 bits and 16, become what the model takes where nothing is lost (images.with_channels,
        images.with_depth). Floats are values of the run's range, not of [-1, 1]. A model for inpaint fills
        what is not opaque, and keeps the rest as it is.

        Args:
          resize: "native": in its own size; "train": resized to the size trained on, as the training pictures were, and
            the result back.
          samples: so many variants, with dropout as noise (paper, section 3.2); None: one, without noise.
          noise_seed: the same seed and picture give the same variants.
          task: the picture is a plain photo: its input is made as in training, by the run's task and settings.
          enlarge: super_resolution: the picture is a small one, to be made task_scale times as large.

        Returns:
          [h, w, c'] of the picture's own size, of the depth and the range of the run's targets, or a list of them; with
          `samples` a list of so many for each. With `enlarge` height and width are task_scale times the picture's.

        Raises:
          InputError: a picture cannot be used, or the model cannot do what is asked; the message says why.
          RunError: the model failed in a picture (memory), or its server did.
        """
        options = dict(resize=resize, samples=samples, noise_seed=noise_seed, task=task, enlarge=enlarge)
        self.check(**options)
        if isinstance(image, (list, tuple)):
            return [self.translate(one, **options) for one in image]
        picture = checked(image, self.config, self.formats[0], task)
        size = picture.shape[:2]
        if enlarge:
            size = tuple(self.config.task_scale * side for side in size)
            larger = tasks.enlarge(images.to_float(picture, self.formats[0].range), size)
            picture = images.from_float(larger, self.formats[0]).numpy()
        elif resize == "train":
            picture = images.resize(picture, self.config.crop_size, self.config.resize_methods[0])
        if task:
            picture = self._make_input(tf.constant(picture)).numpy()
        if samples is None:
            return self._translated(picture, size, self._generate)
        noisy = self._make_noisy()
        variants = [lambda tile, number=number: noisy(tile, noise_seed, number) for number in range(samples)]
        return [self._translated(picture, size, variant) for variant in variants]

    def check(
        self,
        *,
        resize: str = "native",
        samples: int | None = None,
        noise_seed: int = 0,
        task: bool = False,
        enlarge: bool = False,
    ) -> None:
        """Raises InputError where the model cannot do what `translate` is asked for, whatever the picture."""
        if resize not in RESIZE:
            raise InputError(f"resize={resize} is unknown; choose one of {', '.join(RESIZE)}")
        if resize == "train" and self.config is None:
            raise InputError(
                "resize=train needs the size trained on, which this model does not say; a server never does"
            )
        if task or enlarge:
            name = "task" if task else "enlarge"
            if self.config is None:
                raise InputError(
                    f"{name} needs the task trained on, which this model does not say; a server never does"
                )
            if self.config.task is None or enlarge and self.config.task != "super_resolution":
                trained = f"on task={self.config.task}" if self.config.task else "on pairs, not on a task"
                raise InputError(f"{name} is of no use here: the model was trained {trained}")
        if enlarge and (task or resize == "train"):
            raise InputError(f"enlarge does not go with {'task' if task else 'resize=train'}; leave out one")
        if samples is not None:
            if not isinstance(samples, int) or samples < 1:
                raise InputError(f"samples={samples} is no whole number from 1 on")
            if not isinstance(noise_seed, int) or not -(2**31) <= noise_seed < 2**31:
                raise InputError(f"noise_seed={noise_seed} is no 32-bit whole number")
            if self._make_noisy is None:
                raise InputError("samples are drawn with the generator's dropout, which only a run directory has")
            self._make_noisy()

    def _translated(self, picture: np.ndarray, size: tuple[int, int], generate: Callable) -> np.ndarray:
        """The picture through `generate`, resized to `size` after where it has another."""
        translated = self._passage.translate(picture, generate)
        return (
            translated if size == picture.shape[:2] else images.resize(translated, size, self.config.resize_methods[1])
        )


def _read(card: dict[str, Any], source: str | os.PathLike) -> tuple[TrainConfig, Palette | None]:
    """The config in a model card, and the palette of inputs. Raises InputError where the card is not one of ours."""
    try:
        config = TrainConfig.from_json(json.dumps(card["config"]))
        if int(card["max_pixels"]) < 1 or int(card["size_multiple"]) < 1:
            raise ValueError("a number is too small")
        if None in (config.input_channels, config.output_channels):
            raise ValueError("a number is missing")
        formats_of(config)
        palette = Palette.from_json(card["palettes"]["input"]) if "input" in config.palette_sides else None
    except (KeyError, TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"the model card in {source} is not one that this version writes: {error}") from None
    return config, palette
