"""Metrics: pure functions on class maps and thin torchmetrics classes over them."""

from temporalkd.metrics.bootstrap import Interval, Measure, Series, mean_difference
from temporalkd.metrics.boundary import BoundaryIoU, near_edge
from temporalkd.metrics.confusion import SegmentationScore, accuracy, confusion, iou, margins
from temporalkd.metrics.maps import FlipRate, TemporalConsistency
from temporalkd.metrics.pair import FramePair
from temporalkd.metrics.perceptual import PerceptualConsistency, perceptual_consistency
from temporalkd.metrics.persistence import Persistence
from temporalkd.metrics.temporal import PROTOCOLS, BoundaryJitter, Consistency, Flips, WarpError

__all__ = [
    "PROTOCOLS",
    "BoundaryIoU",
    "BoundaryJitter",
    "Consistency",
    "FlipRate",
    "Flips",
    "FramePair",
    "Interval",
    "Measure",
    "PerceptualConsistency",
    "Persistence",
    "SegmentationScore",
    "Series",
    "TemporalConsistency",
    "WarpError",
    "accuracy",
    "confusion",
    "iou",
    "margins",
    "mean_difference",
    "near_edge",
    "perceptual_consistency",
]
