"""A teacher whose predictions are stored: what is computed of a frame, and what stands in its place afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from temporalkd.models.segmenter import Prediction, enlarged

if TYPE_CHECKING:
    from temporalkd.models.joint import Teacher

FINEST = 2
"""Pixels between two stored predictions at least: a network that answers every pixel is stored at half the size."""


def to_store(network: Teacher) -> Callable[[Tensor], Tensor]:
    """What a store computes of a frame: (N, 3, H, W) in [0, 1] -> probabilities (N, C, h, w) at the native stride.

    They are read from the logits at frame size, so that where a cell lies does not depend on how a network enlarges.
    """

    @torch.no_grad()
    def predict(frames: Tensor) -> Tensor:
        said = network(frames.to(network.mean.device))
        strides = (max(FINEST, round(a / b)) for a, b in zip(frames.shape[-2:], said.native.shape[-2:]))
        size = [-(-side // stride) for side, stride in zip(frames.shape[-2:], strides)]
        return enlarged(said.logits.float().softmax(1), size)

    return predict


class StoredTeacher(nn.Module):
    """Stands for a teacher whose predictions come with the clips: it has classes and logits, and is never run."""

    def __init__(self, network: Teacher):
        super().__init__()
        self.classes: int = network.classes
        self.channels = {"logits": [self.classes]}
        self.register_buffer("mean", network.mean.clone(), persistent=False)

    mean: Tensor

    def forward(self, frames: Tensor) -> Prediction:
        raise TypeError("a stored teacher is not run: its predictions come with the clips")
