"""The moving average of a student's weights: steadier than the student, evaluated and exported, or its teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from temporalkd.models import Segmenter, freeze

DECAY = 0.999
"""Where a term reads the average and no decay is given."""


class MovingAverage(nn.Module):
    """A frozen copy of a student that follows its weights: a <- d a + (1 - d) w after each step of the optimiser.

    d = min(decay, (1 + n) / (10 + n)) after n updates, so that the average forgets the untrained weights soon. Buffers,
    BatchNorm's statistics among them, are copied.

    Args:
        decay: 0 <= decay < 1; 0.999 averages over about the last thousand steps.
    Raises:
        ValueError: another decay.
    Source:
        Tarvainen, Valpola, NeurIPS 2017 (mean teacher); the warm-up as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, student: Segmenter, decay: float = DECAY):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay of the weights' moving average: {decay}, expected at least 0 and less than 1")
        self.student: Segmenter = freeze(student.clone())  # type: ignore[assignment]
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    updates: Tensor

    def train(self, mode: bool = True) -> MovingAverage:
        """It is never trained, and stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, student: Segmenter) -> None:
        """Follow the student, after a step of its optimiser."""
        done = int(self.updates)
        decay = min(self.decay, (1 + done) / (10 + done))
        own, given = self.student.network, student.network
        torch._foreach_lerp_(list(own.parameters()), [p.detach() for p in given.parameters()], 1 - decay)
        for buffer, new in zip(own.buffers(), given.buffers()):
            buffer.copy_(new)
        self.updates += 1
