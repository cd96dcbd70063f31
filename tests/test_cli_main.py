import importlib
import subprocess
import sys

import pytest
from helpers import REPOSITORY

from tf_pix2pix.cli.main import COMMANDS, main


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_the_commands(words, capsys):
    assert main(["pix2pix", *words]) == 0
    out = capsys.readouterr().out
    for name, text in COMMANDS.items():
        assert f"  {name:11} {text}\n" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_its_module(command, monkeypatch):
    module = importlib.import_module(f"tf_pix2pix.cli.{command.replace('-', '_')}")
    monkeypatch.setattr(module, "main", lambda argv: argv)
    assert main(["pix2pix", command, "--flag", "word"]) == [command, "--flag", "word"]


@pytest.mark.parametrize(
    ("word", "guess"), [("trian", "did you mean train? "), ("check_data", "did you mean check-data? "), ("x", "")]
)
def test_an_unknown_command_is_one_line(word, guess, capsys):
    assert main(["pix2pix", word]) == 2
    expected = f"error: unknown command {word}; {guess}the commands are {', '.join(COMMANDS)}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("started", "command"),
    [("-m tf_pix2pix --version", "--version"), ("run_train.py -h", "train -h"), ("run_export.py -h", "export -h")],
)
def test_scripts_and_python_m_are_the_command(started, command, capsys):
    assert main(["pix2pix", *command.split()]) == 0
    done = subprocess.run([sys.executable, *started.split()], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, capsys.readouterr().out, "")


def test_help_and_wrong_flags_load_no_tensorflow():
    script = """
import sys
from tf_pix2pix.cli.main import COMMANDS, main
for word in ("--help", "--unknown"):
    for command in COMMANDS:
        main(["x", command, word])
print("tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    errors = done.stderr.splitlines()
    assert len(errors) == len(COMMANDS)
    assert sum(line.startswith("error: unknown flag --unknown; ") for line in errors) == len(COMMANDS) - 1
    assert "error: unknown operation --unknown" in done.stderr  # of prepare, whose first word is an operation


def test_a_reader_that_ends_early_is_not_an_error():
    command = f"{sys.executable} -m tf_pix2pix train --help | true"
    assert subprocess.run(command, shell=True, cwd=REPOSITORY, capture_output=True, text=True).stderr == ""
