"""export/serving: client.py, the configuration files and the README."""

import ast
import base64
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import empty_pb2, text_format
from helpers import REPOSITORY, encode, import_script, random_image, respond, write_image
from PIL import Image
from serving_double import ServingDouble
from tensorflow_serving.config import model_server_config_pb2

from tf_pix2pix.exporting.artifact import Options

SERVING = REPOSITORY / "export" / "serving"
COMPOSE = (SERVING / "docker-compose.yml").read_text()
README = (SERVING / "README.md").read_text()
PHOTO = encode(Image.fromarray(random_image(1, 12, 10)), "JPEG")
REQUIRED = {"serving": set(), "mobile": {"ai_edge_litert", "numpy", "PIL"}}  # packages that the scripts import
NOWHERE = "http://127.0.0.1:9/v1/models/pix2pix"  # the port of a service that hardly any machine runs


@pytest.fixture(scope="module")
def url(tiny_export):
    """The URL of an exported model."""
    with ServingDouble(tiny_export[0], labels={"stable": 1}) as double:
        yield double.url


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a.png, damaged.png and folder/a.jpg in it."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", random_image(2, 9, 16))
    write_image(tmp_path / "folder" / "a.jpg", random_image(3, 4, 4))
    (tmp_path / "damaged.png").write_bytes((tmp_path / "a.png").read_bytes()[:-40])
    return tmp_path


@pytest.fixture
def client(folder, capsys):
    """Runs client.py in this process with --output=out. Returns the exit code, stdout and stderr."""
    module = import_script(SERVING / "client.py")

    def run(url, *arguments):
        code = module.main([f"--url={url}", "--output=out", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


def echo(body):
    """Answers with the images of the request."""
    return 200, {"predictions": [{"image_bytes": row, "ok": True} for row in json.loads(body)["instances"]]}


def predict(url, data):
    """The bytes that the model makes of an image file."""
    body = json.dumps({"instances": [{"b64": base64.b64encode(data).decode()}]}).encode()
    with urllib.request.urlopen(url + ":predict", body, timeout=60) as answer:
        return base64.b64decode(json.load(answer)["predictions"][0]["image_bytes"]["b64"])


# client.py


@pytest.mark.parametrize("address", ["/", "/labels/stable"])
def test_client_saves_good_images_and_reports_damaged_ones(url, folder, client, address):
    (folder / "b.jpg").write_bytes(PHOTO)
    assert client(url + address, "a.png", "damaged.png", "b.jpg") == (
        1,
        "a.png -> out/a.png\nb.jpg -> out/b.png\n",
        "failed: damaged.png: the model cannot read this image\n1 of 3 images failed\n",
    )
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "b.png"]
    for name in ("a.png", "b.jpg"):
        saved = (folder / "out" / name).with_suffix(".png").read_bytes()
        assert saved == predict(url, (folder / name).read_bytes())


def test_client_runs_by_itself(url, folder):
    command = [sys.executable, "-I", "-W", "error", SERVING / "client.py", f"--url={url}", "--output=deep/out", "a.png"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.png -> deep/out/a.png\n", "")


def test_client_sends_batches(folder, client):
    names, sizes = [f"{number}.bin" for number in range(8)], []
    for name in names:
        (folder / name).write_text(name)

    def answer(body):
        sizes.append(len(json.loads(body)["instances"]))
        return echo(body)

    with respond(answer) as url:
        assert client(url, *names, "--batch_size=3")[0] == 0
        assert sizes == [3, 3, 2]
        assert [(folder / "out" / name).with_suffix(".png").read_text() for name in names] == names
        assert client(url, *names, "folder/../0.bin")[0] == 2
        assert sizes == [3, 3, 2]  # names are checked before anything is sent
        client(url, *names, "a.png")
        assert sizes == [3, 3, 2, 8, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"<html>"), "the answer lacks image_bytes and ok"),
        ((200, {"predictions": [0.5]}), "the answer lacks image_bytes and ok"),
        ((200, {"predictions": []}), "0 images returned for 1 sent"),
        ((400, {"error": "Task size 9 is larger\nthan 8"}), "HTTP status 400: Task size 9 is larger than 8"),
        ((502, b"<html>"), "HTTP status 502: Bad Gateway"),
        ((404, [1]), "HTTP status 404: Not Found"),
    ],
)
def test_client_reports_an_unusable_answer(folder, client, answer, message):
    with respond(lambda body: answer) as url:
        assert_error(client(url, "a.png"), message)
    assert [*(folder / "out").iterdir()] == []


def assert_error(result, message):
    code, _, stderr = result
    assert code == 2
    assert re.fullmatch(r"error: .*\n", stderr)
    assert message in stderr


def test_client_reports_files_that_it_cannot_write_or_read(folder, client):
    (folder / "out" / "a.png").mkdir(parents=True)
    with respond(echo) as url:
        assert_error(client(url, "a.png"), "out/a.png: cannot be written: Is a directory")
        assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]  # and no partial file
        (folder / "out" / "a.png").rmdir()
        unreadable = "/proc/self/mem"
        if not Path(unreadable).exists():
            pytest.skip("no /proc/self/mem: this system has no file that even root cannot read")
        code, _, stderr = client(url, unreadable, "a.png", "--batch_size=1")
    assert (code, stderr) == (1, f"failed: {unreadable}: Input/output error\n1 of 2 images failed\n")
    assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]


