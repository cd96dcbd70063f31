import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from conftest import REPOSITORY, random_picture, write_picture

from tf_pix2pix.cli.command import run_command, start_up_notes_hidden
from tf_pix2pix.cli.train import main, parse
from tf_pix2pix.config import PRESETS, TrainConfig
from tf_pix2pix.datasets import DATASETS
from tf_pix2pix.errors import InputError

QUICK = ["--crop_size=32", "--filters=2", "--steps=2", "--samples=1", "--eval_pairs=1", "--log_every=1"]


def config_of(*flags):
    return parse(["run_train.py", *flags])


def test_help_names_every_flag_default_and_choice(capsys):
    assert main(["run_train.py", "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for field in TrainConfig.__dataclass_fields__:
        assert f"{field} " in out
    for word in (*DATASETS, *PRESETS, "--output_dir", "wgan-gp", "[256x256]", "--[no]flip", "[0.0002]"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("flag", ["-h", "-help", "--helpfull"])
def test_help_has_its_usual_names(flag, capsys):
    assert main(["run_train.py", "--dataset=x", flag]) == 0
    assert "Flags (default in brackets):" in capsys.readouterr().out


def test_flags_become_the_config():
    assert config_of("--dataset=x", "--crop_size=128X256")[0].crop_size == (128, 256)
    config, output_dir = config_of("--dataset=maps", "--nojitter", "--crop_size=128x256", "--seed=7", "--l1_weight=10")
    expected = dict(dataset="maps", jitter=False, crop_size=(128, 256), seed=7, l1_weight=10.0)
    assert config == TrainConfig(**PRESETS["maps"] | expected)
    assert output_dir == "runs/maps"


def test_a_published_set_brings_its_preset_and_flags_win():
    assert config_of("--dataset=facades")[0] == TrainConfig(dataset="facades", **PRESETS["facades"])
    assert config_of("--dataset=facades", "--preset=demo")[0].filters == 32
    assert config_of("--dataset=facades", "--direction=AtoB")[0].direction == "AtoB"
    assert config_of("--dataset=mine/here", "--preset=facades")[1] == "runs/here"


def test_a_folder_called_as_a_preset_is_a_folder():
    assert config_of("--dataset=demo")[0] == TrainConfig(dataset="demo")


def test_a_folder_is_the_same_with_a_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_of("--dataset=mine/") == config_of("--dataset=mine") == (TrainConfig(dataset="mine"), "runs/mine")
    assert config_of("--dataset=.")[1] == f"runs/{tmp_path.name}"


def test_a_task_brings_its_preset_over_the_data_sets():
    denoise = PRESETS["denoise"]
    assert config_of("--dataset=photos/", "--task=denoise") == (
        TrainConfig(dataset="photos", **denoise),
        "runs/photos-denoise",
    )
    assert config_of("--dataset=photos", "--preset=denoise") == config_of("--dataset=photos", "--task=denoise")
    both = PRESETS["facades"] | denoise
    assert config_of("--dataset=facades", "--task=denoise")[0] == TrainConfig(dataset="facades", **both)
    assert config_of("--dataset=facades", "--preset=denoise")[0] == TrainConfig(dataset="facades", **both)
    demo = PRESETS["demo"] | denoise
    assert config_of("--dataset=facades", "--preset=demo", "--task=denoise")[0] == TrainConfig(
        dataset="facades", **demo
    )
    given = config_of("--dataset=x", "--task=denoise", "--task_sigma=3", "--dropout=0.25", "--output_dir=here")
    assert (given[0].task_sigma, given[0].dropout, given[1]) == (3.0, 0.25, "here")
    assert config_of("--dataset=x", "--task=colorize")[0].color_space == "lab"
    assert config_of("--dataset=x", "--task=colorize", "--color_space=rgb")[0].color_space == "rgb"


def test_epochs_replace_a_presets_steps():
    config = config_of("--dataset=synthetic_facades", "--preset=demo", "--epochs=3")[0]
    assert (config.epochs, config.steps) == (3, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--dataset is missing: .* synthetic_facades. To start at once: --dataset=synthetic_facades --preset=demo"),
        (["--dataset="], "--dataset is missing"),
        (["--dataset=x", "--filter=3"], "Unknown command line flag 'filter'. Did you mean: filters"),
        (["--dataset=x", "--filters=many"], "flag --filters=many"),
        (["--dataset=x", "--crop_size=3x4x5"], "a size is N or HEIGHTxWIDTH"),
        (["--dataset=x", "--crop_size=-4"], "a size is N or HEIGHTxWIDTH"),
        (["--dataset=x", "facades"], "facades is no flag"),
        (["--dataset=x", "--preset=facade"], "preset=facade is unknown; choose one of facades, cityscapes"),
        (["--dataset=x", "--epochs=2", "--steps=3"], "--epochs and --steps both"),
        (["--dataset=x", "--load_size=200"], "crop_size=256x256 is larger than load_size=200x200"),
        (["--dataset=x", "--generator=unets"], "generator=unets is unknown; choose one of unet, resnet"),
        (["--dataset=x", "--task=colourise"], "task=colourise is unknown; choose one of colorize, edges"),
        (
            ["--dataset=x", "--task=edges", "--task_scale=2"],
            "task_scale goes with task=super_resolution, not with task=edg",
        ),
        (["--dataset=x", "--task_sigma=much", "--task=edges"], "flag --task_sigma=much"),
        (
            ["--dataset=synthetic_facades", "--task=edges", "--input_channels=3", *QUICK],
            "input_channels=3, but edges makes 1",
        ),
        (["--dataset=/nowhere/at/all"], "/nowhere/at/all is neither a folder nor a known data set"),
        (["--dataset=synthetic_facades", "--crop_size=100"], "crop_size=100x100, generator=unet: .* such as 96, 104"),
        (["--dataset=synthetic_facades", "--crop_size=16"], "crop_size=16x16: .* lower discriminator_layers"),
        (["--dataset=synthetic_facades", "--generator=resnet", "--noskips", *QUICK], "requires skip connections"),
        (["--dataset=synthetic_facades", "--output_channels=1", *QUICK], "output_channels=1, but .* has 3 channels"),
        (["--dataset=synthetic_facades", "--output_dir=/proc/run", *QUICK], "/proc"),
        (["--dataset=synthetic_facades", f"--output_dir={__file__}/run", *QUICK], "test_cli_train.py is a file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run_train.py", *flags]) == (1 if "/proc" in message else 2)
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(err) == 1
    with pytest.raises(InputError, match=message):
        raise InputError(err[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["gray files", "gray in RGB", "one in colour"])
def test_gray_photos_are_none_to_learn_colours_from(kind, tmp_path, capsys):
    for number in range(10):
        channels = 1 if kind == "gray files" else 3
        photo = random_picture(number, 40, 40, 1).repeat(channels, axis=2)
        write_picture(tmp_path / "photos" / f"{number}.png", photo)
    if kind == "one in colour":
        write_picture(tmp_path / "photos" / "0.png", random_picture(0, 40, 40))
    flags = [f"--dataset={tmp_path}/photos", "--task=colorize", f"--output_dir={tmp_path}/run", *QUICK]
    assert main(["run_train.py", *flags]) == (0 if kind == "one in colour" else 2)
    err = capsys.readouterr().err
    assert (tmp_path / "run").exists() == (kind == "one in colour")
    said = f"error: the photos are gray ({tmp_path}/photos/0.png, {tmp_path}/photos/1.png"
    assert (said in err) == (kind != "one in colour")


def bad_folder(kind: str, root: Path) -> Path:
    """A folder of ten good pairs and one kind of trouble."""
    for number in range(10):
        write_picture(root / f"{number}.png", random_picture(number, 40, 80))
    if kind == "truncated":
        (root / "4.png").write_bytes((root / "4.png").read_bytes()[:2000])
    elif kind == "no picture":
        (root / "4.png").write_text("this is text")
    elif kind == "odd width":
        write_picture(root / "4.png", random_picture(0, 40, 81))
    elif kind == "16 bit":
        from PIL import Image

        Image.fromarray(random_picture(0, 40, 80, 1)[:, :, 0].astype("uint16") * 257).save(root / "4.png")
    elif kind == "empty file":
        (root / "4.png").write_bytes(b"")
    return root


BAD = {
    "truncated": "4.png: it cannot be decoded",
    "no picture": "4.png: it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or NPY picture",
    "odd width": "4.png: it is 81 pixels wide, an odd number",
    "empty file": "4.png: it is not a PNG",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_ends_the_run_before_it_starts(kind, capsys, tmp_path):
    root = bad_folder(kind, tmp_path / "pairs")
    run_dir = tmp_path / "run"
    flags = [f"--dataset={root}", f"--output_dir={run_dir}", *QUICK]
    assert main(["run_train.py", *flags]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(err) == 1
    assert f"1 of 9 pairs cannot be used: {root}/{BAD[kind]}" in err[0]
    assert not run_dir.exists()
    assert main(["run_train.py", *flags, "--max_bad_images=1"]) == 0
    out, err = capsys.readouterr()
    assert f"left out 1 of 9 pairs (--max_bad_images=1): {root}/{BAD[kind]}" in err
    assert "8 pairs to train on, 1 held out" in out


def test_a_picture_of_another_depth_ends_the_run_before_it_starts(capsys, tmp_path):
    root = bad_folder("16 bit", tmp_path / "pairs")
    flags = [f"--dataset={root}", f"--output_dir={tmp_path / 'run'}", *QUICK]
    assert main(["run_train.py", *flags]) == 2
    (err,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert re.search(
        r"pairs/\d.png has 8 bits a channel but .*pairs/4.png has 16 bits a channel: a side needs one", err
    )
    assert not (tmp_path / "run").exists()
    depths = ["--input_depth=uint16", "--output_depth=uint16", "--input_range=0,4095"]
    assert main(["run_train.py", *flags, *depths]) == 2
    assert "it has 8 bits a channel, not 16 bits a channel of 0,4095" in capsys.readouterr().err
    assert main(["run_train.py", *flags, *depths[:2]]) == 0


def test_a_directory_that_is_no_run(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert main(["run_train.py", "--dataset=synthetic_facades", f"--output_dir={tmp_path}", *QUICK]) == 2
    assert f"error: {tmp_path}/config.json: it is not a config written by tf_pix2pix" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(capsys, tmp_path):
    command = ["run_train.py", "--dataset=synthetic_facades", f"--output_dir={tmp_path / 'run'}", *QUICK]
    assert main(command) == 0
    (index,) = (tmp_path / "run" / "checkpoints").glob("step-*/checkpoint.index")
    index.write_bytes(b"nonsense")
    assert main([*command[:-1], "--log_every=1", "--steps=3"]) == 2
    assert "checkpoints/step-00000002 cannot be restored" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_with_what_was_there(tmp_path):
    """The limit on a file's size stands for the full disk: writing a checkpoint fails, in Python and in TensorFlow."""
    run_dir = tmp_path / "run"
    command = [sys.executable, "run_train.py", "--dataset=synthetic_facades", f"--output_dir={run_dir}", *QUICK]
    command += ["--nojitter", "--eval_every=2", "--checkpoint_every=1"]
    assert subprocess.run([*command, "--steps=1"], cwd=REPOSITORY, capture_output=True).returncode == 0

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, preexec_fn=limit)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "File too large" in line
    assert "the checkpoint of step 1 is kept, the same command goes on from there" in line
    assert [path.name for path in (run_dir / "checkpoints").glob("*step*")] == ["step-00000001"]
    assert not list(run_dir.rglob("*partial*"))
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == 0  # goes on when there is room


def test_an_error_is_one_line_and_damaged_metadata_is_none(capsys):
    def body(argv):
        warnings.warn_explicit("damaged", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
        raise InputError("of two\n  lines")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run_command(body, str, ["x"]) == 2
    assert seen == []
    assert capsys.readouterr().err == "error: of two lines\n"


def test_start_up_notes_are_hidden_unless_loading_fails(capfd, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    opened = len(os.listdir("/dev/fd"))
    with start_up_notes_hidden():
        os.write(2, b"note")
    os.write(2, b"said")
    assert capfd.readouterr().err == "said"
    with pytest.raises(ImportError), start_up_notes_hidden():
        os.write(2, b"why")
        raise ImportError
    assert capfd.readouterr().err == "why"
    assert len(os.listdir("/dev/fd")) == opened
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_a_defect_is_one_line_and_a_file(capsys, tmp_path, monkeypatch):
    import tf_pix2pix.training

    def broken(config, output_dir):
        raise KeyError("surprise")

    monkeypatch.setattr(tf_pix2pix.training, "train", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["run_train.py", "--dataset=synthetic_facades"]) == 1
    (trace,) = tmp_path.iterdir()
    assert f"error: KeyError: 'surprise'; this is a defect of tf_pix2pix, please report it with {trace}" in (
        capsys.readouterr().err
    )
    assert "in broken" in trace.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_training_is_answered(tmp_path, number):
    pair = write_picture(tmp_path / "pairs" / "0.png", random_picture(0, 1000, 2000))
    for index in range(1, 2000):  # minutes of reading
        os.link(pair, pair.with_name(f"{index}.png"))
    command = [sys.executable, "run_train.py", f"--dataset={pair.parent}", f"--output_dir={tmp_path / 'run'}"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, cwd=REPOSITORY, **pipes)
    time.sleep(8)
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("error: interrupted; what was saved before is kept")
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_defect():
    result = subprocess.run(
        f"{sys.executable} run_train.py --help | true", shell=True, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.stderr == ""


def test_the_script_runs_and_says_where_the_grid_is(tmp_path):
    command = [
        sys.executable,
        "run_train.py",
        "--dataset=synthetic_facades",
        f"--output_dir={tmp_path / 'run'}",
        *QUICK,
    ]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    grid = result.stdout.splitlines()[-1].split("sample grid: ")[1]
    assert Path(grid).read_bytes().startswith(b"\x89PNG")
