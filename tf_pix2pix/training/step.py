"""The training step (paper, section 3 and appendix 6.2), and the state that it changes."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tf_pix2pix.codecs import IMAGES, Codec
from tf_pix2pix.config import TrainConfig, format_value
from tf_pix2pix.cpu.adam import make_adam
from tf_pix2pix.errors import InputError
from tf_pix2pix.losses import ADVERSARIAL_LOSSES, TARGET_LOSSES, gradient_penalty
from tf_pix2pix.networks import patchgan_discriminator
from tf_pix2pix.run import Run
from tf_pix2pix.training.optimizers import LinearDecay

LOSSES = ("gen_gan_loss", "gen_l1_loss", "disc_real_loss", "disc_fake_loss")  # for classes gen_cross_entropy_loss
ACCURACIES = ("disc_real_accuracy", "disc_fake_accuracy")  # shares of patches that the discriminator gets right
NORMS = ("gen_grad_norm", "disc_grad_norm")  # of all gradients of a network; negative at steps that are not measured


@dataclass(frozen=True)
class TrainState:
    """Everything that a step changes and a checkpoint holds."""

    step: tf.Variable  # int64, steps done
    generator: keras.Model
    discriminator: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    ema_generator: keras.Model | None  # has the moving average of the generator's weights

    @property
    def sampled(self) -> keras.Model:
        """The generator that sample grids and evaluations use."""
        return self.ema_generator or self.generator

    def checkpoint(self) -> tf.train.Checkpoint:
        objects = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return tf.train.Checkpoint(**{name: value for name, value in objects.items() if value is not None})

    def best_checkpoint(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(**{"ema_generator" if self.ema_generator else "generator": self.sampled})


def build_state(run: Run, total_steps: int) -> TrainState:
    """Networks and optimizers at step 0; call it in the strategy's scope. total_steps: the end of the linear schedule.

    Raises:
      InputError: crop_size does not fit the networks.
    """
    config = run.config

    def optimizer(network):
        rate = config.learning_rate if config.schedule == "constant" else LinearDecay(config.learning_rate, total_steps)
        adam = make_adam(rate, beta_1=config.beta_1, beta_2=config.beta_2, epsilon=1e-8)
        if config.precision == "mixed_float16":
            adam = keras.optimizers.LossScaleOptimizer(adam)
        adam.build(network.trainable_variables)
        return adam

    generator, discriminator = run.build_generator(config.precision), _build_discriminator(run)
    ema_generator = run.build_generator(config.precision) if config.ema_decay else None  # same seed, same weights
    return TrainState(
        step=tf.Variable(0, dtype=tf.int64, trainable=False, name="step"),
        generator=generator,
        discriminator=discriminator,
        generator_optimizer=optimizer(generator),
        discriminator_optimizer=optimizer(discriminator),
        ema_generator=ema_generator,
    )


def _build_discriminator(run: Run) -> keras.Model:
    config = run.config
    try:
        return patchgan_discriminator(
            run.codec.input_channels or run.sides.input.channels,
            run.codec.output_channels or run.sides.target.channels,
            size=config.crop_size,
            layers=config.discriminator_layers,
            filters=config.discriminator_filters or config.filters,
            conditional=config.conditional,
            norm=config.norm,
            initializer=config.initializer,
            seed=config.seed + 1,
            dtype=config.precision,
        )
    except ValueError as error:
        flags = f"--crop_size={format_value(config.crop_size)} --discriminator_layers={config.discriminator_layers}"
        raise InputError(f"{flags}: {error}; lower --discriminator_layers") from None


def make_train_step(
    state: TrainState, config: TrainConfig, codec: Codec = IMAGES
) -> Callable[..., dict[str, tf.Tensor]]:
    """The training step: (input_image, target_image), float32 [n, h, w, c] in [-1, 1] -> float32 scalars by name.

    The names are LOSSES, ACCURACIES (not for wgan-gp) and NORMS. Norms need a pass over all gradients and are measured
    only at multiples of log_every; elsewhere they are negative. With replicas they are the average of theirs.

    An optional third argument, float32 [n, h, w, 1] in [0, 1], weights the pixels in the L1 loss or cross-entropy.

    One discriminator step comes first, then one generator step against the updated discriminator. With gan_weight=0 the
    generator takes its step alone, with L1 or cross-entropy, and only their loss and gen_grad_norm are measured. Losses
    are averages over the global batch, for any number of replicas.
    """
    strategy = tf.distribute.get_strategy()
    adversarial = ADVERSARIAL_LOSSES[config.adversarial_loss]
    target_loss_name, target_loss = TARGET_LOSSES[config.target_encoding]
    loss_names = [target_loss_name if name == "gen_l1_loss" else name for name in LOSSES]
    generator, discriminator = state.generator, state.discriminator
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]

    def average(values):  # this replica's part of the mean over the global batch; the parts are summed at the end
        return tf.reduce_sum(values) / config.batch_size

    def patches(loss, logits):  # the loss of a PatchGAN is the mean over its patches
        return average(tf.reduce_mean(loss(logits), axis=[1, 2, 3]))

    def accuracies(disc_real_logits, disc_fake_logits):
        if adversarial.threshold is None:
            return {}
        real = patches(lambda logits: tf.cast(logits > adversarial.threshold, tf.float32), disc_real_logits)
        fake = patches(lambda logits: tf.cast(logits <= adversarial.threshold, tf.float32), disc_fake_logits)
        return dict(zip(ACCURACIES, (real, fake), strict=True))

    def discriminate_both(input_image, target_image, gen_output):
        pairs = [[input_image, target_image], [input_image, gen_output]]
        if config.norm == "batch":  # real and generated pairs each have their own statistics
            return [discriminator(pair, training=True) for pair in pairs]
        both = [tf.concat(sides, axis=0) for sides in zip(*pairs, strict=True)]  # one pass reads the kernels once
        return tf.split(discriminator(both, training=True), 2)

    def measure_norm(optimizer, gradients):
        scale = getattr(optimizer, "dynamic_scale", 1.0)  # of the loss, with mixed_float16
        is_logged = tf.equal((state.step + 1) % config.log_every, 0)
        return tf.cond(is_logged, lambda: tf.linalg.global_norm(gradients) / scale, lambda: -1.0)

    def update(optimizer, tape, loss, network):
        variables = network.trainable_variables
        gradients = tape.gradient(loss, variables)
        norm = measure_norm(optimizer, gradients)
        optimizer.apply(gradients, variables)
        return norm

    def step_without_adversary(input_image, target_image, weights):
        with tf.GradientTape() as tape:
            gen_l1_loss = average(target_loss(generator(input_image, training=True), target_image, weights))
            gen_loss = state.generator_optimizer.scale_loss(config.l1_weight * gen_l1_loss)
        gen_grad_norm = update(state.generator_optimizer, tape, gen_loss, generator)
        return {target_loss_name: gen_l1_loss, "gen_grad_norm": gen_grad_norm}

    def replica_step(mix, input_image, target_image, weights=None):
        target_image = codec.encode_target(target_image, input_image)
        input_image = codec.encode_input(input_image)
        if not config.gan_weight:
            return step_without_adversary(input_image, target_image, weights)
        with tf.GradientTape() as generator_tape:
            gen_output = generator(input_image, training=True)
            gen_target = codec.as_target(gen_output)  # for classes the probabilities, otherwise the output itself

            with generator_tape.stop_recording(), tf.GradientTape() as discriminator_tape:
                disc_real_logits, disc_fake_logits = discriminate_both(input_image, target_image, gen_target)
                disc_real_loss = patches(adversarial.real, disc_real_logits)
                disc_fake_loss = patches(adversarial.fake, disc_fake_logits)
                disc_loss = disc_real_loss + disc_fake_loss
                if adversarial.gradient_penalty:
                    critic = lambda image: discriminator([input_image, image], training=True)  # noqa: E731
                    penalty = average(gradient_penalty(critic, target_image, gen_target, mix))
                    disc_loss += config.gradient_penalty_weight * penalty
                disc_loss = 0.5 * disc_loss  # slows the discriminator down (section 3.3)
                disc_loss = state.discriminator_optimizer.scale_loss(disc_loss)
            with generator_tape.stop_recording():
                disc_grad_norm = update(state.discriminator_optimizer, discriminator_tape, disc_loss, discriminator)

            gen_gan_loss = patches(adversarial.generator, discriminator([input_image, gen_target], training=True))
            gen_l1_loss = average(target_loss(gen_output, target_image, weights))  # eq. 3
            gen_loss = config.gan_weight * gen_gan_loss + config.l1_weight * gen_l1_loss  # eq. 4
            gen_loss = state.generator_optimizer.scale_loss(gen_loss)
        gen_grad_norm = update(state.generator_optimizer, generator_tape, gen_loss, generator)
        losses = dict(zip(loss_names, (gen_gan_loss, gen_l1_loss, disc_real_loss, disc_fake_loss), strict=True))
        norms = dict(zip(NORMS, (gen_grad_norm, disc_grad_norm), strict=True))
        return losses | accuracies(disc_real_logits, disc_fake_logits) | norms

    @tf.function(jit_compile=config.xla, autograph=False)  # without autograph tracing is twice as fast
    def train_step(*batch):
        # Random numbers of step s depend on (seed, s) alone, so that a resumed run equals an uninterrupted one.
        # Streams folded into the seed: 0 for the mixing, 1, 2, ... for dropout; the input pipeline uses -1.
        seed = tf.stack([tf.constant(config.seed, tf.int32), tf.cast(state.step, tf.int32)])
        for number, layer in enumerate(dropouts, start=1):
            layer.seed_generator.state.assign(tf.random.fold_in(seed, number))
        mixes = [config.batch_size // strategy.num_replicas_in_sync, 1, 1, 1]
        mix = tf.random.stateless_uniform(mixes, tf.random.fold_in(seed, 0))
        measured = strategy.run(replica_step, args=(mix, *batch))
        if state.ema_generator:
            # At first it averages a third of the steps done: otherwise initial weights last for thousands of steps.
            done = tf.cast(state.step, tf.float32)
            decay = tf.minimum(config.ema_decay, (1.0 + done) / (4.0 + done))
            for mean, value in zip(state.ema_generator.variables, generator.variables, strict=True):
                if mean.dtype == "float32":  # skips the seeds of dropout
                    mean.assign(decay * mean + (1.0 - decay) * value)
        state.step.assign_add(1)
        return {name: strategy.reduce("SUM", value, axis=None) for name, value in measured.items()}

    return train_step


def summarize(measured: Sequence[dict[str, tf.Tensor]]) -> dict[str, float]:
    """Averages what several steps measured; of the norms it keeps the last finite one, if any step measured them."""
    means = {name: float(np.mean([values[name] for values in measured])) for name in measured[0] if name not in NORMS}
    norms = {
        name: float(values[name])
        for values in measured
        for name in NORMS
        if name in values and values[name] >= 0.0 and math.isfinite(values[name])
    }
    return means | norms
