"""`render`: the flicker video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.cli.work.systems import Maps, System, device, open_systems
from temporalkd.config import build
from temporalkd.console import progress
from temporalkd.data.clip import IGNORE
from temporalkd.data.image_folder import FrameFolder, MapFolder, open_frames
from temporalkd.data.palettes import Palette
from temporalkd.visualization import MAX_SYSTEMS, render_flicker
from temporalkd.visualization.overlay import default_palette
from temporalkd.visualization.subset import Subset, subset

__all__ = ["MAX_SYSTEMS", "render"]


def render(
    frames: Path,
    systems: Sequence[str],
    out: Path,
    flow: str,
    fps: float | None = None,
    scale: float | None = None,
    *,
    span: str = ":",
    void: int = IGNORE,
    colours: Palette | None = None,
    resize: bool = False,
) -> int:
    """The flicker video of up to four systems of any kind, PATH or NAME=PATH each.

    Args:
        span: START:END, the frames to show; networks run on these alone, class maps may be there of the others too.
        void: value that means unlabelled in class maps, besides 255.
        colours: of class maps in colours.
        resize: bring class maps to the size of the frames, instead of refusing another.
    """
    footage = open_frames(frames)
    if out.is_file() and frames.is_file() and out.samefile(frames):
        raise ValueError(f"{out} is the footage itself: name another file with -o")
    source = subset(footage, span)
    opened = open_systems(systems, Maps(None, (void, IGNORE), None, colours, resize))
    palette, class_names = _shared(opened, colours)
    maps = {
        name: system.map_stream(source) if system.maps is None else _from_maps(system, source, frames)
        for name, system in opened.items()
    }
    estimator = _Kept(optical_flow.build(flow).to(device()), build.default_cache())
    with progress("render") as tick:
        tick(0, len(source))
        return render_flicker(
            source.same_size_frames(),
            maps,
            out,
            flow=estimator,
            palette=palette,
            classes=class_names,
            fps=source.fps if fps is None else fps,
            scale=scale,
            first=source.start,
            device=device(),
            progress=lambda done: tick(done, len(source)),
        )


@dataclass
class _Kept:
    """An estimator whose flow is read from disk where it has been computed before."""

    estimator: FlowEstimator
    cache: FlowCache

    def video(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Flow between consecutive frames, both ways."""
        return self.cache.video(self.estimator, frames)


def _shared(systems: Mapping[str, System], colours: Palette | None) -> tuple[Tensor, list[str]]:
    """(palette, legend) of all panels: the networks', else those of the colours, else none.

    Raises:
        ValueError: networks of different classes, whose colours would mislead.
    """
    networks = [(system.path, system.spec) for system in systems.values() if system.spec is not None]
    if not networks and colours is not None:
        return torch.tensor(colours.colours, dtype=torch.uint8), list(colours.names)
    if not networks:
        return default_palette(IGNORE), []
    (first, spec), *others = networks
    for path, other in others:
        if other.classes != spec.classes:
            raise ValueError(f"{path} has {other.classes} classes, {first} has {spec.classes}: they share one legend")
        if other.class_names and spec.class_names and other.class_names != spec.class_names:
            raise ValueError(f"{path} has other classes than {first}, or in another order: they share one legend")
    palette = next((s.palette for _, s in networks if s.palette), default_palette(spec.classes))
    names = next((s.class_names for _, s in networks if s.class_names), [f"class {i}" for i in range(spec.classes)])
    return torch.as_tensor(palette, dtype=torch.uint8), list(names)


def _from_maps(system: System, source: Subset, frames: Path) -> Iterator[Tensor]:
    """The class maps of the frames of a range: by name where frames have names, else by number.

    Raises:
        ValueError: a map without a frame, a frame of the range without a map, a map of another size; names it.
    """
    footage, maps = source.source, system.maps
    assert maps is not None
    indices: Sequence[int] = range(source.start, source.stop)
    if isinstance(footage, FrameFolder) and isinstance(maps, MapFolder):
        stems = [footage.stems[index] for index in indices]
        known = dict.fromkeys(footage.stems)
        # Frames outside the range need no map, but maps that belong to no frame at all are a mistake.
        maps.require([*stems, *(stem for stem in maps.stems if stem in known)])
        place = {stem: index for index, stem in enumerate(maps.stems)}
        indices = [place[stem] for stem in stems]
    elif len(maps) != len(footage):
        raise ValueError(f"{system.path} has {len(maps)} class maps, {frames} has {len(footage)} frames")
    height, width = source.size

    def read() -> Iterator[Tensor]:
        for index in indices:
            map_ = maps.fitted(maps[index], (height, width))
            if map_.shape != (height, width):
                where = maps.files[maps.stems[index]] if isinstance(maps, MapFolder) else system.path
                raise ValueError(
                    f"{where}: the map is {map_.shape[1]}x{map_.shape[0]}, expected {width}x{height} like its frame"
                )
            yield map_

    return read()
