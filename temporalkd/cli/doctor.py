"""`doctor`: what this machine has: versions, devices, codecs, weights and data."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable, Iterator
from shutil import disk_usage
from tempfile import NamedTemporaryFile

import typer

from temporalkd.cli.app import app
from temporalkd.paths import VARIABLE, root

PACKAGES = ("torch", "torchvision", "lightning-fabric", "segmentation-models-pytorch", "timm", "opencv", "av", "decord")
DECODERS = ("h264", "hevc", "vp9", "av1", "mjpeg")
WEIGHTS = (".safetensors", ".pth", ".pt")


@app.command()
def doctor() -> None:
    """Versions, devices, codecs, and which weights and data are found."""
    from rich.console import Console
    from rich.table import Table

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
    if not healthy:
        raise typer.Exit(1)


def _checks() -> Iterator[tuple[str, Callable[[], tuple[str, bool]]]]:
    yield "python", lambda: (platform.python_version(), True)
    for package in PACKAGES:
        yield package, lambda package=package: (_version(package), True)  # type: ignore[misc]
    yield "torch with torchvision", _torchvision
    yield "device", _device
    yield "H.264 encoder", _h264
    yield "decoders", _decoders
    yield "data root", _data_root
    yield "weights", _weights
    yield "RAFT-small weights", _raft
    yield "flow cache", _cache


def _version(package: str) -> str:
    if package == "opencv":
        return importlib.import_module("cv2").__version__
    if package == "decord" and importlib.util.find_spec("decord") is None:
        return "not installed: videos are read with PyAV"
    return importlib.metadata.version(package)


def _torchvision() -> tuple[str, bool]:
    """They are compiled for each other: versions that do not fit fail in the first operator, or at import."""
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        found = f"torch {_version('torch')}, torchvision {_version('torchvision')}"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"{found} do not fit each other ({reason}): {_mend(_version('torch'))}", False
    return "operators load", True


def _mend(torch: str) -> str:
    """The command that installs a pair that fits, of the kind (CPU, CUDA) that torch was."""
    kind = torch.partition("+")[2]
    index = f" --index-url https://download.pytorch.org/whl/{kind}" if kind else ""
    return f"pip install --upgrade --force-reinstall torch torchvision{index}"


def _device() -> tuple[str, bool]:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(), True
    return f"cpu, {torch.get_num_threads()} threads", True


def _h264() -> tuple[str, bool]:
    import av.codec

    return "libx264", "libx264" in av.codec.codecs_available


def _decoders() -> tuple[str, bool]:
    import av.codec

    missing = [codec for codec in DECODERS if codec not in av.codec.codecs_available]
    lacking = f"without {', '.join(missing)}: pip install --force-reinstall av"
    return (lacking if missing else ", ".join(DECODERS)), not missing


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


def _weights() -> tuple[str, bool]:
    place = root()
    folder = place / "weights" if place is not None else None
    found = sorted(p.name for p in folder.glob("*") if p.suffix in WEIGHTS) if folder is not None else []
    return ", ".join(found) or f"none{f' in {folder}' if folder else ''}", True


def _cache() -> tuple[str, bool]:
    """A training goes on without a cache, with a warning, and computes all flow again."""
    from temporalkd.config.build import cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".doctor"):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return f"{folder} cannot be written ({reason}): set TEMPORALKD_CACHE to a folder that can", False
    return f"{folder}, {disk_usage(folder).free / 2**30:.0f} GiB free", True
