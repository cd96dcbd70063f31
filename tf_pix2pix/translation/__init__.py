"""Translator: any image, of any size, through a run, an exported file or a server."""

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, model_card, runtimes, scales, seams, tasks
from tf_pix2pix.errors import InputError
from tf_pix2pix.run import CONFIG, Run
from tf_pix2pix.sides import Sides
from tf_pix2pix.translation.inputs import accept
from tf_pix2pix.translation.models import Model, from_run, from_runtime, read_settings
from tf_pix2pix.translation.request import Request
from tf_pix2pix.translation.size_policy import SizePolicy


class Translator:
    """Translates images: [h, w, c] -> [h, w, c'] of the same height and width, with the targets' depth.

    The network translates an image whole, mirrored at its borders to the next size that fits, or, above max_pixels, in
    overlapping tiles (tiling.py). Create a translator with `load`, or with the `from_` method for its kind of model.
    Several threads may use it at once.

    Attributes:
      config: of the model's run; None: unknown (a server).
      sides: of the model's inputs and generated images; None: unknown (a server).
      max_pixels: the most pixels of an image that is not tiled; None: as many as the server accepts.
    """

    def __init__(self, model: Model, max_pixels: int | None = None):
        if max_pixels is not None and max_pixels < 1:
            raise InputError(f"max_pixels={max_pixels}: must be at least 1")
        self._model, self.config, self.sides = model, model.config, model.sides
        self.max_pixels = model.max_pixels if max_pixels is None else max_pixels
        self._policy = SizePolicy(
            sides=model.sides,
            max_pixels=self.max_pixels,
            multiple=model.multiple,
            fixed_size=model.fixed_size,
            blended=model.sides is None or model.sides.target.palette is None,
        )
        self._make_input: Callable | None = None
        if model.config and model.sides:
            config = model.config
            self._make_input = tasks.input_maker(config.task, model.sides.target, **config.task_settings)

    @classmethod
    def from_run(
        cls, run_dir: str | os.PathLike, checkpoint: str = "best", max_pixels: int | None = None
    ) -> "Translator":
        """From a run directory. checkpoint: "best", "latest" or a step."""
        return cls(from_run(run_dir, checkpoint), max_pixels)

    @classmethod
    def from_saved_model(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From an exported SavedModel: its folder, or a folder of numbered versions, for the latest version."""
        return cls(from_runtime(runtimes.load_saved_model(Path(path))), max_pixels)

    @classmethod
    def from_tflite(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From a TFLite file. A file of fixed size translates larger images in tiles and mirrors smaller ones."""
        model = from_runtime(runtimes.load_tflite(Path(path)))
        if max_pixels is not None and model.fixed_size:
            raise InputError(f"max_pixels={max_pixels}: {path} accepts images of one size only; leave it out")
        return cls(model, max_pixels)

    @classmethod
    def from_onnx(cls, path: str | os.PathLike, max_pixels: int | None = None) -> "Translator":
        """From an ONNX file."""
        return cls(from_runtime(runtimes.load_onnx(Path(path))), max_pixels)

    @classmethod
    def from_server(cls, url: str, max_pixels: int | None = None) -> "Translator":
        """From TensorFlow Serving's REST address, http://HOST:8501/v1/models/NAME.

        Servers do not report palettes. If one refuses a label map as too large, its tiles are blended, with colors
        outside the palette where they overlap.
        """
        return cls(from_runtime(runtimes.connect(url.rstrip("/"))), max_pixels)

    @classmethod
    def load(cls, model: str | os.PathLike, checkpoint: str = "best", max_pixels: int | None = None) -> "Translator":
        """From a URL, a .tflite or .onnx file, a run directory, or the folder of a SavedModel.

        Args:
          checkpoint: of a run.

        Raises:
          InputError: the model is of another kind, or cannot be loaded.
        """
        model, path = os.fspath(model), Path(model)
        if model.startswith(("http://", "https://")):
            return cls.from_server(model, max_pixels)
        if not path.exists():
            raise InputError(f"{model}: not found; pass a run, a SavedModel, a .tflite or .onnx file, or a URL")
        if path.suffix.lower() == ".tflite":
            return cls.from_tflite(path, max_pixels)
        if path.suffix.lower() == ".onnx":
            return cls.from_onnx(path, max_pixels)
        if (path / CONFIG).exists():
            return cls.from_run(path, checkpoint, max_pixels)
        return cls.from_saved_model(path, max_pixels)

    @staticmethod
    def sides_of(model: str | os.PathLike) -> Sides | None:
        """The sides of a model, read without loading it; None if unknown. Raises InputError for damaged files."""
        path = Path(model)
        if os.fspath(model).startswith(("http://", "https://")) or not path.exists():
            return None
        if (path / CONFIG).exists():
            return Run.open(path).sides
        is_file = path.suffix.lower() in (".tflite", ".onnx")
        card = model_card.read_card(path if is_file else runtimes.latest_version(path))
        return None if card is None else read_settings(card, path)[1]

    def count_unknown_colors(self, image: np.ndarray) -> int:
        """The pixels of an image whose color the model's input palette lacks; 0 if the model has no palette."""
        if self.sides is None or self.sides.input.palette is None:
            return 0
        plain = dataclasses.replace(self.sides.input, palette=None)
        image = accept(image, self.config, self.sides._replace(input=plain), make_inputs=False)
        return self.sides.input.palette.count_unknown(image)

    def relative_scale(self, size: tuple[int, int]) -> float | None:
        """The scale at which an image of (height, width) is seen with resize="native", relative to training.

        4.0: details are four times as large as in training. 1.0: as in training, or unclear (scales.relative_scale).
        None: unknown (a server, or a model of an older release).
        """
        files = self.sides and self.sides.input.image_size
        if not files or not self.config:
            return None
        return scales.relative_scale(size, files, [self.config.jitter_size, self.config.crop_size], self.config.fit)

    def looks_like_pair(self, image: np.ndarray) -> bool:
        """Whether [h, w, c] looks like a side-by-side pair: about twice as wide as the training images, with a seam."""
        if self.config is None or self.sides is None:
            return False
        height, width = self.sides.input.image_size or self.config.crop_size
        relative_width = (image.shape[1] / image.shape[0]) / (width / height)
        return round(math.log2(relative_width)) == 1 and seams.middle_seam_ratio(image) > seams.JOINED

    def translate(
        self,
        image: np.ndarray | Sequence[np.ndarray],
        *,
        resize: str = "native",
        samples: int | None = None,
        noise_seed: int = 0,
        make_inputs: bool = False,
        enlarge: bool = False,
    ):
        """Translates one image, uint8, uint16 or float32 [h, w, c], c = 1, 3 or 4, or a list of images, of any sizes.

        Gray, RGB and RGBA, and 8 and 16 bits, are converted to the model's input side if nothing is lost
        (Side.convert). Floats are in the run's value range, not in [-1, 1]. An inpainting model fills the pixels that
        are not opaque and keeps all others.

        Args:
          resize: "native": translate at the image's own size; "train": resize the image to the size trained on, as
            training images were, and the result back.
          samples: the number of variants to draw, with dropout as noise (paper, section 3.2). None: one, without noise.
          noise_seed: the same seed and image produce the same variants.
          make_inputs: the image is a plain photo; make its input as in training, by the run's task.
          enlarge: super_resolution only: enlarge a small image task_scale times.

        Returns:
          [h, w, c'] of the image's own size, with the depth and the range of the run's targets; for a list of images, a
          list; with `samples`, a list of variants for each. With `enlarge` the size is task_scale times the image's.

        Raises:
          InputError: the image cannot be used, or the model does not support the options.
          RunError: the model or its server failed (memory).
        """
        request = Request(resize, samples, noise_seed, make_inputs, enlarge)
        request.check(self._model)
        if isinstance(image, list | tuple):
            return [self._translate(one, request) for one in image]
        return self._translate(image, request)

    def check(self, **options) -> None:
        """Raises InputError if the model does not support these options of `translate`."""
        Request(**options).check(self._model)

    def _translate(self, image, request: Request):
        image = accept(image, self.config, self.sides, request.make_inputs)
        size = image.shape[:2]
        if request.enlarge:
            config, sides = self._model.settings("enlarge")
            size = tuple(config.task_scale * side for side in size)
            image = sides.input.from_float(tasks.enlarge(sides.input.to_float(image), size)).numpy()
        elif request.resize == "train":
            config, sides = self._model.settings("resize=train")
            image = images.resize(image, config.crop_size, sides.input.resize)
        if request.make_inputs and self._make_input:
            image = self._make_input(tf.constant(image)).numpy()
        if request.samples is None or self._model.make_noisy is None:
            return self._generate(image, size, self._model.generate)
        noisy = self._model.make_noisy()
        return [
            self._generate(image, size, lambda tile, number=number: noisy(tile, request.noise_seed, number))
            for number in range(request.samples)
        ]

    def _generate(self, image: np.ndarray, size: tuple[int, ...], generate: Callable) -> np.ndarray:
        """The generated image, resized to `size` if that differs."""
        generated = self._policy.translate(image, generate)
        if size == image.shape[:2]:
            return generated
        return images.resize(generated, (size[0], size[1]), self._model.settings("resize")[1].target.resize)
