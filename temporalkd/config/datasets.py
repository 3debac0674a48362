"""The data sets that a config can name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from temporalkd.config.section import Section, Seed, Size


class CamVid(Section):
    dataset: Literal["camvid"]
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"
    synthetic_motion: bool | None = None


class Cityscapes(Section):
    dataset: Literal["cityscapes"]
    root: str | None = None
    split: Literal["train", "val", "test", "train_extra"] = "train"
    coarse: bool = False
    synthetic_motion: bool | None = None


class VSPW(Section):
    dataset: Literal["vspw"]
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"


class VOC(Section):
    dataset: Literal["voc"]
    root: str | None = None
    split: Literal["train", "val", "trainval", "train_aug"] = "train"
    synthetic_motion: bool = True


class Folder(Section):
    dataset: Literal["folder"]
    images: str
    labels: str | None = None
    class_names: list[str] = []
    void: int = 255
    synthetic_motion: bool = False
    fps: float = 25.0


class Video(Section):
    dataset: Literal["video"]
    path: str


class Street(Section):
    dataset: Literal["street"]
    count: PositiveInt = 40
    seed: Seed = 0
    length: PositiveInt = 40
    size: Size = (96, 160)


class ImportedData(Section):
    """A callable that returns a Footage: "package.module:name"."""

    dataset: Literal["import"]
    name: str = Field(alias="import")
    options: dict[str, Any] = {}


Dataset = Annotated[
    CamVid | Folder | Video | Street | Cityscapes | VSPW | VOC | ImportedData, Field(discriminator="dataset")
]
