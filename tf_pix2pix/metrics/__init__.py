"""Metrics: how far generated images are from their targets."""

from tf_pix2pix.metrics.descriptions import METRICS, Metric
from tf_pix2pix.metrics.grid import GridEnergy, alternation
from tf_pix2pix.metrics.labels import ConfusionMatrix, class_ids
from tf_pix2pix.metrics.paired import PAIRED_METRICS, measure_pairs, ms_ssim_scales, paired_metrics

__all__ = [
    "METRICS",
    "PAIRED_METRICS",
    "ConfusionMatrix",
    "GridEnergy",
    "Metric",
    "alternation",
    "class_ids",
    "measure_pairs",
    "ms_ssim_scales",
    "paired_metrics",
]
