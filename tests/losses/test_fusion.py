"""One target from several teachers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import branch_weights, fused_target


def branch(dtype: torch.dtype = torch.float32) -> Tensor:
    return (3 * torch.randn(2, 4, 5, 6, dtype=dtype)).softmax(1)


def fused(*branches: Tensor, temperature: float = 0.5) -> Tensor:
    return fused_target(branches, branch_weights(branches, temperature))


def test_by_hand() -> None:
    # Entropies 0 and log 2; weights softmax(0, -log 2 / 0.5) = (1, 1/4) / (5/4) = (0.8, 0.2).
    certain, unsure = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).view(2, 1, 2, 1, 1)
    assert fused(certain, unsure).flatten().tolist() == pytest.approx([0.9, 0.1])
    # A temperature of 1: weights (1, 1/2) / (3/2).
    assert fused(certain, unsure, temperature=1.0).flatten().tolist() == pytest.approx([5 / 6, 1 / 6])
    # An error of log 2 more makes the certain branch cost as much as the unsure one.
    even = branch_weights([certain, unsure], 0.5, errors=[torch.log(torch.tensor(2.0)).item(), 0.0])
    assert even.flatten().tolist() == pytest.approx([0.5, 0.5])


def test_is_a_distribution_and_the_branch_itself_where_all_agree() -> None:
    a, b, c = branch(), branch(), branch()
    together = fused(a, b, c)
    torch.testing.assert_close(together.sum(1), torch.ones(2, 5, 6))
    assert together.min() >= 0
    torch.testing.assert_close(together, fused(c, a, b))
    torch.testing.assert_close(fused(a, a, a), a)
    torch.testing.assert_close(fused(a), a)


def test_certain_branches_give_no_nan_and_no_gradient() -> None:
    certain = torch.zeros(1, 3, 2, 2)
    certain[:, 1] = 1
    together = fused(certain.requires_grad_(), certain.roll(1, 1))
    assert together[0, :, 0, 0].tolist() == pytest.approx([0, 0.5, 0.5]) and not together.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_under_autocast_and_channels_last(dtype: torch.dtype) -> None:
    halves = [branch().to(dtype), branch().to(dtype)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        together = fused(*[h.to(memory_format=torch.channels_last) for h in halves])
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, fused(*[h.float() for h in halves]))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 2\), \(1, 3, 2, 4\)"):
        branch_weights([torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 4)])
    with pytest.raises(ValueError, match=r"got \[\]"):
        branch_weights([])
    with pytest.raises(ValueError, match="temperature is 0"):
        branch_weights([branch()], 0)
    with pytest.raises(ValueError, match="1 errors for 2 branches"):
        branch_weights([branch(), branch()], errors=[0.5])
