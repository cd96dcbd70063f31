"""The layers of the package: a module imports only from rows above its own."""

import ast
import re
import subprocess
import sys

import pytest
from helpers import REPOSITORY

ROWS = [
    {"errors"},
    {"files", "threads"},
    {"config", "images", "cpu", "model_card"},
    {"palettes", "layers", "losses", "metrics"},
    {"sides", "networks"},
    {"tasks", "datasets", "tiling", "inference", "checkpoints"},
    {"codecs", "survey", "preparing", "runtimes"},
    {"input_pipeline", "data_check"},
    {"run"},
    {"training", "translation", "exporting"},
    {"cli"},
    {"__init__"},
    {"__main__"},
]
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
PACKAGE = REPOSITORY / "tf_pix2pix"
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path):
    """The module, or the package directly below tf_pix2pix, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(path):
    """All names that a file imports, as "tf_pix2pix.x.y" or "absl.flags", wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_rows_name_each_part_once_and_the_manual_has_them():
    assert sorted(name for names in ROWS for name in names) == sorted({part(path) for path in MODULES})
    manual = (REPOSITORY / "docs" / "architecture.md").read_text()
    documented = [{*re.findall(r"`(\w+)`", row)} for row in re.findall(r"^\| \d+ \| (.*) \|$", manual, re.MULTILINE)]
    assert documented == ROWS[:-2]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_rows_above(path):
    """Flags belong to cli. Only resolve.py, and rows from `run` on, know a TrainConfig."""
    own = part(path)
    for name in imported_names(path):
        if name.startswith("tf_pix2pix."):
            other = name.split(".")[1]
            if other not in (own, "__version__"):
                assert ROW_OF[other] < ROW_OF[own], f"{own} imports {other}"
        if name.startswith("absl"):
            assert own == "cli"
        if name.endswith(".TrainConfig"):
            knows = ROW_OF[own] >= ROW_OF["run"] or path == PACKAGE / "input_pipeline" / "resolve.py"
            assert knows, f"{path} takes a TrainConfig instead of ordinary arguments"


def test_importing_the_package_loads_no_tensorflow_and_its_public_names_exist():
    code = (
        "import sys, absl.flags, tf_pix2pix as p; print('tensorflow' in sys.modules, len(list(absl.flags.FLAGS))); "
        "print(*(name for name in p.__all__ if getattr(p, name) is not None))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded, names = result.stdout.splitlines()
    assert loaded == "False 0"
    networks = {"unet_generator", "resnet_generator", "patchgan_discriminator"}
    functions = {"train", "export", "restore_generator", "load_pairs"}
    classes = {"TrainConfig", "TrainResult", "Run", "Translator"}
    assert {*names.split()} == {"__version__", "PRESETS"} | networks | functions | classes
