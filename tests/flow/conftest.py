"""Textures on which motion is known exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from flow import FlowEstimator


def texture(height: int, width: int, dx: float = 0.0, dy: float = 0.0) -> Tensor:
    """A smooth, many-coloured pattern (1, 3, H, W) in [0, 1], its content moved by (dx, dy)."""
    y = torch.arange(height, dtype=torch.float64).view(-1, 1) - dy
    x = torch.arange(width, dtype=torch.float64).view(1, -1) - dx
    waves = (
        torch.sin(x / 6.1) * torch.cos(y / 7.3),
        torch.sin((x + 2 * y) / 11.7) * torch.cos(x / 17.0),
        torch.cos((2 * x - y) / 13.3) * torch.sin(y / 5.9),
    )
    mixed = torch.stack([sum(math.cos(k + c) * w for k, w in enumerate(waves)) for c in range(3)])
    return (0.5 + mixed / 6).float()[None]


class Recorder(FlowEstimator):
    """Flow that can be recomputed by hand (dx = mean(target) - mean(source), dy = 0.5), and a count of the work."""

    def __init__(self, name: str = "recorder") -> None:
        super().__init__(name)
        self.freeze({})
        self.encoded = 0
        self.matched = 0

    def encode(self, frames: Tensor) -> Tensor:
        self.encoded += 1
        return frames

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        self.matched += 1
        dx = (target - source).mean((1, 2, 3)).view(-1, 1, 1, 1).expand(-1, 1, *source.shape[2:])
        return torch.cat((dx, torch.full_like(dx, 0.5)), 1)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