def test_client_reports_a_server_that_refuses_or_is_silent(url, client):
    assert_error(client(url + "x", "a.png"), "HTTP status 404: Servable not found for request: Latest(pix2pixx)")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/models/pix2pix"
        assert_error(
            client(silent_url, "a.png", "--timeout=0.3"), f"{silent_url}:predict: cannot be reached: timed out"
        )
    assert_error(client(silent_url, "a.png"), "cannot be reached: [Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "no.png"], "no.png: no such file"),
        (["folder"], "folder: is a folder"),
        (["a.png", "folder/a.jpg"], "a.png and folder/a.jpg: both would be saved as out/a.png"),
        (["a.png", "a.png"], "a.png and a.png: both would be saved as out/a.png"),
        (["a.png", "--output=."], "a.png: would overwrite an input"),
        (["a.png", "--output=a.png"], "--output=a.png: File exists"),
        (["a.png", "--batch_size=0"], "--batch_size=0: must be at least 1"),
        (["a.png", "--timeout=nan"], "--timeout=nan: must be above 0"),
        (["a.png", "--url=localhost:8501"], "--url=localhost:8501: must be a URL"),
        (["a.png", "--url=http://["], "cannot be reached"),
        (["a.png", "--url=http://ü ü/"], "cannot be reached"),
    ],
)
def test_client_reports_wrong_usage_in_one_line(client, arguments, message):
    assert_error(client(NOWHERE, *arguments), message)


def test_deployment_targets_import_nothing_of_this_project():
    for path in (REPOSITORY / "export").rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
        packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
        assert "tf_pix2pix" not in packages, path
        assert packages == REQUIRED.get(path.parent.name, packages), path


# Configuration files and README


def fields(name):
    """The fields of a configuration file and their values as text."""
    text = (SERVING / name).read_text()
    text_format.Parse(text, empty_pb2.Empty(), allow_unknown_field=True)  # raises on wrong syntax
    found = re.findall(r"^ *(\w+)(?:: | \{ value: )([^}#\n]*)", text, re.MULTILINE)
    return {name: value.strip() for name, value in found}


def test_batching_and_monitoring_config():
    parameters = fields("batching.config")
    assert parameters.keys() == {
        *("allowed_batch_sizes", "max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    }
    assert json.loads(parameters["allowed_batch_sizes"]) == [*Options().batch_sizes]  # those of the warm-up requests
    assert parameters["max_batch_size"] == "8"
    assert 'default=8, help="images per request [8]"' in (SERVING / "client.py").read_text()
    assert fields("monitoring.config") == {"enable": "true", "path": '"/monitoring/prometheus/metrics"'}


def test_model_config_and_compose_file():
    config = text_format.Parse((SERVING / "model.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("pix2pix", "/models/pix2pix", "tensorflow")
    assert dict(model.version_labels) == {"stable": 1}
    assert model.model_version_policy.latest.num_versions == 2
    named = re.findall(r'"--\w+_file=/config/(\S+)"', COMPOSE)
    assert {SERVING / name for name in named} == {*SERVING.glob("*.config")}
    for line in (
        *(":/models:ro", '- "./:/config:ro"', '"8500:8500"', '"8501:8501"'),
        "--allow_version_labels_for_unavailable_models=true",  # without it the server would not start
        "--enable_batching=true",  # without it the server ignores batching.config
    ):
        assert line in COMPOSE


def test_health_check(url):
    command = json.loads(re.search(r"test: (\[.*\])", COMPOSE)[1])
    assert command[:3] == ["CMD", "bash", "-c"]
    served = re.search(r":(\d+)/", url)[1]
    for port, name, healthy in [(served, "pix2pix", True), (served, "another", False), ("9", "pix2pix", False)]:
        script = command[3].replace("/8501", f"/{port}").replace("pix2pix", name)
        done = subprocess.run(["bash", "-c", script], timeout=10, stderr=subprocess.DEVNULL)
        assert (done.returncode == 0) == healthy


def test_readme_names_existing_files_and_the_server_of_the_compose_file():
    (image,) = re.findall(r"image: (\S+)", COMPOSE)
    assert re.findall(r"tensorflow/serving:\S+", README) == [image]
    pinned = re.search(r"tensorflow/serving:(\d+)\.(\d+)", image).groups()
    assert [*map(int, pinned)] >= [*map(int, tf.__version__.split(".")[:2])]  # it reads what this TensorFlow writes
    commands = re.findall(r"^(?:python|docker).*", README, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [["docker", "run"], ["python", "client.py"]]
    for name in re.findall(r"`(\w+\.(?:config|py))`", README):
        assert (SERVING / name).exists()


def test_readme_request_with_curl(url, folder):
    if not shutil.which("curl"):
        pytest.skip("no curl to run the README's command with")
    (folder / "photo.jpg").write_bytes(PHOTO)
    command = re.search(r"^\(printf.*?:predict$", README, re.MULTILINE | re.DOTALL)[0]
    command = command.replace("http://localhost:8501/v1/models/pix2pix", url)
    answer = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60).stdout
    [row] = json.loads(answer)["predictions"]
    assert base64.b64decode(row["image_bytes"]["b64"]) == predict(url, PHOTO)
