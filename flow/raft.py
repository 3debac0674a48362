"""RAFT as torchvision builds it, frozen, for frames of any size, and where its weights come from."""

from __future__ import annotations

import os
import pickle
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import optical_flow

from .estimator import FlowEstimator, cropped, padding_to

STRIDE = 8
MINIMUM = 128
"""Below this side the last level of the correlation pyramid would be a single cell."""


class Raft(FlowEstimator):
    """Recurrent all-pairs field transforms.

    Args:
        name: "raft_small" | "raft_large".
        state: the network's state dict, in torchvision's names.
        updates: refinement steps; fewer are faster and coarser.
    Source:
        Teed and Deng, ECCV 2020.
    """

    def __init__(self, name: str, state: dict[str, Tensor], updates: int = 12) -> None:
        super().__init__(name)
        if not isinstance(updates, int) or updates < 1:
            raise ValueError(f"flow {name!r}: updates is {updates!r}, expected a whole number from 1 up")
        self.updates = updates
        self.network = _architecture(name)
        self.network.load_state_dict(state)
        self.freeze({"updates": updates})

    def encode(self, frames: Tensor) -> Encoded:
        return Encoded(self.network, frames)

    def match(self, source: Encoded, target: Encoded) -> Tensor:
        network = self.network
        with _full_precision(source.frames.device):
            network.corr_block.build_pyramid(source.features, target.features)
            hidden, context = source.context
            start = _pixel_grid(source.features)
            end = start
            for _ in range(self.updates):
                correlation = network.corr_block.index_pyramid(centroids_coords=end)
                hidden, delta = network.update_block(hidden, context, correlation, end - start)
                end = end + delta
            network.corr_block.corr_pyramid = []  # tens of megabytes that would outlive the call
            mask = None if network.mask_predictor is None else network.mask_predictor(hidden)
            return cropped(_upsampled(end - start, mask), source.padding)


class Encoded:
    """One batch of frames as RAFT sees it; the context is computed when the frames first act as a source."""

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


def load_weights(kind: str, weights: str | PathLike[str] | None = None) -> dict[str, Tensor]:
    """State dict for a kind of RAFT: found in the data root, read from a path, or downloaded if the word is given.

    Raises:
        FileNotFoundError: nothing there; the message says where it looked and what needs no weights.
        ValueError: the file is damaged or belongs to another network; the message says what does not match.
    """
    if weights == "download":
        enum = {"raft_small": optical_flow.Raft_Small_Weights, "raft_large": optical_flow.Raft_Large_Weights}[kind]
        try:
            return dict(enum.DEFAULT.get_state_dict(progress=False, check_hash=True))
        except OSError as error:
            raise OSError(f"{kind}: torchvision's weights could not be downloaded ({error})") from error
    path = _find(kind) if weights is None else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{kind}: no weights file {path}; the estimator 'dis' needs no weights")
    state = _read(path)
    _check(kind, state, path)
    return state


def _find(kind: str) -> Path:
    root = os.environ.get("TEMPORALKD_DATA")
    folder = Path(root) / "weights" if root else Path("..") / "shared" / "weights"
    for pattern in (f"{kind}_things.safetensors", f"{kind}*.safetensors"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    raise FileNotFoundError(
        f"{kind}: no weights {kind}*.safetensors in {folder.absolute()} (TEMPORALKD_DATA is {root or 'not set'}); "
        "give a path, or 'download' for torchvision's, or use the estimator 'dis', which needs none"
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            state = load_file(path)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable weights file: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} does not hold a state dict (names to tensors)")
    return state


def _check(kind: str, state: dict[str, Tensor], path: Path) -> None:
    expected = _architecture(kind).state_dict()
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in expected]
    reshaped = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} tensors are missing ({missing[0]}, ...)")
    if surplus:
        faults.append(f"{len(surplus)} are not its own ({surplus[0]}, ...)")
    if reshaped:
        key = reshaped[0]
        faults.append(f"{key} is {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}")
    if faults:
        raise ValueError(f"{path} does not fit {kind} in torchvision's names: {'; '.join(faults)}")


def _architecture(kind: str) -> Any:
    return {"raft_small": optical_flow.raft_small, "raft_large": optical_flow.raft_large}[kind](weights=None)


def _full_precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)


def _pixel_grid(features: Tensor) -> Tensor:
    batch, _, height, width = features.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=features.device, dtype=features.dtype),
        torch.arange(width, device=features.device, dtype=features.dtype),
        indexing="ij",
    )
    return torch.stack((x, y)).expand(batch, -1, -1, -1)


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
