"""A data set: its options, and the footage that they open, scenes with one set of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from temporalkd.data.clip import IGNORE
from temporalkd.data.holdout import Split, runs
from temporalkd.data.images import ImageFiles
from temporalkd.data.motion import MovedStill
from temporalkd.data.scenes import open_scenes
from temporalkd.data.selection import Part, within
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName
from temporalkd.options import Options, registering
from temporalkd.paths import find


@dataclass
class Footage:
    """Scenes with one set of classes; `class_names` is empty where there are no labels."""

    sources: Sequence[Source]
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()


def absent_classes(data: Footage, most: int = 200) -> str | None:
    """A sentence about named classes that no label has, looked for in up to `most` labelled frames on disk."""
    labelled = [(s, i) for s in data.sources if isinstance(s, ImageFiles) for i in s.labelled]
    seen = torch.zeros(IGNORE + 1, dtype=torch.int64)
    for source, index in labelled[:: -(-len(labelled) // most) or 1]:
        label = source.label(index)
        if label is not None:
            seen += torch.bincount(label.flatten(), minlength=IGNORE + 1)
    absent = [name for number, name in enumerate(data.class_names) if not seen[number]]
    if not labelled or not absent:
        return None
    void = float(100 * seen[IGNORE] / seen.sum())
    hint = "; for masks of 0 and 255 set mapping: {255: 1}" if len(data.class_names) == 2 else ""
    return f"no pixel of class {', '.join(absent[:5])} in the labels, {void:.1f} % of the pixels are void{hint}"


LIGHT, GRAIN = 0.1, 0.02
"""How much the neighbours of a moved still differ in brightness and noise, as frames of a real camera do: without that
a prediction would be steady for free."""


def move_stills(
    source: Source, seed: int = 0, among: Iterable[int] | None = None, exact: bool = True, objects: float = 0.0
) -> list[Source]:
    """Each labelled still, or each of `among`, with neighbours made by synthetic motion; see `MovedStill`."""
    chosen = source.labelled if among is None else among
    return [MovedStill(source, i, seed=seed, light=LIGHT, grain=GRAIN, exact=exact, objects=objects) for i in chosen]


def split_scenes(
    scenes: Sequence[ImageFiles], split: Split, moved: bool, seed: int = 0, objects: float = 0.0
) -> list[Source]:
    """The frames of a part as scenes; or each of its labelled stills (each one, where there are no labels) moved.

    The motion of what is held out does not depend on the seed.
    """
    parts = runs(scenes, split)
    if not moved:
        return [scene.part(run) for scene, run in parts]
    seed = 0 if split == "holdout" else seed
    return [
        still
        for scene, run in parts
        for still in move_stills(
            scene, seed, [i for i in run if i in scene.labels or not scene.labels], objects=objects
        )
    ]


def open_footage(
    paths: Sequence[Path], span: tuple[int, int | None] | None = None, decoder: DecoderName = "pyav"
) -> list[Source]:
    """The scenes of videos, folders of frames and folders of either, without labels; of each the frames of a span."""
    scenes = [scene for path in paths for scene in open_scenes(path, decoder)]
    return [Part(scene, within(scene, span)) if span else scene for scene in scenes]


def mixed(sources: Sequence[Source]) -> bool:
    """Whether some of the sources know their motion and others do not: a batch carries motion as a whole, or none."""
    return len({source.knows_motion for source in sources if len(source) > 1}) > 1


def stills(files: ImageFiles, moved: bool, seed: int = 0, objects: float = 0.0) -> list[Source]:
    """Each image, labelled or not, with neighbours made by synthetic motion, or alone."""
    every = range(len(files))
    return move_stills(files, seed, every, objects=objects) if moved else [files.part([i]) for i in every]


@dataclass(frozen=True)
class Setting:
    """What a config says beside a data set's own options.

    root: overrides where data sets are looked for.
    seed: of synthetic motion.
    labelled: False: labels are neither needed nor read.
    decoder: the library that reads clips of video files.
    objects: share of the moved stills in which an object moves on its own.
    """

    root: str | None = None
    seed: int = 0
    labelled: bool = True
    decoder: DecoderName = "pyav"
    objects: float = 0.0


DEFAULT = Setting()


class DatasetOptions(Options):
    """Options of a data set. A subclass adds its own and its name, the default of `dataset`, and defines `open`."""

    dataset: str

    def open(self, setting: Setting = Setting()) -> Footage:
        """The footage.

        Raises:
            FileNotFoundError, ValueError: files that are missing or wrong; names them.
        """
        raise TypeError(f"{type(self).__name__} must define open(setting) -> Footage")

    def located(self, path: str, setting: Setting) -> Path:
        """Where a path of the options lies: as given, or below the data root."""
        if setting.root is not None:
            return Path(setting.root) / path
        try:
            return find(path, "data")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"data: {self.dataset}: {error}") from None

    def folder(self, given: str | None, setting: Setting, layout: str) -> Path:
        """The data set's own folder: `given`, or of its name below the data root; `layout` says what it has to hold."""
        place = given or setting.root
        try:
            return Path(place).expanduser() if place else find(self.dataset, "data")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"data: {self.dataset}: {error}; {layout}") from None


DATASETS: dict[str, type[DatasetOptions]] = {}
"""Options of the data sets by name; `temporalkd.data.datasets` has all of them."""
register = registering(DATASETS, "dataset")
"""Class decorator: offer a data set under the default of its field `dataset`."""
