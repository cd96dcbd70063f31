"""Request: the options of one translation, and whether a model supports them."""

from dataclasses import dataclass

from tf_pix2pix.errors import InputError
from tf_pix2pix.translation.models import Model

RESIZE = ("native", "train")


@dataclass(frozen=True)
class Request:
    """The options of Translator.translate."""

    resize: str = "native"
    samples: int | None = None
    noise_seed: int = 0
    make_inputs: bool = False
    enlarge: bool = False

    def check(self, model: Model) -> None:
        """Raises InputError if the model does not support the options, whatever the image."""
        if self.resize not in RESIZE:
            raise InputError(f"resize={self.resize}: choose one of {', '.join(RESIZE)}")
        if self.resize == "train":
            model.settings("resize=train")
        if self.make_inputs and model.settings("make_inputs")[0].task is None:
            raise InputError("make_inputs: the model was trained on pairs, not on a task; leave it out")
        if self.enlarge and (task := model.settings("enlarge")[0].task) != "super_resolution":
            trained = f"task={task}" if task else "pairs"
            raise InputError(f"enlarge: requires task=super_resolution, but the model was trained on {trained}")
        if self.enlarge and (self.make_inputs or self.resize == "train"):
            other = "make_inputs" if self.make_inputs else "resize=train"
            raise InputError(f"enlarge: excludes {other}; leave out one of them")
        if self.samples is not None:
            self._check_samples(model)

    def _check_samples(self, model: Model) -> None:
        if not isinstance(self.samples, int) or self.samples < 1:
            raise InputError(f"samples={self.samples}: must be a whole number, at least 1")
        if not isinstance(self.noise_seed, int) or not -(2**31) <= self.noise_seed < 2**31:
            raise InputError(f"noise_seed={self.noise_seed}: must be a whole number of 32 bits")
        if model.make_noisy is None:
            raise InputError("samples: exported models have no dropout and so no noise; use the run directory")
        model.make_noisy()
