"""Paired image-to-image translation (pix2pix, arXiv 1611.07004) in TensorFlow. The public names:"""

import importlib

from tf_pix2pix.cpu.settings import enable_onednn

__version__ = "0.1.0"

_PUBLIC = {
    "TrainConfig": "config",
    "PRESETS": "config",
    "load_pairs": "datasets",
    "unet_generator": "networks",
    "resnet_generator": "networks",
    "patchgan_discriminator": "networks",
    "train": "training",
    "TrainResult": "training",
    "Run": "run",
    "restore_generator": "run",
    "export": "exporting",
    "evaluate": "evaluation",
    "Translator": "translation",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    """Imports the module of a public name, and with it TensorFlow, when the name is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tf_pix2pix' has no attribute {name!r}")
    enable_onednn()  # acts only if TensorFlow has not been imported yet
    return getattr(importlib.import_module(f"tf_pix2pix.{_PUBLIC[name]}"), name)
