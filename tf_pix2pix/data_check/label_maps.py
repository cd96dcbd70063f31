"""Which sides are label maps, as training would find it out."""

from collections.abc import Iterator

import numpy as np

from tf_pix2pix.data_check.findings import Finding
from tf_pix2pix.data_check.gathering import Gathered
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import PICTURES_READ, NoisyColors, find_palette


def find_label_maps(gathered: Gathered) -> Iterator[Finding]:
    """How many colours the sides of the pairs to train on have, where these are label maps, clean or noisy."""
    source = gathered.sources["train"]

    def read(index: int) -> tuple[np.ndarray | None, ...]:
        pictures = source.open(index).pictures
        if any(picture is None for picture in pictures):
            raise InputError("said already")
        return pictures

    pairs = Pairs(range(source.count), read)
    for side, name in enumerate(gathered.sides):
        what = gathered.pictures_of(side)
        try:
            colors = len(find_palette(pairs, side, what).colors)
        except NoisyColors as error:
            title = f"{what} look like label maps with the noise of JPEG in them, {len(error.colors)} colours are clear"
            advice = (
                f"save them as PNG; or, for --input_encoding=onehot and --target_encoding=classes, name their colours "
                f"in a file for --palette, then each pixel gets the nearest: {error.colors}"
            )
            yield Finding(f"noisy_labels_{name}", "warning", title, advice, [])
        except InputError:  # photos
            continue
        else:
            some = f", in {PICTURES_READ} of them" if source.count > PICTURES_READ else ""
            title = f"{what} are label maps of {colors} colours{some}"
            advice = (
                f"--resize_{name.lower()}=nearest keeps these; as input --input_encoding=onehot takes them, as target "
                "--target_encoding=classes"
            )
            yield Finding(f"label_maps_{name}", "note", title, advice, [])
