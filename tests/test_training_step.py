"""The training step, against the paper's mathematics written out plainly."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import REPOSITORY, change, make_sides, random_image

from tf_pix2pix import images, losses
from tf_pix2pix.codecs import CODECS
from tf_pix2pix.inference import make_translate
from tf_pix2pix.losses import ADVERSARIAL_LOSSES, gradient_penalty
from tf_pix2pix.palettes import Palette
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training.optimizers import LinearDecay
from tf_pix2pix.training.step import ACCURACIES, LOSSES, NORMS, build_state, make_train_step

# The losses of one step of the tiny networks on `batch()`. When the recipe changes on purpose, put the new numbers here
# and say why in the commit; otherwise a difference is a defect.
GOLDEN = {"gen_gan_loss": 0.7673, "gen_l1_loss": 0.5004, "disc_real_loss": 0.7714, "disc_fake_loss": 0.6624}
COLORS = ((0, 0, 170), (1, 0, 170), (9, 200, 20), (170, 255, 85), (255, 85, 0))


def build(total_steps=10, sides=None, **fields):
    """The state of a new run, and its training step."""
    run = Run(Path("not written"), change(**fields), sides or make_sides())
    state = build_state(run, total_steps)
    return state, make_train_step(state, run.config, run.codec)


def batch(n=2, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(tf.constant(rng.uniform(-1, 1, (n, 32, 32, 3)), tf.float32) for _ in range(2))


def weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def assert_close_weights(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def test_golden_losses():
    _, train_step = build()
    found = train_step(*batch())
    assert {name: round(float(found[name]), 4) for name in LOSSES} == GOLDEN


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_the_step_is_the_papers(name, monkeypatch):
    """First the discriminator, then the generator against the updated one.

    The plain version runs the operations that GPUs get, one for each layer and image, and the discriminator twice.
    """
    fields = dict(adversarial_loss=name, dropout=0.0, gan_weight=0.7, l1_weight=30.0)
    loss = ADVERSARIAL_LOSSES[name]
    # Plain gradient descent: Adam's first step, the gradient's sign, would turn rounding into steps of full size.
    fast, plain = (
        dataclasses.replace(
            build(**fields)[0],
            generator_optimizer=keras.optimizers.SGD(0.01),
            discriminator_optimizer=keras.optimizers.SGD(0.5),
        )
        for _ in range(2)
    )
    untrained = weights(plain.generator), weights(plain.discriminator)
    input_image, target_image = batch()
    config = change(**fields)
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
    found = make_train_step(fast, config)(input_image, target_image)
    expected = dict(zip(LOSSES, (gan, l1, real, fake), strict=True))
    # float32 rounding: the graph adds in another order
    np.testing.assert_allclose([found[k] for k in LOSSES], [expected[k] for k in LOSSES], rtol=1e-4, atol=1e-5)
    for before, one, other in zip(
        untrained, (fast.generator, fast.discriminator), (generator, discriminator), strict=True
    ):
        moved = max(np.abs(a - b).max() for a, b in zip(before, weights(one), strict=True))
        assert moved > 1e-3
        assert_close_weights(weights(one), weights(other), rtol=0, atol=1e-3 * moved)


@pytest.mark.parametrize(
    ("name", "threshold", "precision", "xla"),
    [
        ("vanilla", 0.0, "float32", False),
        ("lsgan", 0.5, "float32", True),
        ("hinge", 0.0, "mixed_float16", False),
        ("wgan-gp", None, "float32", False),
    ],
)
def test_the_step_measures_accuracies_and_at_logged_steps_gradient_norms(name, threshold, precision, xla):
    """Gradient descent moves the weights by their gradients times the learning rate."""
    fields = dict(adversarial_loss=name, dropout=0.0, depth=2, log_every=3, precision=precision, xla=xla)
    state, _ = build(**fields)
    sgd = {kind: keras.optimizers.SGD(0.01) for kind in ("generator_optimizer", "discriminator_optimizer")}
    if precision == "mixed_float16":
        sgd = {kind: keras.optimizers.LossScaleOptimizer(one, initial_scale=64.0) for kind, one in sgd.items()}
    state = dataclasses.replace(state, **sgd)
    train_step = make_train_step(state, change(**fields))
    input_image, target_image = batch()
    for step in (1, 2, 3):
        before = weights(state.generator), weights(state.discriminator)
        fake = state.generator(input_image, training=True)
        logits = [state.discriminator([input_image, image], training=True) for image in (target_image, fake)]
        found = train_step(input_image, target_image)
        if threshold is not None:
            right = np.mean(logits[0] > threshold), np.mean(logits[1] <= threshold)
            np.testing.assert_allclose([found[k] for k in ACCURACIES], right, atol=0.51 / np.size(logits[0]))
        assert (threshold is None) == (ACCURACIES[0] not in found)
        for key, old, network in zip(NORMS, before, (state.generator, state.discriminator), strict=True):
            moved = 100 * np.sqrt(sum(np.sum(np.square(a - b)) for a, b in zip(old, weights(network), strict=True)))
            assert float(found[key]) == (pytest.approx(moved, rel=1e-3) if step == 3 else -1.0)
            assert moved > 0.01


def test_dropout_depends_on_seed_and_step_alone():
    """Every layer has a stream of its own, and none has the input pipeline's, (seed, example number)."""
    state, _ = build()
    frozen = {name: keras.optimizers.SGD(0.0) for name in ("generator_optimizer", "discriminator_optimizer")}
    state = dataclasses.replace(state, **frozen)
    steps = {seed: make_train_step(state, change(seed=seed)) for seed in (5, 6)}

    def loss_of(step, seed):
        state.step.assign(step)
        return float(steps[seed](*batch())["gen_l1_loss"])

    assert loss_of(3, 5) == loss_of(3, 5)
    assert len({loss_of(3, 5), loss_of(4, 5), loss_of(3, 6)}) == 3
    dropouts = [layer for layer in state.generator.layers if isinstance(layer, keras.layers.Dropout)]
    streams = {tuple(layer.seed_generator.state.numpy()) for layer in dropouts}
    assert len(streams) == len(dropouts) == 3
    assert 6 not in {first for first, _ in streams}


