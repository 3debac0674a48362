"""Class boundaries: pixels near them, and how well they are met."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import Measure
from temporalkd.metrics.confusion import IGNORE, confusion, iou, margins


def near_edge(labels: Tensor, distance: int, frame_is_edge: bool = False) -> Tensor:
    """Pixels that have another class within `distance` pixels, in a row, a column or diagonally.

    Shape:
        labels: (H, W) uint8; 255 is a class of its own here.
    Args:
        frame_is_edge: what lies outside the frame counts as another class.
    Returns:
        (H, W) bool.
    """
    pixels = np.ascontiguousarray(labels.to(torch.uint8).numpy())
    window = np.ones((2 * distance + 1, 2 * distance + 1), np.uint8)
    largest = (
        cv2.dilate(pixels, window, borderType=cv2.BORDER_CONSTANT, borderValue=IGNORE)
        if frame_is_edge
        else cv2.dilate(pixels, window)
    )
    return torch.from_numpy(cv2.erode(pixels, window) != largest)


class BoundaryIoU(BaseMetric):
    """IoU of the bands of `distance` pixels inside each class's mask; void excluded, mean over classes present.

    Computes shares in 0..1: boundary_iou, and per class per_class (NaN where absent).

    Source: Cheng et al., CVPR 2021; masks eroded by a square, the outside of the frame counts as outside the mask.
    """

    def __init__(self, classes: int, distance: int = 4, synced: bool = True):
        measures = {
            "boundary_iou": Measure(lambda counts: iou(counts).nanmean(-1)),
            "per_class": Measure(iou),
        }
        super().__init__(3 * classes, measures, synced)
        self.classes, self.distance = classes, distance

    def update(self, prediction: Tensor, labels: Tensor, clip: int = 0) -> None:
        """Class maps (H, W) of one frame; labels 255 where void."""
        prediction = prediction.masked_fill(labels == IGNORE, IGNORE)  # both masks end where void begins
        band = [
            torch.where((m < self.classes) & near_edge(m, self.distance, frame_is_edge=True), m, self.classes)
            for m in (labels, prediction)
        ]
        matrix = confusion(band[0], band[1], self.classes + 1)
        self.append(margins(matrix).view(3, -1)[:, : self.classes].flatten(), clip)
