"""Distillation of the prediction of every pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, masked_mean

SMALLEST_SHARE = 1e-4
"""Of a class in a batch, so that a few pixels do not outweigh all others."""


@full_precision
def pixel_kl(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor | None = None,
    tau: float = 1.0,
    standardise: bool = False,
    balance: float = 0.0,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Kullback-Leibler divergence from the student's to the teacher's class distribution, per pixel.

    L = tau^2 sum_i v_i sum_c p_T,ic log(p_T,ic / p_S,ic) / sum_i v_i, p = softmax(z / tau)
    v_i = sum_c p_T,ic (share_c / max_k share_k)^-balance, share_c = mean_i p_T,ic, at least 1e-4

    Shape:
        student, teacher: (B, C, H, W), logits.
        valid: (B, 1, H, W), the pixels that count (bool) or how much each counts (float); None: all.
    Args:
        tau: temperature.
        standardise: both logits over the classes of each pixel first, z <- (z - mean_c z) / std_c z, so that the
            student imitates the relations of the teacher's logits, not their range.
        balance: 0: all pixels count the same; 1: all classes that the teacher sees in the batch do.
    Returns:
        Scalar, mean over valid pixels, sum over classes. No gradient reaches the teacher.
    Source:
        balance: [ours]; by the root of the frequency, 0.5, as Mahajan et al., ECCV 2018, sample images.
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
    if balance:
        valid = _balanced(probs, divergence.new_ones(()) if valid is None else valid, balance, all_sum)
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


def _balanced(probs: Tensor, valid: Tensor, balance: float, all_sum: AllSum) -> Tensor:
    """(B, 1, H, W), how much each pixel counts: its classes' parts, by how rare they are among those that count."""
    valid = valid.expand_as(probs[:, :1])
    shares = all_sum((probs * valid).sum((0, 2, 3)))
    shares = (shares / shares.sum().clamp(min=1e-12)).clamp(min=SMALLEST_SHARE)
    return valid * torch.einsum("bchw,c->bhw", probs, (shares / shares.max()) ** -balance)[:, None]


def _standardised(logits: Tensor) -> Tensor:
    variance, mean = torch.var_mean(logits, dim=1, keepdim=True, correction=0)
    return (logits - mean) / (variance + 1e-12).sqrt()
