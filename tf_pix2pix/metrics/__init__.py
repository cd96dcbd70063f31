"""Metrics: how far generated images are from their targets."""

from tf_pix2pix.metrics.descriptions import METRICS, Metric
from tf_pix2pix.metrics.paired import PAIRED_METRICS, class_ids, paired_metrics

__all__ = ["METRICS", "PAIRED_METRICS", "Metric", "class_ids", "paired_metrics"]
