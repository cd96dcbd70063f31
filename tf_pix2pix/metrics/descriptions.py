"""METRICS: the name, unit, direction and meaning of every metric, for tables, plots and reports."""

from typing import NamedTuple


class Metric(NamedTuple):
    """The description of a metric.

    Attributes:
      label: its name in tables.
      unit: of its values; "" for plain numbers.
      higher_is_better: None for values to compare with the targets' own.
      meaning: one line.
    """

    label: str
    unit: str
    higher_is_better: bool | None
    meaning: str


METRICS = {
    "l1": Metric("L1", "", False, "mean absolute difference from the target, images in [-1, 1]"),
    "mse": Metric("MSE", "", False, "mean squared difference from the target, images in [-1, 1]"),
    "psnr": Metric("PSNR", "dB", True, "peak signal-to-noise ratio: the mean squared difference on a log scale"),
    "ssim": Metric("SSIM", "", True, "structural similarity: local brightness, contrast and pattern"),
    "ms_ssim": Metric("MS-SSIM", "", True, "structural similarity over several scales"),
    "gradient_correlation": Metric("gradient correlation", "", True, "do edges lie where the target's edges lie?"),
    "l1_file": Metric("L1 in file values", "", False, "mean absolute difference in the units of the files"),
    "rmse_file": Metric("RMSE in file values", "", False, "root mean squared difference in the units of the files"),
    "lpips": Metric("LPIPS", "", False, "distance of a network's features, close to human judgment"),
    "pixel_accuracy": Metric("pixel accuracy", "", True, "share of pixels with the right class"),
    "class_accuracy": Metric("class accuracy", "", True, "pixel accuracy of each class, averaged over the classes"),
    "mean_iou": Metric("mean IoU", "", True, "intersection over union of each class, averaged over the classes"),
    "fid_keras": Metric("FID (Keras)", "", False, "Frechet distance of InceptionV3 features, Keras' weights"),
    "kid_keras": Metric("KID (Keras)", "", False, "kernel distance of InceptionV3 features, Keras' weights"),
    "fid": Metric("FID", "", False, "Frechet distance of Inception features, the weights of published figures"),
    "kid": Metric("KID", "", False, "kernel distance of Inception features, the weights of published figures"),
    "sliced_wasserstein": Metric("sliced Wasserstein", "x 1000", False, "distance of patch statistics at each scale"),
    "lab_histogram": Metric("Lab histogram", "", True, "overlap of color histograms in Lab (paper, figure 7)"),
    "grid_energy": Metric("grid energy", "dB", False, "excess energy at the strides of the upsampling: a visible grid"),
    "alternation": Metric(
        "alternation", "squared levels", None, "pixel-to-pixel zigzag where the target is smooth; below 0: edges there"
    ),
}
