"""Model: a network to translate with and its settings, from a run directory or an exported file."""

import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_pix2pix import inference
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError
from tf_pix2pix.run import Run
from tf_pix2pix.runtimes import Runtime
from tf_pix2pix.sides import Sides

SERVER_MULTIPLE = 256  # the largest multiple that any U-Net of the paper requires


@dataclass(frozen=True)
class Model:
    """A network to translate with.

    Attributes:
      generate: float32 [1, h, w, c] in [-1, 1] -> [1, h, w, c'], float32 in [-1, 1], or a server's uint8 or uint16.
      config, sides: of its run; None: unknown (a server).
      max_pixels: the most pixels of an image that is not tiled; None: no limit is known.
      multiple: the height and width of padded images are multiples of it.
      fixed_size: the only (height, width) that the network accepts; None: any.
      make_noisy: returns the function (image, noise_seed, number of the sample) -> generated; None: not available.
    """

    generate: Callable[[np.ndarray], np.ndarray]
    config: TrainConfig | None = None
    sides: Sides | None = None
    max_pixels: int | None = None
    multiple: int = SERVER_MULTIPLE
    fixed_size: tuple[int, int] | None = None
    make_noisy: Callable[[], Callable] | None = None

    def settings(self, option: str) -> tuple[TrainConfig, Sides]:
        """The config and the sides. Raises InputError, which names the option that requires them, if unknown."""
        if self.config is None or self.sides is None:
            raise InputError(f"{option}: requires the training settings, which servers do not report; use the run")
        return self.config, self.sides


def from_run(run_dir: str | os.PathLike, checkpoint: str) -> Model:
    """The generator of a run. Raises InputError if the checkpoint is missing."""
    run = Run.open(run_dir)
    generator = run.generator(checkpoint)
    translate = inference.make_translate(generator)
    lock = threading.Lock()  # drawing noise changes the state of the dropout layers

    @functools.cache
    def make_noisy():
        try:
            noisy = inference.make_noisy_translate(generator)
        except ValueError as error:
            raise InputError(f"{run_dir}: {error}") from None

        def generate(image, noise_seed, number):
            with lock:
                return noisy(image, np.array([noise_seed, number], np.int32)).numpy()

        return generate

    return Model(
        lambda image: translate(image).numpy(),
        config=run.config,
        sides=run.sides,
        max_pixels=inference.max_pixels(generator),
        multiple=inference.size_multiple(generator),
        make_noisy=make_noisy,
    )


def from_runtime(runtime: Runtime) -> Model:
    """A loaded export. Raises InputError if this release cannot read its model card."""
    if runtime.card is None:
        return Model(runtime.generate, fixed_size=runtime.fixed_size)
    config, sides = read_settings(runtime.card, runtime.source)
    return Model(
        runtime.generate,
        config=config,
        sides=sides,
        max_pixels=int(runtime.card["max_pixels"]),
        multiple=int(runtime.card["size_multiple"]),
        fixed_size=runtime.fixed_size,
    )


def read_settings(card: dict, source: str | os.PathLike) -> tuple[TrainConfig, Sides]:
    """The config and the sides in a model card. Raises InputError if this release cannot read the card."""
    try:
        config, sides = TrainConfig.from_json(card["config"]), Sides.from_json(card["sides"])
        if int(card["max_pixels"]) < 1 or int(card["size_multiple"]) < 1:
            raise ValueError("max_pixels and size_multiple must be at least 1")
    except (KeyError, TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"{source}: this release cannot read its model card ({error}); export it again") from None
    return config, sides
