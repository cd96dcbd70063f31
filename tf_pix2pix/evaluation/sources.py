"""Sources: the images of an evaluation, from a model and a split of a data set, or from two folders."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, tasks
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets import DATASETS, folder, load_pairs, shards
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs
from tf_pix2pix.errors import InputError, RunError, format_list
from tf_pix2pix.files import locked
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.survey import survey
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
      run: None if there is no run directory.
      settings: the config and the sides of the model; None for two folders.
      train: the pairs of training, for the trivial answers; None if there are none.
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


class Selection(NamedTuple):
    """The images of a split: names, `read` as in Source, facts for metrics.json, and all splits of the data set."""

    names: list[str]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    facts: dict[str, Any]
    splits: dict[str, Pairs]


def select_images(
    config: TrainConfig,
    sides: Sides,
    *,
    split: str | None,
    dataset: str | None,
    max_images: int | None,
    **data: str | None,  # data_dir, direction, input_dir, target_dir
) -> Selection:
    """The images of a split for a model with these settings; the arguments as in `evaluate`."""
    own_dataset = dataset in (None, config.dataset)
    pairs, splits, split = _load_split(config, split, None if own_dataset else dataset, data)
    selected = pairs if max_images is None else pairs.spread(max_images)
    facts = {
        "split": split,
        "dataset": dataset or config.dataset,
        "size": list(config.crop_size),
        "direction": config.task or data.get("direction") or config.direction,
        "note": _note(split, splits, len(pairs), config, own_dataset),
    }
    return Selection(
        short_names(selected.names), _reader(selected, config, sides), facts, splits if own_dataset else {}
    )


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
        settings=(config, sides),
        train=lambda: selection.splits["train"] if selection.splits else _load_split(config, "train", None, {})[0],
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


def _load_split(
    config: TrainConfig, split: str | None, dataset: str | None, data: dict[str, str | None]
) -> tuple[Pairs, dict[str, Pairs], str]:
    """The pairs of a split, all splits, and the name of the split; `dataset` if it is not the run's own."""
    photos = config.task is not None
    own = {} if dataset else {name: getattr(config, name) for name in ("input_dir", "target_dir", "mask_dir")}
    places = own | {name: data[name] for name in ("input_dir", "target_dir") if data.get(name)}
    direction = data.get("direction") or config.direction
    if dataset and _is_undivided(dataset):
        if split:
            problem = f"--split={split}: {dataset} has no sub-folder of this name"
            raise InputError(f"{problem}; leave out --split to evaluate all its images")
        found = folder.find(dataset, photos=photos, **places)
        pairs = folder.pairs_of([*found[""].values()], photos)
        return (pairs if photos else pairs.oriented(direction)), {}, "all"
    splits = load_pairs(
        dataset or config.dataset,
        direction=direction,
        data_dir=data.get("data_dir") or config.data_dir,
        size=config.jitter_size,
        photos=photos,
        **places,
    )
    split = split or "test"
    if split not in splits:
        raise InputError(f"--split={split}: choose one of {', '.join(splits)}")
    return splits[split], splits, split


def _is_undivided(dataset: str) -> bool:
    """Whether a data set is a folder of images without the sub-folders train, val and test."""
    root = Path(dataset)
    if dataset in DATASETS or not root.is_dir() or (root / shards.INDEX).is_file():
        return False
    return not any((root / split).is_dir() for split in folder.SPLITS)


def _note(split: str, splits: dict[str, Pairs], count: int, config: TrainConfig, own_dataset: bool) -> str:
    """One line on the split: whether the model knows the images already; "" if there is nothing to say."""
    if split == "train":
        return "the training split: its images were learned, so the figures do not show how new images come out"
    if split == "test" and _same_names(splits["test"], splits["val"]):
        return "the data set has no test split; this is the validation split, on which the best checkpoint was chosen"
    if split == "val" and own_dataset and count > config.eval_pairs:
        return f"training evaluated {config.eval_pairs} of these {count} images"
    return ""