def test_mixed_precision_learns_like_float32():
    after, untrained = {}, None
    for precision in ("float32", "mixed_float16", "mixed_bfloat16"):
        state, train_step = build(precision=precision, dropout=0.0, learning_rate=4e-3, depth=3)
        measured = [float(train_step(*batch())["gen_l1_loss"]) for _ in range(10)]
        untrained, after[precision] = untrained or measured[0], measured[-1]
        assert {variable.dtype for variable in state.generator.trainable_variables} == {"float32"}
    assert after["float32"] < untrained - 0.015
    for loss in after.values():
        assert abs(loss - after["float32"]) < 0.2 * (untrained - after["float32"])


def test_loss_scaling_skips_an_overflowing_step():
    state, train_step = build(precision="mixed_float16", depth=2)
    before, scale = weights(state.generator), float(state.generator_optimizer.dynamic_scale)
    input_image, target_image = batch()
    train_step(input_image, target_image * np.inf)
    assert_close_weights(before, weights(state.generator), rtol=0)
    assert float(state.generator_optimizer.dynamic_scale) < scale


def test_without_an_adversary_the_generator_learns_the_same():
    states = {}
    for gan_weight in (0.0, 1e-30):  # too small to change a float32 sum
        states[gan_weight], train_step = build(gan_weight=gan_weight)
        untrained = weights(states[gan_weight].discriminator)
        found = train_step(*batch())
        assert [*found] == (["gen_l1_loss", "gen_grad_norm"] if gan_weight == 0 else [*LOSSES, *ACCURACIES, *NORMS])
        assert float(found["gen_l1_loss"]) == pytest.approx(GOLDEN["gen_l1_loss"], abs=1e-4)
        changed = not all(map(np.array_equal, untrained, weights(states[gan_weight].discriminator)))
        assert changed == (gan_weight > 0)
    alone, beside = (weights(state.generator) for state in states.values())
    assert_close_weights(alone, beside, rtol=1e-3, atol=1e-5)


def test_xla_computes_the_same():
    found = [build(xla=xla, dropout=0.0, depth=2)[1](*batch()) for xla in (False, True)]
    # float32 rounding: XLA fuses operations
    np.testing.assert_allclose(*([each[name] for name in LOSSES] for each in found), rtol=1e-4)


def test_the_moving_average():
    state, train_step = build(ema_decay=0.3, depth=2)
    assert state.sampled is state.ema_generator
    expected = weights(state.generator)
    assert_close_weights(weights(state.ema_generator), expected, rtol=0)
    for seed in range(3):
        train_step(*batch(seed=seed))
        decay = [1 / 4, 0.3, 0.3][seed]  # 2 / 5 and 3 / 6 would be larger
        values = zip(expected, weights(state.generator), strict=True)
        expected = [decay * mean + (1 - decay) * value for mean, value in values]
    assert_close_weights(weights(state.ema_generator), expected, rtol=1e-5, atol=1e-7)


def test_linear_decay():
    schedule = LinearDecay.from_config(LinearDecay(0.2, 100).get_config())
    rates = [float(schedule(step)) for step in (0, 49, 50, 75, 100)]
    np.testing.assert_allclose(rates, [0.2, 0.2, 0.2, 0.1, 0.0], atol=1e-7)


def test_the_schedule_is_used():
    state, train_step = build(total_steps=2, schedule="linear", depth=2)
    moved = []
    for _ in range(3):  # the linear rate is 0 from the last planned step on
        before = weights(state.generator)
        train_step(*batch())
        moved.append(not all(map(np.array_equal, before, weights(state.generator))))
    assert moved == [True, True, False]


