"""select_images: the images of a split of a data set, as training's validation has them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_pix2pix import images, tasks
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.datasets import DATASETS, folder, load_pairs, shards
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.input_pipeline import center_crop, prepare_examples
from tf_pix2pix.sides import Sides

Load = Callable[..., dict[str, Pairs]]  # load_pairs, or the same with a cache


class Selection(NamedTuple):
    """The images of a split.

    Attributes:
      names: short, different names.
      read: index -> (input, target), [h, w, c] of their sides.
      facts: entries of "source" in metrics.json.
      config: the settings of the model, with the folders and the direction given for its own data set.
      train: loads the pairs of the model's training split.
    """

    names: list[str]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    facts: dict[str, Any]
    config: TrainConfig
    train: Callable[[], Pairs]


def select_images(
    config: TrainConfig,
    sides: Sides,
    *,
    split: str | None = None,
    dataset: str | None = None,
    max_images: int | None = None,
    load: Load | None = None,
    **places: str | None,  # data_dir, direction, input_dir, target_dir
) -> Selection:
    """The images of a split for a model with these settings; the other arguments as in `evaluate`.

    load: shared by several selections, it loads each data set once.
    """
    load = load or functools.cache(load_pairs)
    own = dataset in (None, config.dataset)
    given: dict[str, Any] = {name: value for name, value in places.items() if value}
    elsewhere: dict[str, Any] = {} if own else dict(dataset=dataset, input_dir=None, target_dir=None, mask_dir=None)
    data = dataclasses.replace(config, **elsewhere | given)
    if own:
        config = data
    pairs, splits, split = _load_split(data, split, load, own)
    selected = pairs if max_images is None else pairs.spread(max_images)
    facts = {
        "split": split,
        "dataset": data.dataset,
        "size": list(data.crop_size),
        "direction": data.task or data.direction,
        "note": _note(split, splits, len(pairs), config, own),
    }
    names, read = short_names(selected.names), _reader(selected, data, sides)
    return Selection(names, read, facts, config, lambda: _load(config, load)["train"])


def _load_split(data: TrainConfig, split: str | None, load: Load, own: bool) -> tuple[Pairs, dict[str, Pairs], str]:
    """The pairs of a split, all splits, and the name of the split."""
    if not own and _is_undivided(data.dataset):
        if split:
            problem = f"--split={split}: {data.dataset} has no sub-folder of this name"
            raise InputError(f"{problem}; leave out --split to evaluate all its images")
        photos = data.task is not None
        found = folder.find(data.dataset, photos=photos, input_dir=data.input_dir, target_dir=data.target_dir)
        pairs = folder.pairs_of([*found[""].values()], photos)
        return (pairs if photos else pairs.oriented(data.direction)), {}, "all"
    splits, split = _load(data, load), split or "test"
    if split not in splits:
        raise InputError(f"--split={split}: choose one of {', '.join(splits)}")
    return splits[split], splits, split


def _load(config: TrainConfig, load: Load) -> dict[str, Pairs]:
    return load(
        config.dataset,
        direction=config.direction,
        data_dir=config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
        mask_dir=config.mask_dir,
        photos=config.task is not None,
    )


def _is_undivided(dataset: str) -> bool:
    """Whether a data set is a folder of images without the sub-folders train, val and test."""
    root = Path(dataset)
    if dataset in DATASETS or not root.is_dir() or (root / shards.INDEX).is_file():
        return False
    return not any((root / split).is_dir() for split in folder.SPLITS)


def _note(split: str, splits: dict[str, Pairs], count: int, config: TrainConfig, own: bool) -> str:
    """One line on the split, if the model may know its images already."""
    if split == "train" and own:
        return "the training split: training has learned these images, so the figures say nothing about new ones"
    if split == "test" and _same_names(splits["test"], splits["val"]):
        chosen = ", on which the best checkpoint was chosen" if own else ""
        return f"the data set has no test split; this is the validation split{chosen}"
    if split == "val" and own and count > config.eval_pairs:
        return f"training evaluated {config.eval_pairs} of these {count} images"
    return ""


def _same_names(a: Pairs, b: Pairs) -> bool:
    return len(a) == len(b) and all(one == other for one, other in zip(a.names, b.names, strict=True))


def _reader(pairs: Pairs, config: TrainConfig, sides: Sides) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """index -> (input, target) as training's validation has them: resized, cropped at the center."""
    examples = prepare_examples(pairs, sides, size=config.crop_size, fit=config.fit, cache_bytes=0)
    make_input = tasks.input_maker(config.task, sides.target, **config.task_settings)

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        parts = zip(examples.parts, examples.read(index), strict=True)
        example = {part: center_crop(tf.constant(image), config.crop_size) for part, image in parts}
        if make_input:
            example[INPUT] = make_input(example[TARGET])
        return example[INPUT].numpy(), example[TARGET].numpy()

    return read


def short_names(names: Sequence[str]) -> list[str]:
    """The file stems of pairs' names if they all differ, else numbers from 0001: names for files in one folder."""
    paths = [Path(name.split(" and ")[0].split(": ")[-1]) for name in names]
    stems = [path.stem if path.suffix.lower() in images.EXTENSIONS else path.name for path in paths]
    if len({stem.casefold() for stem in stems}) == len(stems) and all(len(stem) <= 100 for stem in stems):
        return stems
    return [f"{number:04d}" for number in range(1, len(names) + 1)]
