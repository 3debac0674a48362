"""What is scored, shown or run: networks of run folders and checkpoints, folders of class maps."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import torch

from temporalkd.data.image_folder import IMAGES, FrameFolder, MapFolder
from temporalkd.data.source import Source
from temporalkd.experiments.run_directory import load_run
from temporalkd.models import ModelSpec, Segmenter, load_segmenter


def device() -> torch.device:
    """Where networks run: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_of(path: Path) -> str:
    """What a run folder, checkpoint or folder of class maps is called in tables and pictures."""
    path = path.resolve()
    if path.is_dir():
        return path.name
    return path.parent.name if path.name == "student.safetensors" else path.stem


def unused(name: str, taken: Container[str]) -> str:
    """The name, numbered where another system has it: one must not replace the other."""
    number, free = 2, name
    while free in taken:
        number, free = number + 1, f"{name} ({number})"
    return free


def load_system(path: Path) -> tuple[Segmenter, ModelSpec]:
    """The network of a run folder or of a .safetensors file with its json, on the device, in eval."""
    if path.is_dir():
        _refuse_pictures(path)
        _, segmenter, spec = load_run(path)
    elif not path.exists():
        raise FileNotFoundError(f"{path}: no such run folder or .safetensors file")
    elif path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a run folder or a .safetensors file")
    else:
        segmenter, spec = load_segmenter(path)
    segmenter.to(device()).eval()
    return segmenter, spec


def _refuse_pictures(folder: Path) -> None:
    if not (folder / "config.yaml").exists() and any(file.suffix.lower() in IMAGES for file in folder.iterdir()):
        raise FileNotFoundError(
            f"{folder} is not a run folder: it has no config.yaml; "
            "class maps are scored by temporalkd consistency --predictions"
        )


def require_maps(maps: MapFolder, source: Source, frames: Path) -> None:
    """One map a frame: by name where frames have names."""
    if isinstance(source, FrameFolder):
        maps.require(source.stems)
    elif len(maps) != len(source):
        raise ValueError(f"{maps.folder} has {len(maps)} class maps, {frames} has {len(source)} frames")
