"""Temporal consistency of class maps along the motion, and how often a visible pixel changes its class."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from flow import warp
from temporalkd.metrics.confusion import confusion, iou

PROTOCOLS = ("visible", "unmasked")
IGNORE = 255


class Consistency(Metric):
    """Temporal consistency of a video's class maps: mIoU between each map and the next one warped onto it.

    One confusion over all pairs of frames, mean over the classes present in either map.

    Protocols:
        visible: pixels in frame that pass the forward-backward check; where labels are given, pixels that are void in
            t or in the warped t + 1 are left out, and a class of the labels that is never predicted counts 0.
        unmasked: all pixels, coordinates clamped to the border, without labels.
    The flip rate (share of visible pixels whose class changes along the flow) and the coverage (share of pixels that
    are visible) are those of the `visible` protocol, whatever the protocol of the consistency.

    Args:
        synced: `compute` joins the counts of all processes of a run; False where one process evaluates alone.
    """

    full_state_update = False
    matrix: Tensor
    in_labels: Tensor
    flipped: Tensor
    seen: Tensor
    counted: Tensor
    pixels: Tensor

    def __init__(self, classes: int, protocol: str = "visible", synced: bool = True):
        super().__init__(sync_on_compute=synced)
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        self.classes, self.protocol = classes, protocol
        self.add_state("matrix", torch.zeros(classes, classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("in_labels", torch.zeros(classes, dtype=torch.long), dist_reduce_fx="sum")
        for count in ("flipped", "seen", "counted", "pixels"):
            self.add_state(count, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(
        self,
        current: Tensor,
        following: Tensor,
        flow: Tensor,
        visible: Tensor,
        labels: Tensor | None = None,
        following_labels: Tensor | None = None,
    ) -> None:
        """Add a pair of frames.

        Shape:
            current, following: (B, H, W), class maps of t and t + 1.
            flow: (B, 2, H, W), t -> t + 1, pixels.
            visible: (B, 1, H, W), bool, as flow.visible gives it.
            labels, following_labels: (B, H, W), 255 where void; None where there are no labels.
        """
        visible = visible[:, 0]
        warped = warp(following.unsqueeze(1), flow, mode="nearest")[:, 0]
        counted = visible
        if labels is not None and following_labels is not None:
            warped_labels = warp(following_labels.unsqueeze(1), flow, mode="nearest")[:, 0]
            counted = visible & (labels != IGNORE) & (warped_labels != IGNORE)
            if self.protocol == "visible":
                self.in_labels += torch.bincount(labels[counted].long(), minlength=self.classes)
        self.flipped += ((current != warped) & counted).sum()
        self.counted += counted.sum()
        self.seen += visible.sum()
        self.pixels += visible.numel()
        self.matrix += confusion(current, warped, self.classes, counted if self.protocol == "visible" else None)

    def compute(self) -> dict[str, Tensor]:
        """Shares in 0..1: consistency, per-class consistency (NaN where absent), flip_rate, coverage."""
        per_class = iou(self.matrix)
        never_predicted = per_class.isnan() & (self.in_labels > 0)
        per_class = per_class.masked_fill(never_predicted, 0.0)
        return {
            "consistency": per_class.nanmean(),
            "per_class": per_class,
            "flip_rate": self.flipped.double() / self.counted,
            "coverage": self.seen.double() / self.pixels,
        }
