"""open_folders: two folders of images that exist already."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.datasets import folder
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.evaluation.selection import short_names
from tf_pix2pix.evaluation.sources import Source
from tf_pix2pix.sides import Side
from tf_pix2pix.survey import survey


def open_folders(generated: str | os.PathLike, targets: str | os.PathLike, *, max_images: int | None) -> Source:
    """Two folders of images that exist already, matched by file stem."""
    for flag, path in (("generated", generated), ("targets", targets)):
        if not Path(path).is_dir():
            raise InputError(f"--{flag}={path}: not a folder; pass a folder of images")
    if Path(generated).resolve() == Path(targets).resolve():
        raise InputError(f"--generated={generated}: the same folder as --targets; pass two folders")
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
