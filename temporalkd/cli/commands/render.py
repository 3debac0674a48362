"""`render`: the flicker video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.cli.commands.systems import device, load_system, name_of, unused
from temporalkd.config import build
from temporalkd.console import progress
from temporalkd.data.clip import IGNORE
from temporalkd.data.image_folder import FrameFolder, MapFolder, open_frames
from temporalkd.data.palettes import Palette
from temporalkd.evaluation import class_maps
from temporalkd.models import ModelSpec, Segmenter
from temporalkd.visualization import MAX_SYSTEMS, render_flicker
from temporalkd.visualization.overlay import default_palette
from temporalkd.visualization.subset import Subset, subset

__all__ = ["MAX_SYSTEMS", "render"]


def render(
    frames: Path,
    systems: Sequence[Path],
    out: Path,
    flow: str,
    fps: float | None = None,
    scale: float | None = None,
    *,
    span: str = ":",
    void: int = IGNORE,
    names: Sequence[str] = (),
    colours: Palette | None = None,
    resize: bool = False,
) -> int:
    """The flicker video of up to four systems: run folders, checkpoints or folders of class maps.

    Args:
        span: START:END, the frames to show; networks run on these alone, folders may have maps of the others too.
        void: value that means unlabelled in the folders, besides 255.
        names: one a system; default those of its files.
        colours: of folders whose class maps are in colours.
        resize: bring the maps of folders to the size of the frames, instead of refusing another.
    """
    footage = open_frames(frames)
    if out.is_file() and frames.is_file() and out.samefile(frames):
        raise ValueError(f"{out} is the footage itself: name another file with -o")
    source = subset(footage, span)
    networks = {path: load_system(path) for path in dict.fromkeys(systems) if _is_network(path)}
    classes, palette, class_names = _shared(networks, colours)
    maps: dict[str, Iterator[Tensor]] = {}
    for path, name in zip(systems, names or map(name_of, systems), strict=True):
        if path in networks:
            found = class_maps(networks[path][0], source)
        else:
            folder = MapFolder(path, classes=classes, void=(void, IGNORE), palette=colours, resize=resize)
            found = _from_folder(folder, source, frames)
        maps[unused(name, maps)] = found
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


def _is_network(path: Path) -> bool:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such run folder, .safetensors file or folder of class maps")
    return path.is_file() or (path / "config.yaml").is_file()


def _shared(
    networks: dict[Path, tuple[Segmenter, ModelSpec]], colours: Palette | None
) -> tuple[int | None, Tensor, list[str]]:
    """(number of classes, palette, legend) of all panels: the networks', else those of the colours, else none.

    Raises:
        ValueError: networks of different classes, whose colours would mislead.
    """
    if not networks and colours is not None:
        return len(colours), torch.tensor(colours.colours, dtype=torch.uint8), list(colours.names)
    if not networks:
        return None, default_palette(IGNORE), []
    (first, (_, spec)), *others = networks.items()
    for path, (_, other) in others:
        if other.classes != spec.classes:
            raise ValueError(f"{path} has {other.classes} classes, {first} has {spec.classes}: they share one legend")
        if other.class_names and spec.class_names and other.class_names != spec.class_names:
            raise ValueError(f"{path} has other classes than {first}, or in another order: they share one legend")
    specs = [spec for _, spec in networks.values()]
    palette = next((s.palette for s in specs if s.palette), default_palette(spec.classes))
    names = next((s.class_names for s in specs if s.class_names), [f"class {i}" for i in range(spec.classes)])
    return spec.classes, torch.as_tensor(palette, dtype=torch.uint8), list(names)


def _from_folder(folder: MapFolder, source: Subset, frames: Path) -> Iterator[Tensor]:
    """The folder's maps of the frames of a shot: by name where frames have names, else by number.

    Raises:
        ValueError: a map without a frame, a frame of the shot without a map, a map of another size; names it.
    """
    footage = source.source
    if isinstance(footage, FrameFolder):
        stems = footage.stems[source.start : source.stop]
        known = dict.fromkeys(footage.stems)
        # Frames outside the shot need no map, but maps that belong to no frame at all are a mistake.
        folder.require([*stems, *(stem for stem in folder.stems if stem in known)])
    else:
        if len(folder) != len(footage):
            raise ValueError(f"{folder.folder} has {len(folder)} class maps, {frames} has {len(footage)} frames")
        stems = folder.stems[source.start : source.stop]
    height, width = source.size

    def read() -> Iterator[Tensor]:
        for stem in stems:
            map_ = folder.fitted(folder.read(stem), (height, width))
            if map_.shape != (height, width):
                raise ValueError(
                    f"{folder.files[stem]}: the map is {map_.shape[1]}x{map_.shape[0]}, "
                    f"expected {width}x{height} like its frame"
                )
            yield map_

    return read()
