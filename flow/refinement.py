"""RAFT's updates of the flow, with what does not change between them computed once."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import Correlation


@dataclass
class State:
    """Of a batch of fields on their way: flow and hidden state change, the context's shares and the correlation not.

    Shape:
        flow: (B, 2, H, W), in cells. hidden: (B, C, H, W).
    """

    flow: Tensor
    hidden: Tensor
    shares: list[Tensor]
    correlation: Correlation

    def keep(self, entries: Tensor) -> None:
        """Forget the other entries of the batch."""
        self.flow, self.hidden = self.flow[entries], self.hidden[entries]
        self.shares = [share[entries] for share in self.shares]
        self.correlation.keep(entries)


class Unit(NamedTuple):
    """A convolutional GRU, its weights split by what they see: the context, or hidden state and motion."""

    context: Tensor
    bias: Tensor
    gates: Tensor
    candidate: Tensor
    padding: tuple[int, int]

    def share(self, context: Tensor) -> Tensor:
        """What the context adds to both gates and to the candidate, the same at every update."""
        return F.conv2d(_laid_out(context), self.context, self.bias, padding=self.padding)

    def __call__(self, hidden: Tensor, motion: Tensor, share: Tensor) -> Tensor:
        size = hidden.shape[1]
        seen = _laid_out(torch.cat((hidden.to(self.gates.dtype), motion), 1))
        gates = torch.add(share[:, : 2 * size], F.conv2d(seen, self.gates, padding=self.padding)).sigmoid_()
        update, reset = gates.chunk(2, 1)
        seen[:, :size] = reset * hidden
        candidate = torch.add(share[:, 2 * size :], F.conv2d(seen, self.candidate, padding=self.padding)).tanh_()
        return torch.lerp(hidden, candidate, update)


class Refinement:
    """torchvision's update block, up to rounding, in fewer and smaller convolutions.

    A convolution is linear in its channels: the share of the context becomes a term that is computed once, and both
    gates one convolution. Flow, hidden state, sums and correlation stay float32 whatever the dtype.

    Args:
        block: the network's `update_block`; its weights are copied.
        dtype: of the convolutions that every update repeats.
    """

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.motion_encoder, self.flow_head = (
            copy.deepcopy(part).to(dtype=dtype, memory_format=torch.channels_last)
            for part in (block.motion_encoder, block.flow_head)
        )
        recurrent, motion = block.recurrent_block, block.motion_encoder.out_channels
        units = [unit for unit in (recurrent.convgru1, recurrent.convgru2) if isinstance(unit, nn.Module)]
        self.units = [_split(unit, motion, dtype) for unit in units]

    def begin(self, hidden: Tensor, context: Tensor, correlation: Correlation) -> State:
        """Before the first update: no flow yet."""
        still = torch.zeros_like(hidden[:, :2])
        return State(still, _laid_out(hidden), [unit.share(context) for unit in self.units], correlation)

    def update(self, state: State, grid: Tensor) -> Tensor:
        """Move the state on by one update; gives what was added to the flow, (B, 2, H, W)."""
        around = state.correlation.around(grid + state.flow)
        motion = self.motion_encoder(*(_laid_out(seen.to(self.dtype)) for seen in (state.flow, around)))
        for unit, share in zip(self.units, state.shares):
            state.hidden = unit(state.hidden, motion, share)
        step = self.flow_head(_laid_out(state.hidden.to(self.dtype))).float()
        state.flow = state.flow + step
        return step


def _split(unit: Any, motion: int, dtype: torch.dtype) -> Unit:
    convolutions = (unit.convz, unit.convr, unit.convq)
    hidden, weights = unit.convz.out_channels, [convolution.weight.detach() for convolution in convolutions]
    changing = [torch.cat((weight[:, :hidden], weight[:, -motion:]), 1).to(dtype) for weight in weights]
    return Unit(
        context=_laid_out(torch.cat([weight[:, hidden:-motion] for weight in weights])),
        bias=torch.cat([convolution.bias.detach() for convolution in convolutions]),
        gates=_laid_out(torch.cat(changing[:2])),
        candidate=_laid_out(changing[2]),
        padding=unit.convz.padding,
    )


def _laid_out(tensor: Tensor) -> Tensor:
    """Channels last, whatever made it: convolutions on a CPU are faster so, and round in one way only."""
    return tensor.contiguous(memory_format=torch.channels_last)
