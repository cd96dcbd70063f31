"""Options: what an evaluation measures, and why it leaves out the rest."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from tf_pix2pix.errors import InputError
from tf_pix2pix.evaluation.label_consistency import LabelConsistency
from tf_pix2pix.evaluation.label_network import train_label_network
from tf_pix2pix.evaluation.measuring import Measures
from tf_pix2pix.evaluation.sources import Source
from tf_pix2pix.input_pipeline import prepare_examples
from tf_pix2pix.metrics.colors import LabHistogram
from tf_pix2pix.metrics.inception import InceptionDistances, find_weights
from tf_pix2pix.metrics.lpips import Lpips
from tf_pix2pix.metrics.sliced_wasserstein import SlicedWasserstein
from tf_pix2pix.palettes import Palette, read_palette
from tf_pix2pix.trivial_answers import trivial_answers


@dataclass(frozen=True)
class Options:
    """What to measure beside the metrics that require no file.

    Attributes:
      palette: a name or file as TrainConfig.palette; compares classes, and a pixel has that of the nearest color. None:
        the palette of the run's targets. With label_consistency: the palette of the inputs.
      fid: FID and KID. None: if their weights are there already; True: Keras downloads them, 88 MB; False: never.
      inception_weights: a file with their weights.
      lpips_weights: a file with the weights of LPIPS.
      label_consistency: compare the labels that a network reads from the generated photos with the inputs.
    """

    palette: str | None = None
    fid: bool | None = None
    inception_weights: str | os.PathLike | None = None
    lpips_weights: str | os.PathLike | None = None
    label_consistency: bool = False


def make_measures(source: Source, options: Options) -> tuple[Measures, list[str]]:
    """The metrics of a source, and one line on each group that is left out.

    Raises:
      InputError: a file of weights or the palette is unusable, or does not fit the images.
    """
    palette = _palette(source, options)
    distances, left_out = _distances(options)
    per_image: dict[str, Any] = {}
    if options.lpips_weights:
        per_image["lpips"] = _lpips(options.lpips_weights)
    else:
        left_out.append("lpips: pass --lpips_weights=FILE, a file with its weights")
    consistency = _label_consistency(source, options)
    answers, without_answers = _trivial_answers(source)
    measures = Measures(
        source.target,
        palette,
        source.settings and source.settings[1].input,
        answers,
        image_count=len(source.names),
        sets=[SlicedWasserstein(), LabHistogram(), *distances],
        per_image=per_image,
        consistency=consistency,
    )
    return measures, without_answers + left_out


def _palette(source: Source, options: Options) -> Palette | None:
    """The palette of the targets; None: they are photos."""
    if options.palette is None or options.label_consistency:
        return source.target.palette
    if source.target.depth != "uint8":
        raise InputError(f"--palette={options.palette}: the targets are not label maps of 8 bits; leave it out")
    try:
        return read_palette(options.palette).with_channels(source.target.channels)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"--palette={options.palette}: {error}") from None


def _distances(options: Options) -> tuple[list[InceptionDistances], list[str]]:
    if options.fid is False:
        return [], ["fid_keras, kid_keras: switched off by --nofid"]
    path = os.fspath(options.inception_weights) if options.inception_weights else None
    weights = find_weights(path, download=options.fid is True)
    if weights is None:
        how = "--fid downloads them (88 MB), --inception_weights=FILE reads a file"
        return [], [f"fid_keras, kid_keras: the weights of InceptionV3 are missing; {how}"]
    return [InceptionDistances(weights)], []


def _lpips(path: str | os.PathLike):
    """(gen_output, target_image) -> LPIPS [n]; nan for images that are too small."""
    lpips = Lpips(os.fspath(path))

    def measure(gen_output: np.ndarray, target_image: np.ndarray) -> np.ndarray:
        if min(target_image.shape[1:3]) < lpips.smallest_side:
            return np.full(len(target_image), np.nan)
        return lpips(gen_output, target_image)

    return measure


def _label_consistency(source: Source, options: Options) -> LabelConsistency | None:
    if not options.label_consistency:
        return None
    if source.settings is None or source.train is None:
        raise InputError("--label_consistency: requires the label maps of a run; leave it out with --generated")
    return LabelConsistency(train_label_network(*source.settings, source.train(), palette=options.palette))


def _trivial_answers(source: Source) -> tuple[dict[str, Any], list[str]]:
    """The trivial answers, from the training images, or a line why they are left out."""
    if source.settings is None or source.train is None:
        return {}, ["trivial answers: they are made from the training images of a run"]
    config, sides = source.settings
    try:
        examples = prepare_examples(source.train(), sides, size=config.crop_size, fit=config.fit, cache_bytes=0)
        return trivial_answers(examples, sides, task=config.task), []
    except InputError as error:
        return {}, [f"trivial answers: the training images cannot be read ({error})"]