@pytest.mark.parametrize(("generator", "norm"), [("unet", "batch"), ("unet", "none"), ("resnet", "instance")])
def test_every_network_and_norm_trains(generator, norm):
    state, train_step = build(generator=generator, norm=norm, learning_rate=4e-3, depth=2)
    input_image, _ = batch()
    measured = [float(train_step(input_image, 0.2 * input_image + 0.7)["gen_l1_loss"]) for _ in range(20)]
    assert measured[-1] < measured[0] - 0.05
    translate = make_translate(state.generator)
    np.testing.assert_array_equal(translate(input_image), translate(input_image))


def test_two_replicas_compute_the_same_as_one():
    """In a process of its own: logical devices have to exist before TensorFlow starts."""
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.run import Run
from tf_pix2pix.sides import Side, Sides
from tf_pix2pix.training.step import build_state, make_train_step
rng = np.random.default_rng(0)
data = tf.data.Dataset.from_tensor_slices(tuple(rng.uniform(-1, 1, (8, 32, 32, 3)).astype("float32") for _ in range(2)))
one, two = tf.distribute.OneDeviceStrategy("CPU:0"), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for strategy, dropout in ((one, 0.0), (two, 0.0), (two, 0.5)):
    config = TrainConfig(crop_size=(32, 32), filters=2, depth=2, batch_size=4, dropout=dropout, ema_decay=0.5)
    with strategy.scope():
        state = build_state(Run(Path("not written"), config, Sides(Side(3), Side(3))), 10)
        step = make_train_step(state, config)
        for batch in strategy.experimental_distribute_dataset(data.batch(4)):
            losses = step(*batch)
    print(*(float(value) for name, value in losses.items() if name.endswith("_loss")))
    assert losses["gen_grad_norm"] == -strategy.num_replicas_in_sync and losses["disc_fake_accuracy"] <= 1.0
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    one, two, with_dropout = (np.array(line.split(), float) for line in result.stdout.splitlines())
    np.testing.assert_allclose(two, one, rtol=1e-3)  # rounding, over two steps
    assert np.isfinite(with_dropout).all()  # other masks than one replica's, but it runs


def image_batch(side, seed=0):
    """Two images of a side, float32 in [-1, 1]."""
    if side.palette:
        image = side.palette.array[np.random.default_rng(seed).integers(0, len(side.palette.colors), (2, 32, 32))]
    else:
        image = random_image(seed, 64, 32, side.channels).reshape(2, 32, 32, -1)
    return images.to_float(image)


def first_step(codec_fields, sides, *masks):
    """The losses of the first step on images of the sides, the generator's output before it, and the batch."""
    state, train_step = build(sides=sides, dropout=0.0, **codec_fields)
    input_image, target_image = image_batch(sides.input), image_batch(sides.target, seed=1)
    codec = CODECS[change(**codec_fields).codec](sides)
    gen_output = state.generator(codec.encode_input(input_image), training=True).numpy()
    return train_step(input_image, target_image, *masks), gen_output, input_image, target_image, codec


def test_masks_weight_the_pixels_of_the_l1_loss():
    mask = tf.constant(np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 1)).astype(np.float32))
    found, gen_output, _, target_image, _ = first_step({}, make_sides(), mask)
    expected = np.mean(losses.l1(gen_output, target_image, mask))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-4)
    assert abs(expected - np.mean(np.abs(gen_output - target_image))) > 1e-4


def test_classes_have_a_cross_entropy():
    """The networks see 4 channels and return 5 logits; the discriminator sees one-hot targets and probabilities."""
    sides = Sides(Side(3, palette=Palette(COLORS[:4])), Side(3, palette=Palette(COLORS)))
    fields = dict(input_encoding="onehot", target_encoding="classes")
    found, logits, _, target_image, _ = first_step(fields, sides)
    assert logits.shape == (2, 32, 32, 5)
    colors = images.to_float(sides.target.palette.array).numpy()
    is_class = np.all(target_image.numpy()[..., np.newaxis, :] == colors, axis=-1)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert float(found["gen_cross_entropy_loss"]) == pytest.approx(-np.mean(log_probabilities[is_class]), rel=1e-4)
    assert [*found][:4] == ["gen_gan_loss", "gen_cross_entropy_loss", "disc_real_loss", "disc_fake_loss"]


def test_lab_compares_a_and_b_and_residual_the_sum_with_the_target():
    found, chroma, input_image, target_image, codec = first_step(dict(color_space="lab"), make_sides(1, 3))
    assert chroma.shape == (2, 32, 32, 2)
    expected = np.mean(np.abs(chroma - codec.encode_target(target_image, input_image)))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-3)
    found, residual, input_image, target_image, _ = first_step(dict(residual=True), make_sides())
    expected = np.mean(np.abs(input_image + residual - target_image))
    assert float(found["gen_l1_loss"]) == pytest.approx(expected, rel=1e-4)
