import os
import tempfile
import warnings

import pytest

from tf_pix2pix.cli.command import Flag, help_of, parse_flags, run_command, start_up_notes_hidden
from tf_pix2pix.config import Range, Size
from tf_pix2pix.errors import InputError

FLAGS = [
    Flag("name", "a text", required=True),
    Flag("count", "a number", int, 3, minimum=1, maximum=9),
    Flag("size", "a size", Size, minimum=1),
    Flag("levels", "a range", Range, auto="all"),
    Flag("share", "a share", float),
    Flag("fast", "a switch", bool, False),
    Flag("words", "some words", list, ["a", "b"], choices=("a", "b", "c")),
]


def parsed(*words, first=None):
    return parse_flags(["x", "--name=n", *words], FLAGS, first)


def test_flags_become_values():
    assert parsed() == ({"name": "n"}, [])
    given, words = parsed("one", "--count=4", "--size=8X6", "--levels=-1,2.5", "--share=0.5", "--nofast", "two")
    assert given == dict(name="n", count=4, size=(8, 6), levels=(-1.0, 2.5), share=0.5, fast=False)
    assert words == ["one", "two"]
    assert parsed("--size=7", "--fast", "--words=c,a")[0] == dict(name="n", size=(7, 7), fast=True, words=["c", "a"])


def test_flags_are_read_from_a_flagfile(tmp_path):
    (tmp_path / "flags").write_text("--count=4\n# a comment\n--nofast\n")
    assert parsed(f"--flagfile={tmp_path}/flags", "--count=5")[0] == dict(name="n", count=5, fast=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name="], "--name is missing; --help shows examples"),
        (["--cuont=3"], "unknown flag --cuont; did you mean --count? --help lists the flags"),
        (["word"], "unknown flag word; did you mean --name=word? --help lists the flags"),
        (["--count=many"], "--count=many: must be a whole number"),
        (["--count=0"], "--count=0: must be at least 1"),
        (["--count=10"], "--count=10: must be at most 9"),
        (["--count"], "missing value for flag --count"),
        (["--size=3x4x5"], "--size=3x4x5: must be N or HEIGHTxWIDTH, in pixels"),
        (["--size=0x4"], "--size=0x4: must be at least 1"),
        (["--levels=3"], "--levels=3: must be LOW,HIGH, two numbers"),
        (["--share=half"], "--share=half: must be a number"),
        (["--fast=maybe"], "--fast=maybe: must be true or false"),
        (["--words=a,d"], "--words=d: must be one of a, b, c"),
        (["--flagfile=/nowhere"], "--flagfile=/nowhere: No such file or directory"),
    ],
)
def test_wrong_flags_are_named(words, message):
    with pytest.raises(InputError) as error:
        parsed(*words, first="name")
    assert str(error.value) == message


def test_help_has_defaults_and_choices():
    text = help_of("Does it.\n", {"First": FLAGS[:2], "Then": FLAGS[3:]})
    lines = [" ".join(line.split()) for line in text.splitlines() if line]
    assert lines[:5] == [
        "Does it.",
        "Defaults are in brackets.",
        "First:",
        "--name a text [required]",
        "--count a number [3]",
    ]
    assert lines[5:] == [
        "Then:",
        "--levels a range [all]",
        "--share a share",
        "--[no]fast a switch [False]",
        "--words some words (a, b, c) [a,b]",
    ]


def test_an_error_is_one_line_without_warnings_of_damaged_metadata(capsys):
    def body(argv):
        warnings.warn_explicit("damaged", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
        raise InputError("of two\n  lines")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run_command(body, str, ["x"]) == 2
    assert seen == []
    assert capsys.readouterr().err == "error: of two lines\n"


def test_a_bug_is_one_line_and_a_file(capsys, tmp_path, monkeypatch):
    def broken(argv):
        raise KeyError("surprise")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_command(broken, str, ["x"]) == 1
    (trace,) = tmp_path.iterdir()
    expected = f"error: KeyError: 'surprise': a bug in tf_pix2pix; please report it with {trace}\n"
    assert capsys.readouterr().err == expected
    assert "in broken" in trace.read_text()


def test_start_up_notes_are_hidden_unless_loading_fails(capfd, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    opened = len(os.listdir("/dev/fd"))
    with start_up_notes_hidden():
        os.write(2, b"note")
    os.write(2, b"after")
    with pytest.raises(ImportError), start_up_notes_hidden():
        os.write(2, b"why")
        raise ImportError
    assert capfd.readouterr().err == "afterwhy"
    assert len(os.listdir("/dev/fd")) == opened
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
