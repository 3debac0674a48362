"""All data sets by name: those of this folder, and those that installed packages offer.

Data sets of installed packages are found by their entry points in the group `temporalkd.datasets`.
"""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from temporalkd.data.camvid import CamVid
from temporalkd.data.cityscapes import Cityscapes
from temporalkd.data.footage import (
    DATASETS,
    DEFAULT,
    DatasetOptions,
    Footage,
    Setting,
    open_footage,
    register,
    split_scenes,
)
from temporalkd.data.holdout import Split
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.palettes import palette
from temporalkd.data.scenes import scene_folders
from temporalkd.data.selection import within
from temporalkd.data.street import CLASSES, PALETTE, streets
from temporalkd.data.voc import VOC
from temporalkd.data.vspw import VSPW
from temporalkd.options import Seed, Size, Span
from temporalkd.plugins import ConfigError, call, load_entry_points, named

__all__ = ["DATASETS", "VOC", "VSPW", "CamVid", "Cityscapes", "Folder", "Imported", "SyntheticStreets", "Video"]


@register
class Folder(DatasetOptions):
    """A folder of images in temporal order, or of unrelated stills (then with synthetic motion), and their labels.

    A folder of folders is a scene each. Labels are matched by name, up to the extension and a `suffix`; frames may lack
    one. Their values are class numbers, after `mapping` (value -> class; 255: ignored), or colours of a `palette`: a
    name or a file. `void`: a value, or several, to ignore. `value_range`: of 16 bit images, what becomes 0 and 255.
    `split`: "holdout": the middle tenth of each sequence's labelled frames; "fit": all but that and the labelled frame
    on each side of it. Sequences are the folders of a folder of folders, else names equal up to their last "_".
    The synthetic motion of what is held out is the same for every seed. `frames`: [first, end] of each scene.
    """

    dataset: Literal["folder"] = "folder"
    images: str
    labels: str | None = None
    class_names: list[str] = []
    void: int | list[int] = 255
    mapping: dict[int, int] | None = None
    palette: str | None = None
    suffix: str = ""
    value_range: tuple[int, int] | None = None
    synthetic_motion: bool = False
    split: Split = "all"
    frames: Span | None = None
    fps: float = 25.0

    def open(self, setting: Setting = DEFAULT) -> Footage:
        colours = palette(self.palette) if self.palette else None
        names = tuple(self.class_names) or (colours.names if colours else ())
        if colours and len(names) != len(colours):
            warnings.warn(
                f"class_names: {len(names)}, palette {colours.name} has {len(colours)}: they are used", stacklevel=2
            )
            names = colours.names
        labels = self.located(self.labels, setting) if self.labels and setting.labelled else None
        scenes = [
            FrameFolder(
                images,
                maps,
                classes=len(names) or None,
                void=self.void,
                fps=self.fps,
                mapping=self.mapping,
                partial=True,
                palette=colours,
                value_range=self.value_range,
                suffix=self.suffix,
            )
            for images, maps in scene_folders(self.located(self.images, setting), labels)
        ]
        chosen = [scene.part(within(scene, self.frames)) for scene in scenes]
        parts = split_scenes(chosen, self.split, self.synthetic_motion, setting.seed, setting.objects)
        return Footage(parts, names, colours.colours if colours and not self.class_names else ())


@register
class Video(DatasetOptions):
    """Video without labels: a file, a folder of images, or a folder of several of either; or several of them.

    `frames`: [first, end]: of each scene, from that frame up to, and without, the other one; null: to the end. No other
    frame is read, and no label.
    """

    dataset: Literal["video"] = "video"
    path: str | Annotated[list[str], Field(min_length=1)]
    frames: Span | None = None

    def open(self, setting: Setting = DEFAULT) -> Footage:
        paths = [self.path] if isinstance(self.path, str) else self.path
        return Footage(open_footage([self.located(p, setting) for p in paths], self.frames, setting.decoder))


@register
class SyntheticStreets(DatasetOptions):
    """Synthetic streets with exact labels, flow and visibility; nothing is read from disk."""

    dataset: Literal["street"] = "street"
    count: PositiveInt = 40
    seed: Seed = 0
    length: PositiveInt = 40
    size: Size = (96, 160)

    def open(self, setting: Setting = DEFAULT) -> Footage:
        return Footage(streets(self.count, self.seed, length=self.length, size=self.size), CLASSES, PALETTE)


class Imported(DatasetOptions):
    """A callable "package.module:name": DatasetOptions, or a function that returns a Footage."""

    dataset: Literal["import"] = "import"
    name: str = Field(alias="import")
    options: dict[str, Any] = {}

    def open(self, setting: Setting = DEFAULT) -> Footage:
        made = call(named(self.name, "data"), self.options, f"data: {self.name}")
        if isinstance(made, DatasetOptions):
            return made.open(setting)
        if not isinstance(made, Footage):
            raise ConfigError(f"data: {self.name} must return a Footage, it returned {type(made).__name__}")
        return made


load_entry_points("temporalkd.datasets")
