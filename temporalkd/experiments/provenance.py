"""What a run was made with: versions, the state of the code, the machine, the seed, the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import flow
from temporalkd import __version__
from temporalkd.data.source import Source

PACKAGES = (
    *("torch", "torchvision", "numpy", "opencv-python-headless", "pillow", "av", "lightning-fabric", "torchmetrics"),
    *("segmentation-models-pytorch", "timm", "safetensors", "kornia"),
)


def environment(seed: int, data: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Plain values for environment.json.

    Args:
        seed: of the run.
        data: fingerprints of the footage that it trains on, "train", and is scored on, "val".
    """
    return {
        "temporalkd": __version__,
        "code": code(),
        **dict(_versions()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cuda_version": torch.version.cuda,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "seed": seed,
        **{f"data_{split}": found for split, found in (data or {}).items()},
        **_git(Path(__file__)),
    }


def code() -> str:
    """16 hexadecimal digits of the sources that run, wherever they are installed."""
    found = hashlib.sha256()
    for package in (Path(__file__).parents[1], Path(flow.__file__).parent):
        for file in sorted(package.rglob("*.py")):
            found.update(f"{file.relative_to(package.parent).as_posix()}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def _versions() -> Iterator[tuple[str, str | None]]:
    for package in PACKAGES:
        try:
            yield package, torch.__version__ if package == "torch" else importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, None


def _processor() -> str | None:
    """As the system names it; platform.processor() is empty on most of them."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(errors="replace").splitlines() if known.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or None


def _git(file: Path) -> dict[str, Any]:
    """The commit that this code is of, and whether it has been changed since; None where it is installed."""
    nothing = {"git": None, "dirty": None}
    try:
        _ask_git(file, "ls-files", "--error-unmatch", file.name)  # a checkout around a virtual environment is not ours
        commit = _ask_git(file, "rev-parse", "HEAD")
        return {"git": commit, "dirty": bool(_ask_git(file, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return nothing


def _ask_git(file: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(file.resolve().parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


END = 4096
"""Bytes of a file's beginning and end: a PNG's sizes and the checksum of its pixels, a video's index."""


def fingerprint(sources: Iterable[Source]) -> str:
    """16 hexadecimal digits of names, lengths, which frames have labels, and the files' sizes and both their ends.

    Where the files lie does not matter. Versions of a file that differ in the middle alone are not told apart.

    Raises:
        OSError: a file cannot be read.
    """
    found = hashlib.sha256()
    for source in sources:
        found.update(f"{source.name} {len(source)} {source.labelled} {source.withheld}\n".encode())
        files = [path for index in range(len(source)) for path in source.files(index)]
        for path in dict.fromkeys(files):
            found.update(f"{path.name} {path.stat().st_size}\n".encode())
            found.update(_ends(path))
    return found.hexdigest()[:16]


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        first = file.read(END)
        file.seek(max(file.seek(0, os.SEEK_END) - END, 0))
        return first + file.read()
