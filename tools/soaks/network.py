"""The network that soaks train: small as can be, with dropout and BatchNorm, whose states must survive too."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

ROLES: dict[str, Any] = {"native": "classifier", "head": "<classifier", "fused": "body", "low": ["body.0", "body.3"]}


class Small(nn.Module):
    """Two convolutions at stride 4."""

    def __init__(self, classes: int, width: int = 8, dropout: float = 0.3):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout2d(dropout),
        )  # fmt: skip
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, H, W)."""
        return F.interpolate(self.classifier(self.body(x)), scale_factor=4.0, mode="bilinear", align_corners=False)


def model(**arguments: Any) -> dict[str, Any]:
    """A config's section."""
    normalisation = {"divisor": 8}
    return {
        "architecture": "soaks.network:Small", "arguments": arguments, "roles": ROLES, "normalisation": normalisation,
    }  # fmt: skip
