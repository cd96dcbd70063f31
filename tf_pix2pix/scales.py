"""Scales: how large the details of an image appear to a network, compared with its training."""

import math

from tf_pix2pix import images

FAR = 1.5  # times: a network does worse on images whose scale is farther off than this


def training_scale(own: tuple[int, int], size: tuple[int, int], fit: str) -> float:
    """The factor by which training resizes an image, the geometric mean of height and width; 1 for fit="none".

    Args:
      own: (height, width) of the image file.
      size: (height, width) before the random crop.
      fit: one of images.FITS.
    """
    if fit == "none":
        return 1.0
    height, width = images.fitted_size(own, size, fit)
    return math.sqrt(height / own[0] * width / own[1])


def relative_scale(own: tuple[int, int], files: tuple[int, int], sizes: list[tuple[int, int]], fit: str) -> float:
    """The scale at which an image is seen at its native size, relative to the images seen in training.

    An image can show as much as a training file (a photo of a whole house), or have pixels of the same size (a larger
    map), or be resized already, as the run's examples are. The size alone does not show which is true. So this is the
    most favorable answer, which errs on the side of 1.

    Args:
      own: (height, width) of the image.
      files: the median (height, width) of the training files.
      sizes: the (height, width) that training resized images to: before the random crop, and for validation.
      fit: one of images.FITS.

    Returns:
      4.0: details are four times as large as in training. 1.0 if some answers are above and others below.
    """
    answers = [1 / training_scale(shown, size, fit) for shown in (own, files) for size in sizes]
    if min(answers) < 1 < max(answers):
        return 1.0
    return min(answers, key=lambda answer: abs(math.log(answer)))


def is_far(scale: float) -> bool:
    """Whether a scale is more than FAR times off."""
    return not 1 / FAR <= scale <= FAR
