"""Optical flow over a video, both ways, against calling torchvision's model twice for every pair."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import optical_flow

from benchmarks.result import Result, rates
from flow import build
from flow.raft import Raft
from flow.weights import load_weights
from temporalkd.data.image_folder import open_frames
from temporalkd.data.street import Street
from temporalkd.paths import find

COUNT = 9
SIZE = (360, 480)
UPDATES = 12
MOST = 0.05
"""Mean end-point difference, in pixels, that a faster way may have."""

WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "float32, tolerance 0.02 px": {"tolerance": 0.02},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, tolerance 0.02 px": {"precision": "bfloat16", "tolerance": 0.02},
}
"""Settings of the estimator, by what the table calls them."""


def flow(repeats: int = 3) -> Iterator[Result]:
    """Frame pairs a second, both directions of each, 360x480 and 12 updates of RAFT-small."""
    network = reference_network()
    for name, frames in footage().items():
        expected = torchvision_twice(network, frames)
        for way, settings in WAYS.items():
            estimator = build("raft_small", updates=UPDATES, **settings)
            assert isinstance(estimator, Raft)
            agreement = _agreement(estimator, frames, expected, exact=not settings)
            fallen = "" if estimator.used_precision == estimator.precision else ", which this machine has not"
            fast, slow = rates(
                lambda e=estimator, f=frames: list(e.video(f)),  # type: ignore[misc]
                lambda f=frames: torchvision_twice(network, f),  # type: ignore[misc]
                len(frames) - 1,
                repeats,
            )
            yield Result(
                what=f"flow over {name}, both ways, {way}{fallen}",
                unit="pairs/s",
                ours=fast,
                reference=slow,
                ratio=fast / slow,
                agreement=agreement,
            )


def footage() -> dict[str, list[Tensor]]:
    """Frames (1, 3, 360, 480) of what there is: consecutive ones of a driving video and stills a second apart."""
    found = {}
    for name, path in (("a driving video", "video/solid_white_right.mp4"), ("CamVid's stills", "camvid/val")):
        try:
            source = open_frames(find(path, "data"))
        except FileNotFoundError:
            continue
        found[name] = [_fitted(source.frame(t)) for t in range(COUNT)]
    return found or {"a synthetic street": [_fitted(f) for f in Street(seed=0, length=COUNT, size=SIZE).frames()]}


def reference_network() -> torch.nn.Module:
    """torchvision's model, frozen."""
    network = optical_flow.raft_small(weights=None)
    network.load_state_dict(load_weights("raft_small"))
    return network.eval()


@torch.no_grad()
def torchvision_twice(network: torch.nn.Module, frames: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The plain way: every pair is two calls of the model, in float32."""
    scaled = [frame * 2 - 1 for frame in frames]
    return [
        (network(a, b, num_flow_updates=UPDATES)[-1], network(b, a, num_flow_updates=UPDATES)[-1])
        for a, b in pairwise(scaled)
    ]


def _agreement(estimator: Raft, frames: list[Tensor], expected: list[tuple[Tensor, Tensor]], exact: bool) -> str:
    fields = [field for pair in estimator.video(frames) for field in pair]
    gaps = torch.stack([(f - e).norm(dim=1) for f, e in zip(fields, (e for pair in expected for e in pair))])
    mean, largest = gaps.mean().item(), gaps.max().item()
    if mean > (MOST / 50 if exact else MOST):
        raise AssertionError(f"mean end-point difference {mean:.3f} px")
    return f"end-point difference mean {mean:.4f}, largest {largest:.2f} px; {estimator.average_updates:.1f} updates"


def _fitted(frame: Tensor) -> Tensor:
    scaled = frame[None].float() / 255
    if scaled.shape[2:] == SIZE:
        return scaled
    return F.interpolate(scaled, SIZE, mode="area")
