"""Accuracy against labels, from one confusion matrix over the whole data set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import Measure

IGNORE = 255
"""Value of void pixels in labels."""


def confusion(truth: Tensor, prediction: Tensor, classes: int, counted: Tensor | None = None) -> Tensor:
    """Confusion matrix of two class maps: entry (a, b) counts pixels that are a in `truth` and b in `prediction`.

    Shape:
        truth, prediction: any, equal; integer class indices. Pixels outside 0..classes-1 in `truth` do not count.
        counted: broadcastable to them, bool, or None: all.
    Returns:
        (classes, classes) int64.
    Raises:
        ValueError: a counted prediction is not a class index.
    """
    if truth.numel() == 0:
        return torch.zeros(classes, classes, dtype=torch.long)
    if not 0 <= int(truth.min()) <= int(truth.max()) < classes:
        known = (truth >= 0) & (truth.int() < classes)
        counted = known if counted is None else known & counted
    if not 0 <= int(prediction.min()) <= int(prediction.max()) < classes:
        wrong = (prediction < 0) | (prediction.int() >= classes)
        wrong = wrong if counted is None else wrong & counted
        if wrong.any():
            raise ValueError(f"prediction has class {int(prediction[wrong][0])}, expected 0..{classes - 1}")
    if classes**2 < 256 and truth.dtype == prediction.dtype == torch.uint8:
        cell = (truth * classes).add_(prediction)
        if counted is not None:
            cell |= counted.view(torch.uint8) - 1  # 255 where not counted
    else:
        cell = truth.int() * classes + prediction.int()
        if counted is not None:
            cell = torch.where(counted, cell, classes**2)
    return torch.bincount(cell.flatten(), minlength=classes**2)[: classes**2].view(classes, classes)


def count(mask: Tensor) -> int:
    """Number of true pixels; NumPy counts bools ten times as fast."""
    return int(np.count_nonzero(mask.numpy()))


def margins(matrix: Tensor) -> Tensor:
    """What IoU and accuracy need of a confusion matrix: hits, pixels in truth, in prediction. (C, C) -> (3 C,)."""
    return torch.cat((matrix.diagonal(), matrix.sum(1), matrix.sum(0)))


def iou(counts: Tensor) -> Tensor:
    """Intersection over union per class, NaN for a class in neither map. Margins (..., 3 C) -> (..., C) float64."""
    hit, truth, prediction = counts.double().chunk(3, -1)
    return hit / (truth + prediction - hit)


def accuracy(counts: Tensor) -> Tensor:
    """Share of each class's pixels that are predicted right, NaN for an absent class. (..., 3 C) -> (..., C)."""
    hit, truth, _ = counts.double().chunk(3, -1)
    return hit / truth


class SegmentationScore(BaseMetric):
    """mIoU and mAcc from one confusion over all frames; void excluded; classes in neither map do not enter the mean.

    Computes shares in 0..1: miou, macc, and per class iou and acc (NaN where absent).
    """

    def __init__(self, classes: int, synced: bool = True):
        measures = {
            "miou": Measure(lambda counts: iou(counts).nanmean(-1)),
            "macc": Measure(lambda counts: accuracy(counts).nanmean(-1)),
            "iou": Measure(iou),
            "acc": Measure(accuracy),
        }
        super().__init__(3 * classes, measures, synced)
        self.classes = classes

    def update(self, prediction: Tensor, labels: Tensor, clip: int = 0) -> None:
        """Class maps of equal shape, one item; labels 255 where void."""
        self.append(margins(confusion(labels, prediction, self.classes)), clip)
