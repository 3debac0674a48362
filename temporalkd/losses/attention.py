"""Distillation of where in the frame a feature has its energy."""

from __future__ import annotations

from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, masked_mean, unit


@full_precision
def attention(student: Tensor, teacher: Tensor, valid: Tensor | None = None, all_sum: AllSum = local_sum) -> Tensor:
    """Squared distance of the student's and the teacher's attention maps.

    L = mean_b ||Q(f_S) - Q(f_T)||^2, Q(f) = v / ||v||, v_i = mean_c f_ic^2: between 0 and 2 whatever the size

    Shape:
        student: (B, C_S, H, W); teacher: (B, C_T, H, W), features.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Returns:
        Scalar, mean over the frames that have a valid pixel. No gradient reaches the teacher.
    Source:
        Zagoruyko and Komodakis, ICLR 2017 (AT). [text] Summed over pixels, so that a stride does not change its
        weight. The public code averages over them: its weight times the number of pixels is ours. [ours]
    """
    check_same("attention", student, teacher, channels=False)
    distance = (_energy(student, valid) - _energy(teacher.detach(), valid)).square().sum(1)
    return masked_mean(distance, None if valid is None else valid.flatten(1).any(1), all_sum=all_sum)


def _energy(features: Tensor, valid: Tensor | None) -> Tensor:
    if valid is not None:
        features = features.masked_fill(~valid, 0)
    return unit(features.square().mean(1).flatten(1), dim=1)
