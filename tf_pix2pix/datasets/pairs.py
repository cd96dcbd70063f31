"""What every data source gives: pairs of pictures, addressed by index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.errors import InputError
from tf_pix2pix.images import EIGHT_BITS, Format


@dataclass(frozen=True)
class Pairs:
    """One split of a data set. A and B are the two sides, as the source orders them; direction is applied later.

    Attributes:
      names: where each pair comes from (a path, or "set/split/id"), for messages. One per pair.
      read: index -> (A, B), both uint8, uint16 or float32 [h, w, c] with c in 1, 3, 4 and equal h and w; or (A, B,
        mask), the weights of the pixels in the loss, uint8 [h, w, 1], 255 for 1. A pure function, safe to call from
        several threads. Raises InputError naming the file when a picture is unreadable or the pair does not fit.
      verified: every picture has been decoded once already (a prepared or a procedural set), so that reading them all
        before training would find nothing.
      formats: of (input, target), once it is known what all are (formats.with_formats).
    """

    names: Sequence[str]
    read: Callable[[int], tuple[np.ndarray, ...]]
    verified: bool = False
    formats: tuple[Format, Format] = (EIGHT_BITS, EIGHT_BITS)

    def __len__(self) -> int:
        return len(self.names)

    def spread(self, most: int) -> "Pairs":
        """At most so many of the pairs, at even distances from the first on."""
        count = min(most, len(self))
        indices = [position * len(self) // count for position in range(count)]
        names = [self.names[index] for index in indices]
        return replace(self, names=names, read=lambda position: self.read(indices[position]))


def decode_picture(name: object, encoded: bytes) -> np.ndarray:
    """A file's bytes -> [h, w, c], as images.decode. Raises InputError naming the file."""
    try:
        return images.decode(encoded)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def decode_pair(names: Sequence[object], encoded: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of one side-by-side file, or of the files of A and of B -> (A, B), as Pairs.read gives them.

    Raises:
      InputError: naming the file, where one is unreadable or the pair does not fit.
    """
    pictures = [decode_picture(name, data) for name, data in zip(names, encoded, strict=True)]
    if len(pictures) == 1:
        try:
            return images.split_side_by_side(pictures[0])
        except ValueError as error:
            raise InputError(f"{names[0]}: {error}") from None
    check_sizes(names, [picture.shape[:2] for picture in pictures])
    return tuple(pictures)


def check_sizes(names: Sequence[object], sizes: Sequence[tuple[int, int]]) -> None:
    """Raises InputError where the two pictures of a pair, of these (height, width), are of different sizes."""
    if sizes[0] != sizes[1]:
        both = " but ".join(f"{name} is {width}x{height}" for name, (height, width) in zip(names, sizes, strict=True))
        raise InputError(f"{both} (width x height): a pair needs one size")
