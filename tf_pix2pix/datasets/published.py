"""The six data sets published with pix2pix, as a TensorFlow Datasets builder: tfds.load("pix2pix/facades").

Each image file is a side-by-side pair: A is the left half, B the right half.
"""

import os
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tf_pix2pix.datasets import archive, shards
from tf_pix2pix.datasets.pairs import Pairs, decode_pair
from tf_pix2pix.errors import InputError, RunError


@dataclass(frozen=True)
class PublishedSet:
    """The facts about a published set. None: unknown, and not checked."""

    a: str  # the content of the left half
    b: str  # the content of the right half
    archive_bytes: int | None  # the size of NAME.tar.gz
    pairs: dict[str, int | None]  # the number of pairs of each split
    source: str  # where the images come from


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
    "night2day": PublishedSet("a place", "the same place at another hour", None,
                              {"train": None, "val": None, "test": None},
                              "Transient Attributes: Laffont et al., SIGGRAPH 2014"),
}  # fmt: skip


class Pix2pix(tfds.core.GeneratorBasedBuilder):
    """The data sets published with pix2pix, one config each.

    Features: "image", the published side-by-side file byte for byte (decodes to uint8 [h, 2w, 3]), and "filename".
    The files come from DATA_DIR/NAME.tar.gz, from the unpacked folder DATA_DIR/NAME, from either of them in
    DATA_DIR/downloads/manual, or from a download. They are stored as array_record, readable in any order.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=f"A: {row.a}, B: {row.b}. {row.source}. Pairs: Isola et al.")
        for name, row in SETS.items()
    ]
    code_path = None  # TFDS would look for a checksums file here, in 4.9.10 with a package that it does not declare
    source: Path | None = None  # the archive or unpacked folder, if it is outside the builder's data_dir

    def __init__(self, **kwargs):
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(), "filename": tfds.features.Text()}),
            homepage="https://phillipi.github.io/pix2pix/",
            citation="Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager) -> dict:
        name, data_dir = self.builder_config.name, Path(self.data_dir_root)
        placed = self.source or archive.find(name, data_dir)
        source = placed or archive.download(name, dl_manager, data_dir)
        self.info.metadata["source"] = archive.identify(source)
        return {split: self._generate_examples(source, split, placed is None) for split in SETS[name].pairs}

    def _generate_examples(self, source: Path, split: str, is_download: bool) -> Iterator[tuple[str, dict]]:
        """Yields (file name, features) of a split and checks that each image decodes. Raises InputError."""
        name, is_empty = self.builder_config.name, True
        complete_copy = f"a complete copy of {archive.BASE_ADDRESS}{name}.tar.gz"
        try:
            for filename, encoded in archive.read_split(source, name, split):
                decode_pair([f"{source}: {name}/{split}/{filename}"], [encoded])
                yield filename, {"image": encoded, "filename": filename}
                is_empty = False
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            fix = f"replace it with {complete_copy}"
            if is_download:
                archive.remove_download(source)
                fix = "it has been deleted: run the same command again to repeat the download"
            raise InputError(f"{source}: damaged or incomplete ({error}); {fix}") from None
        if is_empty:
            raise InputError(f"{source}: no images in {name}/{split}/; replace it with {complete_copy}")

    def _as_dataset(self, split, decoders=None, read_config=None, shuffle_files=False):
        """The records as tf.data, which TFDS lacks for array_record files; they are stored in random order."""
        import tensorflow as tf

        source = self.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        records = tf.data.Dataset.from_generator(lambda: source, output_signature=tf.TensorSpec((), tf.string))
        records = records.apply(tf.data.experimental.assert_cardinality(len(source)))
        return records.map(partial(self.info.features.deserialize_example, decoders=decoders))


def load(name: str, *, data_dir: str | os.PathLike | None = None) -> dict[str, Pairs]:
    """The splits "train", "val" and "test" of a published set, prepared at the first call (a minute per GB).

    A set without a test split uses val as test. The order of the pairs is random, but the same on every machine, from
    an archive and from its unpacked folder.

    Args:
      name: a key of SETS.
      data_dir: holds NAME.tar.gz or the unpacked folder NAME (archive.find), and receives the download and the prepared
        set; if it is read-only, the default folder receives them. None: the default folder, $TFDS_DATA_DIR or
        ~/tensorflow_datasets.

    Raises:
      InputError: name is unknown; data_dir is a file; the archive is missing and cannot be downloaded; the archive or
        an image is damaged; the package array_record is missing.
      RunError: the prepared set cannot be written.
    """
    if name not in SETS:
        raise InputError(f"{name!r}: unknown published data set; choose one of {', '.join(SETS)}")
    shards.check_array_record(name, f"unpack {name}.tar.gz and pass --dataset=FOLDER --preset={name}")
    builder = _prepare(name, data_dir)
    decoders = {"image": tfds.decode.SkipDecoding()}
    sources = {split: builder.as_data_source(split, decoders=decoders) for split in SETS[name].pairs}
    pairs = {
        split: Pairs(_Names(f"{name}/{split}", source), partial(_read, f"{name}/{split}", source), uniform=True)
        for split, source in sources.items()
    }
    if "test" not in pairs:
        _report(f"{name}: published without a test split; val is used as test")
        pairs["test"] = pairs["val"]
    return pairs


def _prepare(name: str, data_dir: str | os.PathLike | None) -> Pix2pix:
    """The builder of a set, after preparing the set if it is missing or out of date."""
    default = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().absolute()
    folder = Path(data_dir).expanduser().absolute() if data_dir else default
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--data_dir={folder}: a file; pass the folder of {name}.tar.gz, or one to download it to")
    source = archive.find(name, folder)
    builder = Pix2pix(config=name, data_dir=folder)
    if not _is_current(builder, source) and not _is_writable(folder):
        _report(f"{folder}: read-only; the prepared {name} goes to {default}")
        source = source or archive.find(name, default)
        builder = Pix2pix(config=name, data_dir=default)
    if source:
        _report(f"{name}: using {source}")
    if os.path.exists(builder.data_dir) and not _is_current(builder, source):
        _report(f"{builder.data_dir}: incomplete or made from other files; preparing {name} again")
        shutil.rmtree(builder.data_dir)
        builder = Pix2pix(config=name, data_dir=builder.data_dir_root)
    builder.source = source
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    is_new = not Path(builder.data_dir_root).exists()
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise RunError(f"{builder.data_dir}: cannot prepare {name} here ({error}); pass another --data_dir") from None
    except InputError:
        if is_new:  # perhaps a misspelled data_dir
            shutil.rmtree(builder.data_dir_root, ignore_errors=True)
        raise
    _warn_of_differences(builder)
    return builder


def _is_current(builder: Pix2pix, source: Path | None) -> bool:
    """Whether the set is prepared with all its files, and from `source` if that is not None."""
    files = [file for split in builder.info.splits.values() for file in split.filepaths]
    if not files or not all(file.exists() for file in files):
        return False
    return source is None or builder.info.metadata.get("source") == archive.identify(source)


def _is_writable(folder: Path) -> bool:
    """Whether the mode bits of the folder, or of its first existing parent, allow writing, for root too."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _warn_of_differences(builder: Pix2pix) -> None:
    """Reports in one line how the prepared set differs from the published one, and allows it."""
    name = builder.builder_config.name
    row, source = SETS[name], builder.info.metadata.get("source", {})
    compared = [(f"{split} pairs", builder.info.splits[split].num_examples, n) for split, n in row.pairs.items()]
    if "gzip_trailer" in source:
        compared.insert(0, ("bytes", source["bytes"], row.archive_bytes))
    differences = [f"{n} {what} (published: {known})" for what, n, known in compared if known not in (n, None)]
    if differences:
        _report(f"warning: {name} differs from the published set: {', '.join(differences)}")


class _Names(Sequence):
    """The pairs' names, such as facades/train/17.jpg, each read on demand: some sets have 138,567."""

    def __init__(self, prefix: str, source: Sequence[dict]):
        self._prefix, self._source = prefix, source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return f"{self._prefix}/{self._source[range(len(self))[index]]['filename'].decode()}"


def _read(prefix: str, source: Sequence[dict], index: int) -> tuple[np.ndarray, np.ndarray]:
    """(A, B) of a pair, uint8 [h, w, c] each."""
    example = source[index]
    return decode_pair([f"{prefix}/{example['filename'].decode()}"], [example["image"]])


def _report(line: str) -> None:
    print(line, file=sys.stderr)
