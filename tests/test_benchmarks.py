"""The foundations of README's speed tables: counted multiply-adds, turns of processes, and ratios."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from helpers import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import groups  # noqa: E402
import keras_peer  # noqa: E402
import multiply_adds  # noqa: E402
import tasks  # noqa: E402
from turns import Contestant, Work, in_turns  # noqa: E402

from tf_pix2pix import images  # noqa: E402
from tf_pix2pix.networks import patchgan_discriminator, unet_generator  # noqa: E402

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="no PyTorch: pip install 'tf_pix2pix[benchmark]'"
)

# By hand, for one filter: the side of the smaller image, channels in and channels out of each layer between the first
# and the last.
ENCODER = [(64, 1, 2), (32, 2, 4), (16, 4, 8), (8, 8, 8), (4, 8, 8), (2, 8, 8), (1, 8, 8)]
DECODER = [(1, 8, 8), (2, 16, 8), (4, 16, 8), (8, 16, 8), (16, 16, 4), (32, 8, 2), (64, 4, 1)]
DISCRIMINATOR = [(64, 1, 2), (32, 2, 4), (31, 4, 8)]


def run_script(arguments, **environment):
    """Runs Python in a process that can import the package and the benchmarks. Returns stdout."""
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "benchmarks")])
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_hand(layers, filters):
    return [side**2 * 16 * before * after * filters**2 for side, before, after in layers]


def test_counted_multiply_adds_equal_those_by_hand():
    filters, shape = 4, (1, 256, 256, 3)
    ours = unet_generator(filters=filters), patchgan_discriminator(filters=filters)
    peers = keras_peer.unet(filters=filters), keras_peer.patchgan(filters=filters)
    for own, peer in zip(ours, peers, strict=True):
        assert own.count_params() == sum(np.size(variable) for variable in peer.trainable_variables)
    for generator, discriminator in (ours, peers):
        first, last = 128**2 * 16 * 3 * filters, 128**2 * 16 * 2 * filters * 3
        assert multiply_adds.count_layers(generator, shape) == [first, *by_hand(ENCODER + DECODER, filters), last]
        first, last = 128**2 * 16 * 6 * filters, 30**2 * 16 * 8 * filters
        counted = multiply_adds.count_layers(discriminator, shape, shape)
        assert counted == [first, *by_hand(DISCRIMINATOR, filters), last]
        four = (4, *shape[1:])
        assert multiply_adds.count_layers(discriminator, four, four) == [4 * count for count in counted]


@needs_torch
def test_multiply_adds_of_a_step_equal_those_that_pytorch_counts():
    shape = (2, 64, 64, 3)
    generator = multiply_adds.count_layers(keras_peer.unet(64, 8, 6), shape)
    discriminator = multiply_adds.count_layers(keras_peer.patchgan(64, 8), shape, shape)
    script = """
import pytorch_peer, torch
from torch.utils.flop_counter import FlopCounterMode
step = pytorch_peer.make_train_step(pytorch_peer.UNet(depth=6, filters=8), pytorch_peer.PatchGAN(filters=8))
with FlopCounterMode(display=False) as counter:
    step(*torch.rand(2, 2, 3, 64, 64))
print(counter.get_total_flops())
"""  # in its own process: PyTorch may crash in a process that has loaded TensorFlow
    flops = int(run_script(["-c", script]))
    input_half = discriminator[0] - discriminator[0] // 2  # PyTorch also computes the gradient of the input image
    assert multiply_adds.count_step(generator, discriminator) + input_half == flops / 2


def sleeping(seconds):
    return {"repetition": partial(time.sleep, seconds)}


def test_a_failing_contestant_is_reported_and_the_others_go_on(capfd):
    entered = [
        Contestant("well", Work, sleeping(0.02), ()),
        Contestant("rival", Work, sleeping(0.2), (), variant="slow"),
        Contestant("rival", Work, sleeping(0.05), (), variant="fast"),
        Contestant("raises", int, {"x": 1}, ()),
        Contestant("exits", os._exit, {"status": 3}, ()),
        Contestant("aborts", Work, {"repetition": os.abort}, ()),
        Contestant("lacks a module", Work, sleeping(0), ("no_such_module",)),
    ]
    measured = in_turns(entered, 3, warm_ups=1)
    labels = ["well", "rival (fast)", "raises", "exits", "aborts", "lacks a module"]
    assert [one.label for one in measured] == labels
    for one, seconds in zip(measured, (0.02, 0.05), strict=False):
        assert one.failure is None and len(one.seconds) == 3 and min(one.seconds) >= seconds
        assert 0 < one.facts["imported_gb"] <= one.facts["peak_gb"] < 1
    reasons = ["TypeError", "exited with 3", signal.SIGABRT.name, "ModuleNotFoundError: No module named"]
    printed = capfd.readouterr().err
    for one, reason in zip(measured[2:], reasons, strict=True):
        assert one.seconds == [] and reason in one.failure
        assert f"{one.name} failed: {one.failure}" in printed


@needs_torch
def test_step_tables_contain_the_measurements(tmp_path):
    file = tmp_path / "speed.json"
    options = ["--group=step", "--cases=32x2", "--filters=2", "--repetitions=3", f"--json={file}"]
    machine, _, title, _, *lines = run_script(["benchmarks/speed.py", *options]).splitlines()
    record = json.loads(file.read_text())
    assert record["machine"] == machine
    assert title == record["tables"][0]["title"] == "Training step, 32x32, batch 2"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0][4] == "times tf_pix2pix's"
    measured = {one["name"]: one for one in record["tables"][0]["contestants"]}
    assert [*measured] == ["tf_pix2pix", "PyTorch", "plain Keras", "TensorFlow's sgemm", "PyTorch's sgemm"]
    seconds = {name: np.array(one["seconds"]) for name, one in measured.items()}
    for (name, own), row in zip(seconds.items(), rows[2:5], strict=False):
        assert row[0].startswith(name) and len(own) == 3
        assert float(row[1]) == pytest.approx(1e3 * np.median(own), rel=1e-2)
        assert float(row[3]) == pytest.approx(2 / np.median(own), rel=1e-2)
        assert row[4].split()[0] == f"{np.median(own / seconds['tf_pix2pix']):.2f}"
    best = min(np.median(seconds[name]) for name in seconds if "sgemm" in name)
    lower_bound = measured["tf_pix2pix"]["facts"]["multiply_adds"] / (2048**3 / best)
    assert float(rows[5][1]) == pytest.approx(1e3 * lower_bound, rel=1e-2)


def test_memory_of_a_step_is_extrapolated_from_smaller_ones():
    cells = [groups.Measured("", facts={"pixels": pixels, "peak_gb": 1 + pixels / 1e6}) for pixels in (1e5, 2e5, 4e5)]
    assert groups.estimated_gb(cells, 10_000_000) == pytest.approx(11)
    assert groups.estimated_gb(cells[:1], 10_000_000) == 0


def test_a_task_is_compared_with_its_baseline(inpaint_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tasks.py", f"--run_dir={inpaint_run}", f"--grid={tmp_path}/grid.png"])
    tasks.main()
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    expected = ["inpaint, 3 validation photos", "holes filled with the mean color", "trained, step 1"]
    assert [line[0] for line in lines] == [f"| {title}" for title in expected]
    assert all(0 < float(line[1]) < 0.3 for line in lines[1:])  # L1; a fifth of an image is holes, and its range is 2
    assert images.decode((tmp_path / "grid.png").read_bytes()).shape == (14 + 32 + 4, 7 * (32 + 4) + 4, 3)
