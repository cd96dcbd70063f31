"""Is an artifact what it is to be? Its pictures of the held-out examples, beside the run's own."""

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tf_pix2pix import images, inference
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import RunError
from tf_pix2pix.exporting.artifact import Artifact
from tf_pix2pix.formats import formats_of
from tf_pix2pix.palettes import count_strange

LATENCY_RUNS = 5  # of which the median is told


@dataclass(frozen=True)
class Row:
    """One line of the table at the end: an artifact as one of its readers runs it."""

    path: Path
    reader: str
    megabytes: float
    milliseconds: float  # median, one picture of the size trained on, on this machine
    max_difference: int  # from the run's own pictures, of `levels`, over all held-out examples
    psnr: float  # dB, to the run's own pictures, over all of them; infinite where they are equal
    l1: float  # to the targets, of [-1, 1], the mean
    levels: float = 255.0  # the steps of the targets' range
    agreement: float | None = None  # of classes: the share of pixels that have the run's


def own_pictures(
    generator: keras.Model, config: TrainConfig, examples: list[tuple[np.ndarray, np.ndarray]], size: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The (input, target, generated) pictures of the run itself, [*size, c].

    Inputs of floats are such as a PNG of 16 bits holds, so that all readers get the same.
    """
    translate, (taken, given) = inference.make_translate(generator), formats_of(config)
    pictures = []
    for number, example in enumerate(examples):
        pair = [images.resize(side, size, way) for side, way in zip(example, config.resize_methods, strict=True)]
        if taken.depth == "float32":
            in_png = images.from_float(images.to_float(pair[0], taken.range), images.Format("uint16"))
            pair[0] = images.from_float(images.to_float(in_png), taken).numpy()
        generated = translate(images.to_float(pair[0][np.newaxis], taken.range)).numpy()
        if not np.isfinite(generated).all():
            raise RunError(f"the run's picture of held-out example {number} is not finite; take another --checkpoint")
        pictures.append((*pair, images.from_float(generated, given)[0].numpy()))
    return pictures


def check(
    artifact: Artifact,
    reader: str,
    pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]],  # of own_pictures
    format: images.Format,  # of the targets
    colors: np.ndarray | None,  # uint8 [k, c] of a class target, None: other targets
) -> Row:
    """Runs an artifact on the held-out examples. Raises RunError where it does not give the run's own pictures."""
    read, levels = artifact.readers[reader], format.levels
    per_value = levels / (format.bounds[1] - format.bounds[0])
    differences, errors, l1s, agreements = [], [], [], []
    for number, (picture, target, own) in enumerate(pictures):
        given = read(picture)
        strange = colors is not None and count_strange(given, colors)
        given, target, own = (side.astype(float) * per_value for side in (given, target, own))
        differences.append(math.ceil(np.abs(given - own).max()))
        errors.append(np.mean((given - own) ** 2))
        l1s.append(np.abs(given - target).mean() / (levels / 2))
        agreements.append(np.all(given == own, axis=2).mean())
        if strange:
            off = "it has colours that the palette has not"
        elif colors is not None and agreements[-1] < artifact.min_agreement:
            off = f"{agreements[-1]:.2%} of the pixels have its class, at least {artifact.min_agreement:.1%} wanted"
        elif colors is not None:
            continue
        elif artifact.max_difference is not None and differences[-1] > artifact.max_difference:
            off = f"by {differences[-1]} of {levels:g}, {artifact.max_difference} allowed"
        elif artifact.min_psnr is not None and (psnr := _psnr(errors[-1], levels)) < artifact.min_psnr:
            off = f"PSNR {psnr:.1f} dB, at least {artifact.min_psnr:g} wanted"
        else:
            continue
        raise RunError(
            f"{artifact.path.name} in {reader} differs from the run's own picture of held-out example {number}: {off}"
        )
    return Row(
        path=artifact.path,
        reader=reader,
        megabytes=_bytes(artifact.path) / 1e6,
        milliseconds=1e3 * statistics.median(_timed(read, picture) for _ in range(LATENCY_RUNS)),
        max_difference=max(differences),
        psnr=_psnr(np.mean(errors), levels),
        l1=float(np.mean(l1s)),
        levels=levels,
        agreement=float(np.mean(agreements)) if colors is not None else None,
    )


def _psnr(squared_error: float, peak: float) -> float:
    return float(10 * np.log10(peak**2 / squared_error)) if squared_error else math.inf


def _timed(read, picture) -> float:
    began = time.perf_counter()
    read(picture)
    return time.perf_counter() - began


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
