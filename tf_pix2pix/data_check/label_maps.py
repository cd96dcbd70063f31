"""Finds the sides that are label maps, as training does."""

from collections.abc import Iterator

from tf_pix2pix.data_check.facts import COLORS_COUNTED, SetFacts
from tf_pix2pix.data_check.findings import Finding
from tf_pix2pix.errors import InputError
from tf_pix2pix.palettes import NoisyColors, find_palette


def find_label_maps(facts: SetFacts) -> Iterator[Finding]:
    """One finding for each side of label maps, clean or with JPEG noise."""
    for name, counted in zip(facts.sides, facts.colors, strict=True):
        if counted is None:
            continue
        try:
            colors = len(find_palette(counted, name).colors)
        except NoisyColors as error:
            title = f"images of {name}: label maps with JPEG noise; {len(error.colors)} colors are clear"
            advice = (
                "save them as PNG; or, for --input_encoding=onehot and --target_encoding=classes, list their colors in "
                f"a file for --palette, and each pixel becomes the nearest one: {error.colors}"
            )
            yield Finding(f"noisy_labels_{name}", "warning", title, advice, [])
        except InputError:  # photos
            continue
        else:
            sampled = f", in {COLORS_COUNTED} of them" if counted.images == COLORS_COUNTED else ""
            title = f"images of {name}: label maps with {colors} colors{sampled}"
            advice = (
                f"--resize_{name.lower()}=nearest keeps the colors; label maps can be encoded with "
                "--input_encoding=onehot and --target_encoding=classes"
            )
            yield Finding(f"label_maps_{name}", "note", title, advice, [])
