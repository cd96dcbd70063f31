"""The blocks that the networks are made of: normalisations, upsamplings and initial weights, each by name."""

import keras
import tensorflow as tf

from tf_pix2pix.convolutions import KERNEL, PADDINGS, convolve, convolve_interleaved, convolve_transposed, on_cpu

EPSILON = 1e-5  # of the normalisations, as in Torch, where the paper's models come from; Keras' default is 1e-3


class InstanceNormalization(keras.layers.Layer):
    """Normalises each channel of each picture over its own pixels, then scales and shifts it (arXiv 1607.08022, eq. 2).

    At batch size 1 it is the arithmetic of the paper's batch normalisation. 4-D all through, so that converted graphs
    stay within what mobile delegates take (GroupNormalization goes through 5-D). Statistics are computed in float32.

    Input and output: [n, h, w, c] of the layer's compute dtype.
    """

    def __init__(self, epsilon: float = EPSILON, gamma_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        options = dict(shape=(input_shape[-1],), autocast=False)  # float32 whatever the layer computes in
        self.gamma = self.add_weight(name="gamma", initializer=self.gamma_initializer, **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)

    def call(self, inputs, training=None):
        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if training and inputs.shape[0] and on_cpu(inputs):
            pictures = tf.split(inputs, inputs.shape[0])
            return tf.concat([_normalize_fused(x, scale, offset, self.epsilon) for x in pictures], axis=0)
        return tf.cast(_normalize(tf.cast(inputs, tf.float32), scale, offset, self.epsilon), inputs.dtype)

    def get_config(self):
        gamma = keras.initializers.serialize(self.gamma_initializer)
        return {**super().get_config(), "epsilon": self.epsilon, "gamma_initializer": gamma}


def _normalize(x, scale, offset, epsilon):
    mean, variance = tf.nn.moments(x, axes=[1, 2], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, offset, scale, epsilon)


def _normalize_fused(x, scale, offset, epsilon):
    """`_normalize` of one picture, [1, h, w, c], as the batch norm of it, which takes a CPU half the time.

    TensorFlow's gradient of that one's gradient is wrong, by a tenth in the gradient penalty; it is _normalize's here.
    """

    @tf.custom_gradient
    def function(x, scale, offset):
        options = dict(epsilon=epsilon, is_training=True)
        fused = tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=[], variance=[], **options)

        @tf.custom_gradient
        def gradient(upstream, x, scale):
            spaces = {f"reserve_space_{number}": getattr(fused, f"reserve_space_{number}") for number in (1, 2, 3)}
            found = tf.raw_ops.FusedBatchNormGradV3(y_backprop=upstream, x=x, scale=scale, **spaces, **options)

            def second(*upstreams):
                with tf.GradientTape() as outer:
                    outer.watch([upstream, x, scale])
                    with tf.GradientTape() as inner:
                        inner.watch([x, scale, offset])
                        y = _normalize(x, scale, offset, epsilon)
                    gradients = inner.gradient(y, [x, scale, offset], upstream)
                return outer.gradient(gradients, [upstream, x, scale], list(upstreams))

            return (found.x_backprop, found.scale_backprop, found.offset_backprop), second

        return fused.y, lambda upstream: gradient(upstream, x, scale)

    return function(x, scale, offset)


class Convolution2D(keras.layers.Conv2D):
    """keras.layers.Conv2D, with the 4x4 convolutions of the paper, and their gradients, as convolutions.py has them."""

    def call(self, inputs, training=None):
        if not _is_of_the_paper(self):
            return super().call(inputs)
        outputs = convolve(inputs, tf.convert_to_tensor(self.kernel), self.strides[0], fast_gradient=training)
        return self.activation(tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs)


class Convolution2DTranspose(keras.layers.Conv2DTranspose):
    """keras.layers.Conv2DTranspose, likewise at stride 2."""

    def call(self, inputs, training=None):
        if not (_is_of_the_paper(self) and self.strides[0] == 2):
            return super().call(inputs)
        outputs = convolve_transposed(
            inputs, tf.convert_to_tensor(self.kernel), self.strides[0], fast_gradient=training
        )
        return self.activation(tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs)


