"""Losses against labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses.reduce import AllSum, full_precision, local_sum, masked_mean

IGNORE = 255


@full_precision
def cross_entropy(
    logits: Tensor, labels: Tensor, class_weight: Tensor | None = None, all_sum: AllSum = local_sum
) -> Tensor:
    """Cross-entropy, mean over the labelled pixels.

    L = -sum_i w_{y_i} log p_{i, y_i} / sum_i w_{y_i}

    Shape:
        logits: (B, C, H, W).
        labels: (B, H, W), int64, 255 where ignored.
        class_weight: (C,), or None for one each.
    Returns:
        Scalar; 0 where no pixel is labelled.
    Raises:
        ValueError: the sizes differ.
    """
    if logits.shape[0] != labels.shape[0] or logits.shape[-2:] != labels.shape[-2:]:
        raise ValueError(
            f"cross_entropy: logits {tuple(logits.shape)} and labels {tuple(labels.shape)} differ in batch or size"
        )
    counted = labels != IGNORE
    target = labels.masked_fill(~counted, 0)
    nll = F.cross_entropy(logits, target, reduction="none")
    return masked_mean(
        nll, counted if class_weight is None else class_weight.to(nll)[target] * counted, all_sum=all_sum
    )


def resize_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Labels at another size, by nearest neighbour.

    Shape:
        labels: (B, H, W), integers; size: (h, w).
    Returns:
        (B, h, w), of the same dtype.
    """
    height, width = size
    if labels.shape[-2:] == (height, width):
        return labels
    return F.interpolate(labels[:, None].float(), (height, width), mode="nearest-exact")[:, 0].to(labels.dtype)


def labels_for(name: str, features: Tensor, labels: Tensor) -> Tensor:
    """Labels at the size of the features; ValueError, with the shapes in it, where the batches differ."""
    if labels.ndim != 3 or labels.shape[0] != features.shape[0]:
        raise ValueError(
            f"{name}: labels must be (B, H, W) with the batch of the features, "
            f"got {tuple(labels.shape)} for {tuple(features.shape)}"
        )
    return resize_labels(labels, features.shape[-2:])
