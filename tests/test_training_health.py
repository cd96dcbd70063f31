"""Health: every warning appears where it should and only there, and a run that is not finite saves its batches."""

import math
import re
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import REPOSITORY, TINY, change, make_run, make_sides, random_image

from tf_pix2pix import images
from tf_pix2pix.best import featureless
from tf_pix2pix.errors import RunError
from tf_pix2pix.input_pipeline import training_batches
from tf_pix2pix.run import Run
from tf_pix2pix.training import loop, train
from tf_pix2pix.training.health import CHECKS, FailedBatches, Health, warnings_of
from tf_pix2pix.training.health.validation import ValidationImages, innermost_activations
from tf_pix2pix.training.step import build_state, summarize

# The records of the real facades: 128x128 pixels, 32 filters, step 8000.
TRAINING = dict(
    gen_gan_loss=2.0,
    gen_l1_loss=0.31,
    disc_real_loss=0.47,
    disc_fake_loss=0.47,
    disc_real_accuracy=0.86,
    disc_fake_accuracy=0.84,
    gen_grad_norm=20.0,
    disc_grad_norm=4.0,
    images_per_second=16.0,
    data_wait=0.02,
)
EVALUATION = dict(
    val_l1=0.321,
    val_detail=1.1,
    val_contrast=0.87,
    val_variation=0.73,
    val_bottleneck=0.59,
    val_grid_energy=2.0,
    val_grid_energy_targets=0.2,
)


def history(*changes):
    """Four evaluations of a healthy run, each after five training records, with the values of each changed."""
    records = []
    for number in range(4):
        changed = changes[number] if number < len(changes) else {}
        training = {name: changed.get(name, value) for name, value in TRAINING.items()}
        records += [{"step": 50 * number + step, **training} for step in (10, 20, 30, 40, 50)]
        evaluation = {name: changed.get(name, value) for name, value in EVALUATION.items()}
        records += [{"step": 50 * number + 50, **evaluation}]
    return records


def last(**values):
    return history({}, {}, {}, values)


WON = dict(disc_real_accuracy=0.999, disc_fake_accuracy=0.995)
BEST, WORSE = dict(val_l1=0.28), dict(val_l1=0.30, gen_l1_loss=0.2)


@pytest.mark.parametrize(
    ("name", "sick", "healthy"),
    [
        ("featureless", last(val_contrast=0.06, val_grid_energy=15.0), last(val_contrast=0.3)),
        ("same_output", last(val_variation=0.01), last(val_variation=0.3)),
        ("dead_bottleneck", last(val_bottleneck=0.0), last(val_bottleneck=0.1)),
        ("discriminator_won", history({}, WON, WON, WON), history({}, {}, WON, WON)),
        ("divergence", last(gen_l1_loss=0.4), last(gen_l1_loss=0.35)),
        ("overfitting", history(BEST, WORSE, WORSE, WORSE), history(BEST, WORSE, dict(val_l1=0.279), WORSE)),
        ("grid", last(val_grid_energy=6.7), last(val_grid_energy=3.1)),
        ("data_wait", last(data_wait=0.3), last(data_wait=0.15)),
    ],
)
def test_every_check_warns_where_it_should_and_only_there(name, sick, healthy):
    assert [*warnings_of(sick, TINY)] == [name]
    assert warnings_of(healthy, TINY) == {}
    assert warnings_of(sick[:-2], TINY) == {}  # before the evaluation


def test_the_checks_leave_out_what_does_not_apply():
    assert warnings_of([], TINY) == {}
    assert warnings_of(last(gen_l1_loss=0.4), change(l1_weight=0.0)) == {}
    others = history(BEST, *[dict(val_l1=0.30, gen_l1_loss=0.28)] * 3)  # the training loss falls by a tenth, as usual
    assert warnings_of(others, TINY) == {}
    undefined = history(BEST, *[dict(val_l1=math.nan, gen_l1_loss=0.1)] * 4)
    assert warnings_of([{**one, "val_l1": math.nan} if "val_l1" in one else one for one in undefined], TINY) == {}
    alone = [{k: v for k, v in record.items() if "disc" not in k and "gan" not in k} for record in history()]
    assert warnings_of(alone, change(gan_weight=0.0)) == {}
    assert not featureless({"step": 3, "val_l1": 0.2})  # a record of an earlier release


