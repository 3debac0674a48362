"""One target from several teachers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from temporalkd.losses.reduce import full_precision


@full_precision
def branch_weights(probs: Sequence[Tensor], temperature: float = 0.1, errors: Sequence[float] | None = None) -> Tensor:
    """How much each branch counts at every pixel: more where it is certain, less the more it errs on the whole.

    w_ib = softmax_b(-(H(p_ib) + e_b) / temperature), H(p) = -sum_c p_c log p_c

    Shape:
        probs: one tensor (B, C, H, W) of probabilities a branch.
    Args:
        temperature: in nats; towards 0 the branch of the least H + e decides alone.
        errors: e_b, a cross-entropy of each branch with labels, in nats: a branch that is certain and wrong is not
            heard. None: 0 each.
    Returns:
        (branches, B, 1, H, W), without gradient; they add up to 1 over the branches.
    Raises:
        ValueError: the branches' shapes differ, the temperature is not positive, or there are not as many errors.
    Source:
        Wang et al., 2022 (STCKD): a CNN and a transformer branch used jointly [text]; the weights [ours].
    """
    shapes = [tuple(p.shape) for p in probs]
    if len(set(shapes)) != 1 or len(shapes[0]) != 4:
        raise ValueError(f"branch_weights: all branches must have one shape (B, C, H, W), got {shapes}")
    if temperature <= 0:
        raise ValueError(f"branch_weights: temperature is {temperature}, expected a positive number")
    if errors is not None and len(errors) != len(shapes):
        raise ValueError(f"branch_weights: {len(errors)} errors for {len(shapes)} branches")
    cost = torch.special.entr(torch.stack([p.detach() for p in probs])).sum(2, keepdim=True)
    if errors is not None:
        cost = cost + cost.new_tensor(errors).view(-1, 1, 1, 1, 1)
    return (-cost / temperature).softmax(0)


@full_precision
def fused_target(probs: Sequence[Tensor], weights: Tensor) -> Tensor:
    """One prediction of several branches: q_i = sum_b w_ib p_ib.

    Shape:
        probs: one tensor (B, C, H, W) of probabilities a branch.
        weights: (branches, B, 1, H, W), adding up to 1, see `branch_weights`.
    Returns:
        (B, C, H, W), probabilities without gradient.
    Source:
        Wang et al., 2022 (STCKD): a CNN and a transformer branch used jointly [text]; a weighted mean [ours].
    """
    return (weights * torch.stack([p.detach() for p in probs])).sum(0)
