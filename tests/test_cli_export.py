import math
import re
from pathlib import Path

import pytest
from helpers import REPOSITORY

from tf_pix2pix import exporting, model_card, runtimes
from tf_pix2pix.cli.export import main
from tf_pix2pix.exporting import EXPORTERS, Row
from tf_pix2pix.exporting.artifact import Options
from tf_pix2pix.exporting.tflite import PRECISIONS


def test_a_run_becomes_files_and_a_table(tiny_run, tmp_path, capfd):
    """Libraries that write to stderr from C++ are silent too."""
    flags = ["--format=tflite", "--tflite_precision=float32", "--tflite_size=24x40", "--checkpoint=3"]
    assert main(["export", f"--run_dir={tiny_run}", f"--output_dir={tmp_path}/out", *flags]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    title, row = out.splitlines()[-2:]
    for column in ("file", "run by", "MB", "ms per image", "max error, of 255", "PSNR to run, dB", "L1 to target"):
        assert column in title
    path = tmp_path / "out" / "model-float32.tflite"
    assert row.split()[:2] == [str(path), "LiteRT"]
    assert list(path.parent.iterdir()) == [path]
    assert runtimes.load_tflite(path).fixed_size == (24, 40)
    assert model_card.read_card(path)["step"] == 3


def test_flags_become_the_options_and_rows_the_table(monkeypatch, capsys):
    calls = []
    rows = [Row(Path("out/1"), "a reader", 12.34, 56.7, 0, math.inf, 0.25), Row(Path("b"), "c", 1, 2, 3, 45.67, 0.125)]
    monkeypatch.setattr(exporting, "export", lambda *given, **named: calls.append((given, named)) or rows)
    command = ["export", "--run_dir=run", "--output_dir=out"]
    assert main(command) == 0
    flags = "--format=onnx,tflite,saved_model --checkpoint=3 --tflite_precision=int8,float16 --tflite_size=64"
    assert main([*command, *flags.split(), "--overwrite", "--batch_sizes=3,5", "--max_pixels=77"]) == 0
    defaults = dict(checkpoint="best", options=Options(), overwrite=False)
    options = dict(checkpoint="3", options=Options(("int8", "float16"), (64, 64), (3, 5), 77), overwrite=True)
    assert calls == [
        (("run", "out", ["saved_model", "tflite"]), defaults),
        (("run", "out", ["onnx", "tflite", "saved_model"]), options),
    ]
    first, second = (re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines()[-2:])
    assert first == ["out/1", "a reader", "12.3", "57", "0", "equal", "0.250"]
    assert second == ["b", "c", "1.0", "2", "3", "45.7", "0.125"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run_dir="], "--run_dir is missing; --help shows examples"),
        (["--output_dir="], "--output_dir is missing"),
        (["runs/mine"], "unknown flag runs/mine; did you mean --run_dir=runs/mine?"),
        (["--format=coreml"], f"--format=coreml: must be one of {', '.join(EXPORTERS)}"),
        (["--format="], "--format is empty; leave it out for the default"),
        (["--tflite_precision=int4"], f"--tflite_precision=int4: must be one of {', '.join(PRECISIONS)}"),
        (["--tflite_size=many"], "--tflite_size=many: must be N or HEIGHTxWIDTH"),
        (["--batch_sizes=1,0"], "--batch_sizes=1,0: must be whole numbers from 1"),
        (["--batch_sizes=\u00b2"], "must be whole numbers from 1"),
        (["--format=onnx", "--tflite_size=0"], "--tflite_size requires --format=tflite"),
        (["--format=tflite", "--batch_sizes=1"], "--batch_sizes requires --format=saved_model"),
        (["--max_pixels=0"], "--max_pixels=0: must be at least 1"),
        (["--run_dir={runs}"], "not a run directory, .*; it contains the runs run; pass one of them"),
        (["--checkpoint=77"], "checkpoint 77 is missing; choose one of 3, 6"),
        (["--run_dir=tests"], "tests: not a run directory, config.json is missing"),
        (["--output_dir=tests"], r"--output_dir=tests: holds .*\.py.*, which are not exports; choose another"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(tiny_run, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(REPOSITORY)
    flags = [flag.replace("{runs}", str(tiny_run.parent)) for flag in flags]
    code = main(["export", f"--run_dir={tiny_run}", f"--output_dir={tmp_path / 'out'}", *flags])
    err = capsys.readouterr().err
    assert (code, len(err.splitlines())) == (2, 1)
    assert re.search(message.replace("?", r"\?"), err), err
    assert not (tmp_path / "out").exists()


def test_help_lists_every_format_and_precision(capsys):
    assert main(["export", "--help"]) == 0
    out = capsys.readouterr().out
    for word in (*EXPORTERS, *PRECISIONS, "--run_dir", "--checkpoint", "[1,2,4,8]"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 100
