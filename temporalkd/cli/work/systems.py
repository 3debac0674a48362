"""What is scored, shown or run: networks, exported files and class maps, opened by one rule for all commands."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from temporalkd.config import Config, ConfigError, build
from temporalkd.console import say
from temporalkd.data.clip import IGNORE
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.data.image_folder import MapFolder
from temporalkd.data.images import ImageFiles
from temporalkd.data.palettes import Palette
from temporalkd.data.scenes import ClassMaps, holds_maps, labelled_scenes, maps_of_scenes, open_maps, open_scenes
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import (
    ClassMapper,
    FramePrediction,
    Predictor,
    averaged,
    class_maps,
    frames_at_once,
    memoize,
    network,
)
from temporalkd.evaluation import folder_of_maps as of_maps
from temporalkd.experiments.run_directory import load_run
from temporalkd.experiments.scoring import Scorer
from temporalkd.export import EXPORTED, ExportedStudent, open_exported
from temporalkd.models import Classifier, MappedClasses, ModelSpec, Segmenter, is_source, load_segmenter, open_source
from temporalkd.paths import pretrained

WEIGHTS = (".safetensors", ".pt", ".pth")
KINDS = (
    "a run folder, hf:FOLDER and so on, street-teacher, a .safetensors, .onnx, .pt2 or .xml file, "
    "or a folder or lossless video of class maps"
)


@dataclass(frozen=True)
class Maps:
    """How class maps of other tools are read, see `MapFolder`."""

    classes: int | None = None
    void: Any = 255
    mapping: Mapping[int, int] | None = None
    palette: Palette | None = None
    resize: bool = False


@dataclass
class System:
    """A network with its spec, an exported file, or class maps; one of the three is there."""

    name: str
    path: Path
    segmenter: Segmenter | MappedClasses | None = None
    spec: ModelSpec | None = None
    graph: ExportedStudent | None = None
    maps: Mapping[str, ClassMaps] | None = None
    by_scene: Mapping[Source, ClassMaps] = field(default_factory=dict)

    @property
    def classes(self) -> int | None:
        """Number of classes, as far as it is known."""
        if self.segmenter is not None:
            return self.segmenter.classes
        if self.graph is not None:
            return self.graph.card().get("classes")
        return next((maps.classes for maps in (self.maps or {}).values()), None)

    @property
    def has_probabilities(self) -> bool:
        """Whether it says more than classes."""
        return self.segmenter is not None or (self.graph is not None and self.graph.gives_logits)

    def predictor(self) -> Predictor:
        """What it says about each frame; class maps are those of the sources that were required."""
        if self.segmenter is not None:
            return network(self.segmenter)
        return of_maps(self.by_scene) if self.graph is None else by_graph(self.graph)

    def map_stream(self, source: Source) -> Iterator[Tensor]:
        """The class map of every frame, streaming; not of class maps, which belong to whole sources."""
        if self.segmenter is not None:
            return class_maps(self.segmenter, source)
        graph = self.graph
        assert graph is not None
        return (graph(pixels) for pixels in source.frames())

    def require(self, sources: Sequence[Source]) -> None:
        """Refuse class maps that are not those of the frames, one a frame: by name where frames have names."""
        if self.maps is None:
            return
        self.by_scene = maps_of_scenes(self.path, self.maps, sources)
        for source, maps in self.by_scene.items():
            if isinstance(source, ImageFiles) and isinstance(maps, MapFolder):
                maps.require([path.stem for path in source.paths])
            elif len(maps) != len(source):
                where = getattr(source, "path", source.name)
                raise ValueError(f"{maps.path} has {len(maps)} class maps, {where} has {len(source)} frames")


def by_graph(graph: ExportedStudent) -> Predictor:
    """An exported file: softmax and arg-max of its logits, or its classes alone."""

    def predict(frame: Frame) -> FramePrediction:
        out = torch.from_numpy(graph.run(frame.pixels[None].float() / 255))[0]
        if not graph.gives_logits:
            return FramePrediction(out)
        return FramePrediction(out.argmax(0).to(torch.uint8), out.softmax(0))

    return predict


def predictors(systems: Mapping[str, System], ema: float | None = None) -> dict[str, Predictor]:
    """All systems, and with a decay the moving average of each that has probabilities."""
    found = {name: memoize(system.predictor()) for name, system in systems.items()}
    if ema is None:
        return found
    averages = {f"{n} EMA {ema:g}": averaged(found[n], ema) for n, s in systems.items() if s.has_probabilities}
    if without := [name for name, system in systems.items() if not system.has_probabilities]:
        say(f"no moving average of {', '.join(without)}: class maps have no probabilities")
    return found | averages


def disturbable(systems: Mapping[str, System], kinds: Sequence[str]) -> dict[str, Sequence[DisturbanceKind]]:
    """Name of each system that looks at frames -> the kinds of disturbance.

    Raises:
        ValueError: kinds, and no system looks at frames.
    """
    if not kinds:
        return {}
    known = cast("Sequence[DisturbanceKind]", kinds)  # the command line has checked them
    found = {name: known for name, system in systems.items() if system.maps is None}
    without = ", ".join(name for name in systems if name not in found)
    if not found:
        raise ValueError(f"--disturb: {without}: class maps are made already, only networks can be given other frames")
    if without:
        say(f"no disturbance of {without}: class maps are made already")
    return found


def open_systems(words: Sequence[str], maps: Maps = Maps()) -> dict[str, System]:
    """Name -> system, of PATH or NAME=PATH each; a name that is taken is numbered.

    Raises:
        FileNotFoundError, ValueError: no system there, or one that cannot be used; names it.
    """
    places: dict[str, Path] = {}
    for word in words:
        given, equals, rest = word.partition("=")
        named = bool(equals and given) and not Path(word).exists()
        path = pretrained(rest if named else word)
        places[unused(given if named else name_of(path), places)] = path
    networks = {name: system for name, path in places.items() if (system := _network(name, path)) is not None}
    # Class maps beside networks have the networks' classes.
    classes = maps.classes or next((system.classes for system in networks.values() if system.classes), None)
    maps = replace(maps, classes=classes)
    return {name: networks.get(name) or _class_maps(name, path, maps) for name, path in places.items()}


def _network(name: str, path: Path) -> System | None:
    """A network or exported file; None: class maps."""
    if not path.exists() and is_source(str(path)):
        return System(name, path, *load_system(path))
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such system, expected {KINDS}")
    if path.suffix in EXPORTED:
        return System(name, path, graph=open_exported(path))
    if path.suffix in WEIGHTS or (path.is_dir() and (_is_run(path) or not holds_maps(path))):
        return System(name, path, *load_system(path))
    return None


def _class_maps(name: str, path: Path, maps: Maps) -> System:
    return System(name, path, maps=open_maps(path, **vars(maps)))


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.yaml", "student.safetensors"))


def first_data(systems: Mapping[str, System], overrides: Sequence[str]) -> Config:
    """The config of the first system, which must be a run folder.

    Raises:
        ConfigError: it is not.
    """
    first = next(iter(systems.values()))
    if first.segmenter is None or not first.path.is_dir():
        raise ConfigError(f"{first.path} is not a run folder: name a config with --data, its data.val is used")
    return load_run(first.path, overrides)[0]


def scenes_of(frames: Sequence[Path], labels: Path | None = None, **reading: Any) -> list[Source]:
    """The scenes of videos, folders of images, and folders of several of either.

    Args:
        reading: how labels are read, see `FrameFolder`.
    """
    if labels is not None:
        return labelled_scenes(frames, labels, **reading)
    return [scene for path in frames for scene in open_scenes(path)]


def fit(systems: Mapping[str, System], scorer: Scorer, table: str | None = None) -> None:
    """Prepare systems for the footage of a scorer: class maps frame by frame, networks with the footage's classes.

    Args:
        table: maps the classes of networks that have others, see `class_targets`; None: by equal names.
    Raises:
        ConfigError: the number of classes differs, or the table does not fit.
    """
    footage = scorer.footage
    for name, system in systems.items():
        system.require(footage.sources if footage is not None else [])
        if isinstance(system.segmenter, Segmenter) and footage is not None:
            own, theirs = (system.spec.class_names if system.spec else ()), footage.class_names
            how = None if tuple(own) == tuple(theirs) else table
            system.segmenter = build.mapped(system.segmenter, own, theirs, how, str(system.path), least=0.0)
        scorer.require(system.classes, name)


def class_count(systems: Mapping[str, System]) -> int:
    """Number of classes: the networks', else the palette's, else the largest class of the maps + 1."""
    found = [system.classes for system in systems.values() if system.classes is not None]
    maps = [maps for system in systems.values() for maps in (system.maps or {}).values()]
    palettes = [len(each.palette) for each in maps if each.palette is not None]
    return next(iter([*found, *palettes]), None) or 1 + max((largest(m) for each in maps for m in each), default=0)


def largest(labels: Tensor) -> int:
    """The largest class of a map."""
    known = labels[labels != IGNORE]
    return int(known.max()) if known.numel() else 0


def device() -> torch.device:
    """Where networks run: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_of(path: Path) -> str:
    """What a system is called in tables and pictures."""
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
    """The network of a run folder or of a file of weights with its json, on the device, in eval."""
    path = pretrained(path)
    if path.is_dir():
        _, segmenter, spec = load_run(path)
    elif not path.exists() and is_source(str(path)):
        segmenter, spec = open_source(str(path))
    elif not path.exists():
        raise FileNotFoundError(f"{path}: no such run folder or file of weights")
    elif path.suffix not in WEIGHTS or (path.suffix != ".safetensors" and not path.with_suffix(".json").is_file()):
        raise ValueError(f"{path}: expected a run folder, or weights ({', '.join(WEIGHTS)}) with a json beside them")
    else:
        segmenter, spec = load_segmenter(path)
    segmenter.to(device()).eval()
    return segmenter, spec


def load_mapper(path: Path, precision: str = "fp32", compiled: bool = False) -> ClassMapper:
    """What gives class maps alone, of a run folder, a .safetensors file with its json, or an exported file.

    Raises:
        ValueError: options of networks for an exported file, which is computed as it was exported.
    """
    if path.suffix not in EXPORTED:
        segmenter, _ = load_system(path)
        return Classifier(segmenter, precision == "bf16", compiled)
    if precision != "fp32" or compiled:
        raise ValueError(f"{path} is computed as it was exported: --precision and --compile are for networks")
    return open_exported(path, threads=torch.get_num_threads() // frames_at_once(ExportedStudent.device))
