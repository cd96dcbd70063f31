"""The networks of arXiv 1611.07004 (appendix 6.1) as Keras functional models for images of any fitting size.

Images are float32 [n, h, w, c] in [-1, 1]. Convolutions are 4x4 with stride 2 by default. Only a generator's last and a
discriminator's first and last convolution have a bias.
"""

import keras

from tf_pix2pix.layers import INITIALIZERS, NORMS, UPSAMPLINGS, Convolution2D, ReflectionPadding2D

PAPER_DEPTH = 8  # halvings in the U-Net (appendix 6.1.1)
MIN_DEPTH = 3  # a shallower U-Net sees too little of the image to be worth training
DROPOUT_BLOCKS = 3  # innermost decoder blocks with dropout, the generator's noise (appendix 6.1.1)
MAX_WIDTH = 8  # the widest layers' filters, as a multiple of the first layer's


def unet_depth(size: tuple[int, int]) -> int:
    """The depth of the deepest U-Net for a size (height, width): how often both sides can be halved, at most 8.

    Raises:
      ValueError: the depth is less than 3.
    """
    depth = 0
    while depth < PAPER_DEPTH and all(side % 2 ** (depth + 1) == 0 for side in size):
        depth += 1
    if depth < MIN_DEPTH:
        raise ValueError(
            f"{_format_size(size)} pixels can be halved only {depth} times, but a U-Net requires {MIN_DEPTH}; "
            f"{_suggest_sizes(size, 2**MIN_DEPTH)}, or better, powers of 2 such as 128, 256, 512"
        )
    return depth


def check_multiple(size: tuple[int, int], multiple: int) -> None:
    """Raises ValueError, with the nearest fitting sides, if a side of `size` (height, width) is not a multiple."""
    if any(side % multiple for side in size):
        raise ValueError(f"{_format_size(size)} pixels do not fit the network; {_suggest_sizes(size, multiple)}")


def _format_size(size):
    return "x".join(map(str, size))


