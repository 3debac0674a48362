"""Losses on the predictions of two frames, along the motion between them."""

from __future__ import annotations

from torch import Tensor

from flow import warp
from temporalkd.losses.reduce import check_same, full_precision, masked_mean


@full_precision
def motion_consistency(
    probs: Tensor, neighbour_probs: Tensor, flow: Tensor, visible: Tensor, weight: Tensor | None = None
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
    error = (probs - warp(neighbour_probs, flow)).square().sum(1, keepdim=True)
    return masked_mean(error, visible if weight is None else visible * weight)
