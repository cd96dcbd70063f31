"""The same networks and training step in plain Keras, for speed comparisons.

The structure is that of TensorFlow's pix2pix tutorial: Keras' own layers (Conv2D, Conv2DTranspose, BatchNormalization,
Dropout) and Adam, two tapes in a tf.function, and two calls of the discriminator, from which both networks learn. The
code follows the paper's appendix 6 and shares nothing with tf_pix2pix.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

SLOPE = 0.2


def _initializer():
    return keras.initializers.RandomNormal(0.0, 0.02)  # one per layer: in Keras 3 a shared one draws equal weights


def _down(x, filters: int, norm: bool = True, use_bias: bool = False):
    x = keras.layers.Conv2D(
        filters, 4, strides=2, padding="same", use_bias=use_bias, kernel_initializer=_initializer()
    )(x)
    x = keras.layers.BatchNormalization()(x) if norm else x
    return keras.layers.LeakyReLU(SLOPE)(x)


def unet(size: int = 256, filters: int = 64, depth: int = 8) -> keras.Model:
    """The U-Net of appendix 6.1.1: [n, size, size, 3] -> [n, size, size, 3] in [-1, 1]."""
    widths = [filters * min(2**level, 8) for level in range(depth)]
    x = inputs = keras.Input((size, size, 3))
    skips = []
    for level, width in enumerate(widths):
        x = _down(x, width, norm=0 < level < depth - 1)
        skips.append(x)
    for number, level in enumerate(range(depth - 2, -1, -1)):
        x = keras.layers.Conv2DTranspose(
            widths[level], 4, strides=2, padding="same", use_bias=False, kernel_initializer=_initializer()
        )(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Dropout(0.5)(x) if number < 3 else x
        x = keras.layers.Concatenate()([keras.layers.ReLU()(x), skips[level]])
    outputs = keras.layers.Conv2DTranspose(
        3, 4, strides=2, padding="same", activation="tanh", kernel_initializer=_initializer()
    )(x)
    return keras.Model(inputs, outputs)


def patchgan(size: int = 256, filters: int = 64) -> keras.Model:
    """The 70x70 discriminator of appendix 6.1.2: two images [n, size, size, 3] -> logits [n, h', w', 1]."""
    inputs = [keras.Input((size, size, 3)), keras.Input((size, size, 3))]
    x = _down(keras.layers.Concatenate()(inputs), filters, norm=False, use_bias=True)
    x = _down(_down(x, 2 * filters), 4 * filters)
    x = keras.layers.ZeroPadding2D()(x)
    x = keras.layers.Conv2D(8 * filters, 4, use_bias=False, kernel_initializer=_initializer())(x)
    x = keras.layers.LeakyReLU(SLOPE)(keras.layers.BatchNormalization()(x))
    x = keras.layers.ZeroPadding2D()(x)
    return keras.Model(inputs, keras.layers.Conv2D(1, 4, kernel_initializer=_initializer())(x))


def make_train_step(generator: keras.Model, discriminator: keras.Model, l1_weight: float = 100.0) -> Callable:
    """(input_image, target_image), float32 [n, h, w, 3] in [-1, 1] -> gen_gan_loss, gen_l1_loss, disc_loss."""
    generator_adam = keras.optimizers.Adam(2e-4, beta_1=0.5)
    discriminator_adam = keras.optimizers.Adam(2e-4, beta_1=0.5)
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(input_image, target_image):
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            gen_output = generator(input_image, training=True)
            real_logits = discriminator([input_image, target_image], training=True)
            fake_logits = discriminator([input_image, gen_output], training=True)
            gen_gan_loss = cross_entropy(tf.ones_like(fake_logits), fake_logits)
            gen_l1_loss = tf.reduce_mean(tf.abs(target_image - gen_output))
            gen_loss = gen_gan_loss + l1_weight * gen_l1_loss
            real_loss = cross_entropy(tf.ones_like(real_logits), real_logits)
            disc_loss = real_loss + cross_entropy(tf.zeros_like(fake_logits), fake_logits)
        for network, adam, tape, loss in (
            (generator, generator_adam, generator_tape, gen_loss),
            (discriminator, discriminator_adam, discriminator_tape, disc_loss),
        ):
            variables = network.trainable_variables
            adam.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return gen_gan_loss, gen_l1_loss, disc_loss

    return step
