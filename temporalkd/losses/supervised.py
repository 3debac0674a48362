"""Losses against labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses.reduce import full_precision, masked_mean

IGNORE = 255


@full_precision
def cross_entropy(logits: Tensor, labels: Tensor, class_weight: Tensor | None = None) -> Tensor:
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
    return masked_mean(nll, counted if class_weight is None else class_weight.to(nll)[target] * counted)
