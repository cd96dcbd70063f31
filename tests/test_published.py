"""The published sets (published.py, archive.py): tiny archives, placed by hand or served locally, and the real one."""

import functools
import http.server
import io
import itertools
import shutil
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import encode
from PIL import Image

from tf_pix2pix.datasets import archive, published
from tf_pix2pix.errors import InputError, RunError

COUNTS = {"train": 5, "val": 3, "test": 2}
UNREACHABLE = "http://127.0.0.1:9/"  # the discard port refuses connections


@pytest.fixture(autouse=True)
def default_dir(tmp_path, monkeypatch):
    """TFDS' default folder, a temporary one here; the published address is unreachable."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    monkeypatch.setattr(archive, "BASE_ADDRESS", UNREACHABLE)
    return tmp_path / "default"


def jpeg(brightness: int, width: int = 32) -> bytes:
    """A JPEG: the left half is black, the right half gray of this brightness."""
    pixels = np.zeros((16, width, 3), np.uint8)
    pixels[:, width // 2 :] = brightness % 256
    return encode(Image.fromarray(pixels), "JPEG", quality=95)


def make_files(name="facades", counts=None) -> dict[str, bytes]:
    """The files of a tiny published set, with brightness 10, 11, ... across all splits."""
    brightness = itertools.count(10)
    files = [f"{name}/{split}/{i}.jpg" for split, n in (counts or COUNTS).items() for i in range(1, n + 1)]
    return {file: jpeg(next(brightness)) for file in files}


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for file, content in files.items():
            header = tarfile.TarInfo(file)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def place(folder: Path, files: dict[str, bytes], is_archive: bool) -> Path:
    """Writes facades as an archive or as its unpacked folder, without any earlier one. Returns its path."""
    if is_archive:
        return write_archive(folder / "facades.tar.gz", files)
    shutil.rmtree(folder / "facades", ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "facades"


both_forms = pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "unpacked folder"])


@pytest.fixture
def facades(tmp_path):
    """The files of a tiny facades archive that lies in tmp_path."""
    files = make_files()
    write_archive(tmp_path / "facades.tar.gz", files)
    return files


def read_brightness(pairs, index: int) -> int:
    a, b = pairs.read(index)
    assert a.shape == b.shape == (16, 16, 3) and a.dtype == b.dtype == np.uint8
    assert a.max() < 5
    return round(float(b.mean()))


def by_name(pairs) -> dict[str, int]:
    return {name: read_brightness(pairs, i) for i, name in enumerate(pairs.names)}


def expected(files: dict[str, bytes], split: str) -> dict[str, int]:
    return {name: 10 + i for i, name in enumerate(files) if name.split("/")[1] == split}


def assert_nothing_prepared(folder: Path) -> None:
    kept = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != ".config"]
    assert [path for path in kept if not path.name.endswith((".tar.gz", ".jpg"))] == []
    assert not list(folder.rglob("incomplete*")) and not list(folder.rglob("*.tmp.*"))


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder and counts requests. cut_to: the number of bytes after which a body breaks off."""

    requests, cut_to, sends_length = 0, None, True


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        if self.server.cut_to is None:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        if self.server.sends_length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.cut_to])

    def do_HEAD(self):
        self.server.requests += 1
        super().do_HEAD()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        server.folder = folder
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(archive, "BASE_ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def test_download_happens_once(server, tmp_path):
    files = make_files()
    write_archive(server.folder / "facades.tar.gz", files)
    for split, pairs in published.load("facades", data_dir=tmp_path / "data").items():
        assert by_name(pairs) == expected(files, split)
        assert len(pairs) == COUNTS[split] and pairs.uniform
    requests = server.requests
    assert requests > 0
    published.load("facades", data_dir=tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "pix2pix")  # the archive itself is kept
    assert by_name(published.load("facades", data_dir=tmp_path / "data")["train"]) == expected(files, "train")
    assert server.requests == requests


@pytest.mark.parametrize("place_name", ["data", "data/downloads/manual", "default"])
@both_forms
def test_files_placed_by_hand_need_no_network(tmp_path, default_dir, capsys, place_name, is_archive):
    files = make_files()
    source = place(tmp_path / place_name, files, is_archive)
    pairs = published.load("facades", data_dir=None if place_name == "default" else tmp_path / "data")
    assert by_name(pairs["val"]) == expected(files, "val")
    assert f"facades: using {source}\n" in capsys.readouterr().err
    assert default_dir.exists() == (place_name == "default")


def test_pairs_are_the_same_from_an_archive_and_its_unpacked_folder(tmp_path):
    files = make_files(counts={"train": 30, "val": 3, "test": 2})
    place(tmp_path / "packed", files, True)
    place(tmp_path / "packed", make_files(counts={"train": 1, "val": 1, "test": 1}), False)  # the archive wins
    place(tmp_path / "unpacked", files, False)
    packed, unpacked = (published.load("facades", data_dir=tmp_path / name) for name in ("packed", "unpacked"))
    for split in packed:
        assert list(packed[split].names) == list(unpacked[split].names)
        assert by_name(packed[split]) == by_name(unpacked[split]) == expected(files, split)


def test_files_are_stored_byte_for_byte(tmp_path, facades):
    published.load("facades", data_dir=tmp_path)
    decoders = {"image": tfds.decode.SkipDecoding()}
    stored = tfds.data_source("pix2pix/facades", data_dir=tmp_path, split="train", decoders=decoders)
    assert {f"facades/train/{example['filename'].decode()}": example["image"] for example in stored} == {
        name: content for name, content in facades.items() if "/train/" in name
    }


@pytest.mark.parametrize("prepared_by", ["tfds.load", "load"])
def test_tfds_and_load_share_one_prepared_set(tmp_path, monkeypatch, facades, prepared_by):
    if prepared_by == "load":
        published.load("facades", data_dir=tmp_path)
        (tmp_path / "facades.tar.gz").unlink()
    dataset = tfds.load("pix2pix/facades", split="train", data_dir=str(tmp_path))
    examples = list(dataset.as_numpy_iterator())
    found = {f"facades/train/{e['filename'].decode()}": round(e["image"][:, 16:].mean()) for e in examples}
    assert found == expected(facades, "train")
    assert len(dataset) == 5 and dataset.element_spec["image"].shape == (None, None, 3)
    monkeypatch.setattr(archive, "read_split", None)  # a second preparation would fail
    assert by_name(published.load("facades", data_dir=tmp_path)["train"]) == found


def test_an_unreachable_server_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        published.load("maps", data_dir="data")
    assert time.monotonic() - started < 10  # TFDS alone tries for three minutes
    message = str(caught.value)
    assert message.startswith(f"{UNREACHABLE}maps.tar.gz: download failed") and "refused" in message
    assert f"save it as {tmp_path / 'data' / 'maps.tar.gz'}" in message and "--dataset=synthetic_facades" in message
    assert_nothing_prepared(tmp_path / "data")


@pytest.mark.parametrize("sends_length", [True, False])
def test_a_failed_download_leaves_nothing(server, tmp_path, sends_length):
    with pytest.raises(InputError, match="facades.tar.gz: download failed .*404"):
        published.load("facades", data_dir=tmp_path / "data")
    files = make_files()
    size = write_archive(server.folder / "facades.tar.gz", files).stat().st_size
    server.cut_to, server.sends_length = size // 2, sends_length
    with pytest.raises(InputError, match="download failed" if sends_length else "it has been deleted: run the same"):
        published.load("facades", data_dir=tmp_path / "data")
    assert_nothing_prepared(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.tar.gz"))
    server.cut_to = None
    assert by_name(published.load("facades", data_dir=tmp_path / "data")["test"]) == expected(files, "test")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-8],  # every image is complete; only the checksum is missing
        lambda content: content[:-8] + bytes([content[-8] ^ 1]) + content[-7:],
        lambda content: b"<html>Please log in</html>",
        lambda content: b"",
    ],
    ids=["truncated", "no checksum", "wrong checksum", "not a tar", "empty"],
)
def test_a_damaged_archive_is_named_and_nothing_is_prepared(tmp_path, facades, damage):
    path = tmp_path / "facades.tar.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="facades.tar.gz: damaged .*replace it with a complete copy of http"):
        published.load("facades", data_dir=tmp_path)
    assert path.exists()
    assert_nothing_prepared(tmp_path)


