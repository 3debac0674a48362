"""Distillation with the target class and the other classes apart.

The KL divergence of a labelled pixel is, with y its class and hats for the distribution over the other classes alone,

    KL(p_T || p_S) = TCKD + (1 - p_T,y) NCKD,   TCKD = KL([p_T,y, 1 - p_T,y] || [p_S,y, 1 - p_S,y]),
                                                NCKD = KL(p^_T || p^_S);

a teacher that is sure takes the weight from NCKD, its "dark knowledge": decoupled, both have weights of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses.reduce import AllSum, check_same, full_precision, local_sum, masked_mean
from temporalkd.losses.supervised import IGNORE, labels_for


class DecoupledMaps(NamedTuple):
    """The two parts at every pixel, (B, H, W), and where there is a label, bool (B, H, W); the rest has no meaning."""

    tckd: Tensor
    nckd: Tensor
    labelled: Tensor


@full_precision
def decoupled_maps(
    student: Tensor, teacher: Tensor, labels: Tensor, tau: float = 1.0, ignore: int = IGNORE
) -> DecoupledMaps:
    """TCKD and NCKD of every pixel, times tau^2.

    Right at any gap between logits: 1 - p_y, which underflows in float32 once the target leads by 17, is never formed.
    With g = z_y - logsumexp_{c != y} z_c, log p_y = logsigmoid(g) and log(1 - p_y) = logsigmoid(-g).

    Shape:
        student, teacher: (B, C, H, W), logits, C >= 2.
        labels: (B, H', W'), int64; another size is brought to the logits' by nearest neighbour.
    """
    check_same("dkd", student, teacher)
    if student.shape[1] < 2:
        raise ValueError(f"dkd: needs two classes or more, got logits of shape {tuple(student.shape)}")
    labels = labels_for("dkd", student, labels)
    labelled = labels != ignore
    target = labels.masked_fill(~labelled, 0)[:, None]
    # A pixel that does not count is filled before the arithmetic, so that no value there can reach the gradient.
    student, teacher = (z.masked_fill(~labelled[:, None], 0) / tau for z in (student, teacher.detach()))
    (g_s, others_s), (g_t, others_t) = (_split(z, target) for z in (student, teacher))
    tckd = F.logsigmoid(g_t).exp() * (F.logsigmoid(g_t) - F.logsigmoid(g_s))
    tckd = tckd + F.logsigmoid(-g_t).exp() * (F.logsigmoid(-g_t) - F.logsigmoid(-g_s))
    nckd = (others_t.exp() * (others_t - others_s)).sum(1)
    return DecoupledMaps(tau**2 * tckd, tau**2 * nckd, labelled)


def _split(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The log-odds of the target, (B, H, W), and the log-probabilities among the others, (B, C, H, W)."""
    is_target = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, target, True)
    # Finite, so that at the target itself the logarithms of student and teacher cancel instead of giving inf - inf.
    others = logits.masked_fill(is_target, torch.finfo(logits.dtype).min)
    return logits.gather(1, target)[:, 0] - others.logsumexp(1), others.log_softmax(1)


@full_precision
def dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    beta: float = 1.0,
    tau: float = 1.0,
    ignore: int = IGNORE,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Decoupled knowledge distillation, mean over the labelled pixels.

    L = tau^2 mean_i (alpha TCKD_i + beta NCKD_i)

    Shape:
        student, teacher: (B, C, H, W), logits, C >= 2.
        labels: (B, H', W'), int64; another size is brought to the logits' by nearest neighbour.
    Returns:
        Scalar; 0 where no pixel is labelled. No gradient reaches the teacher.
    Source:
        Zhao et al., CVPR 2022 (DKD). [text] Per pixel, and by logsumexp. [ours]
    """
    maps = decoupled_maps(student, teacher, labels, tau, ignore)
    return masked_mean(alpha * maps.tckd + beta * maps.nckd, maps.labelled, all_sum=all_sum)


def tckd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    tau: float = 1.0,
    ignore: int = IGNORE,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """The target part of `dkd` alone: the class of the label against all others."""
    return dkd(student, teacher, labels, 1.0, 0.0, tau, ignore, all_sum=all_sum)


def nckd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    tau: float = 1.0,
    ignore: int = IGNORE,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """The other part of `dkd` alone: the distribution over the classes that are not the label's."""
    return dkd(student, teacher, labels, 0.0, 1.0, tau, ignore, all_sum=all_sum)
