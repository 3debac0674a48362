"""What this machine has: versions, devices, codecs, weights and data."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from temporalkd.roots import VARIABLE, root

PACKAGES = ("torch", "torchvision", "lightning-fabric", "segmentation-models-pytorch", "timm", "opencv", "av", "decord")


def doctor() -> bool:
    """Print a line a finding; False where something that training needs is missing."""
    shown = Table(show_header=False, box=None)
    healthy = True
    for what, check in _checks():
        try:
            answer, good = check()
        except Exception as error:
            answer, good = f"{type(error).__name__}: {error}", False
        healthy &= good
        shown.add_row("[green]ok[/]" if good else "[red]missing[/]", what, str(answer))
    Console().print(shown)
    return healthy


def _checks() -> Iterator[tuple[str, Callable[[], tuple[str, bool]]]]:
    yield "python", lambda: (platform.python_version(), True)
    for package in PACKAGES:
        yield package, lambda package=package: (_version(package), True)  # type: ignore[misc]
    yield "torch with torchvision", _torchvision
    yield "device", _device
    yield "H.264 encoder", _h264
    yield "data root", _data_root
    yield "RAFT-small weights", _raft
    yield "flow cache", _cache


def _version(package: str) -> str:
    if package == "opencv":
        return importlib.import_module("cv2").__version__
    if package == "decord" and importlib.util.find_spec("decord") is None:
        return "not installed: videos are read with PyAV"
    return importlib.metadata.version(package)


def _torchvision() -> tuple[str, bool]:
    import torch
    from torchvision.ops import nms

    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    return "operators load", True


def _device() -> tuple[str, bool]:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(), True
    return f"cpu, {torch.get_num_threads()} threads", True


def _h264() -> tuple[str, bool]:
    import av.codec

    return "libx264", "libx264" in av.codec.codecs_available


def _data_root() -> tuple[str, bool]:
    place = root()
    if place is None:
        return f"none: set {VARIABLE} to a folder that holds data/ and weights/ (the demo needs none)", True
    return str(place), place.is_dir()


def _raft() -> tuple[str, bool]:
    import flow

    try:
        return flow.build("raft_small").fingerprint, True
    except FileNotFoundError as error:
        return f"{error}", True


def _cache() -> tuple[str, bool]:
    from temporalkd.assemble import default_cache

    return str(default_cache().folder), True