def _is_of_the_paper(layer):
    return layer.kernel_size == (KERNEL, KERNEL) and layer.padding == PADDINGS.get(layer.strides[0])


class InterleavedConvolution2D(keras.layers.Layer):
    """Convolution2DTranspose in another form, for inference: [n, h, w, d] -> [n, 2h, 2w, filters].

    Its kernel is [2, 2, d, 4 * filters], made by convolutions.interleaved_kernel.
    """

    def __init__(self, filters: int, use_bias: bool, products: bool, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.use_bias, self.products = filters, use_bias, products

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(2, 2, input_shape[-1], 4 * self.filters))
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,))

    def call(self, inputs):
        outputs = convolve_interleaved(inputs, tf.convert_to_tensor(self.kernel), self.products)
        return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs

    def compute_output_shape(self, input_shape):
        n, h, w, _ = input_shape
        return n, h and 2 * h, w and 2 * w, self.filters

    def get_config(self):
        own = {"filters": self.filters, "use_bias": self.use_bias, "products": self.products}
        return {**super().get_config(), **own}


class NearestUpsampling2D(keras.layers.Layer):
    """Each pixel four times: [n, h, w, c] -> [n, 2h, 2w, c]. 4-D all through, as Keras' own UpSampling2D is not."""

    def call(self, inputs):
        return tf.image.resize(inputs, 2 * tf.shape(inputs)[1:3], "nearest")

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return n, h and 2 * h, w and 2 * w, c


class ReflectionPadding2D(keras.layers.Layer):
    """Mirrors `padding` pixels p at each border, which is not repeated: [n, h, w, c] -> [n, h + 2p, w + 2p, c]."""

    def __init__(self, padding: int, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, inputs):
        border = [self.padding, self.padding]
        return tf.pad(inputs, [[0, 0], border, border, [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return n, h and h + 2 * self.padding, w and w + 2 * self.padding, c

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


# Initial weights of the convolutions, each from a seed: arXiv 1611.07004 appendix 6.2, and the usual others.
INITIALIZERS = {
    "normal": lambda seed: keras.initializers.RandomNormal(stddev=0.02, seed=seed),
    "xavier": lambda seed: keras.initializers.VarianceScaling(0.02**2, "fan_avg", "untruncated_normal", seed=seed),
    "kaiming": lambda seed: keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=seed),
    "orthogonal": lambda seed: keras.initializers.Orthogonal(gain=0.02, seed=seed),
}


def _normal_scale(seed):
    return keras.initializers.RandomNormal(mean=1.0, stddev=0.02, seed=seed)


# Normalisations, each from a seed of its scale's initial values, N(1, 0.02), and Keras' own arguments.
NORMS = {
    "instance": lambda seed, **options: InstanceNormalization(gamma_initializer=_normal_scale(seed), **options),
    "batch": lambda seed, **options: keras.layers.BatchNormalization(
        epsilon=EPSILON, momentum=0.9, gamma_initializer=_normal_scale(seed), **options
    ),
    "none": lambda seed, **options: keras.layers.Identity(**options),
}


def _transposed_convolution(x, filters, kernel_size, **options):
    if kernel_size % 2 == 0:
        return Convolution2DTranspose(filters, kernel_size, strides=2, padding="same", **options)(x)
    # Odd kernels: Torch's alignment (padding 1, output padding 1), which drops the first row and column of 2n + 1.
    x = keras.layers.Conv2DTranspose(filters, kernel_size, strides=2, padding="valid", **options)(x)
    return keras.layers.Cropping2D(((1, 0), (1, 0)), dtype=options.get("dtype"))(x)


def _resize_convolution(x, filters, kernel_size, **options):
    x = NearestUpsampling2D(dtype=options.get("dtype"))(x)
    return keras.layers.Conv2D(filters, 3, padding="same", **options)(x)


# Ways to twice the height and width: (x, filters, kernel_size of a transposed convolution, Keras' own arguments).
UPSAMPLINGS = {"transpose": _transposed_convolution, "resize": _resize_convolution}