def _suggest_sizes(size, multiple):
    fits = sorted(
        {fit for side in size for fit in (side // multiple * multiple, -(-side // multiple) * multiple) if fit}
    )
    return f"choose multiples of {multiple}, such as {', '.join(map(str, fits))}"


class _Blocks:
    """Makes the layers of one network, with one dtype policy and different initial weights for each layer."""

    def __init__(self, norm: str, initializer: str, seed: int, dtype: str | None):
        # Each layer draws the next seed. With one plain seed, Keras 3 gives layers of equal shape equal weights.
        self.seeds = keras.random.SeedGenerator(seed)
        self._norm, self._initializer, self.dtype = norm, initializer, dtype

    def conv(self, x, filters, kernel_size=4, strides=2, padding="same", use_bias=False, dtype=None):
        return Convolution2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            kernel_initializer=INITIALIZERS[self._initializer](self.seeds),
            dtype=dtype or self.dtype,
        )(x)

    def upsample(self, x, filters, upsampling, kernel_size=4, use_bias=False):
        initializer = INITIALIZERS[self._initializer](self.seeds)
        options = dict(use_bias=use_bias, kernel_initializer=initializer, dtype=self.dtype)
        return UPSAMPLINGS[upsampling](x, filters, kernel_size, **options)

    def norm(self, x):
        return NORMS[self._norm](self.seeds, dtype=self.dtype)(x)

    def relu(self, x, slope=0.0):
        return keras.layers.LeakyReLU(slope, dtype=self.dtype)(x) if slope else keras.layers.ReLU(dtype=self.dtype)(x)

    def dropout(self, x, rate):
        return keras.layers.Dropout(rate, dtype=self.dtype)(x) if rate else x

    def pad(self, x, padding=1):
        return keras.layers.ZeroPadding2D(padding, dtype=self.dtype)(x)

    def reflect(self, x, padding):
        return ReflectionPadding2D(padding, dtype=self.dtype)(x)


def unet_generator(
    input_channels: int = 3,
    output_channels: int = 3,
    *,
    size: tuple[int, int] = (256, 256),  # (height, width) of training images
    depth: int | None = None,  # halvings: sides are multiples of 2**depth; None: as many as fit, at most 8
    filters: int = 64,  # of the first layer, the paper's ngf
    skips: bool = True,  # False: the paper's encoder-decoder
    dropout: float = 0.5,  # rate in the three innermost decoder blocks
    norm: str = "instance",  # one of layers.NORMS
    upsampling: str = "transpose",  # one of layers.UPSAMPLINGS
    initializer: str = "normal",  # one of layers.INITIALIZERS
    seed: int = 0,  # of the initial weights
    activation: str = "tanh",  # of the output; "linear": logits
    dtype: str | None = None,  # a Keras dtype policy such as "mixed_float16"; the output is float32
) -> keras.Model:
    """The U-Net of appendix 6.1.1: [n, h, w, input_channels] -> [n, h, w, output_channels] in [-1, 1].

    The defaults are the paper's: encoder C64-C128-C256-C512-C512-C512-C512-C512, decoder
    CD512-CD512-CD512-C512-C256-C128-C64, 54,413,955 parameters. The first and the innermost encoder layer have no norm:
    normalizing a 1x1 image over its own pixels makes it zero (the paper's erratum).

    Raises:
      ValueError: the size does not fit the depth; the message suggests sizes.
    """
    depth = depth or unet_depth(size)
    check_multiple(size, 2**depth)
    block = _Blocks(norm, initializer, seed, dtype)
    widths = [filters * min(2**level, MAX_WIDTH) for level in range(depth)]
    x = inputs = keras.Input((None, None, input_channels), name="input_image")
    encoded = []
    for level, width in enumerate(widths):
        x = block.conv(x, width)
        if 0 < level < depth - 1:
            x = block.norm(x)
        if level < depth - 1:
            x = block.relu(x, 0.2)
            encoded.append(x)
    for number, (width, skip) in enumerate(zip(reversed(widths[:-1]), reversed(encoded), strict=True)):
        x = block.upsample(block.relu(x), width, upsampling)
        x = block.norm(x)
        if number < DROPOUT_BLOCKS:
            x = block.dropout(x, dropout)
        if skips:
            x = keras.layers.Concatenate(dtype=dtype)([x, skip])
    x = block.upsample(block.relu(x), output_channels, upsampling, use_bias=True)
    outputs = keras.layers.Activation(activation, dtype="float32", name="gen_output")(x)
    return keras.Model(inputs, outputs, name="unet_generator")


def resnet_generator(
    input_channels: int = 3,
    output_channels: int = 3,
    *,
    size: tuple[int, int] = (256, 256),  # (height, width) of training images
    depth: int | None = None,  # residual blocks; None: 6 below 256 pixels, 9 from 256 pixels (arXiv 1703.10593)
    filters: int = 64,  # of the first layer
    skips: bool = True,  # False is refused: residual blocks consist of skips
    dropout: float = 0.5,  # rate inside each residual block
    norm: str = "instance",  # one of layers.NORMS
    upsampling: str = "transpose",  # one of layers.UPSAMPLINGS
    initializer: str = "normal",  # one of layers.INITIALIZERS
    seed: int = 0,  # of the initial weights
    activation: str = "tanh",  # of the output; "linear": logits
    dtype: str | None = None,  # a Keras dtype policy; the output is float32
) -> keras.Model:
    """The residual generator of Johnson et al. (arXiv 1603.08155) as in CycleGAN (arXiv 1703.10593, appendix 7.2).

    [n, h, w, input_channels] -> [n, h, w, output_channels] in [-1, 1], h and w multiples of 4, at least 16:
    c7s1-64, d128, d256, R256 x depth, u128, u64, c7s1-output. Convolutions of stride 2 have zero padding, those of
    stride 1 reflection padding.

    Raises:
      ValueError: the size does not fit (the message suggests sizes), or skips is False.
    """
    if not skips:
        raise ValueError("a resnet generator requires skip connections; pass skips=True, or choose the unet")
    check_multiple(size, 4)
    depth = depth or (9 if min(size) >= 256 else 6)
    block = _Blocks(norm, initializer, seed, dtype)
    x = inputs = keras.Input((None, None, input_channels), name="input_image")
    x = block.conv(block.reflect(x, 3), filters, kernel_size=7, strides=1, padding="valid")
    x = block.relu(block.norm(x))
    for width in (2 * filters, 4 * filters):
        x = block.conv(block.pad(x), width, kernel_size=3, padding="valid")
        x = block.relu(block.norm(x))
    for _ in range(depth):
        y = block.conv(block.reflect(x, 1), 4 * filters, kernel_size=3, strides=1, padding="valid")
        y = block.dropout(block.relu(block.norm(y)), dropout)
        y = block.norm(block.conv(block.reflect(y, 1), 4 * filters, kernel_size=3, strides=1, padding="valid"))
        x = keras.layers.Add(dtype=dtype)([x, y])
    for width in (2 * filters, filters):
        x = block.upsample(x, width, upsampling, kernel_size=3)
        x = block.relu(block.norm(x))
    x = block.conv(block.reflect(x, 3), output_channels, kernel_size=7, strides=1, padding="valid", use_bias=True)
    outputs = keras.layers.Activation(activation, dtype="float32", name="gen_output")(x)
    return keras.Model(inputs, outputs, name="resnet_generator")


# Generators by name, all with the same arguments.
GENERATORS = {"unet": unet_generator, "resnet": resnet_generator}


def patchgan_discriminator(
    input_channels: int = 3,
    output_channels: int = 3,
    *,
    size: tuple[int, int] = (256, 256),  # (height, width) of training images
    layers: int = 3,  # 0, 1, 3, 5: each logit sees 1x1, 16x16, 70x70, 286x286 pixels
    filters: int = 64,  # of the first layer, the paper's ndf
    conditional: bool = True,  # False: ignore the input image
    norm: str = "instance",  # one of layers.NORMS
    initializer: str = "normal",  # one of layers.INITIALIZERS
    seed: int = 1,  # of the initial weights; the generator's seed would draw the generator's numbers
    dtype: str | None = None,  # a Keras dtype policy; the logits are float32
) -> keras.Model:
    """The PatchGAN of appendix 6.1.2: [input_image, image] -> logits [n, h', w', 1]; positive logits mean "real".

    input_image is [n, h, w, input_channels], image [n, h, w, output_channels]. The defaults are the paper's 70x70
    discriminator: C64-C128-C256-C512(stride 1)-1(stride 1), 2,768,705 parameters, 30x30 logits for 256x256 pixels.

    Raises:
      ValueError: the size is too small for the number of layers.
    """
    least = 3 * 2**layers if layers else 1  # the last two convolutions turn 3x3 pixels into one
    if min(size) < least:
        raise ValueError(f"{_format_size(size)} pixels are too few: {layers} discriminator layers need {least}")
    block = _Blocks(norm, initializer, seed, dtype)
    input_image = keras.Input((None, None, input_channels), name="input_image")
    image = keras.Input((None, None, output_channels), name="image")
    x = keras.layers.Concatenate(dtype=dtype)([input_image, image]) if conditional else image
    if layers == 0:
        x = block.relu(block.conv(x, filters, kernel_size=1, strides=1, use_bias=True), 0.2)
        x = block.relu(block.norm(block.conv(x, 2 * filters, kernel_size=1, strides=1)), 0.2)
        logits = block.conv(x, 1, kernel_size=1, strides=1, use_bias=True, dtype="float32")
    else:
        x = block.relu(block.conv(x, filters, use_bias=True), 0.2)
        for layer in range(1, layers):
            x = block.relu(block.norm(block.conv(x, filters * min(2**layer, MAX_WIDTH))), 0.2)
        x = block.conv(block.pad(x), filters * min(2**layers, MAX_WIDTH), strides=1, padding="valid")
        x = block.relu(block.norm(x), 0.2)
        logits = block.conv(block.pad(x), 1, strides=1, padding="valid", use_bias=True, dtype="float32")
    return keras.Model([input_image, image], logits, name="patchgan_discriminator")
