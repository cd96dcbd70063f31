"""The layers of the package: a module imports only from rows above its own."""

import ast
import subprocess
import sys

import pytest
from helpers import REPOSITORY

ROWS = [
    {"errors"},
    {"files", "intervals", "threads"},
    {"config", "cpu", "images", "model_card"},
    {"layers", "losses", "palettes", "scales", "seams"},
    {"networks", "sides"},
    {"checkpoints", "datasets", "inference", "metrics", "tasks", "tiling"},
    {"codecs", "preparing", "runtimes", "survey", "trivial_answers"},
    {"best", "data_check", "input_pipeline"},
    {"run"},
    {"curves"},
    {"exporting", "training", "translation"},
    {"evaluation"},
    {"__init__", "cli"},
    {"__main__"},
]
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
PACKAGE = REPOSITORY / "tf_pix2pix"
MODULES = sorted(PACKAGE.rglob("*.py"))
RESOLVE = PACKAGE / "input_pipeline" / "resolve.py"  # turns what the config asks for into sides


def part(path):
    """The module, or the package directly below tf_pix2pix, that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_names(path):
    """All that a file imports, as "tf_pix2pix.x.y" or "absl.flags", wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_row_and_every_row_its_modules():
    assert {part(path) for path in MODULES} == {*ROW_OF}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_rows_above(path):
    for name in imported_names(path):
        if name.startswith("tf_pix2pix."):
            other = name.split(".")[1]
            if other != part(path) and other != "__version__":
                assert ROW_OF[other] < ROW_OF[part(path)], f"{part(path)} imports {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_flags_are_in_cli_and_configs_from_run_on(path):
    for name in imported_names(path):
        if name.startswith("absl"):
            assert part(path) == "cli"
        if name.endswith("TrainConfig") and path != RESOLVE:
            assert ROW_OF[part(path)] >= ROW_OF["run"]


def test_importing_the_package_loads_no_tensorflow_and_every_public_name_is_there():
    code = """
import sys, tf_pix2pix as package, absl.flags
print("tensorflow" in sys.modules, list(absl.flags.FLAGS))
print(all(getattr(package, name) is not None for name in package.__all__), len(package.__all__))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "[]", "True", "14"]
