"""Clips, frame sources and data sets; nothing is imported until it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporalkd.data.clip import Clip, as_clip, collate
    from temporalkd.data.clip_datasets import ImageFolder, Streets
    from temporalkd.data.image_folder import open_frames
    from temporalkd.data.mix import Mix
    from temporalkd.data.sampler import ClipSampler

__all__ = ["Clip", "ClipSampler", "ImageFolder", "Mix", "Streets", "as_clip", "collate", "open_frames"]

_FROM = {
    **dict.fromkeys(("Clip", "as_clip", "collate"), "clip"),
    **dict.fromkeys(("ImageFolder", "Streets"), "clip_datasets"),
    "ClipSampler": "sampler",
    "Mix": "mix",
    "open_frames": "image_folder",
}
"""Name -> the module of this package that defines it."""


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}, it has: {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
