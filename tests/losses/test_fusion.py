"""One target from several teachers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from temporalkd.losses import fused_target


def branch(dtype: torch.dtype = torch.float32) -> Tensor:
    return (3 * torch.randn(2, 4, 5, 6, dtype=dtype)).softmax(1)


def test_by_hand() -> None:
    # Entropies 0 and log 2; weights softmax(0, -log 2 / 0.5) = (1, 1/4) / (5/4) = (0.8, 0.2).
    certain, unsure = torch.tensor([[1.0, 0.0], [0.5, 0.5]]).view(2, 1, 2, 1, 1)
    assert fused_target([certain, unsure]).flatten().tolist() == pytest.approx([0.9, 0.1])
    assert fused_target([certain, unsure], plain=True).flatten().tolist() == pytest.approx([0.75, 0.25])
    # A temperature of 1: weights (1, 1/2) / (3/2).
    assert fused_target([certain, unsure], 1.0).flatten().tolist() == pytest.approx([5 / 6, 1 / 6])


@pytest.mark.parametrize("plain", [False, True])
def test_is_a_distribution_and_the_branch_itself_where_all_agree(plain: bool) -> None:
    a, b, c = branch(), branch(), branch()
    fused = fused_target([a, b, c], plain=plain)
    torch.testing.assert_close(fused.sum(1), torch.ones(2, 5, 6))
    assert fused.min() >= 0
    torch.testing.assert_close(fused, fused_target([c, a, b], plain=plain))
    torch.testing.assert_close(fused_target([a, a, a], plain=plain), a)
    torch.testing.assert_close(fused_target([a], plain=plain), a)


def test_each_pixel_is_weighted_by_itself() -> None:
    a, b = branch(), branch()
    before = fused_target([a, b])
    a[..., 0] = 0.25
    after = fused_target([a, b])
    assert torch.equal(before[..., 1:], after[..., 1:]) and not torch.equal(before[..., 0], after[..., 0])


def test_limits_of_the_temperature() -> None:
    a, b = branch(torch.float64), branch(torch.float64)
    a_is_surer = torch.special.entr(a).sum(1, keepdim=True) < torch.special.entr(b).sum(1, keepdim=True)
    torch.testing.assert_close(fused_target([a, b], 1e-6), torch.where(a_is_surer, a, b))
    torch.testing.assert_close(fused_target([a, b], 1e9), fused_target([a, b], plain=True))


def test_certain_branches_give_no_nan_and_no_gradient() -> None:
    certain = torch.zeros(1, 3, 2, 2)
    certain[:, 1] = 1
    fused = fused_target([certain.requires_grad_(), certain.roll(1, 1)])
    assert fused[0, :, 0, 0].tolist() == pytest.approx([0, 0.5, 0.5]) and not fused.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_under_autocast_and_channels_last(dtype: torch.dtype) -> None:
    halves = [branch().to(dtype), branch().to(dtype)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused = fused_target([h.to(memory_format=torch.channels_last) for h in halves])
    assert fused.dtype == torch.float32
    torch.testing.assert_close(fused, fused_target([h.float() for h in halves]))


def test_unequal_branches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 2\), \(1, 3, 2, 4\)"):
        fused_target([torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 4)])
    with pytest.raises(ValueError, match=r"got \[\]"):
        fused_target([])
    with pytest.raises(ValueError, match="temperature is 0"):
        fused_target([branch()], math.floor(0.5))
