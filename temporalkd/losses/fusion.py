"""One target from several teachers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from temporalkd.losses.reduce import full_precision


@full_precision
def fused_target(probs: Sequence[Tensor], temperature: float = 0.5, plain: bool = False) -> Tensor:
    """Mean of the branches' predictions, each weighted at every pixel by how certain it is there.

    q_i = sum_b w_ib p_ib, w_ib = softmax_b(-H(p_ib) / temperature), H(p) = -sum_c p_c log p_c

    Shape:
        probs: one tensor (B, C, H, W) of probabilities a branch.
    Args:
        temperature: of the weights, in nats of entropy; towards 0 the most certain branch decides alone.
        plain: the plain mean, w_ib = 1 / branches.
    Returns:
        (B, C, H, W), probabilities without gradient.
    Raises:
        ValueError: the branches' shapes differ, or the temperature is not positive.
    Source:
        Wang et al., 2022 (STCKD): a CNN and a transformer branch used jointly [text]; the weights [ours].
    """
    shapes = [tuple(p.shape) for p in probs]
    if len(set(shapes)) != 1 or len(shapes[0]) != 4:
        raise ValueError(f"fused_target: all branches must have one shape (B, C, H, W), got {shapes}")
    if temperature <= 0:
        raise ValueError(f"fused_target: temperature is {temperature}, expected a positive number")
    branches = torch.stack([p.detach() for p in probs])
    if plain:
        return branches.mean(0)
    entropy = torch.special.entr(branches).sum(2, keepdim=True)
    return ((-entropy / temperature).softmax(0) * branches).sum(0)
