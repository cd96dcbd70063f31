"""Sources: the images of an evaluation, and the model that generates some of them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.evaluation.selection import select_images
from tf_pix2pix.files import locked
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.translation import Translator


@dataclass(frozen=True)
class Source:
    """The images of an evaluation.

    Attributes:
      names: short, different names of the images.
      read: index -> (input, target), [h, w, c] of their sides; the input is None for two folders. Any number of threads
        may call it. Raises InputError, which names the file.
      generate: (index, input) -> the generated image, [h, w, c] of the target side.
      target: the side of the targets and the generated images.
      facts: the entry "source" of metrics.json.
      identity: the model and its settings; stored generated images with another identity are replaced. None: they are
        always replaced.
      max_bad: unusable images to skip.
      warnings: one line each.
      run: None for an artifact alone and for two folders.
      settings: the config and the sides of the model; None for two folders.
      train: loads the pairs of the training split; None for two folders.
    """

    names: Sequence[str]
    read: Callable[[int], tuple[np.ndarray | None, np.ndarray]]
    generate: Callable[[int, np.ndarray | None], np.ndarray]
    target: Side
    facts: dict[str, Any]
    identity: dict[str, Any] | None = None
    max_bad: int = 0
    warnings: list[str] = field(default_factory=list)
    run: Run | None = None
    settings: tuple[TrainConfig, Sides] | None = None
    train: Callable[[], Pairs] | None = None


def open_model(run: Run | None, *, model: str | os.PathLike | None, checkpoint: str, **choice: Any) -> Source:
    """A run, or another model with or without a run, and a split of a data set; `choice` as in select_images."""
    warnings: list[str] = []
    if model is not None:
        translator, facts, identity = _load_artifact(model)
    elif run is not None:
        translator, facts, identity, warnings = _load_run(run, checkpoint)
    else:
        raise InputError("no run given; name a run directory, or pass --model=FILE, or --generated and --targets")
    config, sides = (run.config, run.sides) if run else (translator.config, translator.sides)
    if config is None or sides is None:
        raise InputError(f"--model={model}: its settings are unknown; name the run that it was exported from too")
    if run and translator.sides not in (None, sides):
        raise InputError(f"--model={model}: its images are of another kind than those of {run.directory}")
    selection = select_images(config, sides, **choice)

    def generate(index, input_image):
        generated = translator.translate(input_image)
        channels = sides.target.channels
        if generated.shape[2] != channels or generated.dtype.name != sides.target.depth:
            found = f"{generated.dtype} with {generated.shape[2]} channels"
            raise RunError(f"the model's images are {found}, the targets {sides.target.depth} with {channels}")
        return generated

    return Source(
        names=selection.names,
        read=selection.read,
        generate=generate,
        target=sides.target,
        facts={"run": str(run.directory) if run else None, **facts, **selection.facts},
        identity=identity,
        max_bad=config.max_bad_images,
        warnings=warnings,
        run=run,
        settings=(selection.config, sides),
        train=selection.train,
    )


def _load_run(run: Run, checkpoint: str) -> tuple[Translator, dict[str, Any], dict[str, Any], list[str]]:
    """The translator of a run, its facts, its identity, and warnings."""
    path, step = run.find_checkpoint(checkpoint)
    identity = {"checkpoint": f"{path.parent.parent.resolve()}/{path.name}", "files": _stamps(path)}
    warnings = []
    if _is_training(run):
        warnings.append(f"{run.directory}: still training; evaluated the {checkpoint} checkpoint so far, step {step}")
    facts = {"checkpoint": str(checkpoint), "step": step, "model": None}
    return Translator.from_run(run.directory, f"{checkpoint}"), facts, identity, warnings


def _load_artifact(model: str | os.PathLike) -> tuple[Translator, dict[str, Any], dict[str, Any] | None]:
    """The translator of an artifact, its facts and its identity; a server has none."""
    translator = Translator.load(model)
    is_url = os.fspath(model).startswith(("http://", "https://"))
    identity = None if is_url else {"model": str(Path(model).resolve()), "files": _stamps(Path(model))}
    return translator, {"checkpoint": None, "step": None, "model": str(model)}, identity


def _stamps(path: Path) -> list[Any]:
    """The name, size and time of each file of a model: they change whenever the model is written again."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _is_training(run: Run) -> bool:
    try:
        with locked(run.directory, "trains in"):
            return False
    except InputError:
        return True
