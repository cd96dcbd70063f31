"""Translates the images of an evaluation, and measures and writes them at the same time."""

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.evaluation.measuring import Measures, Part
from tf_pix2pix.evaluation.sources import Source
from tf_pix2pix.evaluation.store import ImageStore, digest
from tf_pix2pix.threads import map_in_threads

PART_PIXELS = 2**19  # of the images measured together: eight of 256x256

Images = tuple[np.ndarray | None, np.ndarray, np.ndarray]  # input, generated, target, [h, w, c] of their sides


def measure_all(source: Source, store: ImageStore, measures: Measures) -> tuple[list[str], list[str]]:
    """Translates and measures all images. Returns the names of the images, and why others were skipped.

    The model works in this thread, while others read, measure and write.

    Raises:
      InputError: more images are unusable than the run allows.
    """
    names: list[str] = []
    skipped: list[str] = []
    with _Measuring(measures, store) as measuring:
        for name, found in zip(source.names, _read_all(source), strict=True):
            if isinstance(found, InputError):
                skipped.append(str(found))
                if len(skipped) > source.max_bad:
                    raise InputError(f"{len(skipped)} images cannot be used: {format_list(skipped, '; ')}")
                continue
            index, input_image, target_image = found
            fingerprint = digest(input_image, target_image)
            generated = store.find(name, fingerprint)
            is_new = generated is None
            if generated is None:
                generated = source.generate(index, input_image)
            names.append(name)
            measuring.add(name, fingerprint if is_new else None, (input_image, generated, target_image))
    if not names:
        raise InputError(f"all images cannot be used: {format_list(skipped, '; ')}")
    return names, skipped


def _read_all(source: Source) -> Iterator[tuple[int, np.ndarray | None, np.ndarray] | InputError]:
    """(index, input, target) of each image, or why it cannot be used, with a progress bar."""

    def read(index):
        try:
            return (index, *source.read(index))
        except InputError as error:
            return error

    return map_in_threads(read, range(len(source.names)), "evaluating", "image")


class _Measuring:
    """Threads that measure and write images while the model makes the next ones."""

    def __init__(self, measures: Measures, store: ImageStore):
        self._measures, self._store = measures, store
        self._images: list[Images] = []
        self._waiting: deque[list[Future]] = deque()
        self._cores = os.cpu_count() or 1
        self._any_order, self._in_order = ThreadPoolExecutor(self._cores), ThreadPoolExecutor(1)
        self._writing: deque[tuple[Future, str, str]] = deque()

    def add(self, name: str, fingerprint: str | None, images: Images) -> None:
        """Measures (input, generated, target); also writes them if a fingerprint is given."""
        if fingerprint is not None:
            self._writing.append((self._any_order.submit(self._store.write, name, *images), name, fingerprint))
        if self._images and self._images[-1][2].shape != images[2].shape:
            self._submit()
        self._images.append(images)
        height, width = images[2].shape[:2]
        if len(self._images) * height * width >= PART_PIXELS:
            self._submit()
        self._note_written(wait=False)

    def _submit(self) -> None:
        inputs, generated, targets = zip(*self._images, strict=True)
        part = Part(None if inputs[0] is None else np.stack(inputs), np.stack(generated), np.stack(targets))
        self._images = []
        measured = self._any_order.submit(self._measures.measure, part)
        self._waiting.append([measured, self._in_order.submit(self._measures.accumulate, part)])
        while len(self._waiting) > self._cores:
            self._collect()

    def _collect(self) -> None:
        measured, accumulated = self._waiting.popleft()
        self._measures.add(measured.result())
        accumulated.result()

    def _note_written(self, wait: bool) -> None:
        while self._writing and (wait or self._writing[0][0].done()):
            written, name, fingerprint = self._writing.popleft()
            written.result()
            self._store.note(name, fingerprint)

    def __enter__(self) -> "_Measuring":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                if self._images:
                    self._submit()
                while self._waiting:
                    self._collect()
            with contextlib.suppress(*([] if kind is None else [Exception])):
                self._note_written(wait=True)  # after an interruption too: these images need not be made again
        finally:
            for pool in (self._any_order, self._in_order):
                pool.shutdown(cancel_futures=True)
