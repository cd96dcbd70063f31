"""The layers of the networks, and the tables of initial weights, normalizations and upsamplings by name.

Images and feature maps are [n, h, w, c] in the layer's compute dtype. All layers stay 4-D, so that the GPU delegates of
mobile runtimes accept the converted graphs.
"""

import keras
import tensorflow as tf

from tf_pix2pix.cpu.convolutions import (
    KERNEL,
    PADDINGS,
    convolve,
    convolve_interleaved,
    convolve_transposed,
    use_cpu_forms,
)
from tf_pix2pix.cpu.normalization import normalize, normalize_fused

EPSILON = 1e-5  # of both normalizations, as in Torch, where the paper's models come from; Keras' default is 1e-3


@keras.saving.register_keras_serializable("tf_pix2pix")
class InstanceNormalization(keras.layers.Layer):
    """Normalizes each channel of each image over its own pixels, then scales and shifts it (arXiv 1607.08022, eq. 2).

    At batch size 1 this is the paper's batch normalization. keras.layers.GroupNormalization is not used because it goes
    through 5-D tensors. Statistics are float32 in every dtype policy.
    """

    def __init__(self, epsilon: float = EPSILON, gamma_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        options = dict(shape=(input_shape[-1],), autocast=False)
        self.gamma = self.add_weight(name="gamma", initializer=self.gamma_initializer, **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)

    def call(self, inputs, training=None):
        fused = training and inputs.shape[0] and use_cpu_forms(inputs)
        inputs32, scale, offset = (tf.cast(tensor, tf.float32) for tensor in (inputs, self.gamma, self.beta))
        outputs = (normalize_fused if fused else normalize)(inputs32, scale, offset, self.epsilon)
        return tf.cast(outputs, inputs.dtype)

    def get_config(self):
        gamma_initializer = keras.initializers.serialize(self.gamma_initializer)
        return {**super().get_config(), "epsilon": self.epsilon, "gamma_initializer": gamma_initializer}


@keras.saving.register_keras_serializable("tf_pix2pix")
class Convolution2D(keras.layers.Conv2D):
    """keras.layers.Conv2D that computes the paper's 4x4 convolutions, and their gradients, with cpu/convolutions.py."""

    def call(self, inputs, training=None):
        if not (_is_paper_convolution(self) and self.groups == 1):
            return super().call(inputs)
        outputs = convolve(inputs, tf.convert_to_tensor(self.kernel), self.strides[0], fast_gradient=training)
        return self.activation(tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs)


@keras.saving.register_keras_serializable("tf_pix2pix")
class Convolution2DTranspose(keras.layers.Conv2DTranspose):
    """keras.layers.Conv2DTranspose that computes 4x4 kernels at stride 2 with cpu/convolutions.py."""

    def call(self, inputs, training=None):
        if not (_is_paper_convolution(self) and self.strides == (2, 2) and self.output_padding is None):
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel)
        outputs = convolve_transposed(inputs, kernel, self.strides[0], fast_gradient=training)
        return self.activation(tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs)


def _is_paper_convolution(layer):
    return (
        layer.kernel_size == (KERNEL, KERNEL)
        and layer.strides[0] == layer.strides[1]
        and layer.padding == PADDINGS.get(layer.strides[0])
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
    )


@keras.saving.register_keras_serializable("tf_pix2pix")
class InterleavedConvolution2D(keras.layers.Layer):
    """Convolution2DTranspose (4x4, stride 2) as a 2x2 convolution, for inference: [n, h, w, d] -> [n, 2h, 2w, filters].

    cpu.convolutions.interleaved_kernel makes its kernel [2, 2, d, 4 * filters] from the transposed convolution's.

    Args:
      filters: output channels.
      use_bias: add a bias [filters].
      products: use one matrix product for each kernel position instead of a convolution.
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


@keras.saving.register_keras_serializable("tf_pix2pix")
class NearestUpsampling2D(keras.layers.Layer):
    """Repeats each pixel in two rows and two columns: [n, h, w, c] -> [n, 2h, 2w, c].

    keras.layers.UpSampling2D is not used because it uses 5-D tensors.
    """

    def call(self, inputs):
        return tf.image.resize(inputs, 2 * tf.shape(inputs)[1:3], "nearest")

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return n, h and 2 * h, w and 2 * w, c


@keras.saving.register_keras_serializable("tf_pix2pix")
class ReflectionPadding2D(keras.layers.Layer):
    """Mirrors p = `padding` pixels at each border, not the border itself: [n, h, w, c] -> [n, h + 2p, w + 2p, c]."""

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


# Initial weights of convolutions by name: functions of a seed. "normal": arXiv 1611.07004, appendix 6.2.
INITIALIZERS = {
    "normal": lambda seed: keras.initializers.RandomNormal(stddev=0.02, seed=seed),
    "xavier": lambda seed: keras.initializers.VarianceScaling(0.02**2, "fan_avg", "untruncated_normal", seed=seed),
    "kaiming": lambda seed: keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed=seed),
    "orthogonal": lambda seed: keras.initializers.Orthogonal(gain=0.02, seed=seed),
}


def _normal_scale(seed):
    return keras.initializers.RandomNormal(mean=1.0, stddev=0.02, seed=seed)


# Normalizations by name: functions of a seed for the initial scale, N(1, 0.02), and of Keras' own layer arguments.
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
    # Torch's alignment for odd kernels (padding 1, output padding 1) drops the first row and column of 2n + 1.
    x = keras.layers.Conv2DTranspose(filters, kernel_size, strides=2, padding="valid", **options)(x)
    return keras.layers.Cropping2D(((1, 0), (1, 0)), dtype=options.get("dtype"))(x)


def _resize_convolution(x, filters, kernel_size, **options):
    x = NearestUpsampling2D(dtype=options.get("dtype"))(x)
    return keras.layers.Conv2D(filters, 3, padding="same", **options)(x)


# Ways to double height and width by name: functions of (x, filters, kernel_size of a transposed convolution) and of
# Keras' own layer arguments.
UPSAMPLINGS = {"transpose": _transposed_convolution, "resize": _resize_convolution}
