"""Accuracy against labels, from one confusion matrix over the whole data set."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


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
    truth, prediction = truth.long(), prediction.long()
    known = (truth >= 0) & (truth < classes)
    if counted is not None:
        known = known & counted
    truth, prediction = truth[known], prediction[known]
    if prediction.numel() and not 0 <= int(prediction.min()) <= int(prediction.max()) < classes:
        raise ValueError(f"prediction has class {int(prediction.max())}, expected 0..{classes - 1}")
    return torch.bincount(truth * classes + prediction, minlength=classes**2).view(classes, classes)


def iou(matrix: Tensor) -> Tensor:
    """Intersection over union per class, NaN for a class in neither map. (C, C) -> (C,) float64."""
    matrix = matrix.double()
    hit = matrix.diagonal()
    return hit / (matrix.sum(0) + matrix.sum(1) - hit)


def accuracy(matrix: Tensor) -> Tensor:
    """Share of each class's pixels that are predicted right, NaN for an absent class. (C, C) -> (C,) float64."""
    matrix = matrix.double()
    return matrix.diagonal() / matrix.sum(1)


class SegmentationScore(Metric):
    """mIoU and mAcc from one confusion matrix; void excluded; classes in neither map do not enter the mean.

    Args:
        synced: `compute` joins the counts of all processes of a run; False where one process evaluates alone.
    """

    full_state_update = False
    matrix: Tensor

    def __init__(self, classes: int, synced: bool = True):
        super().__init__(sync_on_compute=synced)
        self.classes = classes
        self.add_state("matrix", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, labels: Tensor) -> None:
        """Class maps of equal shape; labels 255 where void."""
        self.matrix += confusion(labels, prediction, self.classes)

    def compute(self) -> dict[str, Tensor]:
        """Shares in 0..1: miou, macc, and per class iou and acc (NaN where absent)."""
        per_class, acc = iou(self.matrix), accuracy(self.matrix)
        return {"miou": per_class.nanmean(), "macc": acc.nanmean(), "iou": per_class, "acc": acc}
