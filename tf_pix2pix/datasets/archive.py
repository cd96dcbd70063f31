"""The files of a published data set: its archive or unpacked folder, placed by hand or downloaded.

NAME.tar.gz unpacks to NAME/{train,val[,test]}/*.jpg.
"""

import gzip
import http.client
import os
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from tf_pix2pix.datasets.folder import is_image
from tf_pix2pix.errors import InputError

BASE_ADDRESS = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/"
CONNECT_SECONDS = 20  # limit for the server's first response


def find(name: str, data_dir: Path) -> Path | None:
    """Finds NAME.tar.gz, or else the unpacked folder NAME, in data_dir or in data_dir/downloads/manual."""
    folders = (data_dir, data_dir / "downloads" / "manual")
    archives = [path for folder in folders if (path := folder / f"{name}.tar.gz").is_file()]
    unpacked = [path for folder in folders if ((path := folder / name) / "train").is_dir()]
    return next(iter(archives + unpacked), None)


def read_split(source: Path, name: str, split: str) -> Iterator[tuple[str, bytes]]:
    """Yields (file name, bytes) of each image of a split, from an archive or an unpacked folder.

    Raises:
      OSError, tarfile.TarError, EOFError, zlib.error: the source is damaged.
    """
    if source.is_dir():
        for path in sorted((source / split).glob("*")):
            if path.is_file() and is_image(path):
                yield path.name, path.read_bytes()
        return
    with gzip.open(source) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
        for member in tar:
            path, file = Path(member.name), tar.extractfile(member)
            if file and path.parent == Path(name, split) and is_image(path):
                yield path.name, file.read()
        while unzipped.read(1 << 20):  # to the end, where gzip checks its checksum
            pass


def identify(source: Path) -> dict[str, int | str]:
    """Facts that change with the content, found without reading all of it.

    For an archive: its size and its last 8 bytes, the checksum and length of the content (RFC 1952, 2.3.1). For an
    unpacked folder: the number and total size of its images and the time of the latest change (ns).
    """
    if source.is_dir():
        found = [path.stat() for path in source.glob("*/*") if is_image(path)]
        return {
            "files": len(found),
            "bytes": sum(file.st_size for file in found),
            "changed": max((file.st_mtime_ns for file in found), default=0),
        }
    with source.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        return {"bytes": size, "gzip_trailer": file.read().hex()}


def download(name: str, manager: tfds.download.DownloadManager, data_dir: Path) -> Path:
    """Downloads the archive, unless TFDS has it in its cache. Raises InputError if the download fails."""
    address = f"{BASE_ADDRESS}{name}.tar.gz"
    cache = Path(manager.download_dir, "pix2pix")
    unfinished_before = set(cache.glob("*.tmp.*"))
    is_cached = any(address in info.read_text() for info in cache.glob("*.tar.gz.INFO"))
    try:
        if not is_cached:  # a short request first: TFDS retries for minutes or forever
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
        return Path(manager.download(address))
    except (OSError, http.client.HTTPException, tfds.download.DownloadError) as error:
        for unfinished in set(cache.glob("*.tmp.*")) - unfinished_before:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise InputError(
            f"{address}: download failed ({error}); download it elsewhere, save it as {data_dir / f'{name}.tar.gz'} "
            "and run the same command again, or start now with --dataset=synthetic_facades"
        ) from None


def remove_download(archive: Path) -> None:
    """Deletes a damaged download and TFDS' record of it, because of which TFDS would refuse a different file."""
    archive.unlink()
    Path(f"{archive}.INFO").unlink()
