"""What pip installs, from setup.cfg and pyproject.toml."""

import configparser
import importlib
import shutil
import subprocess
import sys
import venv
import zipfile

from helpers import REPOSITORY


def test_the_one_console_script_is_the_command():
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    (script,) = config["options.entry_points"]["console_scripts"].split("\n")[1:]
    name, target = script.split(" = ")
    module, function = target.split(":")
    assert name == "pix2pix"
    assert callable(getattr(importlib.import_module(module), function))


def test_a_script_beside_an_editable_clone_finds_the_package(tmp_path):
    """The clone's folder has the package's name: an import hook, setuptools' other way, would come too late."""
    clone = tmp_path / "tf_pix2pix"
    shutil.copytree(REPOSITORY / "tf_pix2pix", clone / "tf_pix2pix", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, clone)
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", build, tmp_path]  # what `pip install -e .` does
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    script = tmp_path / "script.py"
    script.write_text("import tf_pix2pix; print(tf_pix2pix.__file__, len(tf_pix2pix.PRESETS) > 1)")
    done = subprocess.run([tmp_path / "venv" / "bin" / "python", script], capture_output=True, text=True)
    assert done.stdout == f"{clone / 'tf_pix2pix' / '__init__.py'} True\n", done.stderr
