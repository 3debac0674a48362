"""`render`: the flicker video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

import flow as optical_flow
from temporalkd.commands.systems import device, load_system, require_maps
from temporalkd.data.frames import MapFolder, open_frames
from temporalkd.evaluation import class_maps
from temporalkd.models import Segmenter
from temporalkd.progress import progress
from temporalkd.render import render_flicker
from temporalkd.render.overlay import default_palette


def render(
    frames: Path, systems: Sequence[Path], out: Path, flow: str, fps: float | None = None, scale: int | None = None
) -> int:
    """The flicker video of up to four systems: run folders, checkpoints or folders of class maps."""
    source = open_frames(frames)
    palette: Sequence[tuple[int, int, int]] = ()
    names: Sequence[str] = ()
    networks: dict[Path, Segmenter] = {}
    for path in systems:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such run folder, .safetensors file or folder of class maps")
        if path.is_file() or (path / "config.yaml").is_file():
            networks[path], spec = load_system(path)
            palette, names = spec.palette or palette, spec.class_names or names
    maps: dict[str, Iterator[Tensor]] = {}
    for path in systems:
        name = path.parent.name if path.name == "student.safetensors" else path.stem
        name = name if name not in maps else f"{name} ({len(maps) + 1})"
        if path in networks:
            maps[name] = class_maps(networks[path], source)
        else:
            folder = MapFolder(path, classes=len(palette) or None)
            require_maps(folder, source, frames)
            maps[name] = iter(folder)
    colours = torch.tensor(palette, dtype=torch.uint8) if len(palette) else default_palette(256)
    estimator = optical_flow.build(flow).to(device())
    with progress("render") as tick:
        return render_flicker(
            source.same_size_frames(),
            maps,
            out,
            flow=estimator,
            palette=colours,
            classes=list(names),
            fps=source.fps if fps is None else fps,
            scale=scale,
            device=device(),
            progress=lambda done: tick(done, len(source)),
        )
