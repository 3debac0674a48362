"""RAFT as torchvision builds it, frozen, for frames of any size."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .correlation import Correlation, pyramid
from .estimator import FlowEstimator, cropped, did_you_mean, padding_to, register
from .refinement import Refinement
from .weights import architecture, load_weights

STRIDE = 8
MINIMUM = 128
"""Below this side the last level of the correlation pyramid would be a single cell."""

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Of the convolutions that every update repeats; all else is float32."""


class Raft(FlowEstimator):
    """Recurrent all-pairs field transforms.

    Args:
        name: "raft_small" | "raft_large".
        state: the network's state dict, in torchvision's names.
        updates: refinement steps; fewer are faster and coarser.
        precision: "float32" | "bfloat16"; where the device only emulates the latter it is float32, with a warning.
        tolerance: pixels; a field is done once an update moves it by less on average. 0: after all updates.
    Attributes:
        used_precision: what the fingerprint says, too.
        average_updates: refinement steps that a field took so far, on average.
    Source:
        Teed and Deng, ECCV 2020.
    """

    def __init__(
        self,
        name: str,
        state: dict[str, Tensor],
        updates: int = 12,
        precision: str = "float32",
        tolerance: float = 0.0,
    ) -> None:
        super().__init__(name)
        if not isinstance(updates, int) or updates < 1:
            raise ValueError(f"flow {name!r}: updates is {updates!r}, expected a whole number from 1 up")
        if precision not in PRECISIONS:
            close = did_you_mean(str(precision), PRECISIONS)
            raise ValueError(f"flow {name!r}: precision is {precision!r}{close}, expected one of {tuple(PRECISIONS)}")
        if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < math.inf:
            raise ValueError(f"flow {name!r}: tolerance is {tolerance!r}, expected pixels from 0 up")
        self.updates, self.precision, self.tolerance = updates, precision, float(tolerance)
        self._fields, self._steps, self._warned = 0, 0, False
        self.network = architecture(name)
        self.network.load_state_dict(state)
        self._settle()

    @property
    def average_updates(self) -> float:
        return self._steps / max(self._fields, 1)

    def encode(self, frames: Tensor) -> Encoded:
        if self.used_precision != self.precision and not self._warned:
            self._warned = True
            told = f"flow {self.name!r}: {frames.device} has no native {self.precision}, {self.used_precision} is used"
            warnings.warn(told, stacklevel=2)
        return Encoded(self.network, frames.to(next(self.network.parameters()).device))

    def match(self, source: Encoded, target: Encoded) -> Tensor:
        return self._refined([source], [target])

    def both(self, source: Encoded, target: Encoded) -> tuple[Tensor, Tensor]:
        there, back = self._refined([source, target], [target, source]).chunk(2)
        return there, back

    def _refined(self, sources: Sequence[Encoded], targets: Sequence[Encoded]) -> Tensor:
        """Flow from each source to its target, one batch below the other."""
        device = sources[0].frames.device
        with _full_precision(device):
            levels = [torch.cat(level) for level in zip(*(target.pyramid for target in targets))]
            of_sources = [torch.cat(part) for part in zip(*((source.features, *source.context) for source in sources))]
            # A CPU is as fast on one field at a time, needs less memory, and then rounds each as if it were alone.
            together = 1 if device.type == "cpu" else len(levels[0])
            batches = zip(*(tensor.split(together) for tensor in (*of_sources, *levels)))
            flow, hidden = (torch.cat(part) for part in zip(*(self._updated(*batch) for batch in batches)))
            predictor = self.network.mask_predictor
            mask = None if predictor is None else predictor(hidden)
            return cropped(_upsampled(flow, mask), sources[0].padding)

    def _updated(self, features: Tensor, hidden: Tensor, context: Tensor, *levels: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse flow and hidden state at the end; no field of the batch sees another, or waits for it."""
        correlation = Correlation(features, levels, self.network.corr_block.radius)
        state, grid = self.refinement.begin(hidden, context, correlation), _pixel_grid(features)
        flow, hidden = torch.empty_like(state.flow), torch.empty_like(state.hidden)
        going = torch.arange(len(flow), device=flow.device)
        self._fields += len(flow)
        for _ in range(self.updates):
            steps = self.refinement.update(state, grid)
            self._steps += len(steps)
            if self.tolerance:
                moves = (STRIDE * steps).norm(dim=1).mean((1, 2)) >= self.tolerance
                flow[going], hidden[going] = state.flow, state.hidden
                if not moves.any():
                    return flow, hidden
                if not moves.all():
                    state.keep(moves)
                    going = going[moves]
        flow[going], hidden[going] = state.flow, state.hidden
        return flow, hidden

    def _settle(self) -> None:
        """What depends on the device that the weights are on."""
        device = next(self.network.parameters()).device
        self.used_precision = self.precision
        if self.precision == "bfloat16" and not native_bfloat16(device):
            self.used_precision = "float32"
        # A default is not named: what was cached before there was the setting is still found.
        chosen: dict[str, Any] = {"precision": self.used_precision} if self.used_precision != "float32" else {}
        chosen |= {"tolerance": self.tolerance} if self.tolerance else {}
        self.freeze({"updates": self.updates, **chosen})
        self.refinement = Refinement(self.network.update_block, PRECISIONS[self.used_precision])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Raft:
        super()._apply(fn, recurse)
        self._settle()
        return self


class Encoded:
    """One batch of frames as RAFT sees it; what it is as a source, or as a target, is computed when it first is one."""

    def __init__(self, network: Any, frames: Tensor) -> None:
        self.network = network
        self.padding = padding_to(frames.shape[-2:], multiple=STRIDE, minimum=MINIMUM)
        self.frames = F.pad(frames * 2 - 1, self.padding, mode="replicate")
        with _full_precision(frames.device):
            self.features: Tensor = network.feature_encoder(self.frames)

    @cached_property
    def context(self) -> tuple[Tensor, Tensor]:
        """Initial hidden state and context of the recurrent unit."""
        both = self.network.context_encoder(self.frames)
        size = self.network.update_block.hidden_state_size
        return torch.tanh(both[:, :size]), F.relu(both[:, size:])

    @cached_property
    def pyramid(self) -> list[Tensor]:
        """The features at the scales of the correlation."""
        return pyramid(self.features, self.network.corr_block.num_levels)


def native_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are the device's own."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _full_precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)


def _pixel_grid(features: Tensor) -> Tensor:
    """(1, 2, H, W), x and y of every cell."""
    height, width = features.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=features.device, dtype=features.dtype),
        torch.arange(width, device=features.device, dtype=features.dtype),
        indexing="ij",
    )
    return torch.stack((x, y))[None]


def _upsampled(coarse: Tensor, mask: Tensor | None) -> Tensor:
    """From the network's stride to pixels: convex combinations of 3 x 3 neighbours, or bilinear without a mask."""
    fine = coarse * STRIDE
    batch, _, height, width = fine.shape
    if mask is None:
        size = (height * STRIDE, width * STRIDE)
        return F.interpolate(fine, size=size, mode="bilinear", align_corners=True)
    shares = mask.view(batch, 1, 9, STRIDE, STRIDE, height, width).softmax(2)
    neighbours = F.unfold(fine, kernel_size=3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    combined = (shares * neighbours).sum(2)
    return combined.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, height * STRIDE, width * STRIDE)


def _by_name(name: str) -> None:
    @register(name)
    def make(
        weights: str | PathLike[str] | None = None,
        updates: int = 12,
        precision: str = "float32",
        tolerance: float = 0.0,
    ) -> Raft:
        return Raft(name, load_weights(name, weights), updates, precision, tolerance)


_by_name("raft_small")
_by_name("raft_large")