@both_forms
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"facades/val/9.jpg": b"not an image"}, ": facades/val/9.jpg: not a PNG"),
        ({"facades/val/9.jpg": jpeg(1, width=31)}, ": facades/val/9.jpg: 31 pixels wide"),
        ({f"facades/val/{i}.jpg": None for i in (1, 2, 3)}, ": no images in facades/val/; replace"),
    ],
    ids=["undecodable", "odd width", "missing split"],
)
def test_bad_images_and_missing_splits_are_named(tmp_path, changes, message, is_archive):
    files = {name: content for name, content in (make_files() | changes).items() if content is not None}
    place(tmp_path, files, is_archive)
    with pytest.raises(InputError, match=f"facades{'.tar.gz' if is_archive else ''}{message}"):
        published.load("facades", data_dir=tmp_path)
    assert_nothing_prepared(tmp_path)


@both_forms
def test_other_files_are_ignored(tmp_path, is_archive):
    others = {"facades/train/._1.jpg": b"resource fork", "facades/train/Thumbs.db": b"", "facades/train/x/1.jpg": b""}
    place(tmp_path, others | {f"./{name}": content for name, content in make_files().items()}, is_archive)
    assert len(published.load("facades", data_dir=tmp_path)["train"]) == 5


def test_a_read_only_data_dir_is_not_changed(tmp_path, default_dir, capsys):
    folder, files = tmp_path / "readonly", make_files()
    write_archive(folder / "facades.tar.gz", files)
    folder.chmod(0o555)
    before = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}
    for _ in range(2):
        assert by_name(published.load("facades", data_dir=folder)["train"]) == expected(files, "train")
        assert f"{folder}: read-only; the prepared facades goes to {default_dir}\n" in capsys.readouterr().err
    assert {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]} == before
    shutil.copytree(default_dir, tmp_path / "prepared")
    (tmp_path / "prepared").chmod(0o555)
    shutil.rmtree(default_dir)
    assert len(published.load("facades", data_dir=tmp_path / "prepared")["train"]) == 5
    assert not default_dir.exists()


