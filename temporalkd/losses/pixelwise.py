"""Distillation of the prediction of every pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, masked_mean


@full_precision
def pixel_kl(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor | None = None,
    tau: float = 1.0,
    standardise: bool = False,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Kullback-Leibler divergence from the student's to the teacher's class distribution, per pixel.

    L = tau^2 sum_i v_i sum_c p_T,ic log(p_T,ic / p_S,ic) / sum_i v_i, p = softmax(z / tau)

    Shape:
        student, teacher: (B, C, H, W), logits.
        valid: (B, 1, H, W), the pixels that count (bool) or how much each counts (float); None: all.
    Args:
        tau: temperature.
        standardise: both logits over the classes of each pixel first, z <- (z - mean_c z) / std_c z, so that the
            student imitates the relations of the teacher's logits, not their range.
    Returns:
        Scalar, mean over valid pixels, sum over classes. No gradient reaches the teacher.
    Source:
        Standardised: Sun et al., CVPR 2024 (logit standardization), there with tau = 2 and a weight of 9.
        Hinton et al., 2015; on pixels: Liu et al., CVPR 2019 (SKD). Public code reduces otherwise: a weight of 10 is 80
        here in SKD at batch 8 (a sum over the batch), 10 / 19 in IFVD and CWD on 19 classes (a mean over classes), and
        1 is 1 in CIRKD.
    """
    check_same("pixel_kl", student, teacher)
    if standardise:
        student, teacher = _standardised(student), _standardised(teacher)
    log_student = F.log_softmax(student / tau, dim=1)
    log_teacher = F.log_softmax(teacher.detach() / tau, dim=1)
    probs = log_teacher.exp()
    divergence = (probs * (log_teacher - log_student)).sum(1, keepdim=True)
    return tau**2 * masked_mean(divergence, valid, all_sum=all_sum)


@full_precision
def pixel_kl_to_probs(
    student: Tensor, target: Tensor, valid: Tensor | None = None, tau: float = 1.0, all_sum: AllSum = local_sum
) -> Tensor:
    """`pixel_kl` to a target of probabilities: of several teachers fused, or of a teacher made steady.

    L = tau^2 mean_i sum_c q_ic log(q_ic / p_S,ic), q = sg[target]^(1 / tau) / sum_c sg[target]^(1 / tau)

    The logarithm of a distribution is one of its logits: for target = softmax(z) this is pixel_kl to z at any tau. A
    probability of 0 counts as the smallest normal number.

    Shape:
        student: (B, C, H, W), logits.
        target: (B, C, H, W), probabilities; no gradient.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Args:
        tau: temperature.
    Returns:
        Scalar, mean over valid pixels, sum over classes.
    Source:
        As `pixel_kl`; the target of probabilities [ours].
    """
    check_same("pixel_kl_to_probs", student, target)
    logits = target.clamp(min=torch.finfo(target.dtype).tiny).log()
    return pixel_kl(student, logits, valid, tau, all_sum=all_sum)


def _standardised(logits: Tensor) -> Tensor:
    variance, mean = torch.var_mean(logits, dim=1, keepdim=True, correction=0)
    return (logits - mean) / (variance + 1e-12).sqrt()