def test_every_warning_has_a_section_in_the_manual():
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    sections = re.findall("^## (.*)$", text, re.MULTILINE)
    assert sections[:-1] == ["nan", *(name.replace("_", "-") for name in CHECKS)]
    for anchor in re.findall(r"\(#([a-z-]+)\)", text):
        assert anchor in sections


def smooth_images(count=6, size=64):
    small = np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)
    return tf.image.resize(small, (size, size), "bicubic").numpy()


def test_even_targets_and_tiny_images_leave_ratios_undefined():
    even = np.full((4, 32, 32, 3), -0.39607844, np.float32)
    assert not {"val_detail", "val_contrast", "val_variation"} & {*measure(random_images(32), even)}
    assert "val_contrast" not in measure(random_images(2), random_images(2))


def random_images(size):
    return np.random.default_rng(1).uniform(-1, 1, (4, size, size, 3)).astype(np.float32)


def measure(gen_output, target_image):
    """In batches of two and of one."""
    found = ValidationImages()
    for start, stop in ((0, 2), (2, 3), (3, None)):
        found.update(None, gen_output[start:stop], target_image[start:stop])
    return found.results()


def test_values_of_the_validation_images():
    targets = smooth_images()
    found = measure(0.5 * targets, targets)
    for name in ("detail", "contrast", "variation"):
        assert found[f"val_{name}"] == pytest.approx(0.5, rel=1e-5)
    assert found["val_grid_energy_targets"] < 3.0
    assert "val_bottleneck" not in found

    one = np.broadcast_to(targets[:1], targets.shape)
    assert measure(one, targets)["val_variation"] < 1e-3
    grid = 0.2 * np.array([[1, -1], [-1, 1]], np.float32)
    blank = np.broadcast_to(np.tile(grid, (32, 32))[None, :, :, None], targets.shape)
    found = measure(blank, targets)
    assert featureless(found) and found["val_detail"] > 0.5 and found["val_grid_energy"] > 20.0
    assert not featureless(measure(0.3 * targets, targets))
    single = ValidationImages()
    single.update(None, targets[:1], targets[:1])
    assert "val_variation" not in single.results() and single.results()["val_contrast"] == 1.0


def test_a_dead_bottleneck_is_seen(tmp_path):
    run = make_run(tmp_path / "run", depth=3)
    generator = run.build_generator()
    inputs = images.to_float(np.stack([random_image(seed, 32, 32) for seed in range(4)]))

    def responding():
        found = ValidationImages(innermost_activations(generator, run.codec))
        found.update(inputs, inputs, inputs)
        return found.results()["val_bottleneck"]

    assert responding() > 0.3
    innermost = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2D)][2]
    innermost.kernel.assign(tf.zeros_like(innermost.kernel))
    assert responding() == 0.0


def test_a_resumed_run_gets_the_warnings_of_an_uninterrupted_one(tmp_path):
    run = Run(tmp_path / "run", change(generator="resnet", depth=1), make_sides())
    run.write_settings()
    *earlier, evaluation = history(BEST, WORSE, WORSE, WORSE)
    for record in earlier:
        run.append_record(record)
    state = build_state(run, 10)
    resumed = Health(run, state)
    resumed.observe(None, *[smooth_images()] * 2)
    gained, (line, warning) = resumed.judge(evaluation)
    assert gained["health"] == ["overfitting"]
    assert gained["val_detail"] == pytest.approx(1.0)
    assert line == (
        "health: discriminator right on 86% of real and 84% of generated patches; gradient norm 20, 5 times the "
        "discriminator's; training L1 0.2, steady; detail 1.00 of the targets'; "
        f"grid {gained['val_grid_energy']:.1f} dB"
    )
    start = (
        "warning: validation has not improved since step 50 (L1 0.3 after 0.28) although the training loss has fallen "
    )
    assert warning.startswith(f"{start}by 35%")
    assert warning.endswith("; see docs/troubleshooting.md#overfitting")


