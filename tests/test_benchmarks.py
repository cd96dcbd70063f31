"""What README's tables of speed rest on: the count of multiply-adds, turns in processes, and the ratios."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import groups  # noqa: E402
import keras_peer  # noqa: E402
import multiply_adds  # noqa: E402
import tasks  # noqa: E402
from turns import Contestant, Work, in_turns  # noqa: E402

from tf_pix2pix import images  # noqa: E402
from tf_pix2pix.networks import patchgan_discriminator, unet_generator  # noqa: E402

PICTURE = (1, 256, 256, 3)

# By hand: side**2 x 4x4 x channels in x channels out; the sides are those of the small picture of each layer.
ENCODER = [(128, 3, 64), (64, 64, 128), (32, 128, 256), (16, 256, 512), (8, 512, 512), (4, 512, 512), (2, 512, 512)]
ENCODER += [(1, 512, 512)]
DECODER = [(1, 512, 512), (2, 1024, 512), (4, 1024, 512), (8, 1024, 512), (16, 1024, 256), (32, 512, 128)]
DECODER += [(64, 256, 64), (128, 128, 3)]
DISCRIMINATOR = [(128, 6, 64), (64, 64, 128), (32, 128, 256), (31, 256, 512), (30, 512, 1)]


def by_hand(layers):
    return [side**2 * 16 * before * after for side, before, after in layers]


@pytest.mark.parametrize("whose", ["ours", "plain Keras"])
def test_multiply_adds_are_those_counted_by_hand(whose):
    if whose == "ours":
        networks = unet_generator(), patchgan_discriminator()
    else:
        networks = keras_peer.unet(), keras_peer.patchgan()
        assert [sum(map(np.size, one.trainable_variables)) for one in networks] == [54_413_955, 2_768_705]
    generator = multiply_adds.count_layers(networks[0], PICTURE)
    discriminator = multiply_adds.count_layers(networks[1], PICTURE, PICTURE)
    assert generator == by_hand([*ENCODER, *DECODER])
    assert discriminator == by_hand(DISCRIMINATOR)
    assert sum(generator) == pytest.approx(6.05e9, rel=1e-3)
    assert sum(discriminator) == pytest.approx(3.20e9, rel=1e-3)
    two = (4, *PICTURE[1:])
    assert sum(multiply_adds.count_layers(networks[1], two, two)) == 4 * sum(discriminator)


def test_multiply_adds_of_a_step_are_what_pytorch_counts():
    torch = pytest.importorskip("torch", reason="no PyTorch: pip install 'tf_pix2pix[benchmark]'", exc_type=ImportError)
    import pytorch_peer
    from torch.utils.flop_counter import FlopCounterMode

    shape = (2, 64, 64, 3)
    generator = multiply_adds.count_layers(keras_peer.unet(64, 8, 6), shape)
    discriminator = multiply_adds.count_layers(keras_peer.patchgan(64, 8), shape, shape)
    step = pytorch_peer.make_train_step(pytorch_peer.UNet(depth=6, filters=8), pytorch_peer.PatchGAN(filters=8))
    pair = torch.rand(2, 2, 3, 64, 64)
    with FlopCounterMode(display=False) as counter:
        step(*pair)
    both_halves = discriminator[0] - discriminator[0] // 2  # PyTorch has the gradient of the input picture's half too
    assert multiply_adds.count_step(generator, discriminator) + both_halves == counter.get_total_flops() / 2


def sleeping(seconds):
    return {"repetition": partial(time.sleep, seconds)}


def test_one_that_dies_is_told_and_the_others_go_on(capfd):
    entered = [
        Contestant("well", Work, sleeping(0.02), ()),
        Contestant("rival", Work, sleeping(0.3), (), variant="slow"),
        Contestant("rival", Work, sleeping(0.1), (), variant="fast"),
        Contestant("raises", int, {"x": 1}, ()),
        Contestant("leaves", os._exit, {"status": 3}, ()),
        Contestant("dies at work", Work, {"repetition": os.abort}, ()),
        Contestant("lacks a module", Work, sleeping(0), ("no_such_module",)),
    ]
    measured = in_turns(entered, 3, warm_ups=1)
    assert [one.label for one in measured] == [
        *("well", "rival (fast)", "raises", "leaves", "dies at work", "lacks a module"),
    ]
    for one, seconds in zip(measured, (0.02, 0.1), strict=False):
        assert one.failure is None
        assert len(one.seconds) == 3
        assert min(one.seconds) >= seconds
        assert 0 < one.facts["imported_gb"] <= one.facts["peak_gb"] < 1
    reasons = ["TypeError", "it ended with 3", signal.SIGABRT.name, "ModuleNotFoundError: No module named"]
    said = capfd.readouterr().err
    for one, reason in zip(measured[2:], reasons, strict=True):
        assert one.seconds == []
        assert reason in one.failure
        assert f"{one.name} failed: {one.failure}" in said


def test_step_tables_tell_what_was_measured(tmp_path):
    pytest.importorskip("torch", reason="no PyTorch: pip install 'tf_pix2pix[benchmark]'", exc_type=ImportError)
    command = [sys.executable, "benchmarks/speed.py", "--group=step", "--cases=32x2", "--filters=2", "--repetitions=3"]
    done = subprocess.run(
        [*command, f"--json={tmp_path / 'speed.json'}"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    machine, _, title, _, *lines = done.stdout.splitlines()
    record = json.loads((tmp_path / "speed.json").read_text())
    assert record["machine"] == machine
    assert title == record["tables"][0]["title"] == "Training step, 32x32, batch 2"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in rows} == {7}
    assert rows[0][4] == "times tf_pix2pix's"
    measured = {one["name"]: one for one in record["tables"][0]["contestants"]}
    assert [*measured] == ["tf_pix2pix", "PyTorch", "plain Keras", "TensorFlow's sgemm", "PyTorch's sgemm"]
    assert {len(one["seconds"]) for one in measured.values()} == {3}
    ours = np.array(measured["tf_pix2pix"]["seconds"])
    for name, row in zip(measured, rows[2:5], strict=False):
        seconds = np.array(measured[name]["seconds"])
        assert row[0].startswith(name)
        assert float(row[1]) == pytest.approx(1e3 * np.median(seconds), rel=1e-2)
        assert float(row[3]) == pytest.approx(2 / np.median(seconds), rel=1e-2)
        assert row[4].split()[0] == f"{np.median(seconds / ours):.2f}"
        assert float(row[6].split()[0]) >= measured[name]["facts"]["imported_gb"] - 0.01
    best = min(np.median(measured[name]["seconds"]) for name in measured if "sgemm" in name)
    floor = measured["tf_pix2pix"]["facts"]["multiply_adds"] / (2048**3 / best)
    assert float(rows[5][1]) == pytest.approx(1e3 * floor, rel=1e-2)


def test_the_memory_of_a_step_is_estimated_from_smaller_ones():
    cells = [groups.Measured("", facts={"pixels": pixels, "peak_gb": 1 + pixels / 1e6}) for pixels in (1e5, 2e5, 4e5)]
    assert groups.estimated_gb(cells, 10_000_000) == pytest.approx(11)
    assert groups.estimated_gb(cells[:1], 10_000_000) == 0


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_the_peers_have_our_depth(size):
    import contestants

    from tf_pix2pix.networks import unet_depth

    assert contestants.unet_depth(size) == unet_depth((size, size))


def test_a_step_of_plain_keras_changes_both_networks():
    networks = keras_peer.unet(32, 4, depth=3), keras_peer.patchgan(32, 4)
    variables = [variable for network in networks for variable in network.trainable_variables]
    before = [variable.numpy() for variable in variables]
    pair = np.random.default_rng(0).uniform(-1, 1, (2, 2, 32, 32, 3)).astype(np.float32)
    losses = keras_peer.make_train_step(*networks)(*pair)
    assert np.isfinite(losses).all()
    for variable, old in zip(variables, before, strict=True):
        assert np.any(variable.numpy() != old), variable.path


def test_a_task_is_measured_against_the_trivial_answer(inpaint_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tasks.py", f"--run_dir={inpaint_run}", f"--picture={tmp_path}/grid.png"])
    tasks.main()
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line[0] for line in lines] == [
        "| inpaint, 3 held out",
        "| the holes in the mean of the rest",
        "| trained, step 1",
    ]
    assert all(0 < float(line[1]) < 0.3 for line in lines[1:])  # a fifth of a picture, and its range is 2
    assert images.decode((tmp_path / "grid.png").read_bytes()).shape == (14 + 32 + 4, 7 * (32 + 4) + 4, 3)


def test_holes_filled_with_the_mean():
    rgba = np.full((1, 2, 2, 4), 1.0, np.float32)
    rgba[0, 0, 0] = 0, 0, 0, -1
    rgba[0, 0, 1, :3] = -0.5
    filled = tasks.mean_filled(rgba).numpy()[0]
    np.testing.assert_allclose(filled[0, 0], 0.5)
    np.testing.assert_array_equal(filled[1], 1.0)
