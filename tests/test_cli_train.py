import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers import REPOSITORY, random_image, write_image

from tf_pix2pix import images
from tf_pix2pix.cli.train import MOST_USED, main, parse, sections
from tf_pix2pix.config import PRESETS, TrainConfig
from tf_pix2pix.datasets import DATASETS
from tf_pix2pix.errors import InputError

QUICK = ["--crop_size=32", "--filters=2", "--steps=2", "--samples=1", "--eval_pairs=1", "--log_every=1"]


def parsed(*flags):
    return parse(["train", *flags])[:2]


def error_lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]


def test_help_lists_every_flag_once_under_a_heading(capsys):
    for flag in ("-h", "--help"):
        assert main(["train", "--dataset=x", flag]) == 0
        out, err = capsys.readouterr()
    assert err == ""
    headings = re.findall(r"^([A-Z].*):$", out, re.MULTILINE)
    assert headings == [
        "Most used", "Data", "Sizes and jitter", "Generator", "Discriminator", "Objective", "Optimization", "Output"
    ]  # fmt: skip
    listed = re.findall(r"^  --(?:\[no\])?(\w+)", out, re.MULTILINE)
    assert tuple(listed[: len(MOST_USED)]) == MOST_USED
    own = ["output_dir", "preset", "config", "dry_run", "flagfile"]
    assert sorted(listed) == sorted([*TrainConfig.__dataclass_fields__, *own])
    assert [flag.name for flag in sections()["Discriminator"]] == [
        "discriminator_layers", "discriminator_filters", "conditional"
    ]  # fmt: skip
    for word in (*DATASETS, *PRESETS, "wgan-gp", "[256x256]", "--[no]flip", "[0.0002]", "[as in the files]"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 100


def test_flags_become_the_config():
    config, output_dir = parsed("--dataset=maps", "--nojitter", "--crop_size=128x256", "--seed=7", "--l1_weight=10")
    expected = dict(dataset="maps", jitter=False, crop_size=(128, 256), seed=7, l1_weight=10.0)
    assert config == TrainConfig(**PRESETS["maps"] | expected)
    assert output_dir == "runs/maps"


def test_a_published_set_has_a_preset_and_flags_override_it():
    assert parsed("--dataset=facades")[0] == TrainConfig(dataset="facades", **PRESETS["facades"])
    assert parsed("--dataset=facades", "--preset=demo")[0].filters == 32
    assert parsed("--dataset=facades", "--direction=AtoB")[0].direction == "AtoB"
    assert parsed("--dataset=demo")[0] == TrainConfig(dataset="demo")  # a preset, but not a data set
    config = parsed("--dataset=synthetic_facades", "--preset=demo", "--epochs=3")[0]
    assert (config.epochs, config.steps) == (3, None)  # epochs replace the steps of a preset


def test_the_run_directory_has_the_folders_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parsed("--dataset=mine/") == parsed("--dataset=mine") == (TrainConfig(dataset="mine"), "runs/mine")
    assert parsed("--dataset=.")[1] == f"runs/{tmp_path.name}"
    assert parsed("--dataset=mine/here", "--preset=facades")[1] == "runs/here"
    assert parsed("--dataset=mine/here", "--output_dir=there")[1] == "there"


def test_a_task_has_a_preset_that_overrides_the_data_sets():
    denoise = PRESETS["denoise"]
    expected = (TrainConfig(dataset="photos", **denoise), "runs/photos-denoise")
    assert parsed("--dataset=photos/", "--task=denoise") == parsed("--dataset=photos", "--preset=denoise") == expected
    both = TrainConfig(dataset="facades", **PRESETS["facades"] | denoise)
    for flag in ("--task=denoise", "--preset=denoise"):
        assert parsed("--dataset=facades", flag)[0] == both
    demo = PRESETS["demo"] | denoise
    assert parsed("--dataset=facades", "--preset=demo", "--task=denoise")[0] == TrainConfig(dataset="facades", **demo)
    config = parsed("--dataset=x", "--task=denoise", "--task_sigma=3", "--dropout=0.25")[0]
    assert (config.task_sigma, config.dropout) == (3.0, 0.25)
    assert parsed("--dataset=x", "--task=colorize")[0].color_space == "lab"
    assert parsed("--dataset=x", "--task=colorize", "--color_space=rgb")[0].color_space == "rgb"


def test_a_run_starts_from_the_config_of_another(tmp_path):
    """Flags override the config; the config overrides the presets of its data set and its task."""
    path = tmp_path / "config.json"

    def from_config(config, *flags):
        path.write_text(json.dumps(config.to_json()))
        return parsed(f"--config={path}", *flags)

    old = TrainConfig(dataset="facades", filters=7, steps=5)  # direction and resize_b differ from the preset
    assert from_config(old) == (old, "runs/facades")
    flags = ["--dataset=maps/", "--filters=8", "--epochs=3", "--output_dir=new"]
    assert from_config(old, *flags) == (TrainConfig(dataset="maps", filters=8, epochs=3), "new")
    task = TrainConfig(dataset="photos", task="denoise", task_sigma=3.0)
    assert from_config(task, "--task=denoise") == from_config(task) == (task, "runs/photos-denoise")
    assert from_config(task, "--task=edges") == (TrainConfig(dataset="photos", task="edges"), "runs/photos-edges")


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file"), ("{", "not readable"), ("\xff", "not readable")])
def test_a_config_that_cannot_be_read_is_one_error(text, problem, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    message = f"--config={tmp_path}/config.json: {problem}.*; pass the config.json of a run directory"
    with pytest.raises(InputError, match=message):
        parsed("--dataset=x", f"--config={tmp_path}/config.json")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset is missing: .* synthetic_facades. For a first try: --dataset=synthetic_facades --preset=demo"),
        (["--dataset="], "--dataset is missing"),
        (["--dataset=x", "--filter=3"], "unknown flag --filter; did you mean --filters?"),
        (["my_pairs"], "unknown flag my_pairs; did you mean --dataset=my_pairs?"),
        (["--dataset=x", "--preset=facade"], "--preset=facade: must be one of facades, cityscapes"),
        (["--config=x", "--preset=demo"], "--preset=demo: has no effect with --config"),
        (["--dataset=x", "--epochs=2", "--steps=3"], "--epochs and --steps both"),
        (["--dataset=x", "--filters=0"], "--filters=0: must be at least 1"),
        (
            ["--dataset=x", "--load_size=200"],
            "--crop_size=256x256: .* --load_size=200x200; lower it or raise --load_si",
        ),
        (["--dataset=x", "--nojitter", "--load_size=300"], "--load_size=300x300: has no effect with --nojitter;"),
        (["--dataset=x", "--residual", "--color_space=lab"], "--residual: does not work with --color_space=lab"),
        (["--dataset=x", "--input_dir=a"], "--input_dir=a: requires --target_dir"),
        (["--dataset=x", "--generator=unets"], "--generator=unets: must be one of unet, resnet"),
        (["--dataset=/no/task=edges,filters=2"], "/no/task=edges,filters=2"),  # a path, not flags
        (
            ["--dataset=synthetic_facades", "--crop_size=100"],
            "--crop_size=100x100 --generator=unet: .* as 96, 104",
        ),
        (
            ["--dataset=synthetic_facades", "--crop_size=16"],
            "--crop_size=16x16 --discriminator_layers=3: .* lower --d",
        ),
        (["--dataset=synthetic_facades", f"--output_dir={__file__}/run", *QUICK], "test_cli_train.py is a file"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *flags]) == 2
    (error,) = error_lines(capsys)
    assert re.search(message.replace("?", r"\?"), error), error
    assert list(tmp_path.iterdir()) == []


def test_colors_cannot_be_learned_from_gray_photos(tmp_path, capsys):
    """In gray files or in RGB; test_resolve.py has sets with some gray photos."""
    for channels in (1, 3):
        for number in range(10):
            photo = random_image(number, 40, 40, 1).repeat(channels, axis=2)
            write_image(tmp_path / "photos" / f"{number}.png", photo)
        flags = [f"--dataset={tmp_path}/photos", "--task=colorize", f"--output_dir={tmp_path}/run", *QUICK]
        assert main(["train", *flags]) == 2
        assert not (tmp_path / "run").exists()
        assert f"{tmp_path}/photos/0.png" in error_lines(capsys)[0]


def test_unreadable_pairs_end_the_run_before_it_starts_or_are_skipped(side_by_side_folder, capsys, tmp_path):
    whole = (side_by_side_folder / "4.png").read_bytes()
    for name, content in {"cut": whole[:2000], "text": b"this is text", "empty": b""}.items():
        (side_by_side_folder / f"{name}.png").write_bytes(content)
    write_image(side_by_side_folder / "odd_width.png", random_image(0, 40, 81))
    flags = [f"--dataset={side_by_side_folder}", f"--output_dir={tmp_path / 'run'}", *QUICK]
    assert main(["train", *flags]) == 2
    (error,) = error_lines(capsys)
    for name in ("cut", "text", "empty", "odd_width"):
        assert f"{side_by_side_folder}/{name}.png" in error
    assert not (tmp_path / "run").exists()
    assert main(["train", *flags, "--max_bad_images=3"]) == 2
    assert main(["train", *flags, "--max_bad_images=4"]) == 0
    assert f"{side_by_side_folder}/cut.png" in capsys.readouterr().err


def test_one_image_of_another_depth_ends_the_run_before_it_starts(side_by_side_folder, capsys, tmp_path):
    """test_resolve.py and test_depths.py have the flags that accept it."""
    images.write(side_by_side_folder / "4.png", random_image(0, 40, 80, 1).astype("uint16") * 257)
    assert main(["train", f"--dataset={side_by_side_folder}", f"--output_dir={tmp_path / 'run'}", *QUICK]) == 2
    (error,) = error_lines(capsys)
    assert re.search(r"pairs/\d.png .*8 bits.*pairs/4.png .*16 bits", error), error
    assert not (tmp_path / "run").exists()


def test_a_damaged_config_or_checkpoint_is_named(tiny_run, capsys, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    command = ["train", f"--config={tiny_run}/config.json", f"--output_dir={tmp_path / 'run'}", "--steps=7"]
    (tmp_path / "run" / "checkpoints" / "step-00000006" / "checkpoint.index").write_bytes(b"nonsense")
    assert main(command) == 2
    assert "checkpoints/step-00000006" in error_lines(capsys)[0]
    (tmp_path / "run" / "config.json").write_text("{")
    assert main(command) == 2
    assert f"error: {tmp_path}/run/config.json: not readable as JSON" in error_lines(capsys)[0]


def test_a_signal_while_images_are_read_ends_the_command(tmp_path, capsys):
    pair = write_image(tmp_path / "pairs" / "0.png", random_image(0, 1000, 2000))
    for index in range(1, 2000):  # minutes of reading
        os.link(pair, pair.with_name(f"{index}.png"))
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        assert main(["train", f"--dataset={pair.parent}", f"--output_dir={tmp_path / 'run'}"]) == 130
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
    assert error_lines(capsys) == ["error: interrupted; saved work is kept; the same command continues it"]


def test_the_script_is_quiet_and_names_the_sample_grid(tmp_path):
    flags = ["--dataset=synthetic_facades", f"--output_dir={tmp_path / 'run'}", *QUICK]
    command = [sys.executable, "run_train.py", *flags]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    grid = result.stdout.splitlines()[-1].split("sample grid: ")[1]
    assert Path(grid).read_bytes().startswith(b"\x89PNG")
