"""The label network of a data set: trained once on real photos, kept in a cache, it reads labels from photos."""

import contextlib
import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import tf_pix2pix
from tf_pix2pix import images
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.datasets import DATASETS, load_pairs
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.palettes import PALETTES, Palette, read_palette
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Sides
from tf_pix2pix.threads import map_in_threads
from tf_pix2pix.training import train

STEPS = 8000  # 8 minutes of CPU time at 128 pixels; at step 7,000 the validation mean IoU of real facades still rose
MINUTES_PER_PIXEL = 8 / (STEPS * 128 * 128)  # of a step
# Cross-entropy alone: no adversary.
LABEL_NETWORK: dict[str, Any] = dict(
    target_encoding="classes",
    gan_weight=0.0,
    l1_weight=1.0,
    filters=24,
    learning_rate=1e-3,
    beta_1=0.9,
    schedule="linear",
    ema_decay=0.999,
    sample_every=10**6,
    eval_every=1000,
    checkpoint_every=500,
    keep_checkpoints=1,
    samples=1,
)
# The fields that the label network shares with the run.
_SHARED = ("dataset", "data_dir", "input_dir", "target_dir", "max_bad_images", "cache_gb", "crop_size", "jitter",
           "load_size", "fit", "flip")  # fmt: skip

_HASHED = 1000  # training pairs at most whose pixels name the network in the cache
_CHECKED = 8  # training pairs whose inputs must be label maps
_NEAR, _NEAR_SHARE = 32, 0.4  # of a label map's pixels, this share is this close to the palette (palettes/counting.py)


def train_label_network(
    config: TrainConfig,
    sides: Sides,
    pairs: Pairs | None = None,
    *,
    palette: str | os.PathLike | None = None,
    steps: int = STEPS,
) -> Run:
    """The label network of a run's data set: from the cache, or trained now on the training split.

    The cache is $TF_PIX2PIX_CACHE, by default ~/.cache/tf_pix2pix. An interrupted training goes on at the next call.

    Args:
      config, sides: of the run that generates photos from label maps.
      pairs: the run's training pairs; None: loads them.
      palette: a name or file as --palette; None: the run's own, that of its published set, or the label maps' colors.
      steps: of training.

    Raises:
      InputError: inputs are not label maps, targets are not photos, the palette or the training pairs are missing.
      RunError: the training stopped or failed; the next call resumes it.
    """
    label_config = _label_config(config, sides, palette, steps)
    pairs = pairs or load_pairs(
        config.dataset,
        direction=config.direction,
        data_dir=config.data_dir,
        size=config.jitter_size,
        input_dir=config.input_dir,
        target_dir=config.target_dir,
    )["train"]  # fmt: skip
    known = read_palette(label_config.palette) if label_config.palette else PALETTES.get(config.dataset)
    if known:
        _check_label_maps(pairs, known)
    directory = _cache() / "label_networks" / _identity(label_config, pairs, known)
    done = _steps_done(directory)
    if done < steps:
        _train(label_config, directory, done, steps)
    return Run.open(directory)


def _train(config: TrainConfig, directory: Path, done: int, steps: int) -> None:
    """Trains the label network, and prints a line at its start and at each evaluation in place of training's own."""
    height, width = config.crop_size
    minutes = max(1, round((steps - done) * height * width * MINUTES_PER_PIXEL))
    print(
        f"{f'resuming the label network at step {done:,}' if done else 'training the label network once'}: "
        f"{steps:,} steps, about {minutes} minute{'' if minutes == 1 else 's'} on two CPU cores; cached in {directory}"
    )
    stdout = sys.stdout

    def show(record: dict[str, Any]) -> None:
        if "val_mean_iou" in record:
            line = f"label network: step {record['step']:,} of {steps:,}, mean IoU {record['val_mean_iou']:.3f}"
            tqdm.write(line, file=stdout)

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result = train(config, directory, show)
    except InputError as error:
        raise InputError(f"--label_consistency: cannot train the label network: {error}") from None
    if result.step < steps:
        raise RunError(
            f"the label network was stopped at step {result.step:,} of {steps:,}; the same command resumes it"
        )


def _label_config(config: TrainConfig, sides: Sides, palette: str | os.PathLike | None, steps: int) -> TrainConfig:
    """The settings of the label network: the run's data set in the opposite direction."""
    if config.task:
        raise InputError(f"--label_consistency: inputs must be label maps, but --task={config.task} makes others")
    if sides.target.palette:
        raise InputError("--label_consistency: targets must be photos, but the run generates label maps")
    palette = os.fspath(palette) if palette else config.palette
    if palette and palette not in PALETTES:
        palette = os.path.abspath(palette)
    dataset = config.dataset if config.dataset in DATASETS else os.path.abspath(config.dataset)
    forward, photos = config.direction == "AtoB", sides.target.resize
    fields: dict[str, Any] = {name: getattr(config, name) for name in _SHARED} | LABEL_NETWORK
    fields |= dict(
        dataset=dataset,
        direction="BtoA" if forward else "AtoB",
        palette=palette,
        input_channels=sides.target.channels,
        input_depth=sides.target.depth,
        input_range=sides.target.value_range,
        resize_a="nearest" if forward else photos,
        resize_b=photos if forward else "nearest",
        steps=steps,
    )
    return TrainConfig(**fields)


def _check_label_maps(pairs: Pairs, palette: Palette) -> None:
    """Raises InputError if the inputs of the first pairs are not in the colors of the palette, JPEG noise aside."""
    near = []
    for index in range(min(_CHECKED, len(pairs))):
        label_map = pairs.read(index)[0]
        try:
            label_map = images.with_channels(label_map, palette.array.shape[1])
        except ValueError as error:
            raise InputError(f"--label_consistency: {pairs.names[index]}: {error}") from None
        difference = label_map.astype(int) - palette.map_colors(label_map)
        near.append(np.mean(np.sum(difference**2, axis=2) <= _NEAR**2))
    if np.mean(near) < _NEAR_SHARE:
        raise InputError(
            f"--label_consistency: inputs such as {pairs.names[0]} are not label maps in the colors of the palette "
            f"({np.mean(near):.0%} of the pixels are); pass --palette=FILE if they are label maps in others"
        )


def _cache() -> Path:
    return Path(os.environ.get("TF_PIX2PIX_CACHE") or "~/.cache/tf_pix2pix").expanduser()


def _identity(config: TrainConfig, pairs: Pairs, palette: Palette | None) -> str:
    """The name of a network in the cache: it changes with everything that changes the network."""
    facts = [tf_pix2pix.__version__, config.to_json() | {"data_dir": None}, palette and palette.to_json(), len(pairs)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    sample = pairs.spread(_HASHED)
    for pixels in map_in_threads(lambda index: _digest(sample.read(index)), range(len(sample)), "reading", "pair"):
        digest.update(pixels)
    return f"{os.path.basename(config.dataset)}-{format_value(config.crop_size)}-{digest.hexdigest()[:12]}"


def _digest(pair: tuple[np.ndarray, ...]) -> bytes:
    digest = hashlib.sha256()
    for image in pair[:2]:
        digest.update(f"{image.shape}{image.dtype}".encode())
        digest.update(image.tobytes())
    return digest.digest()


def _steps_done(directory: Path) -> int:
    try:
        return max(Run.open(directory).steps(), default=0)
    except InputError:  # not begun
        return 0
