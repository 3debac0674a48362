"""Distillation of where in the frame each channel fires."""

from __future__ import annotations

import torch
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, keep, local_sum, masked_mean


@full_precision
def channel_kl(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor | None = None,
    tau: float = 4.0,
    standardise: bool = False,
    weight: Tensor | None = None,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Kullback-Leibler divergence from the student's to the teacher's spatial distribution, per channel.

    L = tau^2 / (B C) sum_bc sum_i p_T,bci log(p_T,bci / p_S,bci), p_bc = softmax_i(f_bci / tau) over the valid pixels i

    Shape:
        student, teacher: (B, C, H, W), logits or features.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
        weight: (B, C), how much each channel counts in the mean; None: all alike.
    Args:
        tau: temperature.
        standardise: both divide each channel by its deviation over the valid pixels of the batch first, so that the
            temperature means the same for any network: features of tens make a softmax that is all but one-hot. [ours]
    Returns:
        Scalar, mean over channels and over the frames that have a valid pixel, sum over pixels. No gradient reaches
        the teacher.
    Source:
        Shu et al., ICCV 2021 (CWD). [text] The public code divides by B C too: its weights, 3 on logits and 50 on
        features, are ours. Mask, weights and standardisation. [ours]
    """
    check_same("channel_kl", student, teacher)
    teacher = teacher.detach()
    if standardise:
        student, teacher = (f / _deviation(f, valid) for f in (student, teacher))
    log_student, log_teacher = (_log_softmax_over_space(f / tau, valid) for f in (student, teacher))
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(2)
    counted = None if valid is None else valid.flatten(1).any(1, keepdim=True)
    if weight is not None:
        counted = weight if counted is None else weight * counted
    return tau**2 * masked_mean(divergence, counted, all_sum=all_sum)


def _deviation(features: Tensor, valid: Tensor | None) -> Tensor:
    """(1, C, 1, 1), of each channel over frames and valid pixels; never 0."""
    counted = torch.ones_like(features[:, :1], dtype=torch.bool) if valid is None else valid
    number, over = counted.sum().clamp(min=1), (0, 2, 3)
    mean = keep(features, counted).sum(over, keepdim=True) / number
    return (keep(features - mean, counted).square().sum(over, keepdim=True) / number + 1e-6).sqrt()


def _log_softmax_over_space(features: Tensor, valid: Tensor | None) -> Tensor:
    """(B, C, H W); an invalid pixel has probability 0, and a finite logarithm that cancels."""
    if valid is not None:
        features = features.masked_fill(~valid, torch.finfo(features.dtype).min)
    return features.flatten(2).log_softmax(2)
