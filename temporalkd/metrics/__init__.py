"""Metrics: pure functions on class maps and thin torchmetrics classes over them."""

from temporalkd.metrics.confusion import SegmentationScore, accuracy, confusion, iou
from temporalkd.metrics.temporal import PROTOCOLS, Consistency

__all__ = ["PROTOCOLS", "Consistency", "SegmentationScore", "accuracy", "confusion", "iou"]
