"""Flow estimators by name."""

from __future__ import annotations

from os import PathLike
from typing import Any

from .dis import Dis
from .estimator import FlowEstimator, ZeroFlow, did_you_mean
from .raft import Raft
from .weights import load_weights

SETTINGS: dict[str, tuple[str, ...]] = {
    "raft_small": ("updates", "precision", "tolerance"),
    "raft_large": ("updates", "precision", "tolerance"),
    "dis": ("preset",),
    "zero": (),
}


def build(kind: str, weights: str | PathLike[str] | None = None, **settings: Any) -> FlowEstimator:
    """Build a flow estimator by name.

    Args:
        kind: "raft_small" | "raft_large" | "dis" (OpenCV, needs no weights) | "zero".
        weights: RAFT only. None takes the weights that come with the package for raft_small; for raft_large it looks
            for `raft_large_things.safetensors`, then `raft_large*.safetensors`, in $TEMPORALKD_DATA/weights
            (../shared/weights where that is not set). Or a path (.safetensors, .pth, .pt), or "download" for
            torchvision's own. Nothing is downloaded unless asked for by that word.
        settings: RAFT: `updates` (12): refinement steps; `precision` ("float32"), or "bfloat16"; `tolerance` (0.0): a
            field is done once an update moves it by fewer pixels on average. `preset` (dis, "medium"): "ultrafast" |
            "fast" | "medium".
    Raises:
        ValueError: unknown kind or setting, weights that do not fit.
        FileNotFoundError: no weights; it says where they were looked for.
    """
    if kind not in SETTINGS:
        raise ValueError(f"unknown flow estimator {kind!r}{did_you_mean(kind, SETTINGS)}; known: {', '.join(SETTINGS)}")
    for key in settings:
        if key not in SETTINGS[kind]:
            known = ", ".join(SETTINGS[kind]) or "none"
            raise ValueError(f"flow {kind!r} has no setting {key!r}{did_you_mean(key, SETTINGS[kind])}; known: {known}")
    if kind.startswith("raft"):
        return Raft(kind, load_weights(kind, weights), **settings)
    if weights is not None:
        raise ValueError(f"flow {kind!r} takes no weights, got {str(weights)!r}")
    if kind == "dis":
        return Dis(**settings)
    return ZeroFlow()