def test_a_frozen_generator_and_a_slow_disk(tmp_path, monkeypatch, capsys):
    distributed = loop._distributed

    def slow(batches):
        for batch in distributed(batches):
            time.sleep(0.3)
            yield batch

    monkeypatch.setattr(loop, "_distributed", slow)
    config = change(depth=3, filters=2, learning_rate=0.0, log_every=1, eval_every=6, sample_every=6)
    train(config, tmp_path / "run")
    evaluation = [record for record in Run.open(tmp_path / "run").records() if "health" in record][-1]
    assert evaluation["health"] == ["featureless", "data_wait"]
    out = re.sub(r"\n    ", " ", capsys.readouterr().out)  # continued lines
    assert "  health: discriminator right on " in out
    assert re.search(r"warning: training waits for data \d\d% of the time.*--cache_gb.*#data-wait\n", out)
    assert re.search(r"warning: the generated images are blank.*#featureless\n", out)


def test_a_planted_nan_ends_the_run_and_its_batches_are_saved(tmp_path, monkeypatch):
    def planted(*args, start_step, **kwargs):
        def plant(number, batch):
            return batch[0], tf.where(number == 4, np.nan, batch[1])

        return prepare(*args, start_step=start_step, **kwargs).enumerate(start_step).map(lambda n, *b: plant(n, b[0]))

    plain = {}
    prepare = training_batches

    def recording(pairs, *args, **kwargs):
        plain["names"] = pairs.names
        plain["batches"] = [[part.numpy() for part in batch] for batch in prepare(pairs, *args, **kwargs)]
        return planted(pairs, *args, **kwargs)

    monkeypatch.setattr(loop, "training_batches", recording)
    run_dir = tmp_path / "run"
    message = (
        r"a loss is not finite at step 5 \(.*nan.*\); the checkpoint of step 3 is kept, but resuming from it would end "
        "here again: train in another --output_dir with a lower --learning_rate. The images of this step and the one "
        f"before are in {re.escape(str(run_dir))}/failed_batch; see docs/troubleshooting.md#nan"
    )
    with pytest.raises(RunError, match=message):
        train(change(depth=3, filters=2, eval_every=99, sample_every=99), run_dir)
    failed = run_dir / "failed_batch"
    lines = (failed / "names.txt").read_text().splitlines()
    stems = ["step_00000004_00", "step_00000004_01", "step_00000005_00", "step_00000005_01"]
    assert [line.split(": ")[0] for line in lines] == stems
    bad = " (target with values that are not finite)"
    names = [line.split(": ")[1].removesuffix(bad) for line in lines]
    assert [line.endswith(bad) for line in lines] == [False, False, True, True]
    assert set(names) <= set(plain["names"]) and len(set(names)) == 4
    assert len(list(failed.iterdir())) == 9
    for number, stem in enumerate(stems[:2]):
        for part, name in enumerate(("input", "target")):
            saved = images.decode((failed / f"{stem}_{name}.png").read_bytes())
            np.testing.assert_array_equal(saved, images.from_float(plain["batches"][0][part][number]).numpy())


def test_gradients_and_weights_that_are_not_finite_end_the_run_too(tmp_path):
    run = Run(tmp_path / "run", change(depth=3, filters=2), make_sides())
    asked = []

    def batches(start_step, steps):
        asked.append((start_step, steps))
        return tf.data.Dataset.from_tensors((tf.zeros([2, 8, 8, 3]),) * 2).repeat(steps - start_step)

    failed = FailedBatches(run, ["a", "b"], batches)
    fine = {"gen_l1_loss": tf.constant(0.3), "gen_grad_norm": tf.constant(-1.0)}
    failed.check(4, [fine, {**fine, "gen_grad_norm": tf.constant(7.0)}])
    bad = {**fine, "gen_grad_norm": tf.constant(np.inf)}
    with pytest.raises(RunError, match="^a gradient is not finite at step 3 .gen_l1_loss 0.3, gen_grad_norm inf.; no "):
        failed.check(4, [fine, bad, fine])
    half = Run(tmp_path / "run", change(precision="mixed_float16"), make_sides())
    FailedBatches(half, ["a"], batches).check(4, [bad])  # its optimizer skips such a step
    assert summarize([fine, {**fine, "gen_grad_norm": tf.constant(7.0)}, fine])["gen_grad_norm"] == 7.0
    assert "gen_grad_norm" not in summarize([fine, bad])

    state = build_state(run, 10)
    failed.check_weights(1, state)
    weight = state.discriminator.trainable_variables[3]
    weight.assign(tf.fill(weight.shape, np.nan))
    with pytest.raises(RunError, match="^a weight is not finite at step 1; no checkpoint"):
        failed.check_weights(1, state)
    assert asked == [(1, 3), (0, 1)]
