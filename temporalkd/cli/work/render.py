"""`render`: the flicker video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.cli.arguments import frame_range
from temporalkd.cli.work.systems import Maps, System, device, open_systems, scenes_of
from temporalkd.config import build
from temporalkd.console import progress
from temporalkd.data.clip import IGNORE
from temporalkd.data.image_folder import FrameFolder, MapFolder
from temporalkd.data.palettes import Palette
from temporalkd.data.scenes import maps_of_scenes, scene_names
from temporalkd.data.selection import Part
from temporalkd.data.source import Source
from temporalkd.visualization import MAX_SYSTEMS, render_flicker
from temporalkd.visualization.overlay import default_palette

__all__ = ["MAX_SYSTEMS", "render"]


def render(
    frames: Sequence[Path],
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
) -> list[Path]:
    """The flicker video of up to four systems of any kind, PATH or NAME=PATH each; of several scenes, OUT-SCENE each.

    Args:
        span: START:END, the frames to show; networks run on these alone, class maps may be there of the others too.
        void: value that means unlabelled in class maps, besides 255.
        colours: of class maps in colours.
        resize: bring class maps to the size of the frames, instead of refusing another.
    Returns:
        The files written.
    """
    sources = scenes_of(frames)
    if out.is_file() and any(path.is_file() and out.samefile(path) for path in frames):
        raise ValueError(f"{out} is the footage itself: name another file with -o")
    outs = [out]
    if len(sources) > 1:
        names = (name.replace("/", "-") for name in scene_names(sources))
        outs = [out.with_name(f"{out.stem}-{name}{out.suffix}") for name in names]
    parts = {source: Part(source, frame_range(span, len(source), source.name)) for source in sources}
    opened = open_systems(systems, Maps(None, (void, IGNORE), None, colours, resize))
    palette, class_names = _shared(opened, colours)
    maps = [
        {name: _class_maps(system, source, part, sources) for name, system in opened.items()}
        for source, part in parts.items()
    ]
    estimator = _Kept(optical_flow.build(flow).to(device()), build.default_cache())
    total, done = sum(map(len, parts.values())), 0
    with progress("render") as tick:
        tick(0, total)
        for part, of_scene, file in zip(parts.values(), maps, outs):
            done += render_flicker(
                part.same_size_frames(),
                of_scene,
                file,
                flow=estimator,
                palette=palette,
                classes=class_names,
                fps=part.fps if fps is None else fps,
                scale=scale,
                first=part.range.start,
                device=device(),
                progress=lambda count, before=done: tick(before + count, total),  # type: ignore[misc]
            )
    return outs


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


def _class_maps(system: System, footage: Source, source: Part, sources: Sequence[Source]) -> Iterator[Tensor]:
    """What a system says of the frames of a range: class maps by name where frames have names, else by number.

    Raises:
        ValueError: a map without a frame, a frame of the range without a map, a map of another size; names it.
    """
    if system.maps is None:
        return system.map_stream(source)
    maps = maps_of_scenes(system.path, system.maps, sources)[footage]
    indices: Sequence[int] = source.range
    if isinstance(footage, FrameFolder) and isinstance(maps, MapFolder):
        stems = [footage.stems[index] for index in indices]
        known = dict.fromkeys(footage.stems)
        # Frames outside the range need no map, but maps that belong to no frame at all are a mistake.
        maps.require([*stems, *(stem for stem in maps.stems if stem in known)])
        place = {stem: index for index, stem in enumerate(maps.stems)}
        indices = [place[stem] for stem in stems]
    elif len(maps) != len(footage):
        where = getattr(footage, "path", footage.name)
        raise ValueError(f"{maps.path} has {len(maps)} class maps, {where} has {len(footage)} frames")
    height, width = source.size

    def read() -> Iterator[Tensor]:
        for index in indices:
            map_ = maps.fitted(maps[index], (height, width))
            if map_.shape != (height, width):
                where = maps.files[maps.stems[index]] if isinstance(maps, MapFolder) else maps.path
                raise ValueError(
                    f"{where}: the map is {map_.shape[1]}x{map_.shape[0]}, expected {width}x{height} like its frame"
                )
            yield map_

    return read()
