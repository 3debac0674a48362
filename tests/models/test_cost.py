"""What a network costs, against a count by hand."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from temporalkd.models import Normalisation, Segmenter, cost
from tests import tiny
from tests.cli_support import TinyNetwork


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["temporalkd.models.cost"], "_SECONDS", 0.01)


def made(classes: int = 5, divisor: int = 4) -> Segmenter:
    return Segmenter(TinyNetwork(classes, 8), classes, {"native": "head"}, Normalisation(divisor=divisor))


@pytest.mark.parametrize("size", [(64, 80), (53, 61), (1, 1)])
def test_parameters_and_multiplications_by_hand(size: tuple[int, int]) -> None:
    found = cost(made(), size)
    assert found.parameters == 5 * 5 * 3 * 8 + 8 + 1 * 1 * 8 * 5 + 5
    height, width = (-(-side // 4) for side in size)  # padded to a multiple of 4, then at stride 4
    assert found.gmacs == pytest.approx((5 * 5 * 3 * 8 + 8 * 5) * height * width / 1e9, rel=1e-12)
    assert found.fps > 0


def test_matrix_products_and_groups_count() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False)
            self.point = nn.Linear(6, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.point(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Named(nn.Sequential):
        """So that there is a module whose output are the logits."""

    network = Named(Mixed())
    found = cost(Segmenter(network, 4, {"native": "0"}, Normalisation(divisor=1)), (10, 12))
    assert found.parameters == 3 * 3 * 6 + 6 * 4
    assert found.gmacs == pytest.approx((3 * 3 * 6 + 6 * 4) * 10 * 12 / 1e9, rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(training: bool) -> None:
    segmenter = tiny.segmenter(dropout=0.5).train(training)
    segmenter.network.body.append(nn.BatchNorm2d(8))  # type: ignore[union-attr, operator]
    before = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}
    modes = [module.training for module in segmenter.modules()]
    cost(segmenter, (48, 64))
    assert [module.training for module in segmenter.modules()] == modes and modes[0] is training
    assert all(torch.equal(before[name], tensor) for name, tensor in segmenter.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in segmenter.parameters())
    loss = segmenter(torch.rand(1, 3, 48, 64)).logits.sum()
    loss.backward()  # no inference tensor is left behind in the network
