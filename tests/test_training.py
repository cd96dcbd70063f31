import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, TINY, random_picture, write_picture

from tf_pix2pix import checkpoints, files, images, runs
from tf_pix2pix.config import format_value
from tf_pix2pix.errors import InputError, RunError
from tf_pix2pix.inference import make_translate
from tf_pix2pix.losses import ADVERSARIAL_LOSSES, gradient_penalty
from tf_pix2pix.metrics import paired_metrics
from tf_pix2pix.networks import GENERATORS
from tf_pix2pix.training import train
from tf_pix2pix.training.optimizers import LinearDecay
from tf_pix2pix.training.step import LOSSES, build_state, make_train_step
from tf_pix2pix.translation import Translator

# One step of the tiny networks on `batch()`. When the recipe changes on purpose, put the new numbers here and say why
# in the commit; otherwise a difference is a defect.
GOLDEN = {"gen_gan_loss": 0.7673, "gen_l1_loss": 0.5004, "disc_real_loss": 0.7714, "disc_fake_loss": 0.6624}


def with_channels(config):
    files = dict(input_channels=3, output_channels=3, input_depth="uint8", output_depth="uint8")
    return dataclasses.replace(config, **files)


def batch(n=2, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(tf.constant(rng.uniform(-1, 1, (n, 32, 32, 3)), tf.float32) for _ in range(2))


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def assert_equal_weights(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **tolerance) if tolerance else np.testing.assert_array_equal(one, other)


def test_golden_losses(tiny_config):
    state = build_state(with_channels(tiny_config), 10)
    losses = make_train_step(state, tiny_config)(*batch())
    assert {name: round(float(value), 4) for name, value in losses.items()} == GOLDEN


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_the_step_is_the_papers(changed, name, monkeypatch):
    """Against the same mathematics written out plainly: discriminator first, then generator against the updated one.

    With the operations that GPUs get, one for each layer and picture, and two passes through the discriminator.
    """
    config = with_channels(changed(adversarial_loss=name, dropout=0.0, gan_weight=0.7, l1_weight=30.0))
    loss = ADVERSARIAL_LOSSES[name]
    # Plain gradient descent: Adam's first step, the gradient's sign, would turn rounding into steps of full size.
    fast, plain = (
        dataclasses.replace(
            build_state(config, 10),
            generator_optimizer=keras.optimizers.SGD(0.01),
            discriminator_optimizer=keras.optimizers.SGD(0.5),
        )
        for _ in range(2)
    )
    untrained = weights(plain.generator), weights(plain.discriminator)
    input_image, target_image = batch()
    mix = tf.random.stateless_uniform([2, 1, 1, 1], tf.random.fold_in([config.seed, 0], 0))
    generator, discriminator = plain.generator, plain.discriminator
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"])

    gen_output = generator(input_image, training=True)
    with tf.GradientTape() as tape:
        real = tf.reduce_mean(loss.real(discriminator([input_image, target_image], training=True)))
        fake = tf.reduce_mean(loss.fake(discriminator([input_image, gen_output], training=True)))
        total = real + fake
        if loss.gradient_penalty:
            critic = lambda image: discriminator([input_image, image], training=True)  # noqa: E731
            total += 10.0 * tf.reduce_mean(gradient_penalty(critic, target_image, gen_output, mix))
        total /= 2
    gradients = tape.gradient(total, discriminator.trainable_variables)
    plain.discriminator_optimizer.apply(gradients, discriminator.trainable_variables)
    with tf.GradientTape() as tape:
        gen_output = generator(input_image, training=True)
        gan = tf.reduce_mean(loss.generator(discriminator([input_image, gen_output], training=True)))
        l1 = tf.reduce_mean(tf.abs(gen_output - target_image))
        total = 0.7 * gan + 30.0 * l1
    gradients = tape.gradient(total, generator.trainable_variables)
    plain.generator_optimizer.apply(gradients, generator.trainable_variables)

    monkeypatch.undo()
    losses = make_train_step(fast, config)(input_image, target_image)
    expected = dict(zip(LOSSES, (gan, l1, real, fake), strict=True))
    # float32 rounding, in another order inside the graph than eagerly
    np.testing.assert_allclose([losses[k] for k in LOSSES], [expected[k] for k in LOSSES], rtol=1e-4, atol=1e-5)
    for before, one, other in zip(
        untrained, (fast.generator, fast.discriminator), (generator, discriminator), strict=True
    ):
        moved = max(np.abs(a - b).max() for a, b in zip(before, weights(one), strict=True))
        assert moved > 1e-3
        assert_equal_weights(weights(one), weights(other), rtol=0, atol=1e-3 * moved)


def test_dropout_depends_on_seed_and_step_alone(tiny_config):
    config = with_channels(tiny_config)

    def losses_of_step(step, seed):
        state = build_state(config, 10)
        state.step.assign(step)
        different = dataclasses.replace(config, seed=seed)
        return float(make_train_step(state, different)(*batch())["gen_l1_loss"])

    assert losses_of_step(3, 5) == losses_of_step(3, 5)
    assert len({losses_of_step(3, 5), losses_of_step(4, 5), losses_of_step(3, 6)}) == 3


def test_every_dropout_has_a_stream_of_its_own(tiny_config):
    """And none that of the input pipeline, (seed, example): at batch size 1, example and step are the same number."""
    config = with_channels(tiny_config)
    state = build_state(config, 10)
    make_train_step(state, config)(*batch())
    dropouts = [layer for layer in state.generator.layers if isinstance(layer, keras.layers.Dropout)]
    streams = {tuple(layer.seed_generator.state.numpy()) for layer in dropouts}
    assert len(streams) == len(dropouts) == 3
    assert config.seed not in {first for first, _ in streams}


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_learns_what_float32_learns(changed, precision):
    after = {}
    for each in ("float32", precision):
        config = with_channels(changed(precision=each, dropout=0.0, learning_rate=2e-3))
        state = build_state(config, 10)
        step = make_train_step(state, config)
        for _ in range(30):
            losses = step(*batch())
        after[each] = float(losses["gen_l1_loss"])
        assert {variable.dtype for variable in state.generator.trainable_variables} == {"float32"}
    untrained = float(make_train_step(build_state(config, 10), config)(*batch())["gen_l1_loss"])
    assert after["float32"] < untrained - 0.02
    assert abs(after[precision] - after["float32"]) < 0.2 * (untrained - after["float32"])


def test_loss_scaling_skips_what_overflows(changed):
    config = with_channels(changed(precision="mixed_float16"))
    state = build_state(config, 10)
    assert isinstance(state.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    before, scale = weights(state.generator), float(state.generator_optimizer.dynamic_scale)
    input_image, target_image = batch()
    make_train_step(state, config)(input_image, target_image * np.inf)
    assert_equal_weights(before, weights(state.generator))
    assert float(state.generator_optimizer.dynamic_scale) < scale


def test_without_an_adversary_the_generator_learns_the_same_alone(changed):
    states = {}
    for gan_weight in (0.0, 1e-30):  # nothing beside the L1 loss in float32
        config = with_channels(changed(gan_weight=gan_weight))
        states[gan_weight] = build_state(config, 10)
        losses = make_train_step(states[gan_weight], config)(*batch())
        assert [*losses] == (["gen_l1_loss"] if gan_weight == 0 else [*LOSSES])
        assert float(losses["gen_l1_loss"]) == pytest.approx(GOLDEN["gen_l1_loss"], abs=1e-4)
    alone, beside = states.values()
    assert_equal_weights(weights(alone.generator), weights(beside.generator), rtol=1e-3, atol=1e-5)
    assert_equal_weights(weights(alone.discriminator), weights(build_state(config, 10).discriminator))


def test_xla_computes_the_same(changed):
    results = []
    for xla in (False, True):
        config = with_channels(changed(xla=xla, dropout=0.0))
        results.append(make_train_step(build_state(config, 10), config)(*batch()))
    # float32 rounding: XLA fuses and so rounds elsewhere
    np.testing.assert_allclose(*([r[name] for name in LOSSES] for r in results), rtol=1e-4)


def test_the_moving_average_is_one(changed):
    config = with_channels(changed(ema_decay=0.3))
    state = build_state(config, 10)
    assert state.sampled is state.ema_generator
    assert_equal_weights(weights(state.ema_generator), weights(state.generator))
    expected = weights(state.generator)
    step = make_train_step(state, config)
    for seed in range(3):
        step(*batch(seed=seed))
        decay = [1 / 4, 0.3, 0.3][seed]  # 2 / 5 and 3 / 6 would be more
        pairs = zip(expected, weights(state.generator), strict=True)
        expected = [decay * mean + (1 - decay) * value for mean, value in pairs]
    assert_equal_weights(weights(state.ema_generator), expected, rtol=1e-5, atol=1e-7)


def test_linear_decay():
    rates = [float(LinearDecay(0.2, 100)(step)) for step in (0, 49, 50, 75, 100)]
    np.testing.assert_allclose(rates, [0.2, 0.2, 0.2, 0.1, 0.0], atol=1e-7)
    again = LinearDecay.from_config(LinearDecay(0.2, 100).get_config())
    assert float(again(75)) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_the_schedule_is_used(changed, schedule):
    config = with_channels(changed(schedule=schedule))
    state = build_state(config, 2)
    step = make_train_step(state, config)
    for _ in range(2):
        step(*batch())
    before = weights(state.generator)
    step(*batch())  # at and after the last of two planned steps the linear rate is 0
    assert all(map(np.array_equal, before, weights(state.generator))) == (schedule == "linear")


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_every_network_trains(changed, generator, norm):
    config = with_channels(changed(generator=generator, norm=norm, learning_rate=2e-3))
    state = build_state(config, 40)
    step = make_train_step(state, config)
    input_image, _ = batch()
    losses = [float(step(input_image, 0.2 * input_image + 0.7)["gen_l1_loss"]) for _ in range(40)]
    assert losses[-1] < losses[0] - 0.05
    translate = make_translate(state.generator)
    np.testing.assert_array_equal(translate(batch()[0]), translate(batch()[0]))


def test_a_pictures_result_does_not_depend_on_its_batch(tiny_config):
    state = build_state(with_channels(tiny_config), 10)
    translate = make_translate(state.generator)
    many = translate(batch(5)[0])
    for n in range(5):
        np.testing.assert_allclose(translate(batch(5)[0][n : n + 1])[0], many[n], atol=2e-6)  # rounding of sums


def test_two_replicas_compute_what_one_does():
    """In a process of its own: logical devices must be made before TensorFlow starts."""
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.training.step import build_state, make_train_step
rng = np.random.default_rng(0)
data = tf.data.Dataset.from_tensor_slices(tuple(rng.uniform(-1, 1, (8, 32, 32, 3)).astype("float32") for _ in range(2)))
for dropout in (0.0, 0.5):
    after = []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        config = TrainConfig(crop_size=(32, 32), filters=4, batch_size=4, dropout=dropout,
                             input_channels=3, output_channels=3, ema_decay=0.5)
        with strategy.scope():
            state = build_state(config, 10)
            step = make_train_step(state, config)
            losses = [step(*batch) for batch in strategy.experimental_distribute_dataset(data.batch(4).repeat(3))]
        after.append([[float(value) for value in each.values()] for each in losses])
    print(np.max(np.abs(np.array(after[0]) - np.array(after[1])) / np.array(after[0])))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    without_dropout, with_dropout = map(float, result.stdout.split())
    assert without_dropout < 1e-3  # rounding, through six steps
    assert with_dropout < 1.0  # other masks, but it runs


def saved_tensors(run_dir, step):
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints" / f"step-{step:08d}" / "checkpoint"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name}


def assert_same_run(one, other, step):
    a, b = saved_tensors(one, step), saved_tensors(other, step)
    assert a.keys() == b.keys()
    assert sum("optimizer" in name for name in a) > 100  # the slots are there
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    timing = ("images_per_second", "data_wait")
    records = [
        [{k: v for k, v in r.items() if k not in timing} for r in runs.read_metrics(run)] for run in (one, other)
    ]
    losses = [{r["step"]: r for r in rs if "val_l1" in r} for rs in records]
    assert losses[0][step] == losses[1][step]


@pytest.fixture(scope="module")
def never_stopped_once(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("run") / "never_stopped"
    train(TINY, run_dir)
    return run_dir


@pytest.fixture
def never_stopped(never_stopped_once, tmp_path):
    """A finished run of tiny_config, of which a test may do with what it likes."""
    return shutil.copytree(never_stopped_once, tmp_path / "never_stopped")


@pytest.mark.parametrize("stop", [1, 4])
def test_stopped_and_resumed_is_never_stopped(changed, tmp_path, never_stopped, stop):
    run_dir = tmp_path / "stopped"
    train(changed(steps=stop), run_dir)
    train(changed(), run_dir)
    assert_same_run(run_dir, never_stopped, 6)


@pytest.mark.parametrize(
    "fields", [dict(ema_decay=0.9, schedule="linear"), dict(norm="batch", precision="mixed_float16")]
)
def test_resuming_keeps_everything_else_too(changed, tmp_path, fields):
    for run in ("a", "b"):
        train(changed(**fields, checkpoint_every=2, keep_checkpoints=9), tmp_path / run)
    for later in ("step-00000004", "step-00000006"):
        shutil.rmtree(tmp_path / "b" / "checkpoints" / later)
    train(changed(**fields, checkpoint_every=2, keep_checkpoints=9), tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b", 6)


def test_a_task_stopped_and_resumed_is_never_stopped(changed, tmp_path):
    for number in range(8):
        write_picture(tmp_path / "photos" / f"{number}.png", random_picture(number, 40, 50))
    config = changed(task="inpaint", dataset=str(tmp_path / "photos"), resize_b="bicubic")
    train(config, tmp_path / "whole")
    for steps in (4, 6):
        train(dataclasses.replace(config, steps=steps), tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole", 6)


def test_a_run_of_a_task_keeps_what_it_made(changed, inpaint_run):
    config = runs.read_config(inpaint_run)
    assert (config.task, config.task_share, config.input_channels, config.output_channels) == ("inpaint", 0.2, 4, 3)
    for split in ("train", "held_out"):
        for made, photo in runs.read_examples(inpaint_run, split):
            known = made[:, :, 3] == 255
            assert 0 < (~known).mean() < 0.5
            np.testing.assert_array_equal(made[known][:, :3], photo[known])
    with pytest.raises(InputError, match="another config: task_share 0.2 -> 0.3; give the same"):
        train(changed(task="inpaint", task_share=0.3), inpaint_run)


def test_a_task_keeps_the_depth_of_its_photos(changed, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        photo = random_picture(number, 40, 50, 1) * np.uint16(200) + np.uint16(number)
        images.write(tmp_path / "photos" / f"{number}.png", photo)
    train(changed(task="super_resolution", dataset=str(tmp_path / "photos"), steps=1), tmp_path / "run")
    config = runs.read_config(tmp_path / "run")
    assert (config.input_depth, config.output_depth) == ("uint16", "uint16")
    ((made, photo), *_) = runs.read_examples(tmp_path / "run", "held_out")
    assert made.dtype == photo.dtype == np.uint16
    translator = Translator.from_run(tmp_path / "run")
    assert translator.translate(photo, task=True).dtype == np.uint16
    np.testing.assert_array_equal(translator.translate(photo, task=True), translator.translate(made))
    assert translator.translate(photo, enlarge=True).shape == (128, 128, 1)


def command(config, run_dir):
    flags = [f"--output_dir={run_dir}"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value != field.default:
            flags.append(f"--{field.name}={format_value(value)}")
    return [sys.executable, str(REPOSITORY / "run_train.py"), *flags]


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_inside_an_epoch_and_resumed_is_never_stopped(changed, tmp_path, number):
    config = changed(steps=400, checkpoint_every=7, eval_every=400, sample_every=400)
    run_dir, whole = tmp_path / "killed", tmp_path / "whole"
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command(config, run_dir), **pipes)
    wait_for(lambda: checkpoints.steps(run_dir / "checkpoints", "step"), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    stopped = checkpoints.steps(run_dir / "checkpoints", "step")[-1]
    assert 0 < stopped < 400
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, err) == (0, "")
        assert f"stopped at step {stopped} of 400, all is saved; the same command goes on" in out
    shorter = dataclasses.replace(config, steps=stopped + 3)  # resumed for some steps, inside the first epoch
    train(shorter, run_dir)
    train(shorter, whole)
    assert stopped + 3 < 400 / 2
    assert_same_run(run_dir, whole, stopped + 3)


def test_a_run_directory_has_what_it_should(never_stopped, tiny_config, capsys):
    assert runs.read_config(never_stopped) == with_channels(tiny_config)
    assert checkpoints.steps(never_stopped / "checkpoints", "step") == [3, 6]
    assert sorted(path.name for path in (never_stopped / "samples").iterdir()) == [
        f"step_0000000{step}.png" for step in (0, 3, 6)
    ]
    records = runs.read_metrics(never_stopped)
    assert [r["step"] for r in records if "val_l1" in r] == [3, 6]
    logged = [r for r in records if "gen_l1_loss" in r]
    assert [r["step"] for r in logged] == [2, 4, 6]
    assert all(set(LOSSES) | {"epoch", "images_per_second", "data_wait", "learning_rate"} <= r.keys() for r in logged)
    best = min((r for r in records if "val_l1" in r), key=lambda r: r["val_l1"])
    assert checkpoints.steps(never_stopped / "checkpoints", "best") == [best["step"]]


def test_the_best_checkpoint_restores_what_was_measured(never_stopped, tiny_config):
    from tf_pix2pix.datasets import load_pairs
    from tf_pix2pix.input_pipeline import held_out_batches, prepare

    val = load_pairs("synthetic_facades", size=tiny_config.jitter_size)["val"].spread(3)
    pairs = prepare(val, direction="BtoA", size=(32, 32), resize_b="nearest")
    measured = {r["step"]: r["val_l1"] for r in runs.read_metrics(never_stopped) if "val_l1" in r}
    (best,) = checkpoints.steps(never_stopped / "checkpoints", "best")
    for which, step in (("best", best), ("latest", 6), ("3", 3)):
        generator = runs.restore_generator(never_stopped, which)
        values = paired_metrics(make_translate(generator), held_out_batches(pairs, batch_size=1, crop_size=(32, 32)))
        assert values["l1"] == measured[step]
    with pytest.raises(InputError, match="has no checkpoint 4; it has 3, 6, latest, best"):
        runs.restore_generator(never_stopped, "4")


def test_the_moving_average_is_what_is_restored(changed, tmp_path):
    train(changed(ema_decay=0.9), tmp_path / "run")
    tensors = saved_tensors(tmp_path / "run", 6)
    generator = runs.restore_generator(tmp_path / "run", "latest")
    kernel = next(v for v in generator.trainable_variables if len(v.shape) == 4).numpy()
    same = [n for n, value in tensors.items() if value.shape == kernel.shape and np.array_equal(value, kernel)]
    assert same and all(name.startswith("ema_generator/") for name in same)


def test_raising_the_steps_extends_and_nothing_left_is_said(changed, never_stopped, capsys):
    train(changed(), never_stopped)
    assert (
        f"nothing left to do: {never_stopped} is at step 6 of 6; raise --epochs or --steps" in capsys.readouterr().out
    )
    train(changed(steps=8), never_stopped)
    assert "resuming at step 6 of 8" in capsys.readouterr().out
    assert checkpoints.steps(never_stopped / "checkpoints", "step") == [6, 8]


def test_without_a_terminal_progress_is_lines(changed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tf_pix2pix.training.loop.SECONDS_BETWEEN_LINES", 0)
    train(changed(), tmp_path / "run")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step 4 of 6: epoch 0.0, ")]
    assert len(lines) == 1
    assert re.search(
        r"images/s, \d+% waiting for data, gen_gan \d.*, gen_l1 \d.*, disc_real \d.*, disc_fake \d", lines[0]
    )


def test_epochs_count_pairs(changed, tmp_path, capsys, side_by_side_folder):
    train(changed(dataset=str(side_by_side_folder), steps=None, epochs=2, direction="AtoB"), tmp_path / "run")
    assert runs.read_metrics(tmp_path / "run")[-1]["step"] == 9  # 9 pairs, twice, by 2


def test_another_config_is_refused_and_nothing_touched(changed, never_stopped):
    before = {path: path.stat().st_mtime_ns for path in never_stopped.rglob("*")}
    with pytest.raises(InputError, match="another config: filters 4 -> 8, seed 5 -> 6; give the same"):
        train(changed(filters=8, seed=6), never_stopped)
    assert {path: path.stat().st_mtime_ns for path in never_stopped.rglob("*")} == before


@pytest.mark.parametrize("fields", [dict(), dict(checkpoint_every=1, log_every=9)])
def test_losses_that_are_no_longer_finite_end_the_run_and_are_not_saved(changed, tmp_path, fields):
    with pytest.raises(RunError, match="a loss is no longer finite at step [12] .* lower --learning_rate in another"):
        train(changed(learning_rate=1e30, **fields), tmp_path / "run")
    assert checkpoints.steps(tmp_path / "run" / "checkpoints", "step") in ([], [1])


def test_the_best_survives_a_kill_before_the_next_checkpoint(changed, tmp_path, monkeypatch):
    config = changed(steps=9, eval_every=1, checkpoint_every=4, learning_rate=2e-3)
    from tf_pix2pix.training import loop

    def killed(self, step, *args, **facts):
        if step == 7:
            raise KeyboardInterrupt
        return evaluate(self, step, *args, **facts)

    evaluate = loop._Shown.evaluate
    monkeypatch.setattr(loop._Shown, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert max(checkpoints.steps(tmp_path / "run" / "checkpoints", "best")) > 4
    runs.forget_after(tmp_path / "run", 4)
    measured = {r["step"]: r["val_l1"] for r in runs.read_metrics(tmp_path / "run") if "val_l1" in r}
    assert checkpoints.steps(tmp_path / "run" / "checkpoints", "best")[-1] == min(measured, key=measured.get)


def test_a_refused_resume_leaves_the_run_as_it_was(changed, tmp_path):
    for number in range(10):
        write_picture(tmp_path / "pairs" / f"{number}.png", random_picture(number, 40, 80, 1))
    config = changed(dataset=str(tmp_path / "pairs"), steps=1, direction="AtoB")
    train(dataclasses.replace(config, output_channels=3), tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(InputError, match="another config: output_channels 3 -> 1"):
        train(dataclasses.replace(config, steps=2), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").read_text() == before
    train(dataclasses.replace(config, steps=2, output_channels=3), tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_starts_anew(changed, tmp_path, monkeypatch):
    from tf_pix2pix.training import loop

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Window, "close", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        train(changed(), tmp_path / "run")
    train(changed(), tmp_path / "run")
    assert [r["step"] for r in runs.read_metrics(tmp_path / "run") if "val_l1" in r] == [3, 6]


def test_two_processes_do_not_train_in_one_directory(changed, never_stopped):
    with (
        files.locked(never_stopped, "trains in"),
        pytest.raises(InputError, match="another process trains in .*never_stopped"),
    ):
        train(changed(steps=8), never_stopped)


def test_what_makes_a_resumed_run_another_is_said(changed, tmp_path, capsys, side_by_side_folder):
    config = changed(dataset=str(side_by_side_folder), direction="AtoB", schedule="linear", steps=2)
    train(config, tmp_path / "run")
    write_picture(side_by_side_folder / "new.png", random_picture(0, 40, 80))
    train(dataclasses.replace(config, steps=4), tmp_path / "run")
    out = capsys.readouterr().out
    assert "no longer those that the run began with (train_pairs 9 -> 10); it goes on with these" in out
    assert "the linear schedule was to end at step 2 and now ends at 4: the rate rises again" in out


def test_speed_is_that_of_training_alone(changed, tmp_path, monkeypatch):
    from tf_pix2pix.training import loop

    evaluate = loop._Shown.evaluate
    monkeypatch.setattr(loop._Shown, "evaluate", lambda *a, **k: (time.sleep(3), evaluate(*a, **k)))
    train(changed(log_every=1, eval_every=2), tmp_path / "run")
    after = [r for r in runs.read_metrics(tmp_path / "run") if r["step"] in (3, 5) and "images_per_second" in r]
    assert all(2 / record["images_per_second"] < 3 for record in after)  # a step takes less than the sleep


def test_a_killed_runs_cut_line_is_forgotten(never_stopped):
    with open(never_stopped / "metrics.jsonl", "a") as file:
        file.write('{"step": 7, "gen')
    assert runs.read_metrics(never_stopped)[-1]["step"] == 6
    runs.forget_after(never_stopped, 3)
    assert [r["step"] for r in runs.read_metrics(never_stopped)] == [0, 2, 3]


def test_training_on_real_pairs_learns_in_a_few_steps(real_facades, changed, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    config = changed(dataset="facades", data_dir=str(real_facades), filters=8, eval_pairs=40, learning_rate=1e-3)
    for steps in (1, 100):
        train(dataclasses.replace(config, steps=steps, eval_every=100, sample_every=100), tmp_path / "run")
    first, trained = [r for r in runs.read_metrics(tmp_path / "run") if "val_l1" in r]
    assert trained["val_l1"] < 0.9 * first["val_l1"]
    assert trained["val_psnr"] > first["val_psnr"] + 0.5
