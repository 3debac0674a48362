"""Maps small enough to work numbers out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

NAN = float("nan")
VOID = 255


def rows(*values: int, height: int = 4) -> Tensor:
    return torch.tensor(values, dtype=torch.uint8).repeat(height, 1)


def full(value: int, size: int = 4) -> Tensor:
    return torch.full((size, size), value, dtype=torch.uint8)


def put(map: Tensor, y: int, x: int, value: int) -> Tensor:
    out = map.clone()
    out[y, x] = value
    return out


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-12, nan_ok=True)
