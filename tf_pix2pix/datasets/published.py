"""The six data sets published with pix2pix, as a TensorFlow Datasets builder: tfds.load("pix2pix/facades").

An archive NAME.tar.gz holds NAME/{train,val[,test]}/*.jpg, each a pair side by side: A is the left half, B the right.
"""

import gzip
import http.client
import os
import shutil
import sys
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds

from tf_pix2pix import images
from tf_pix2pix.datasets.pairs import Pairs
from tf_pix2pix.errors import InputError, RunError

BASE_ADDRESS = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/"
CONNECT_SECONDS = 20  # how long the server may take to answer at all


@dataclass(frozen=True)
class PublishedSet:
    """What is known of a published set: the sides, the archive's size, the pairs of each split that it has, the source.

    None stands for a number that is not known, and then is not compared with.
    """

    a: str
    b: str
    archive_bytes: int | None
    pairs: dict[str, int | None]
    source: str


SETS = {
    "facades": PublishedSet("photo", "label map", 30168306, {"train": 400, "val": 100, "test": 106},
                            "CMP Facade Database: Tylecek and Sara, GCPR 2013"),
    "cityscapes": PublishedSet("photo", "label map", 103441232, {"train": 2975, "val": 500},
                               "Cityscapes: Cordts et al., CVPR 2016"),
    "maps": PublishedSet("aerial photo", "map", 250242400, {"train": 1096, "val": 1098},
                         "Google Maps, collected by Isola et al., CVPR 2017"),
    "edges2shoes": PublishedSet("edges", "photo", None, {"train": 49825, "val": 200},
                                "UT Zappos50K: Yu and Grauman, CVPR 2014; edges by HED: Xie and Tu, ICCV 2015"),
    "edges2handbags": PublishedSet("edges", "photo", None, {"train": 138567, "val": 200},
                                   "Amazon handbags: Zhu et al., ECCV 2016; edges by HED: Xie and Tu, ICCV 2015"),
    "night2day": PublishedSet("a place", "the place at another hour", None, {"train": None, "val": None, "test": None},
                              "Transient Attributes: Laffont et al., SIGGRAPH 2014"),
}  # fmt: skip


class Pix2pix(tfds.core.GeneratorBasedBuilder):
    """One config per published set, stored as array_record files, which serve both random access and tf.data.

    Features: "image", the side-by-side file byte for byte as published (decoded uint8 [h, 2w, 3]), and "filename".
    The archive is taken from DATA_DIR/NAME.tar.gz or DATA_DIR/downloads/manual/NAME.tar.gz, or else downloaded.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=f"A: {row.a}, B: {row.b}. {row.source}. Pairs: Isola et al.")
        for name, row in SETS.items()
    ]
    code_path = None  # only for a checksums file; TFDS 4.9.10 finds it by a package that it does not depend on
    archive: Path | None = None  # the file to prepare from, where it lies outside the data_dir

    def __init__(self, **kwargs):
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(), "filename": tfds.features.Text()}),
            homepage="https://phillipi.github.io/pix2pix/",
            citation="Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager) -> dict:
        name, folder = self.builder_config.name, Path(self.data_dir_root)
        placed = self.archive or _find_archive(name, folder)
        archive = placed or _download(name, dl_manager, folder)
        self.info.metadata["archive"] = _identity(archive)
        return {split: self._generate_examples(archive, split, placed is None) for split in SETS[name].pairs}

    def _generate_examples(self, archive: Path, split: str, downloaded: bool) -> Iterator[tuple[str, dict]]:
        """(filename, features) of one split, each picture decoded once. Raises InputError naming archive and member."""
        name, count = self.builder_config.name, 0
        try:
            for member, encoded in _pictures(archive, f"{name}/{split}"):
                try:
                    images.split_side_by_side(images.decode(encoded))
                except ValueError as error:
                    raise InputError(f"{archive}: {member}: {error}") from None
                yield member.name, {"image": encoded, "filename": member.name}
                count += 1
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            cure = f"replace it by a complete copy of {BASE_ADDRESS}{name}.tar.gz"
            if downloaded:
                archive.unlink()
                Path(f"{archive}.INFO").unlink()  # TFDS' note beside it, with which another download would be refused
                cure = "it has been removed: run the same command again to download it anew"
            raise InputError(f"{archive} is damaged or no .tar.gz archive ({error}); {cure}") from None
        if not count:
            raise InputError(f"{archive} has no pictures in {name}/{split}/: it is not the whole {name} archive")

    def _as_dataset(self, split, decoders=None, read_config=None, shuffle_files=False):
        """tf.data over the records; TFDS reads array_record files by index only. Their order is random already."""
        import tensorflow as tf

        source = self.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        records = tf.data.Dataset.from_generator(lambda: source, output_signature=tf.TensorSpec((), tf.string))
        records = records.apply(tf.data.experimental.assert_cardinality(len(source)))
        return records.map(partial(self.info.features.deserialize_example, decoders=decoders))


def load(name: str, *, data_dir: str | os.PathLike | None = None) -> dict[str, Pairs]:
    """The published set `name` as {"train", "val", "test"} -> Pairs, prepared the first time (about a minute per GB).

    A set published without test pictures gives its val as test. Pairs are in TFDS' order: random, the same everywhere.

    Args:
      name: one of SETS.
      data_dir: where NAME.tar.gz has been put by hand (also in downloads/manual inside), and where the downloaded
        archive and the prepared set are kept. A folder without write permission is only read; TFDS' default folder
        is then used for the rest. None: that default, the variable TFDS_DATA_DIR or else ~/tensorflow_datasets.

    Raises:
      InputError: no such set; data_dir is a file; no archive and no network; a damaged archive or picture.
      RunError: the prepared set cannot be written.
    """
    if name not in SETS:
        raise InputError(f"no published set is called {name!r}; there are: {', '.join(SETS)}")
    default = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    folder, default = (Path(path).expanduser().absolute() for path in (data_dir or default, default))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --data_dir is the folder where archives lie or are downloaded to")
    archive = _find_archive(name, folder)
    builder = Pix2pix(config=name, data_dir=folder)
    if not _is_current(builder, archive) and not _is_writable(folder):
        _say(f"{folder} is read-only: the prepared {name} is kept in {default}")
        builder = Pix2pix(config=name, data_dir=default)
        archive = archive or _find_archive(name, default)
    if os.path.exists(builder.data_dir) and not _is_current(builder, archive):
        _say(f"{builder.data_dir} is incomplete or was made from another archive: preparing {name} anew")
        shutil.rmtree(builder.data_dir)
        builder = Pix2pix(config=name, data_dir=builder.data_dir_root)
    builder.archive = archive
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    is_new = not Path(builder.data_dir_root).exists()
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise RunError(f"{name} cannot be prepared in {builder.data_dir}: {error}") from None
    except InputError:
        if is_new:  # a misspelt data_dir, perhaps
            shutil.rmtree(builder.data_dir_root, ignore_errors=True)
        raise
    _compare_with_published(builder)

    skip_decoding = {"image": tfds.decode.SkipDecoding()}
    sources = {split: builder.as_data_source(split, decoders=skip_decoding) for split in SETS[name].pairs}
    pairs = {
        split: Pairs(_Names(f"{name}/{split}", source), partial(_read, f"{name}/{split}", source), uniform=True)
        for split, source in sources.items()
    }
    if "test" not in pairs:
        _say(f"{name}: no test split published: val is used as test")
        pairs["test"] = pairs["val"]
    return pairs


class _Names(Sequence):
    """The pairs' names, facades/train/17.jpg and so on, each read when asked for: a set may have more than 100,000."""

    def __init__(self, prefix: str, source: Sequence[dict]):
        self._prefix, self._source = prefix, source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return f"{self._prefix}/{self._source[range(len(self))[index]]['filename'].decode()}"


