import configparser
import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from tf_pix2pix import exporting, model_card, runtimes
from tf_pix2pix.cli.export import main
from tf_pix2pix.exporting import EXPORTERS, Row
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.exporting.tflite import PRECISIONS


def test_as_a_user_calls_it(tiny_run, tmp_path):
    """The whole command, quiet on stderr, with a table of what was written at the end; and the other front door."""
    flags = [f"--run_dir={tiny_run}", f"--output_dir={tmp_path}/out", "--format=tflite", "--tflite_precision=float16"]
    done = subprocess.run([sys.executable, "run_export.py", *flags], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    title, row = done.stdout.splitlines()[-2:]
    for column in ("file", "run by", "MB", "ms a picture", "off by, of 255", "PSNR to run, dB", "L1 to target"):
        assert column in title
    assert row.split()[:2] == [f"{tmp_path}/out/model-float16.tflite", "LiteRT"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model-float16.tflite"]
    done = subprocess.run([sys.executable, "run_export.py", *flags], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "already holds model-float16.tflite" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flags_become_the_options_and_rows_the_table(monkeypatch, capsys):
    calls = []
    rows = [Row(Path("out/1"), "a reader", 12.34, 56.7, 0, math.inf, 0.25), Row(Path("b"), "c", 1, 2, 3, 45.67, 0.125)]
    monkeypatch.setattr(exporting, "export", lambda *given, **named: calls.append((given, named)) or rows)
    assert main(["x", "--run_dir=run", "--output_dir=out"]) == 0
    flags = [
        "--format=onnx,tflite,saved_model",
        "--checkpoint=3",
        "--tflite_precision=int8,float16",
        "--tflite_size=64",
        "--overwrite",
    ]
    assert main(["x", "--run_dir=run", "--output_dir=out", *flags, "--batch_sizes=3,5", "--max_pixels=77"]) == 0
    defaults = dict(checkpoint="best", options=Options(), overwrite=False)
    assert calls[0] == (("run", "out", ["saved_model", "tflite"]), defaults)
    options = Options(("int8", "float16"), (64, 64), (3, 5), 77)
    assert calls[1] == (
        ("run", "out", ["onnx", "tflite", "saved_model"]),
        dict(checkpoint="3", options=options, overwrite=True),
    )
    first, second = (re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines()[-2:])
    assert first == ["out/1", "a reader", "12.3", "57", "0", "equal", "0.250"]
    assert second == ["b", "c", "1.0", "2", "3", "45.7", "0.125"]


def test_options_get_to_the_files(tiny_run, tmp_path, capsys):
    flags = ["--format=tflite", "--tflite_precision=float32", "--tflite_size=24x40", "--checkpoint=3"]
    assert main(["x", f"--run_dir={tiny_run}", f"--output_dir={tmp_path}/out", *flags]) == 0
    path = tmp_path / "out" / "model-float32.tflite"
    assert runtimes.load_tflite(path).fixed_size == (24, 40)
    assert model_card.read_card(path)["step"] == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run_dir="], "--run_dir is missing; --help shows examples"),
        (["--output_dir="], "--output_dir is missing"),
        (["runs/mine"], "runs/mine is no flag; flags look like --run_dir=DIR"),
        (["--format=coreml"], f"format=coreml is unknown; choose one of {', '.join(EXPORTERS)}"),
        (["--format="], "--format is empty; leave it out for the default"),
        (["--tflite_precision=int4"], f"tflite_precision=int4 is unknown; choose one of {', '.join(PRECISIONS)}"),
        (["--tflite_size=many"], "a size is N or HEIGHTxWIDTH"),
        (["--batch_sizes=1,0"], "--batch_sizes=1,0: whole numbers from 1"),
        (["--batch_sizes=\u00b2"], "whole numbers from 1"),
        (["--format=onnx", "--tflite_size=0"], "--tflite_size is of no use without --format=tflite"),
        (["--format=tflite", "--batch_sizes=1"], "--batch_sizes is of no use without --format=saved_model"),
        (["--max_pixels=0"], "--max_pixels=0 is too small"),
        (["--checkpoint=77"], "has no checkpoint 77; it has 3, 6, latest, best"),
        (["--run_dir=tests"], "tests is no run directory: tests/config.json: No such file or directory"),
        (["--output_dir=tests"], r"tests holds .*\.py.*, which are no exports; choose another --output_dir"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(tiny_run, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(REPOSITORY)
    given = {name: f"--{name}={value}" for name, value in (("run_dir", tiny_run), ("output_dir", tmp_path / "out"))}
    code = main(["x", *given.values(), *flags])
    err = capsys.readouterr().err
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(message, err), err
    assert not (tmp_path / "out").exists()


def test_help_names_every_format_and_precision_without_tensorflow():
    code = (
        "import sys; from tf_pix2pix.cli.export import main; main(['x', '--help']); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    out = done.stdout
    assert out.splitlines()[-1] == "False"
    for word in (*EXPORTERS, *PRECISIONS, "--run_dir", "--checkpoint", "[1,2,4,8]"):
        assert word in out


def test_the_console_scripts_are_the_commands():
    scripts = configparser.ConfigParser()
    scripts.read(REPOSITORY / "setup.cfg")
    lines = scripts["options.entry_points"]["console_scripts"].split("\n")
    found = dict(line.split(" = ") for line in lines if line)
    commands = [path.stem for path in (REPOSITORY / "tf_pix2pix" / "cli").glob("*.py")]
    expected = {f"pix2pix-{name.replace('_', '-')}" for name in commands if name not in ("__init__", "command")}
    assert set(found) == expected
    for target in found.values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name))
