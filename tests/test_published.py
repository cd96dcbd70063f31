"""The published sets: tiny archives from a server on this machine or placed by hand, and the real one where it is."""

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
from PIL import Image

from tf_pix2pix.datasets import published
from tf_pix2pix.errors import InputError, RunError

REAL_DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"
COUNTS = {"train": 5, "val": 3, "test": 2}
NOWHERE = "http://127.0.0.1:9/"  # the discard port: connections are refused


@pytest.fixture(autouse=True)
def default_dir(tmp_path, monkeypatch):
    """TFDS' default folder is a temporary one, and the published address cannot be reached."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    monkeypatch.setattr(published, "BASE_ADDRESS", NOWHERE)
    return tmp_path / "default"


def picture(number: int, width: int = 32) -> bytes:
    """A JPEG, black on the left and gray of brightness `number` on the right."""
    pixels = np.zeros((16, width, 3), np.uint8)
    pixels[:, width // 2 :] = number % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def members(name="facades", counts=None) -> dict[str, bytes]:
    """The files of a tiny archive: the right side's brightness is the file's number, counted over all splits."""
    numbers = itertools.count(10)
    files = [f"{name}/{split}/{i}.jpg" for split, n in (counts or COUNTS).items() for i in range(1, n + 1)]
    return {file: picture(next(numbers)) for file in files}


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for file, content in files.items():
            header = tarfile.TarInfo(file)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def brightness(pairs, index: int) -> int:
    a, b = pairs.read(index)
    assert a.shape == b.shape == (16, 16, 3) and a.dtype == b.dtype == np.uint8
    assert a.max() < 5
    return round(float(b.mean()))


def by_name(pairs) -> dict[str, int]:
    return {name: brightness(pairs, i) for i, name in enumerate(pairs.names)}


def expected(files: dict[str, bytes], split: str) -> dict[str, int]:
    return {name: 10 + i for i, name in enumerate(files) if name.split("/")[1] == split}


def assert_nothing_prepared(folder: Path) -> None:
    kept = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != ".config"]
    assert [path for path in kept if not path.name.endswith(".tar.gz")] == []
    assert not list(folder.rglob("incomplete*")) and not list(folder.rglob("*.tmp.*"))


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder and counts requests; cut_to: how many bytes of a file's body really arrive."""

    requests = 0
    cut_to = None
    says_length = True


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        if self.server.cut_to is None:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        if self.server.says_length:
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
        monkeypatch.setattr(published, "BASE_ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def test_download_prepare_read_and_no_network_the_second_time(server, tmp_path):
    files = members()
    write_archive(server.folder / "facades.tar.gz", files)
    for split, pairs in published.load("facades", data_dir=tmp_path / "data").items():
        assert by_name(pairs) == expected(files, split)
        assert len(pairs) == COUNTS[split] and pairs.verified
    asked = server.requests
    assert asked > 0
    again = published.load("facades", data_dir=tmp_path / "data")
    assert server.requests == asked
    assert by_name(again["train"]) == expected(files, "train")


def test_a_downloaded_archive_is_kept_and_needs_no_network_again(server, tmp_path):
    write_archive(server.folder / "facades.tar.gz", members())
    published.load("facades", data_dir=tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "pix2pix")
    asked = server.requests
    assert len(published.load("facades", data_dir=tmp_path / "data")["train"]) == 5
    assert server.requests == asked


@pytest.mark.parametrize("where", ["facades.tar.gz", "downloads/manual/facades.tar.gz"])
def test_an_archive_placed_by_hand_needs_no_network(tmp_path, default_dir, where):
    files = members()
    write_archive(tmp_path / "data" / where, files)
    assert by_name(published.load("facades", data_dir=tmp_path / "data")["val"]) == expected(files, "val")
    assert not default_dir.exists()


def test_without_data_dir_the_default_folder_is_used(default_dir):
    files = members()
    write_archive(default_dir / "facades.tar.gz", files)
    assert by_name(published.load("facades")["test"]) == expected(files, "test")
    assert (default_dir / "pix2pix" / "facades").is_dir()


def test_names_are_a_sequence(tmp_path):
    write_archive(tmp_path / "facades.tar.gz", members())
    names = published.load("facades", data_dir=tmp_path)["train"].names
    assert sorted(names) == [f"facades/train/{i}.jpg" for i in range(1, 6)]
    assert names[1:3] == list(names)[1:3] and names[-1] == list(names)[-1]
    with pytest.raises(IndexError):
        names[5]


def test_pictures_are_stored_as_published(tmp_path):
    files = members()
    write_archive(tmp_path / "facades.tar.gz", files)
    published.load("facades", data_dir=tmp_path)
    decoders = {"image": tfds.decode.SkipDecoding()}
    stored = tfds.data_source("pix2pix/facades", data_dir=tmp_path, split="train", decoders=decoders)
    assert {f"facades/train/{example['filename'].decode()}": example["image"] for example in stored} == {
        name: content for name, content in files.items() if "/train/" in name
    }


@pytest.mark.parametrize("prepared_by", ["tfds.load", "load"])
def test_tfds_load_and_ours_share_one_prepared_set(tmp_path, monkeypatch, prepared_by):
    files = members()
    archive = write_archive(tmp_path / "facades.tar.gz", files)
    if prepared_by == "load":
        published.load("facades", data_dir=tmp_path)
        archive.unlink()
    dataset = tfds.load("pix2pix/facades", split="train", data_dir=str(tmp_path))
    examples = list(dataset.as_numpy_iterator())
    seen = {f"facades/train/{e['filename'].decode()}": round(e["image"][:, 16:].mean()) for e in examples}
    assert seen == expected(files, "train")
    assert len(dataset) == 5 and dataset.element_spec["image"].shape == (None, None, 3)
    monkeypatch.setattr(published, "_pictures", None)  # preparing anew would fail
    assert by_name(published.load("facades", data_dir=tmp_path)["train"]) == seen


def test_no_network_and_no_archive_is_one_clear_error(tmp_path):
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        published.load("maps", data_dir=tmp_path / "data")
    assert time.monotonic() - started < 10  # TFDS alone tries for three minutes
    message = str(caught.value)
    assert f"{NOWHERE}maps.tar.gz" in message and "refused" in message
    assert str((tmp_path / "data" / "maps.tar.gz").absolute()) in message
    assert "--dataset=synthetic_facades" in message
    assert caught.value.__suppress_context__
    assert_nothing_prepared(tmp_path / "data")


def test_a_relative_data_dir_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=str(tmp_path / "here" / "maps.tar.gz")):
        published.load("maps", data_dir="here")


