"""Temporal knowledge distillation: small per-frame segmentation networks that are accurate, and steady on video.

The front door; nothing here imports torch until it is used:

    import temporalkd as tkd

    student = tkd.Segmenter(net, classes=11, normalisation="imagenet")
    teacher = tkd.load_teacher("weights.safetensors")
    method = tkd.methods.etc(student, teacher, flow="raft_small")
    run = tkd.train(method, tkd.data.ImageFolder("frames", "labels", frames=3), steps=1000, out="runs/etc")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalkd import data, losses, methods, metrics
    from temporalkd.experiments.api import Run, evaluate, flicker_video, load, load_teacher, train
    from temporalkd.experiments.stabilize import stabilize
    from temporalkd.models import Segmenter, ensemble, views

__version__ = "0.2.0"

__all__ = [
    "Run",
    "Segmenter",
    "data",
    "ensemble",
    "evaluate",
    "flicker_video",
    "load",
    "load_teacher",
    "losses",
    "methods",
    "metrics",
    "stabilize",
    "train",
    "views",
]

_FROM = {
    "stabilize": "temporalkd.experiments.stabilize",
    **dict.fromkeys(("Segmenter", "ensemble", "views"), "temporalkd.models"),
    **dict.fromkeys(
        ("Run", "evaluate", "flicker_video", "load", "load_teacher", "train"), "temporalkd.experiments.api"
    ),
}
"""Name -> the module that defines it; the others are packages."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}, it has: {', '.join(__all__)}")
    if name in _FROM:
        return getattr(import_module(_FROM[name]), name)
    return import_module(f"temporalkd.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
