import io
import json
import math
import time

import numpy as np
import pytest
from helpers import change, make_sides
from PIL import Image

from tf_pix2pix import curves
from tf_pix2pix.curves import History, curves_png, plot_runs, write_curves
from tf_pix2pix.curves.drawing import _smooth
from tf_pix2pix.curves.panels import BLUE, GREEN, VERMILLION
from tf_pix2pix.errors import InputError
from tf_pix2pix.run import Run

CLASSES = {"target_encoding": "classes"}
TRIVIAL = {"black": {"l1": 0.5, "psnr": 9.0}, "median color": {"l1": 0.30, "psnr": 12.0}}


@pytest.fixture
def make_history(tmp_path):
    """Writes a run that has the given records and config fields."""

    def make_history(records, name="run", **fields):
        run = Run(tmp_path / name, change(**fields), make_sides())
        run.write_settings()
        (run.directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return run

    return make_history


def gan_records(evaluations=3, health=True, trivial=TRIVIAL):
    """The records of a run with a discriminator. Validation L1 is 0.25 at step 200, and higher before and after."""
    records = [{"step": 0, "train_pairs": 4, "val_pairs": 2} | ({"trivial": trivial} if trivial else {})]
    for step in range(10, 100 * evaluations + 1, 10):
        record = {"step": step, "gen_gan_loss": 1.0, "gen_l1_loss": 30 / (100 + step), "disc_real_loss": 0.5}
        record |= {"disc_fake_loss": 0.6, "images_per_second": 9.0, "data_wait": 0.02, "learning_rate": 2e-4}
        if health:
            record |= {"disc_real_accuracy": 0.8, "disc_fake_accuracy": 0.7, "gen_grad_norm": 2.0}
        records.append(record)
        if step % 100 == 0:
            error = 0.25 + abs(step - 200) / 1000
            records.append({"step": step, "val_l1": error, "val_psnr": 20 - 20 * error, "val_ssim": 1 - error})
    return records


def colors(png):
    """The shades in an image."""
    return {color for _, color in Image.open(io.BytesIO(png)).convert("RGB").getcolors(maxcolors=2**24)}


def shade(color):
    return tuple(bytes.fromhex(color[1:]))


def drawn(monkeypatch, runs):
    """The titles of the panels that are drawn, and all text."""
    from matplotlib.text import Text

    texts = []
    original = Text.draw

    def draw(self, renderer):
        if self.get_text() and self.get_visible():
            texts.append(self.get_text())
        original(self, renderer)

    monkeypatch.setattr(Text, "draw", draw)
    curves_png(runs)
    return texts


def test_the_summary_names_the_best_step_and_the_trivial_answer(make_history, monkeypatch):
    texts = drawn(monkeypatch, [make_history(gan_records())])
    assert "300 steps; best at step 200 (circles): L1 0.25; better than median color (L1 0.3)" in texts
    assert texts.count("median color") == 2  # beside L1 and beside PSNR
    assert "black" not in texts
    assert "0.25" in texts and "15" in texts and "0.75" in texts  # values at the best step
    worse = {"copy of the input": {"l1": 0.25, "psnr": 40.0}}
    texts = drawn(monkeypatch, [make_history(gan_records(trivial=worse))])
    assert "300 steps; best at step 200 (circles): L1 0.25; no better than copy of the input (L1 0.25)" in texts


def test_the_best_evaluation_is_that_of_the_best_checkpoint(make_history):
    """It has not the least L1 if the images of that one are blank."""
    records = gan_records()
    next(record for record in records if record.get("val_l1") == 0.25)["val_contrast"] = 0.05
    assert History(make_history(records)).best()["step"] == 100


def test_for_classes_the_best_has_the_highest_mean_iou(make_history):
    shares = {100: 0.2, 200: 0.4, 300: 0.3}
    records = [{"step": step, "val_l1": share, "val_mean_iou": share} for step, share in shares.items()]
    assert History(make_history(records, **CLASSES)).best()["step"] == 200


def test_panels_are_those_that_have_values(make_history, monkeypatch):
    titles = {"L1 (lower is better)", "PSNR in dB (higher is better)", "discriminator and generator losses"}
    health = {"discriminator's accuracy", "gradient norms"}
    speed = {"learning rate", "images per second", "time spent waiting for data"}
    classes = {"cross-entropy (lower is better)", "classes (higher is better)"}
    texts = drawn(monkeypatch, [make_history(gan_records())])
    assert titles | health | speed <= {*texts} and not classes & {*texts}
    assert "ln 2: cannot tell" in texts
    texts = drawn(monkeypatch, [make_history(gan_records(health=False), adversarial_loss="lsgan")])
    assert titles | speed <= {*texts} and not health & {*texts}
    assert "1/4: cannot tell" in texts and "ln 2: cannot tell" not in texts


def test_a_run_for_classes_without_discriminator_at_its_first_evaluation(make_history, monkeypatch):
    records = [{"step": 0, "train_pairs": 4, "trivial": {"most frequent class": {"mean_iou": 0.1}}}]
    records += [{"step": 2, "gen_cross_entropy_loss": 2.0, "images_per_second": 3.0, "data_wait": 0.0}]
    records += [{"step": 2, "val_l1": 0.1, "val_mean_iou": 0.2, "val_pixel_accuracy": 0.6}]
    texts = drawn(monkeypatch, [make_history(records, gan_weight=0.0, **CLASSES)])
    assert "2 steps; best at step 2 (circles): mean IoU 0.2; better than most frequent class (mean IoU 0.1)" in texts
    assert "cross-entropy (lower is better)" in texts and "discriminator and generator losses" not in texts


def test_the_lines_have_the_colors_of_okabe_and_ito(make_history):
    one, other = make_history(gan_records()), make_history(gan_records(), name="other")
    assert {shade(color) for color in (BLUE, VERMILLION, GREEN)} <= colors(curves_png([one]))
    both = colors(curves_png([one, other]))
    assert {shade(BLUE), shade(VERMILLION)} <= both and shade(GREEN) not in both  # a color for each run


def test_several_runs_are_named(make_history, monkeypatch):
    runs = [make_history(gan_records(), name=name) for name in ("_first", "a$b$c")]
    texts = drawn(monkeypatch, runs)
    assert " _first, 300 steps" in texts and " a$b$c, 300 steps" in texts


def test_values_that_are_not_finite_are_left_out(make_history):
    records = gan_records()
    for record in records[1:6]:
        record |= {"gen_gan_loss": math.nan, "gen_l1_loss": math.inf, "gen_grad_norm": 0.0}
    records[0]["trivial"] = {"median color": {"l1": math.nan, "psnr": math.inf}}
    run = make_history([*records, {"step": 310, "val_l1": math.nan, "val_psnr": math.inf}])
    assert History(run).best()["step"] == 200
    steps, values = History(run).values("gen_gan_loss")
    assert np.isfinite(values).all() and steps[0] > 40
    assert curves_png([run])
    assert curves_png([make_history([{"step": 1, "gen_l1_loss": math.nan}], name="broken")])


def test_names_that_matplotlib_would_interpret(make_history):
    runs = [make_history(gan_records(), name=name) for name in ("$x_{", "_hidden", "建物")]
    assert curves_png(runs) and curves_png(runs[:1]) and curves_png(runs[2:])


def test_the_file_is_complete_or_absent(make_history, monkeypatch):
    run = make_history(gan_records(evaluations=1))
    assert write_curves(run) == run.directory / "curves.png"
    before = (run.directory / "curves.png").read_bytes()
    assert Image.open(io.BytesIO(before)).width == 1200

    def fail(runs):
        raise OSError("disk full")

    monkeypatch.setattr(curves, "curves_png", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_runs([run], run.directory / "curves.png")
    assert (run.directory / "curves.png").read_bytes() == before
    assert not list(run.directory.glob("*.partial"))


def test_a_run_without_records_is_refused(make_history):
    with pytest.raises(InputError, match=r"metrics.jsonl: no records yet; train for 2 steps \(--log_every\) first"):
        curves_png([make_history([{"step": 0, "train_pairs": 4}])])


def test_thousands_of_records_cost_little(make_history):
    run = make_history(gan_records(evaluations=500))
    curves_png([run])  # imports matplotlib
    started = time.process_time()
    curves_png([run])
    assert time.process_time() - started < 1.5  # 0.5 s on an idle machine


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_smoothing_keeps_a_level_and_removes_noise(count):
    np.testing.assert_allclose(_smooth(np.full(count, 3.0)), 3.0)
    noise = np.random.default_rng(0).normal(size=count)
    smooth = _smooth(noise)
    assert smooth.shape == noise.shape
    assert count < 1000 or smooth.std() < 0.25 * noise.std()


def test_smoothing_does_not_shift_a_step():
    smooth = _smooth(np.repeat([0.0, 1.0], 150))
    np.testing.assert_allclose(smooth[148:152].mean(), 0.5, atol=0.05)


@pytest.mark.parametrize(("loss", "label"), [("hinge", "1: cannot tell"), ("wgan-gp", None)])
def test_the_undecided_discriminator_of_other_losses(make_history, monkeypatch, loss, label):
    texts = drawn(monkeypatch, [make_history(gan_records(evaluations=1), adversarial_loss=loss)])
    assert [text for text in texts if "cannot tell" in text] == ([label] if label else [])
