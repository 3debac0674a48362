"""Losses on the predictions of two frames, along the motion between them.

A neighbour whose prediction is to be held fixed is passed detached.
"""

from __future__ import annotations

from torch import Tensor

from flow import warp
from temporalkd.losses.reduce import AllSum, check_mask, check_same, full_precision, keep, local_sum, masked_mean

SMALLEST_PROBABILITY = 1e-12
"""Below it a probability is read as this: log stays finite, and its gradient within what a scaled loss can carry."""


@full_precision
def motion_consistency(
    probs: Tensor,
    neighbour_probs: Tensor,
    flow: Tensor,
    visible: Tensor,
    weight: Tensor | None = None,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Squared disagreement between a frame's prediction and its neighbour's, along the motion.

    L = sum_i V_i ||p_i - W(q)_i||^2 / sum_i V_i, with W(q) the neighbour warped onto this frame.

    Shape:
        probs, neighbour_probs: (B, C, H, W), softmax probabilities.
        flow: (B, 2, H, W), this frame -> neighbour, pixels.
        visible: (B, 1, H, W), bool.
        weight: (B, 1, H, W) in [0, 1], e.g. flow.photometric_weight: V_i becomes V_i w_i; None: one.
    Returns:
        Scalar; 0 where nothing is visible.
    Source:
        Liu et al., ECCV 2020 (motion-guided temporal loss), on probabilities and normalised by the mask.
    """
    check_same("motion_consistency", probs, neighbour_probs)
    check_mask("motion_consistency", probs, visible)
    error = keep(probs - warp(neighbour_probs, flow), visible).square().sum(1, keepdim=True)
    return masked_mean(error, visible if weight is None else visible * weight, all_sum=all_sum)


@full_precision
def teacher_residual(
    student: Tensor,
    student_k: Tensor,
    teacher: Tensor,
    teacher_k: Tensor,
    flow: Tensor,
    visible: Tensor,
    all_sum: AllSum = local_sum,
) -> Tensor:
    """Distance between the student's and the teacher's change of prediction from a frame to its neighbour.

    L = sum_i V_i ||R_S,i - sg[R_T,i]||^2 / sum_i V_i, R = p_t - W(p_k)

    The warp is linear, so that R_S - R_T is the residual of p_S - p_T: one warp, not two.

    Shape:
        student, student_k: (B, C, H, W), the student's probabilities of frame t and of its neighbour k.
        teacher, teacher_k: (B, C, H, W), the teacher's; no gradient.
        flow: (B, 2, H, W), frame t -> k, pixels.
        visible: (B, 1, H, W), bool.
    Returns:
        Scalar; 0 where nothing is visible.
    Source:
        Wang et al., 2022 (STCKD): the inter-frame relation from flow and segmentation as temporal constraint [text];
        the formula [ours]. It teaches the teacher's flicker too: pair it with `flow_averaged_teacher`.
    """
    for other in (student_k, teacher, teacher_k):
        check_same("teacher_residual", student, other)
    return motion_consistency(
        student - teacher.detach(), student_k - teacher_k.detach(), flow, visible, all_sum=all_sum
    )


@full_precision
def flow_averaged_teacher(teacher: Tensor, teacher_k: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """A target without flicker: the teacher's prediction, averaged with its neighbour's where that is visible.

    q_i = (p_T,t,i + V_i W(p_T,k)_i) / (1 + V_i)

    Shape:
        teacher, teacher_k: (B, C, H, W), the teacher's probabilities of frame t and of its neighbour k.
        flow: (B, 2, H, W), frame t -> k, pixels.
        visible: (B, 1, H, W), bool.
    Returns:
        (B, C, H, W), probabilities without gradient; the teacher's own where the neighbour is not visible.
    Source:
        KD-SSP (CVPR 2025) distils from a teacher averaged along the motion [text]; the formula [ours].
    """
    check_same("flow_averaged_teacher", teacher, teacher_k)
    check_mask("flow_averaged_teacher", teacher, visible)
    teacher, teacher_k = teacher.detach(), teacher_k.detach()
    return (teacher + keep(warp(teacher_k, flow), visible)) / (1 + visible.to(teacher.dtype))


@full_precision
def disagreement(probs: Tensor, probs_k: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """How far a network's prediction is from its neighbour's along the motion, pixel by pixel.

    d_i = V_i / 2 sum_c |p_ic - W(p_k)_ic|

    Shape:
        probs, probs_k: (B, C, H, W), probabilities of frame t and of its neighbour k; no gradient.
        flow: (B, 2, H, W), frame t -> k, pixels.
        visible: (B, 1, H, W), bool.
    Returns:
        (B, 1, H, W) in [0, 1], total variation; 0 where the neighbour is not visible.
    Source:
        [ours]
    """
    check_same("disagreement", probs, probs_k)
    check_mask("disagreement", probs, visible)
    change = keep(probs.detach() - warp(probs_k.detach(), flow), visible)
    return change.abs().sum(1, keepdim=True) / 2


@full_precision
def semantic_consistency(
    student: Tensor, student_k: Tensor, flow: Tensor, visible: Tensor, all_sum: AllSum = local_sum
) -> Tensor:
    """Divergence between a frame's prediction and its neighbour's at the pixels whose class flips along the motion.

    L = sum_i V_i D_i J(p_i, W(q)_i) / sum_i V_i, D_i = [argmax_c p_ic != argmax_c W(q)_ic],
    J(p, q) = (KL(p || q) + KL(q || p)) / 2 = sum_c (p_c - q_c) log(p_c / q_c) / 2

    Divided by the visible pixels, not by the flipped ones: a single flip has not the gradient of ten thousand.

    Shape:
        student, student_k: (B, C, H, W), the student's probabilities of frame t and of its neighbour k.
        flow: (B, 2, H, W), frame t -> k, pixels.
        visible: (B, 1, H, W), bool.
    Returns:
        Scalar; 0 where nothing is visible, and where no class flips.
    Source:
        Ling et al., CIMS 2023: a loss against inconsistent predictions in adjacent frames [text]; the formula [ours].
    """
    check_same("semantic_consistency", student, student_k)
    check_mask("semantic_consistency", student, visible)
    p, q = keep(student, visible), keep(warp(student_k, flow), visible)
    flips = p.argmax(1, keepdim=True) != q.argmax(1, keepdim=True)
    log_ratio = p.clamp(min=SMALLEST_PROBABILITY).log() - q.clamp(min=SMALLEST_PROBABILITY).log()
    divergence = ((p - q) * log_ratio).sum(1, keepdim=True) / 2
    return masked_mean(keep(divergence, flips), visible, all_sum=all_sum)
