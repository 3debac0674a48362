"""Flow estimators by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike
from typing import Any

from . import dis, raft  # noqa: F401  they register themselves
from .estimator import ESTIMATORS, FlowEstimator, did_you_mean

Maker = Callable[..., FlowEstimator]


def estimators() -> dict[str, Maker]:
    """What makes each estimator, by name; those of installed packages too (entry points, group `temporalkd.flow`)."""
    for point in entry_points(group="temporalkd.flow"):
        point.load()  # it registers itself
    return ESTIMATORS


def build(kind: str, weights: str | PathLike[str] | None = None, **settings: Any) -> FlowEstimator:
    """Build a flow estimator by name.

    Args:
        kind: "raft_small" | "raft_large" | "dis" (OpenCV, needs no weights) | "zero", the name of a registered one (see
            `flow.register`), or an import string "package.module:name" of a FlowEstimator or what makes one.
        weights: RAFT only. None takes the weights that come with the package for raft_small; for raft_large it looks
            for `raft_large_things.safetensors`, then `raft_large*.safetensors`, in $TEMPORALKD_DATA/weights
            (../shared/weights where that is not set). Or a path (.safetensors, .pth, .pt), or "download" for
            torchvision's own. Nothing is downloaded unless asked for by that word.
        settings: RAFT: `updates` (12): refinement steps; `precision` ("float32"), or "bfloat16"; `tolerance` (0.0): a
            field is done once an update moves it by fewer pixels on average. `preset` (dis, "medium"): "ultrafast" |
            "fast" | "medium". Others: the parameters of what makes them.
    Raises:
        ValueError: unknown kind or setting, an import string that leads to no estimator, weights that do not fit.
        FileNotFoundError: no weights; it says where they were looked for.
    """
    maker = _maker(kind)
    known = [name for name in inspect.signature(maker).parameters if name != "weights"]
    for key in settings:
        if key not in known:
            names = ", ".join(known) or "none"
            raise ValueError(f"flow {kind!r} has no setting {key!r}{did_you_mean(key, known)}; known: {names}")
    if weights is not None:
        if "weights" not in inspect.signature(maker).parameters:
            raise ValueError(f"flow {kind!r} takes no weights, got {str(weights)!r}")
        settings["weights"] = weights
    made = maker(**settings)
    if not isinstance(made, FlowEstimator):
        raise ValueError(f"flow {kind!r}: expected a FlowEstimator, it is a {type(made).__name__}")
    return made


def _maker(kind: str) -> Maker:
    if kind in ESTIMATORS or kind in estimators():
        return ESTIMATORS[kind]
    if ":" not in kind:
        known = ", ".join(sorted(ESTIMATORS))
        raise ValueError(f"unknown flow estimator {kind!r}{did_you_mean(kind, ESTIMATORS)}; known: {known}")
    module, _, name = kind.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"flow {kind!r}: {error}") from error