def _read(prefix: str, source: Sequence[dict], index: int) -> tuple[np.ndarray, np.ndarray]:
    """Pair number `index` of a split -> (A, B), uint8 [h, w, c] each."""
    example = source[index]
    try:
        return images.split_side_by_side(images.decode(example["image"]))
    except ValueError as error:
        raise InputError(f"{prefix}/{example['filename'].decode()}: {error}") from None


def _pictures(archive: Path, folder: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(path, bytes) of each picture of one folder, in one pass to the file's very end, where gzip's checksum is."""
    with gzip.open(archive) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            is_picture = path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".")
            if member.isfile() and path.parent == PurePosixPath(folder) and is_picture:
                yield path, tar.extractfile(member).read()
        while unpacked.read(1 << 20):
            pass


def _find_archive(name: str, folder: Path) -> Path | None:
    candidates = (folder / f"{name}.tar.gz", folder / "downloads" / "manual" / f"{name}.tar.gz")
    return next((path for path in candidates if path.is_file()), None)


def _download(name: str, dl_manager, folder: Path) -> Path:
    """The archive from TFDS' cache or its address. One short request first: TFDS retries for minutes or for ever."""
    address = f"{BASE_ADDRESS}{name}.tar.gz"
    downloads = Path(dl_manager.download_dir, Pix2pix.name)
    unfinished_before = set(downloads.glob("*.tmp.*"))
    is_cached = any(address in info.read_text() for info in downloads.glob("*.tar.gz.INFO"))
    try:
        if not is_cached:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
        return Path(dl_manager.download(address))
    except (OSError, http.client.HTTPException, tfds.download.DownloadError) as error:
        for unfinished in set(downloads.glob("*.tmp.*")) - unfinished_before:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise InputError(
            f"{name} cannot be downloaded from {address} ({error}). Download it elsewhere, put it at "
            f"{folder / f'{name}.tar.gz'} and run the same command again; or start now with --dataset=synthetic_facades"
        ) from None


def _identity(archive: Path) -> dict[str, int | str]:
    """An archive's size and its last 8 bytes, where gzip keeps checksum and length of the content (RFC 1952, 2.3.1)."""
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        return {"bytes": size, "gzip_trailer": file.read().hex()}


def _is_current(builder: Pix2pix, archive: Path | None) -> bool:
    """Whether the set is prepared, with all its files, and from `archive` where there is one."""
    files = [file for split in builder.info.splits.values() for file in split.filepaths]
    if not files or not all(file.exists() for file in files):
        return False
    return archive is None or builder.info.metadata["archive"] == _identity(archive)


def _is_writable(folder: Path) -> bool:
    """Whether the folder, or the one that it would be made in, may be written to; root too respects the mode bits."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _compare_with_published(builder: Pix2pix) -> None:
    """One line of warning where the prepared set is not as published; it is used all the same."""
    name = builder.builder_config.name
    row = SETS[name]
    compared = [("bytes", builder.info.metadata["archive"]["bytes"], row.archive_bytes)]
    compared += [(f"{split} pairs", builder.info.splits[split].num_examples, n) for split, n in row.pairs.items()]
    differences = [f"{n} {what} (published: {known})" for what, n, known in compared if known not in (n, None)]
    if differences:
        _say(f"warning: {name} is not the published archive: {', '.join(differences)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
