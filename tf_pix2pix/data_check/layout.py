"""Finds single images where pairs are expected, or the reverse, and images far larger than crop_size."""

from collections.abc import Iterator

import numpy as np

from tf_pix2pix.data_check.facts import PHOTO, SetFacts
from tf_pix2pix.data_check.findings import Finding
from tf_pix2pix.scales import is_far, training_scale
from tf_pix2pix.seams import look_joined, look_single


def find_layout(facts: SetFacts) -> Iterator[Finding]:
    """Photos that look like side-by-side pairs, and pairs that look like single images cut in half."""
    if facts.sides == PHOTO and look_joined(facts.seams):
        title = "photos: most look like side-by-side pairs"
        yield Finding("joined_pairs", "warning", title, "leave out --task, here and in training, if they are pairs", [])
    if facts.sides != PHOTO and look_single(facts.seams):
        title = "pairs: most look like single images cut in half"
        yield Finding("cut_images", "warning", title, "pass --task, here and in training, if they are plain photos", [])


def find_scale(facts: SetFacts, crop_size: tuple[int, int]) -> Iterator[Finding]:
    """Images that training shrinks so much that it sees no details."""
    sizes = facts.sizes[:, 0][facts.sizes[:, 0].any(axis=1)]
    if not len(sizes):
        return
    width, height = (int(side) for side in np.median(sizes, axis=0))
    scale = training_scale((height, width), crop_size, "stretch")
    if scale < 1 and is_far(scale):
        title = f"{width}x{height} images (width x height, median): seen at about {scale:.2g} of their size in training"
        yield Finding("scale", "note", title, "--fit=none trains at full size; translate with --resize=train", [])