def _same_names(a: Pairs, b: Pairs) -> bool:
    return len(a) == len(b) and all(one == other for one, other in zip(a.names, b.names, strict=True))


def _reader(pairs: Pairs, config: TrainConfig, sides: Sides) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """index -> (input, target) as training's validation has them: resized, cropped at the center."""
    examples = prepare_examples(pairs, sides, size=config.crop_size, fit=config.fit, cache_bytes=0)
    make_input = tasks.input_maker(config.task, sides.target, **config.task_settings)

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        example = dict(zip(examples.parts, examples.read(index), strict=True))
        target_image = _center_crop(example[TARGET], config.crop_size)
        if make_input:
            return make_input(tf.constant(target_image)).numpy(), target_image
        return _center_crop(example[INPUT], config.crop_size), target_image

    return read


def _center_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[h, w, c] -> [*size, c], as input_pipeline.validation_batches crops."""
    top, left = (int((own - wanted + 1) * 0.5) for own, wanted in zip(image.shape[:2], size, strict=True))
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


def open_folders(generated: str | os.PathLike, targets: str | os.PathLike, *, max_images: int | None) -> Source:
    """Two folders of images that exist already, matched by file stem."""
    for flag, path in (("generated", generated), ("targets", targets)):
        if not Path(path).is_dir():
            raise InputError(f"--{flag}={path}: not a folder; pass a folder of images")
    files = folder.match(Path(generated), Path(targets))
    if not files:
        raise InputError(f"--generated={generated}: neither folder has images ({', '.join(images.EXTENSIONS)})")
    pairs = folder.pairs_of([*files.values()])
    pairs = pairs if max_images is None else pairs.spread(max_images)
    side = _side_of_folders(pairs)

    def read(index: int) -> tuple[None, np.ndarray]:
        return None, side.convert(pairs.read(index)[1])

    facts = {
        "run": None,
        "checkpoint": None,
        "step": None,
        "model": str(generated),
        "split": None,
        "dataset": str(targets),
        "size": None,
        "direction": None,
        "note": "",
    }
    return Source(
        names=short_names(pairs.names),
        read=read,
        generate=lambda index, _: side.convert(pairs.read(index)[0]),
        target=side,
        facts=facts,
    )


def _side_of_folders(pairs: Pairs) -> Side:
    """The side that the images of both folders fit, from one pass over all of them."""
    found = survey(dataclasses.replace(pairs, uniform=False), description="reading images")
    if found.bad:
        raise InputError(f"{len(found.bad)} of {len(pairs)} images cannot be used: {format_list(found.bad, '; ')}")
    facts = [found.sides[part] for part in (INPUT, TARGET)]
    depths = {depth: name for one in facts for depth, name in one.depths.items()}
    if len(depths) > 1:
        examples = format_list([f"{images.DEPTH_NAMES[depth]} in {name}" for depth, name in depths.items()])
        raise InputError(f"images differ in depth: {examples}; save all with one depth")
    depth = next(iter(depths))
    low, high = map(float, facts[1].extremes)
    if depth == "float32" and low == high:
        raise InputError(f"all targets have the single value {low:g}: there is nothing to compare")
    channels = max(channel for one in facts for channel in one.channels)
    return Side(channels, depth, (low, high) if depth == "float32" else None)


def short_names(names: Sequence[str]) -> list[str]:
    """The file stems of pairs' names if they all differ, else numbers from 0001: names for files in one folder."""
    paths = [Path(name.split(" and ")[0].split(": ")[-1]) for name in names]
    stems = [path.stem if path.suffix.lower() in images.EXTENSIONS else path.name for path in paths]
    if len({stem.casefold() for stem in stems}) == len(stems) and all(len(stem) <= 100 for stem in stems):
        return stems
    return [f"{number:04d}" for number in range(1, len(names) + 1)]
