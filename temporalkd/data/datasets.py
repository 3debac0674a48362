"""All data sets by name: those of this folder, and those that installed packages offer.

Data sets of installed packages are found by their entry points in the group `temporalkd.datasets`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from temporalkd.data.camvid import CamVid
from temporalkd.data.cityscapes import Cityscapes
from temporalkd.data.footage import DATASETS, DEFAULT, DatasetOptions, Footage, Setting, move_stills, register
from temporalkd.data.image_folder import FrameFolder, open_frames
from temporalkd.data.street import CLASSES, PALETTE, streets
from temporalkd.data.voc import VOC
from temporalkd.data.vspw import VSPW
from temporalkd.options import Seed, Size
from temporalkd.plugins import ConfigError, call, load_entry_points, named

__all__ = ["DATASETS", "VOC", "VSPW", "CamVid", "Cityscapes", "Folder", "Imported", "SyntheticStreets", "Video"]


@register
class Folder(DatasetOptions):
    """One folder of images in temporal order, or of unrelated stills (then with synthetic motion)."""

    dataset: Literal["folder"] = "folder"
    images: str
    labels: str | None = None
    class_names: list[str] = []
    void: int = 255
    synthetic_motion: bool = False
    fps: float = 25.0

    def open(self, setting: Setting = DEFAULT) -> Footage:
        labels = self.located(self.labels, setting) if self.labels else None
        images = self.located(self.images, setting)
        source = FrameFolder(images, labels, classes=len(self.class_names) or None, void=self.void, fps=self.fps)
        sources = move_stills(source, setting.seed) if self.synthetic_motion else [source]
        return Footage(sources, tuple(self.class_names))


@register
class Video(DatasetOptions):
    """A video file or a folder of images without labels."""

    dataset: Literal["video"] = "video"
    path: str

    def open(self, setting: Setting = DEFAULT) -> Footage:
        return Footage([open_frames(self.located(self.path, setting), setting.decoder)])


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