@both_forms
def test_changed_files_are_prepared_again(tmp_path, capsys, is_archive):
    other = {"train": 9, "val": 1, "test": 1}
    for counts, writes, is_again in ((COUNTS, True, False), (COUNTS, is_archive, False), (other, True, True)):
        if writes:  # an archive written again has another time, but the same content
            place(tmp_path, make_files(counts=counts), is_archive)
        pairs = published.load("facades", data_dir=tmp_path)
        assert {split: len(pairs[split]) for split in pairs} == counts
        assert ("made from other files; preparing facades again\n" in capsys.readouterr().err) == is_again


def test_a_prepared_set_that_lost_a_file_is_prepared_again(tmp_path, capsys, facades):
    published.load("facades", data_dir=tmp_path)
    next(tmp_path.rglob("*val.array_record*")).unlink()
    assert by_name(published.load("facades", data_dir=tmp_path)["val"]) == expected(facades, "val")
    assert "incomplete or" in capsys.readouterr().err


def test_differences_from_the_published_set_are_one_warning(tmp_path, capsys):
    files = make_files(counts={"train": 400, "val": 100, "test": 1})
    size = write_archive(tmp_path / "facades.tar.gz", files).stat().st_size
    write_archive(tmp_path / "night2day.tar.gz", make_files("night2day"))  # its numbers are unknown
    for name in ("facades", "night2day"):
        published.load(name, data_dir=tmp_path)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")] == [
        f"warning: facades differs from the published set: {size} bytes (published: 30168306), "
        "1 test pairs (published: 106)"
    ]
    maps = make_files("maps", {"train": 2, "val": 3})
    write_archive(tmp_path / "maps.tar.gz", maps)
    pairs = published.load("maps", data_dir=tmp_path)
    assert by_name(pairs["test"]) == by_name(pairs["val"]) == expected(maps, "val")
    assert "maps: published without a test split; val is used as test\n" in capsys.readouterr().err


def test_reading_from_several_threads(tmp_path):
    files = make_files(counts={"train": 60, "val": 1, "test": 1})
    write_archive(tmp_path / "facades.tar.gz", files)
    train = published.load("facades", data_dir=tmp_path)["train"]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: (train.names[i], read_brightness(train, i)), list(range(60)) * 5))
    assert dict(read) == expected(files, "train")
    assert read[:60] * 5 == read


def test_an_unknown_name_and_a_data_dir_that_is_a_file_are_refused(tmp_path):
    known = "'facade': .*facades, cityscapes, maps, edges2shoes, edges2handbags, night2day"
    with pytest.raises(InputError, match=known):
        published.load("facade", data_dir=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--data_dir=.*file: a file; pass the folder"):
        published.load("facades", data_dir=tmp_path / "file")


def test_a_full_disk_is_a_run_error(tmp_path, monkeypatch, facades):
    def fail(self, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(published.Pix2pix, "download_and_prepare", fail)
    with pytest.raises(RunError, match=f"{tmp_path}.*: cannot prepare facades here .*No space left on device"):
        published.load("facades", data_dir=tmp_path)


def test_real_facades_have_photos_left_and_labels_right(tmp_path, real_facades):
    folder = tmp_path / "readonly"  # a read-only folder with a link, so that no defect can write into the real one
    folder.mkdir()
    (folder / "facades.tar.gz").symlink_to(real_facades / "facades.tar.gz")
    folder.chmod(0o555)
    sets = published.load("facades", data_dir=folder)
    assert {split: len(pairs) for split, pairs in sets.items()} == {"train": 400, "val": 40, "test": 28}
    for pairs in sets.values():
        for index in range(0, len(pairs), 4):
            photo, labels = pairs.read(index)
            assert photo.shape == labels.shape == (256, 256, 3) and photo.dtype == labels.dtype == np.uint8
            saturated = [(np.ptp(side, axis=2) > 130).mean() for side in (photo, labels)]  # as all label colors are
            assert saturated[1] > 0.6 > 0.3 > saturated[0], pairs.names[index]
    assert [path.name for path in folder.iterdir()] == ["facades.tar.gz"]


def test_archives_of_equal_size_are_told_apart_by_their_content(tmp_path):
    paths = [write_archive(tmp_path / f"{n}.gz", {"facades/train/1.jpg": bytes([n]) * 1000}) for n in (1, 2)]
    assert archive.identify(paths[0])["gzip_trailer"] != archive.identify(paths[1])["gzip_trailer"]
