"""Pairs from shards: a few large files, fast on network drives, that hold many image files byte for byte.

A folder of shards has an index, shards.json, and ArrayRecord files, readable in any order. A record is a
tf.train.Example with two features, "names" and "files": one side-by-side image or photo, or the images A and B.
"""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_pix2pix.datasets.folder import SPLITS
from tf_pix2pix.datasets.pairs import INPUT, TARGET, Pairs, decode_image, decode_pair
from tf_pix2pix.errors import InputError
from tf_pix2pix.files import atomic_write

INDEX = "shards.json"
EXTENSION = ".array_record"
FORMAT = "tf_pix2pix shards 1"

# Image files are compressed already. With one record per group, reading a record leaves its neighbors unread.
_WRITER_OPTIONS = "group_size:1,uncompressed"


def check_array_record(what: str, fix: str) -> None:
    """Raises InputError if the package array_record, which `what` requires, is missing."""
    if importlib.util.find_spec("array_record") is None:
        raise InputError(f"{what}: requires the package array_record, which has no Windows build; {fix}")


def write_shard(path: Path, records: Iterable[tuple[Sequence[str], Sequence[bytes]]]) -> None:
    """Writes one record per (names, files) of one or two images."""
    check_array_record("writing shards", "run this command on Linux or macOS, or train on the folder itself")
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(path), _WRITER_OPTIONS)
    try:
        for names, encoded in records:
            features = {"names": [name.encode() for name in names], "files": encoded}
            lists = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for key, v in features.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())
    finally:
        writer.close()


def read_index(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The entry of each shard in a folder, by file name.

    An entry has "split"; "pairs", their number; "bytes", the file's size; "names", the file names of each pair;
    "photos", whether the images are plain photos; "kind", the [dtype, channels] of A and of B (one entry for photos),
    or null if the pairs differ in it.

    Raises:
      InputError: the index is damaged or has another version.
    """
    path = Path(folder, INDEX)
    try:
        index = json.loads(path.read_text())
        found, entries = index["format"], dict(index["shards"])
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path}: damaged, or not an index of shards; make the shards again") from None
    if found != FORMAT:
        raise InputError(f"{path}: format {found!r} is not {FORMAT!r}; make the shards again")
    return entries


def add_to_index(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Adds one shard to the index, or replaces its entry."""
    path = folder / INDEX
    entries = {**(read_index(folder) if path.exists() else {}), name: entry}
    with atomic_write(path) as beside:
        beside.write_text(json.dumps({"format": FORMAT, "shards": dict(sorted(entries.items()))}) + "\n")


def load(folder: str | Path, *, photos: bool = False) -> dict[str, Pairs]:
    """The splits "train", "val" and "test" of a folder of shards, in the same order as in the source folder.

    Without a test split, val is used as test, which is printed.

    Args:
      photos: the images are plain photos; a pair is then a target alone.

    Raises:
      InputError: the index is damaged; a shard is missing or changed; the shards hold pairs where photos are
        required, or the reverse; the package array_record is missing.
    """
    check_array_record(str(folder), "train on the folder that the shards were made from")
    index = read_index(folder)
    for name, shard in index.items():
        path = Path(folder, name)
        size = path.stat().st_size if path.exists() else None
        if size != shard["bytes"]:
            problem = "missing" if size is None else f"{size} bytes, but the index states {shard['bytes']}"
            raise InputError(f"{path}: {problem}; copy the folder again, or make the shards again")
    by_split = {split: [name for name in sorted(index) if index[name]["split"] == split] for split in SPLITS}
    pairs = {split: _pairs(Path(folder), names, index, photos) for split, names in by_split.items() if names}
    if not {"train", "val"} <= pairs.keys():
        raise InputError(f"{Path(folder, INDEX)}: the train or val split is missing; make the shards again")
    if "test" not in pairs:
        pairs["test"] = pairs["val"]
        print(f"{folder}: no test split; val is used as test")
    return pairs


def _pairs(folder: Path, shards: Sequence[str], index: dict[str, dict[str, Any]], photos: bool) -> Pairs:
    """The pairs of one split."""
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    files = [pair for shard in shards for pair in index[shard]["names"]]
    if photos and any(len(pair) != 1 for pair in files):
        raise InputError(f"{folder}: holds pairs, but a task requires plain photos; make shards with --photos")
    if not photos and any(index[shard].get("photos") for shard in shards):
        raise InputError(f"{folder}: holds plain photos, not pairs; pass the --task that makes inputs from them")
    try:
        source = ArrayRecordDataSource([str(folder / shard) for shard in shards])
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: damaged shard ({error}); copy the folder again") from None
    names = [" and ".join(pair) for pair in files]

    def read(position: int) -> tuple[np.ndarray, ...]:
        try:
            record = source[position]
        except RuntimeError as error:  # a wrong checksum, or the disk
            raise InputError(f"{folder}: cannot read {names[position]} ({error}); copy the folder again") from None
        features = tf.train.Example.FromString(record).features.feature
        paths = [f"{folder}/{name.decode()}" for name in features["names"].bytes_list.value]
        encoded = features["files"].bytes_list.value
        return (decode_image(paths[0], encoded[0]),) if photos else decode_pair(paths, encoded)

    # Side-by-side files that are read as photos, or the reverse, were not checked as such, so they are not uniform.
    kinds = [index[shard]["kind"] for shard in shards]
    parts = (TARGET,) if photos else (INPUT, TARGET)
    uniform = kinds.count(kinds[0]) == len(kinds) and kinds[0] is not None and len(kinds[0]) == len(parts)
    return Pairs([f"{folder}: {name}" for name in names], read, parts, uniform)
