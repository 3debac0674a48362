"""Self-correction of weak labels: a soft target from the student and from a network that saw the weak label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.losses.pixelwise import pixel_kl
from temporalkd.losses.reduce import AllSum, check_mask, check_same, full_precision, keep, local_sum, masked_mean


def alpha_schedule(progress: float, start: float = 30.0, end: float = 5.0) -> float:
    """Weight of the ancillary network in `linear_correction`, falling (or rising) geometrically.

    a = start (end / start)^progress

    Args:
        progress: share of the training that is done, 0..1; beyond, the nearer end.
    Source:
        Ibrahim et al., CVPR 2020: annealed from 30 to 0.5 [text]; geometrically, and to 5, since at 0.5 two thirds of
        the vote are the student's, which is weaker here [ours].
    """
    if start <= 0 or end <= 0:
        raise ValueError(f"alpha_schedule: start is {start} and end is {end}, expected positive numbers")
    return start * (end / start) ** min(max(progress, 0.0), 1.0)


@full_precision
def linear_correction(student: Tensor, ancillary: Tensor, alpha: float) -> Tensor:
    """The distribution nearest to both the student's and the ancillary network's.

    q = softmax((z_S + a z_A) / (1 + a)), which minimises KL(q || p_S) + a KL(q || p_A)

    Shape:
        student, ancillary: (B, C, H, W), logits.
    Args:
        alpha: weight of the ancillary network: at 0 the student's own distribution, at infinity the ancillary one's.
    Returns:
        (B, C, H, W), probabilities.
    Raises:
        ValueError: the shapes differ, or alpha is negative.
    Source:
        Ibrahim et al., CVPR 2020 (linear self-correction) [text].
    """
    check_same("linear_correction", student, ancillary)
    if not alpha >= 0:
        raise ValueError(f"linear_correction: alpha is {alpha}, expected 0 or more")
    own = 1 / (1 + alpha)
    return (own * student + (1 - own) * ancillary).softmax(1)


class ConvCorrector(nn.Module):
    """Corrects by what it has learnt on labelled frames: 3x3 (2C -> hidden), ReLU, 3x3 (-> C).

    Its inputs are detached: training it moves neither of the networks that it reads.

    Source:
        Ibrahim et al., CVPR 2020 (convolutional self-correction) [text]; the detached inputs [ours].
    """

    def __init__(self, classes: int, hidden: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * classes, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, classes, 3, padding=1)
        )

    def forward(self, student: Tensor, ancillary: Tensor) -> Tensor:
        """Logits of the student and of the ancillary network -> corrected logits, all (B, C, H, W)."""
        check_same("ConvCorrector", student, ancillary)
        return self.layers(torch.cat([student.detach(), ancillary.detach()], 1))


@full_precision
def soft_cross_entropy(
    logits: Tensor, target: Tensor, valid: Tensor | None = None, all_sum: AllSum = local_sum
) -> Tensor:
    """Cross-entropy with a soft label.

    L = -mean_i sum_c sg[q_ic] log p_ic

    Shape:
        logits: (B, C, H, W).
        target: (B, C, H, W), probabilities q; no gradient.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Returns:
        Scalar, mean over valid pixels; 0 where none is. Least, at p = q, is the target's entropy.
    Source:
        Ibrahim et al., CVPR 2020: the corrected labels train the student as soft labels [text].
    """
    check_same("soft_cross_entropy", logits, target)
    if valid is not None:
        check_mask("soft_cross_entropy", logits, valid)
        logits, target = keep(logits, valid), keep(target, valid)
    return masked_mean(-(target.detach() * F.log_softmax(logits, 1)).sum(1, keepdim=True), valid, all_sum=all_sum)


@full_precision
def collaboration(
    students: Sequence[Tensor], k: int, valid: Tensor | None = None, all_sum: AllSum = local_sum
) -> Tensor:
    """What student k learns from its fellow students: the mean divergence from their predictions.

    L_k = mean over l != k of mean_i KL(sg[p_l,i] || p_k,i)

    Shape:
        students: one tensor (B, C, H, W) of logits a student.
        valid: (B, 1, H, W), bool, the pixels that count; None: all.
    Args:
        k: which student learns; the others have no gradient.
    Returns:
        Scalar, mean over the other students and valid pixels.
    Raises:
        ValueError: fewer than two students, no student k, or shapes that differ.
    Source:
        Wang, IMCEC 2021: several students learn collaboratively online [text]; the formula is that of Zhang et al.,
        CVPR 2018 (deep mutual learning).
    """
    if len(students) < 2 or not 0 <= k < len(students):
        raise ValueError(f"collaboration: student {k} among {len(students)}, expected two students at least")
    for other in students:
        check_same("collaboration", students[k], other)
    others = [other.detach() for i, other in enumerate(students) if i != k]
    return torch.stack([pixel_kl(students[k], other, valid, all_sum=all_sum) for other in others]).mean()
