"""What every data source gives: pairs of pictures, addressed by index."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """One split of a data set. A and B are the two sides, as the source orders them; direction is applied later.

    Attributes:
      names: where each pair comes from (a path, or "set/split/id"), for messages. One per pair.
      read: index -> (A, B), both uint8 [h, w, c] with c in 1, 3, 4 and equal h and w. A pure function, safe to call
        from several threads. Raises InputError naming the file when a picture is unreadable or the pair does not fit.
      verified: every picture has been decoded once already (a prepared or a procedural set), so that reading them all
        before training would find nothing.
    """

    names: Sequence[str]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    verified: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def spread(self, most: int) -> "Pairs":
        """At most so many of the pairs, at even distances from the first on."""
        count = min(most, len(self))
        indices = [position * len(self) // count for position in range(count)]
        return Pairs(
            [self.names[index] for index in indices], lambda position: self.read(indices[position]), self.verified
        )
