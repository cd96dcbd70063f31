"""Converts an image to the form that a model accepts, if nothing is lost."""

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError
from tf_pix2pix.sides import Sides


def accept(image: np.ndarray, config: TrainConfig | None, sides: Sides | None, make_inputs: bool) -> np.ndarray:
    """Converts [h, w, c] to the model's input side, or with make_inputs, before the task makes the input, to its
    target side.

    Args:
      config, sides: of the model's run; None for a server, which converts images itself.

    Raises:
      InputError: it is not an image, or the model does not accept it.
    """
    _check_array(image)
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if config is None or sides is None:
        if image.dtype == np.float32:
            raise InputError("floats: a server accepts only images of 8 or 16 bits; convert it")
        return image
    try:
        return (sides.target if make_inputs else sides.input).convert(image)
    except ValueError as error:
        hint = ""
        if make_inputs and config.task == "inpaint":
            hint = "; without make_inputs the transparent parts are filled"
        elif config.task and not make_inputs:
            hint = f"; for a plain photo pass make_inputs, which makes the input of {config.task} from it"
        raise InputError(f"{error}{hint}") from None


def _check_array(image: np.ndarray) -> None:
    found = type(image).__name__
    if isinstance(image, np.ndarray):
        if image.dtype.name in images.DEPTHS and image.ndim == 3 and image.shape[2] in (1, 3, 4) and image.size:
            if image.dtype == np.float32 and not np.isfinite(image).all():
                raise InputError("the image has values that are not finite; remove them")
            return
        found = f"{image.dtype} {'x'.join(map(str, image.shape))}"
    expected = f"{', '.join(images.DEPTHS)} [height, width, channels] with 1, 3 or 4 channels"
    raise InputError(f"not an image: {found}; expected {expected}")
