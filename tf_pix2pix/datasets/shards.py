"""Pairs from shards: few large files that hold many pictures' files, byte for byte, quick to read over a network.

A folder of shards has an index, shards.json, and ArrayRecord files, which are read by index in any order. A record is a
tf.train.Example with two features, "names" and "files": of one side-by-side picture or photo, or of A and of B.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

from tf_pix2pix.datasets.folder import SPLITS
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs, decode_image, decode_pair
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write

INDEX = "shards.json"
EXTENSION = ".array_record"
FORMAT = "tf_pix2pix shards 1"

# Pictures are compressed already. One record a group: any of them is read without its neighbours.
_WRITER_OPTIONS = "group_size:1,uncompressed"


def write_shard(path: Path, records: Iterable[tuple[Sequence[str], Sequence[bytes]]]) -> None:
    """Writes records (names, files) of one or two pictures each to `path`."""
    writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
    try:
        for names, encoded in records:
            features = {"names": [name.encode() for name in names], "files": encoded}
            lists = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for key, v in features.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())
    finally:
        writer.close()


def read_index(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The shards of a folder: file name -> "split", "pairs" (how many), "bytes", "names" (of each pair's files),
    "photos" (whether they are such), and "kind", what all of them are: [[dtype, channels] of A, of B], of photos one
    such, or null where they differ.

    Raises:
      InputError: the index is damaged or of another version.
    """
    path = Path(folder, INDEX)
    try:
        index = json.loads(path.read_text())
        found, entries = index["format"], dict(index["shards"])
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} is no index of shards, or damaged; make the shards again") from None
    if found != FORMAT:
        raise InputError(f"{path} is of the format {found!r}, not {FORMAT!r}; make the shards again")
    return entries


def add_to_index(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Adds one shard to the index, or replaces its entry."""
    path = folder / INDEX
    entries = {**(read_index(folder) if path.exists() else {}), name: entry}
    with atomic_write(path) as beside:
        beside.write_text(json.dumps({"format": FORMAT, "shards": dict(sorted(entries.items()))}) + "\n")


def load(folder: str | Path, *, photos: bool = False) -> dict[str, Pairs]:
    """The splits "train", "val", "test" of a folder of shards, the same pairs in the same order as in their folder.

    Without test pairs val is test, which is said. Pairs that are all of one kind count as verified: each was decoded
    when the shards were written.

    Args:
      photos: the pictures are plain photos; each is both A and B, the same array.

    Raises:
      InputError: the index is damaged, or a shard is missing or not as it was written; photos are asked for where
        there are pairs of files, or pairs where there are photos.
    """
    index = read_index(folder)
    for name, shard in index.items():
        path = Path(folder, name)
        size = path.stat().st_size if path.exists() else None
        if size != shard["bytes"]:
            what = "is missing" if size is None else f"has {size} bytes, not {shard['bytes']}"
            raise InputError(f"{path} {what}; copy the folder again, or make the shards again")
    by_split = {split: [name for name in sorted(index) if index[name]["split"] == split] for split in SPLITS}
    pairs = {split: _pairs(Path(folder), names, index, photos) for split, names in by_split.items() if names}
    if not {"train", "val"} <= pairs.keys():
        raise InputError(f"{Path(folder, INDEX)} has no shards to train on or none held out; make the shards again")
    if "test" not in pairs:
        pairs["test"] = pairs["val"]
        print(f"{folder}: no test shards; val is used as test")
    return pairs


def _pairs(folder: Path, shards: Sequence[str], index: dict[str, dict[str, Any]], photos: bool) -> Pairs:
    """The pairs of one split."""
    files = [pair for shard in shards for pair in index[shard]["names"]]
    if photos and any(len(pair) != 1 for pair in files):
        raise InputError(f"{folder} holds pairs of files; a task takes plain photos (shards made with --single)")
    if not photos and any(index[shard].get("photos") for shard in shards):
        raise InputError(f"{folder} holds plain photos, not pairs; give the --task that makes the inputs of them")
    try:
        source = ArrayRecordDataSource([str(folder / shard) for shard in shards])
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: a shard is damaged ({error}); copy the folder again") from None
    names = [" and ".join(pair) for pair in files]

    def read(position: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            record = source[position]
        except RuntimeError as error:  # a shard's checksum, or the disk
            raise InputError(f"{folder}: {names[position]} cannot be read from its shard: {error}") from None
        features = tf.train.Example.FromString(record).features.feature
        paths = [f"{folder}/{name.decode()}" for name in features["names"].bytes_list.value]
        encoded = features["files"].bytes_list.value
        return (decode_image(paths[0], encoded[0]),) if photos else decode_pair(paths, encoded)

    # Photos were not decoded as pairs, nor pairs as photos: side by side, they may have an odd width.
    kinds = [index[shard]["kind"] for shard in shards]
    verified = kinds.count(kinds[0]) == len(kinds) and kinds[0] is not None and len(kinds[0]) == (1 if photos else 2)
    return Pairs([f"{folder}: {name}" for name in names], read, (TARGET,) if photos else (INPUT, TARGET), verified)
