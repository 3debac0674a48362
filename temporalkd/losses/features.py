"""Plain distillation of features: as they are, or their direction alone."""

from __future__ import annotations

import torch
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, keep, local_sum, masked_mean, mean_over, unit


@full_precision
def feature_l2(student: Tensor, teacher: Tensor, valid: Tensor | None = None, all_sum: AllSum = local_sum) -> Tensor:
    """Squared difference of two features, in deviations of the teacher's channels.

    L = mean_ic ((f_S,ic - f_T,ic) / s_c)^2, s_c the deviation of the teacher's channel over the batch's valid pixels

    Shape:
        student, teacher: (B, C, H, W), features.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Returns:
        Scalar, mean over valid pixels and channels; 1 for a student that knows the channels' means alone. No gradient
        reaches the teacher.
    Source:
        Romero et al., ICLR 2015 (FitNets); the normalisation [ours].
    """
    check_same("feature_l2", student, teacher)
    teacher = teacher.detach()
    counted = torch.ones_like(teacher[:, :1], dtype=torch.bool) if valid is None else valid > 0
    number = counted.sum().expand(teacher.shape[1])
    mean = mean_over(keep(teacher, counted).sum((0, 2, 3)), number, all_sum).view(1, -1, 1, 1)
    squares = keep(teacher - mean, counted).square().sum((0, 2, 3))
    deviation = (mean_over(squares, number, all_sum).view(1, -1, 1, 1) + 1e-6).sqrt()
    return masked_mean((keep(student - teacher, counted) / deviation).square(), counted, all_sum)


@full_precision
def feature_cosine(
    student: Tensor, teacher: Tensor, valid: Tensor | None = None, all_sum: AllSum = local_sum
) -> Tensor:
    """One minus the cosine of the two features of each pixel; half the squared distance of unit vectors.

    L = mean_i (1 - cos(f_S,i, f_T,i)): between 0 and 2

    Shape:
        student, teacher: (B, C, H, W), features.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Returns:
        Scalar, mean over valid pixels. No gradient reaches the teacher.
    """
    check_same("feature_cosine", student, teacher)
    if valid is not None:
        student, teacher = keep(student, valid), keep(teacher, valid)
    cosine = (unit(student, 1) * unit(teacher.detach(), 1)).sum(1, keepdim=True)
    return masked_mean(1 - cosine, valid, all_sum)
