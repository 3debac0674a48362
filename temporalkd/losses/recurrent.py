"""Dependency over several frames, read by a recurrent memory that is fitted on the teacher and then frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flow.ordered import resized
from temporalkd.losses.reduce import full_precision


class ConvLSTM(nn.Module):
    """A convolutional LSTM cell. Source: Shi et al., NeurIPS 2015 (without peepholes)."""

    def __init__(self, channels: int, hidden: int, kernel: int = 3):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) and (hidden, cell), each (B, hidden, H, W) -> the next (hidden, cell)."""
        if state is None:
            zeros = x.new_zeros(x.shape[0], self.hidden, *x.shape[2:])
            state = (zeros, zeros)
        hidden, cell = state
        i, f, o, g = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell


class AffinityMemory(nn.Module):
    """Reads the self-affinity maps of consecutive frames; its final state sums up how they depend on each other.

    Fitted on the teacher's own sequences to predict the next map, then frozen: trained together with the student its
    gates saturate and every input gives the same state.
    """

    def __init__(self, grid: tuple[int, int] = (8, 10), hidden: int = 8):
        super().__init__()
        self.grid = grid
        self.cell = ConvLSTM(1, hidden)
        self.next_map = nn.Conv2d(hidden, 1, 1)
        self.requires_grad_(False)

    def read(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, N, N), cosine self-affinity of the feature pooled to the grid, N = its cells."""
        unit = F.normalize(resized(features, self.grid, F.adaptive_avg_pool2d), dim=1).flatten(2)
        return (unit.mT @ unit).unsqueeze(1)

    def forward(self, frames: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features of consecutive frames, each (B, C, H, W) -> the final (hidden, cell), each (B, hidden, N, N)."""
        state = None
        for features in frames:
            state = self.cell(self.read(features), state)
        if state is None:
            raise ValueError("AffinityMemory: no frames")
        return state

    @torch.enable_grad()
    def fit(self, sequences: Iterable[Sequence[Tensor]], passes: int = 40, lr: float = 1e-2) -> float:
        """Learn to predict the next map of the teacher's sequences, then freeze.

        Returns:
            Mean squared error of the prediction in the last pass.
        """
        with torch.no_grad():
            maps = [[self.read(f) for f in frames] for frames in sequences]
        self.requires_grad_(True)
        optimiser = torch.optim.Adam(self.parameters(), lr)
        error = 0.0
        for _ in range(passes):
            error = 0.0
            for frames in maps:
                state, loss = None, torch.zeros((), device=frames[0].device)
                for current, following in pairwise(frames):
                    state = self.cell(current, state)
                    loss = loss + F.mse_loss(self.next_map(state[0]), following)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                error += loss.item() / max(len(frames) - 1, 1) / len(maps)
        self.requires_grad_(False)
        return error


@full_precision
def recurrent_dependency(student: Sequence[Tensor], teacher: Sequence[Tensor], memory: AffinityMemory) -> Tensor:
    """Multi-frame dependency: distance between the memory's final states after the student's and the teacher's frames.

    L = mean (h_S - h_T)^2 + mean (c_S - c_T)^2

    Shape:
        student, teacher: as many tensors (B, C, H, W) as frames, in temporal order; channels and sizes may differ.
    Raises:
        ValueError: unequal numbers of frames.
    Source:
        Liu et al., ECCV 2020 (MF); the memory fitted on the teacher and frozen is ours.
    """
    if len(student) != len(teacher):
        raise ValueError(f"recurrent_dependency: {len(student)} student frames, {len(teacher)} teacher frames")
    (hidden_s, cell_s), (hidden_t, cell_t) = memory(student), memory([features.detach() for features in teacher])
    return F.mse_loss(hidden_s, hidden_t) + F.mse_loss(cell_s, cell_t)
