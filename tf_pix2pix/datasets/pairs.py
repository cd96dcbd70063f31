"""Pairs: one split of a data set, its images addressed by index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import InputError

INPUT, TARGET, MASK = "input", "target", "mask"


@dataclass(frozen=True)
class Pairs:
    """One split of a data set.

    Attributes:
      names: the source of each pair (a path, or "set/split/id"), for messages.
      read: index -> one image for each of `parts`, uint8, uint16 or float32 [h, w, c] with c in 1, 3, 4 and equal h and
        w; a mask is uint8 [h, w, 1], 255 for weight 1. A pure function, safe to call from several threads. Raises
        InputError, which names the file, if an image is unreadable or the pair does not match.
      parts: ("input", "target"), ("input", "target", "mask"), or for photos ("target",): a task makes their inputs.
      uniform: all pairs have the same depth and channels, and each is known to decode (a prepared or synthetic set).
    """

    names: Sequence[str]
    read: Callable[[int], tuple[np.ndarray, ...]]
    parts: tuple[str, ...] = (INPUT, TARGET)
    uniform: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: Sequence[int]) -> "Pairs":
        """The pairs at these indices, in this order."""
        names = [self.names[index] for index in indices]
        return replace(self, names=names, read=lambda position: self.read(indices[position]))

    def spread(self, most: int) -> "Pairs":
        """At most `most` of the pairs, evenly spaced from the first on."""
        count = min(most, len(self))
        return self.select([position * len(self) // count for position in range(count)])

    def oriented(self, direction: str) -> "Pairs":
        """Pairs of (A, B) -> pairs of (input, target). direction: "AtoB" or "BtoA"."""
        if direction == "AtoB":
            return self

        def read(index: int) -> tuple[np.ndarray, ...]:
            a, b, *masks = self.read(index)
            return (b, a, *masks)

        return replace(self, read=read)

    def targets(self) -> "Pairs":
        """The targets alone, for a task."""
        position = self.parts.index(TARGET)
        return replace(self, read=lambda index: (self.read(index)[position],), parts=(TARGET,))


def decode_image(name: object, encoded: bytes) -> np.ndarray:
    """images.decode; raises InputError, which names the file."""
    try:
        return images.decode(encoded)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def decode_pair(names: Sequence[object], encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Decodes one side-by-side file, or the files of A and of B -> (A, B).

    Raises:
      InputError: a file is unreadable, or the two images differ in size.
    """
    decoded = [decode_image(name, data) for name, data in zip(names, encoded, strict=True)]
    if len(decoded) == 1:
        try:
            return images.split_side_by_side(decoded[0])
        except ValueError as error:
            raise InputError(f"{names[0]}: {error}") from None
    check_sizes(names, [image.shape[:2] for image in decoded])
    return decoded[0], decoded[1]


def check_sizes(names: Sequence[object], sizes: Sequence[tuple[int, int]]) -> None:
    """Raises InputError if the two images of a pair differ in (height, width)."""
    if sizes[0] != sizes[1]:
        both = " but ".join(f"{name} is {width}x{height}" for name, (height, width) in zip(names, sizes, strict=True))
        raise InputError(f"{both} (width x height); both images of a pair need the same size")
