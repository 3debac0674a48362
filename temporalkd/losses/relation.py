"""Distillation of relations: which classes a pixel prefers, and which pixels a class prefers."""

from __future__ import annotations

import torch
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, keep, local_sum, masked_mean, unit


@full_precision
def dist(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor | None = None,
    inter: float = 1.0,
    intra: float = 1.0,
    tau: float = 1.0,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """One minus Pearson's correlation of the class probabilities, within a pixel and within a class.

    L = tau^2 (inter mean_i (1 - r(p_S,i., p_T,i.)) + intra mean_c (1 - r(p_S,.c, p_T,.c))), p = softmax(z / tau),
    r(x, y) = cos(x - mean x, y - mean y); the second one within each frame, over its valid pixels

    Shape:
        student, teacher: (B, C, H, W), logits.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Args:
        inter, intra: weights.
        tau: temperature.
    Returns:
        Scalar; a constant has no correlation and counts 1. No gradient reaches the teacher.
    Source:
        Huang et al., NeurIPS 2022 (DIST). [text] Within each frame rather than over the batch. [ours]
    """
    check_same("dist", student, teacher)
    student, teacher = (logits.div(tau).softmax(1) for logits in (student, teacher.detach()))
    counted = torch.ones_like(student[:, :1], dtype=torch.bool) if valid is None else valid > 0
    between = 1 - _correlation(student, teacher, dim=1)
    number = counted.sum((2, 3), keepdim=True).clamp(min=1)
    centred = []
    for probs in (student, teacher):
        probs = keep(probs, counted)
        centred.append(keep(probs - probs.sum((2, 3), keepdim=True) / number, counted).flatten(2))
    within = 1 - (unit(centred[0], 2) * unit(centred[1], 2)).sum(2)
    frames = counted.flatten(1).any(1, keepdim=True)
    total = inter * masked_mean(between, counted, all_sum) + intra * masked_mean(within, frames, all_sum)
    return tau**2 * total


def _correlation(one: Tensor, other: Tensor, dim: int) -> Tensor:
    one, other = (unit(x - x.mean(dim, keepdim=True), dim) for x in (one, other))
    return (one * other).sum(dim, keepdim=True)
