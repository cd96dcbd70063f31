"""All Keras layers of the package. Importing this registers them, so that keras.models.load_model finds them.

blocks.py   the layers of the networks, and the tables INITIALIZERS, NORMS and UPSAMPLINGS
colors.py   the layers of the codecs: one-hot labels, palette colors, holes, residuals and CIE Lab
"""
# ruff: noqa: F401 (imported to be public here)

from tf_pix2pix.layers.blocks import (
    INITIALIZERS,
    NORMS,
    UPSAMPLINGS,
    Convolution2D,
    Convolution2DTranspose,
    InstanceNormalization,
    InterleavedConvolution2D,
    NearestUpsampling2D,
    ReflectionPadding2D,
)
from tf_pix2pix.layers.colors import (
    CHROMA_SCALE,
    AddResidual,
    Chroma,
    KeepKnown,
    LabToRgb,
    Lightness,
    MarkHoles,
    OneHotLabels,
    PaletteColors,
    lab_to_rgb,
    rgb_to_lab,
)
