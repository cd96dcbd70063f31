"""Packs the files of a set into shards, decodes each pair once as a check, and writes the index."""

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tf_pix2pix.datasets import shards
from tf_pix2pix.datasets.folder import Files, read_file, with_val
from tf_pix2pix.datasets.pairs import decode_image, decode_pair
from tf_pix2pix.errors import InputError, format_list
from tf_pix2pix.files import atomic_write
from tf_pix2pix.preparing.output import Job

_index_lock = threading.Lock()


def plan(folder: str, found: dict[str, Files], output: Path, shard_bytes: float, photos: bool) -> list[Job]:
    """Plans one job for each shard of about shard_bytes. Without a val folder, a tenth becomes val, as in training."""
    try:
        before = shards.read_index(output) if (output / shards.INDEX).exists() else {}
    except InputError:  # the index is made again
        before = {}
    jobs = []
    for split, pairs in with_val(found, folder, "photos" if photos else "pairs").items():
        chunks: list[list[tuple[Path, ...]]] = []
        room = 0
        for paths in pairs.values():
            if room <= 0:
                chunks.append([])
                room = shard_bytes
            chunks[-1].append(paths)
            room -= sum(path.stat().st_size for path in paths)
        for number, chunk in enumerate(chunks):
            name = f"{split}-{number:05d}-of-{len(chunks):05d}{shards.EXTENSION}"
            names = [[path.relative_to(folder).as_posix() for path in paths] for paths in chunk]
            again = before.get(name, {}).get("names") != names
            sources = tuple(path for paths in chunk for path in paths)
            jobs.append(Job(sources, (output / name,), partial(_write, split, chunk, names, photos), again))
    return jobs


def _write(
    split: str,
    chunk: Sequence[tuple[Path, ...]],
    names: Sequence[Sequence[str]],
    photos: bool,
    targets: Sequence[Path],
) -> None:
    """Writes one shard. Its entry in the index is complete before the file gets its name."""
    kinds, bad = set(), []

    def records() -> Iterator[tuple[Sequence[str], Sequence[bytes]]]:
        for paths, own_names in zip(chunk, names, strict=True):
            try:
                encoded = [read_file(path) for path in paths]
                decoded = [decode_image(paths[0], encoded[0])] if photos else decode_pair(paths, encoded)
                kinds.add(tuple((image.dtype.name, image.shape[2]) for image in decoded))
            except InputError as error:
                bad.append(str(error))
                continue
            yield own_names, encoded

    with atomic_write(targets[0]) as partial_path:
        shards.write_shard(partial_path, records())
        if bad:
            raise InputError(format_list(bad, "; "))
        entry = {
            "split": split,
            "pairs": len(names),
            "bytes": partial_path.stat().st_size,
            "kind": [list(side) for side in kinds.pop()] if len(kinds) == 1 else None,
            "photos": photos,
            "names": names,
        }
        with _index_lock:
            shards.add_to_index(targets[0].parent, targets[0].name, entry)
