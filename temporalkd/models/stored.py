"""A teacher whose predictions are stored: what is computed of a frame, and what stands in its place afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from temporalkd.models.segmenter import Prediction, enlarged, evaluating

if TYPE_CHECKING:
    from temporalkd.models.joint import Teacher

CELLS = 2**18
"""Most stored predictions of a frame: every pixel of 360x480, every second of 720x1280, every fourth of 1024x2048."""


def to_store(network: Teacher) -> Callable[[Tensor], Tensor]:
    """What a store computes of a frame: (N, 3, H, W) in [0, 1] -> probabilities (N, C, h, w) of up to CELLS cells.

    They are read from the logits at frame size, and not at the network's stride: there, what is moved with the frame
    loses thin things. Six views of a CamVid student have 69.2 mIoU, kept at every fourth pixel and read at 0.8 times
    the size 67.6, without a single pole.
    """

    @torch.no_grad()
    def predict(frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        stride = 1
        while height * width > CELLS * stride**2:
            stride *= 2
        with evaluating(network):
            probs = network(frames.to(network.device)).logits.float().softmax(1)
        return enlarged(probs, [-(-height // stride), -(-width // stride)])

    return predict


class StoredTeacher(nn.Module):
    """Stands for a teacher whose predictions come with the clips: it has classes and logits, and is never run."""

    def __init__(self, network: Teacher):
        super().__init__()
        self.classes: int = network.classes
        self.channels = {"logits": [self.classes]}
        self.device: torch.device = network.device

    def forward(self, frames: Tensor) -> Prediction:
        raise TypeError("a stored teacher is not run: its predictions come with the clips")
