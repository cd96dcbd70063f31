"""Which pictures a model takes, and those that become such where nothing is lost."""

import numpy as np

from tf_pix2pix import images
from tf_pix2pix.config import TrainConfig
from tf_pix2pix.errors import InputError


def checked(picture: np.ndarray, config: TrainConfig | None, format: images.Format, task: bool) -> np.ndarray:
    """The picture, [h, w, c], with the channels and of the depth that the model takes.

    Args:
      config: of the run that the model is from; None: a server's, which looks for itself.
      format: of the inputs.
      task: its input is yet to be made, so that the channels are those of the photos trained on.

    Raises:
      InputError: it is no picture, or one that the model does not take.
    """
    what = type(picture).__name__
    if isinstance(picture, np.ndarray):
        what = f"{picture.dtype} {'x'.join(map(str, picture.shape))}"
        if picture.dtype.name in images.DEPTHS and picture.ndim == 3 and picture.shape[2] in (1, 3, 4):
            what = None if picture.size else what
    if what:
        depths = f"{', '.join(images.DEPTHS)} [height, width, channels] with 1, 3 or 4 channels"
        raise InputError(f"a picture is {depths}, not {what}")
    if picture.dtype == np.float32 and not np.isfinite(picture).all():
        raise InputError("it holds values that are not finite")
    picture = picture.astype(picture.dtype.newbyteorder("="), copy=False)
    if config is None:  # a server looks for itself
        if picture.dtype == np.float32:
            raise InputError("a server takes pictures of 8 or 16 bits, not floats: their range is not known to it")
        return picture
    try:
        channels = config.output_channels if task else config.input_channels
        return images.with_channels(images.with_depth(picture, format), channels)
    except ValueError as error:
        hint = ""
        if task and config.task == "inpaint":
            hint = "; without task, what is transparent is filled"
        elif config.task and not task:
            hint = f"; or it is a plain photo, of which task makes what {config.task} takes"
        raise InputError(f"{error}{hint}") from None
