"""The export check: compares an artifact's images of the validation examples with the run's own."""

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_pix2pix import images, inference
from tf_pix2pix.errors import RunError
from tf_pix2pix.exporting.artifact import Artifact, Source
from tf_pix2pix.sides import Side

LATENCY_RUNS = 5  # their median is reported

Reference = tuple[np.ndarray, np.ndarray, np.ndarray]  # (input, target, generated image), [h, w, c]


@dataclass(frozen=True)
class Row:
    """One line of the final table: an artifact, run by one of its readers."""

    path: Path
    reader: str
    megabytes: float
    milliseconds: float  # median for one image of the size trained on, on this machine
    max_difference: int  # from the run's own images, in levels, over all examples
    psnr: float  # dB, to the run's own images, over all examples; infinite if they are equal
    l1: float  # mean difference from the targets, in [-1, 1] units
    levels: float = 255.0  # steps of the targets' value range
    agreement: float | None = None  # for label maps: share of pixels with the run's class


def reference_outputs(source: Source, size: tuple[int, int]) -> list[Reference]:
    """The run's own images of its validation examples, at a (height, width).

    Float inputs are rounded as in a 16-bit PNG, so that all readers get the same.
    """
    translate, sides = inference.make_translate(source.generator), source.sides
    references = []
    for number, example in enumerate(source.run.examples("val")):
        pair = [images.resize(image, size, side.resize) for image, side in zip(example, sides, strict=True)]
        if sides.input.depth == "float32":
            in_png = images.from_float(sides.input.to_float(pair[0]), "uint16")
            pair[0] = sides.input.from_float(images.to_float(in_png)).numpy()
        generated = translate(sides.input.to_float(pair[0][np.newaxis])).numpy()
        if not np.isfinite(generated).all():
            raise RunError(f"validation example {number}: the run's own output is not finite; use another --checkpoint")
        references.append((*pair, sides.target.from_float(generated)[0].numpy()))
    return references


def check(artifact: Artifact, reader: str, references: list[Reference], target: Side) -> Row:
    """Runs an artifact on the references. Raises RunError if its images differ from the run's own."""
    read, levels = artifact.readers[reader], target.levels
    per_value = levels / (target.bounds[1] - target.bounds[0])
    differences, errors, l1s, agreements = [], [], [], []
    for number, (input_image, target_image, own) in enumerate(references):
        generated = read(input_image)
        unknown = target.palette.count_unknown(generated) if target.palette else 0
        generated, target_image, own = (image.astype(float) * per_value for image in (generated, target_image, own))
        differences.append(math.ceil(np.abs(generated - own).max()))
        errors.append(float(np.mean((generated - own) ** 2)))
        l1s.append(np.abs(generated - target_image).mean() / (levels / 2))
        agreements.append(np.all(generated == own, axis=2).mean())
        if unknown:
            problem = "colors that the palette lacks"
        elif target.palette and agreements[-1] < artifact.min_agreement:
            problem = f"{agreements[-1]:.2%} of the pixels have its class, threshold {artifact.min_agreement:.1%}"
        elif target.palette:
            continue
        elif artifact.max_difference is not None and differences[-1] > artifact.max_difference:
            problem = f"by {differences[-1]} of {levels:g}, threshold {artifact.max_difference}"
        elif artifact.min_psnr is not None and (psnr := _psnr(errors[-1], levels)) < artifact.min_psnr:
            problem = f"PSNR {psnr:.1f} dB, threshold {artifact.min_psnr:g}"
        else:
            continue
        raise RunError(
            f"{artifact.path.name} in {reader} differs from the run's own image of validation example {number}: "
            f"{problem}"
        )
    return Row(
        path=artifact.path,
        reader=reader,
        megabytes=_bytes(artifact.path) / 1e6,
        milliseconds=1e3 * statistics.median(_seconds(read, input_image) for _ in range(LATENCY_RUNS)),
        max_difference=max(differences),
        psnr=_psnr(float(np.mean(errors)), levels),
        l1=float(np.mean(l1s)),
        levels=levels,
        agreement=float(np.mean(agreements)) if target.palette else None,
    )


def _psnr(squared_error: float, peak: float) -> float:
    return float(10 * np.log10(peak**2 / squared_error)) if squared_error else math.inf


def _seconds(read, image) -> float:
    started = time.perf_counter()
    read(image)
    return time.perf_counter() - started


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