def test_an_archive_that_the_server_does_not_have(server, tmp_path):
    with pytest.raises(InputError, match="maps.tar.gz .*404"):
        published.load("maps", data_dir=tmp_path / "data")
    assert_nothing_prepared(tmp_path / "data")


@pytest.mark.parametrize("says_length", [True, False])
def test_a_download_that_breaks_off_leaves_nothing(server, tmp_path, says_length):
    files = members()
    size = write_archive(server.folder / "facades.tar.gz", files).stat().st_size
    server.cut_to, server.says_length = size // 2, says_length
    with pytest.raises(InputError, match="cannot be downloaded" if says_length else "it has been removed"):
        published.load("facades", data_dir=tmp_path / "data")
    assert_nothing_prepared(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.tar.gz"))
    server.cut_to = None
    assert by_name(published.load("facades", data_dir=tmp_path / "data")["test"]) == expected(files, "test")


def damage(archive: Path, how: str) -> None:
    content = archive.read_bytes()
    if how == "truncated":
        archive.write_bytes(content[: len(content) // 2])
    elif how == "no checksum":  # all pictures are there, only the last 8 bytes are missing
        archive.write_bytes(content[:-8])
    elif how == "wrong checksum":
        archive.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    elif how == "not a tar":
        archive.write_bytes(b"<html>Please log in</html>")
    elif how == "empty":
        archive.write_bytes(b"")


@pytest.mark.parametrize("how", ["truncated", "no checksum", "wrong checksum", "not a tar", "empty"])
def test_a_damaged_archive_is_named_and_nothing_stays(tmp_path, how):
    archive = write_archive(tmp_path / "facades.tar.gz", members())
    damage(archive, how)
    with pytest.raises(InputError, match="facades.tar.gz is damaged .*replace it by a complete copy of http"):
        published.load("facades", data_dir=tmp_path)
    assert archive.exists()
    assert_nothing_prepared(tmp_path)


@pytest.mark.parametrize("missing", ["train", "val"])
def test_an_archive_without_one_of_its_folders(tmp_path, missing):
    files = {name: content for name, content in members().items() if f"/{missing}/" not in name}
    write_archive(tmp_path / "facades.tar.gz", files)
    with pytest.raises(InputError, match=f"facades.tar.gz has no pictures in facades/{missing}/"):
        published.load("facades", data_dir=tmp_path)
    assert_nothing_prepared(tmp_path)


@pytest.mark.parametrize("bad", [b"no picture", picture(1, width=31)], ids=["undecodable", "odd width"])
def test_a_bad_picture_is_named(tmp_path, bad):
    write_archive(tmp_path / "facades.tar.gz", members() | {"facades/val/9.jpg": bad})
    with pytest.raises(InputError, match="facades.tar.gz: facades/val/9.jpg: it "):
        published.load("facades", data_dir=tmp_path)
    assert_nothing_prepared(tmp_path)


def test_other_files_in_the_archive_are_left_out(tmp_path):
    others = {"facades/train/._1.jpg": b"resource fork", "facades/train/Thumbs.db": b"", "facades/train/x/1.jpg": b""}
    files = {f"./{name}": content for name, content in members().items()}
    write_archive(tmp_path / "facades.tar.gz", others | files)
    assert len(published.load("facades", data_dir=tmp_path)["train"]) == 5


def snapshot(folder: Path) -> dict[Path, tuple]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


def test_a_read_only_data_dir_stays_as_it_is(tmp_path, default_dir, capsys):
    files = members()
    folder = tmp_path / "readonly"
    write_archive(folder / "facades.tar.gz", files)
    folder.chmod(0o555)
    before = snapshot(folder)
    for _ in range(2):
        pairs = published.load("facades", data_dir=folder)
        assert by_name(pairs["train"]) == expected(files, "train")
        assert f"{folder} is read-only: the prepared facades is kept in {default_dir}\n" in capsys.readouterr().err
    assert snapshot(folder) == before
    assert (default_dir / "pix2pix" / "facades").is_dir()


def test_a_set_prepared_in_a_data_dir_that_is_now_read_only_is_read_there(tmp_path, default_dir):
    write_archive(tmp_path / "data" / "facades.tar.gz", members())
    published.load("facades", data_dir=tmp_path / "data")
    (tmp_path / "data").chmod(0o555)
    assert len(published.load("facades", data_dir=tmp_path / "data")["train"]) == 5
    assert not default_dir.exists()


def test_another_archive_is_prepared_anew(tmp_path, capsys):
    write_archive(tmp_path / "facades.tar.gz", members())
    published.load("facades", data_dir=tmp_path)
    assert "anew" not in capsys.readouterr().err
    published.load("facades", data_dir=tmp_path)
    assert "anew" not in capsys.readouterr().err
    counts = {"train": 2, "val": 1, "test": 1}
    write_archive(tmp_path / "facades.tar.gz", members(counts=counts))
    pairs = published.load("facades", data_dir=tmp_path)
    assert "was made from another archive: preparing facades anew\n" in capsys.readouterr().err
    assert {split: len(list(p.names)) for split, p in pairs.items()} == counts


def test_an_archive_of_the_same_size_with_another_content_is_another_archive(tmp_path):
    one, other = (tmp_path / name for name in ("one.gz", "other.gz"))
    for path, content in (one, b"a" * 1000), (other, b"b" * 1000):
        write_archive(path, {"facades/train/1.jpg": content})
    assert published._identity(one) == published._identity(one)
    assert published._identity(one)["gzip_trailer"] != published._identity(other)["gzip_trailer"]


def test_a_prepared_set_that_lost_a_file_is_prepared_anew(tmp_path, capsys):
    files = members()
    write_archive(tmp_path / "facades.tar.gz", files)
    published.load("facades", data_dir=tmp_path)
    next(tmp_path.rglob("*val.array_record*")).unlink()
    assert by_name(published.load("facades", data_dir=tmp_path)["val"]) == expected(files, "val")
    assert "is incomplete or" in capsys.readouterr().err


def test_differences_from_the_published_archive_are_one_warning_line(tmp_path, capsys):
    archive = write_archive(tmp_path / "facades.tar.gz", members(counts={"train": 400, "val": 100, "test": 1}))
    published.load("facades", data_dir=tmp_path)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")] == [
        f"warning: facades is not the published archive: {archive.stat().st_size} bytes (published: 30168306), "
        "1 test pairs (published: 106)"
    ]


def test_unknown_numbers_are_not_compared(tmp_path, capsys):
    write_archive(tmp_path / "night2day.tar.gz", members("night2day"))
    published.load("night2day", data_dir=tmp_path)
    assert "warning: night2day" not in capsys.readouterr().err


def test_a_set_without_test_pictures_uses_val(tmp_path, capsys):
    files = members("maps", {"train": 2, "val": 3})
    write_archive(tmp_path / "maps.tar.gz", files)
    pairs = published.load("maps", data_dir=tmp_path)
    assert by_name(pairs["test"]) == by_name(pairs["val"]) == expected(files, "val")
    assert "maps: no test split published: val is used as test\n" in capsys.readouterr().err


def test_reading_from_several_threads(tmp_path):
    files = members(counts={"train": 60, "val": 1, "test": 1})
    write_archive(tmp_path / "facades.tar.gz", files)
    train = published.load("facades", data_dir=tmp_path)["train"]
    indices = list(range(60)) * 5
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda i: (train.names[i], brightness(train, i)), indices))
    assert dict(read) == expected(files, "train")
    assert read[:60] == read[60:120] == read[240:]


