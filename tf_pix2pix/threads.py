"""Many independent jobs on all CPU cores, with a progress bar and bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

JOBS_AHEAD = 8  # per core: keeps every thread busy while few results wait in memory

T = TypeVar("T")


def map_in_threads(function: Callable[[Any], T], items: Sequence, description: str, unit: str = "it") -> Iterator[T]:
    """Yields function(item) for every item, in order. An exception of `function` ends the iteration and is raised.

    Args:
      function: called from several threads at once.
      description, unit: shown by the progress bar, which appears on a terminal only.
    """
    cores = os.cpu_count() or 1
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(cores)
    try:
        with tqdm(total=len(items), desc=description, unit=unit, disable=None) as progress:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= JOBS_AHEAD * cores:
                    yield waiting.popleft().result()
                    progress.update()
            while waiting:
                yield waiting.popleft().result()
                progress.update()
    finally:
        pool.shutdown(cancel_futures=True)