def test_a_stored_picture_that_cannot_be_read_is_named():
    source = [{"image": b"no picture", "filename": b"7.jpg"}]
    with pytest.raises(InputError, match="^facades/val/7.jpg: it "):
        published._read("facades/val", source, 0)


def test_a_name_that_does_not_exist_lists_those_that_do(tmp_path):
    with pytest.raises(InputError, match="'facade'.*facades, cityscapes, maps, edges2shoes, edges2handbags, night2day"):
        published.load("facade", data_dir=tmp_path)


def test_a_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; --data_dir is the folder where archives lie"):
        published.load("facades", data_dir=tmp_path / "file")
    assert (tmp_path / "file").read_text() == ""


def test_a_disk_that_does_not_take_the_prepared_set(tmp_path, monkeypatch):
    write_archive(tmp_path / "facades.tar.gz", members())

    def full(self, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(published.Pix2pix, "download_and_prepare", full)
    with pytest.raises(RunError, match=f"facades cannot be prepared in {tmp_path}.*No space left on device"):
        published.load("facades", data_dir=tmp_path)


def test_every_set_is_a_config():
    assert list(published.Pix2pix.builder_configs) == list(published.SETS)
    assert all({"train", "val"} <= set(row.pairs) for row in published.SETS.values())


def test_real_facades_photo_left_labels_right(tmp_path):
    real = REAL_DATASETS / "facades.tar.gz"
    if not real.exists():
        pytest.skip(f"the real facades archive is not at {real}")
    folder = tmp_path / "readonly"  # with a link to it, so that no defect of ours can write into the real folder
    folder.mkdir()
    (folder / real.name).symlink_to(real)
    folder.chmod(0o555)
    sets = published.load("facades", data_dir=folder)
    assert {split: len(pairs) for split, pairs in sets.items()} == {"train": 400, "val": 40, "test": 28}
    for pairs in sets.values():
        for index in range(0, len(pairs), 4):
            photo, labels = pairs.read(index)
            assert photo.shape == labels.shape == (256, 256, 3) and photo.dtype == labels.dtype == np.uint8
            assert saturated(labels) > 0.6 > 0.3 > saturated(photo), pairs.names[index]
    assert [path.name for path in folder.iterdir()] == [real.name]


def saturated(side: np.ndarray) -> float:
    """The share of pixels whose channels are far apart, as in every colour of a label map (170 and more)."""
    return float((np.ptp(side, axis=2) > 130).mean())
