"""VSPW, 480p: videos at 15 fps of which every frame is labelled, 124 classes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from temporalkd.data.footage import DEFAULT, DatasetOptions, Footage, Setting, register
from temporalkd.data.image_folder import IMAGES, MAPS, MapReader, files_in
from temporalkd.data.images import ImageFiles
from temporalkd.data.layout import read_list, require_folder
from temporalkd.data.source import Source
from temporalkd.paths import read_json

CLASSES = 124
FPS = 15.0
NAMES = "label_num_dic_final.json"
LAYOUT = (
    "VSPW has {train,val,test}.txt, a video's name a line, data/{video}/origin/*.jpg and data/{video}/mask/*.png "
    "(VSPW_480p)"
)


@register
class VSPW(DatasetOptions):
    """Each video that `{split}.txt` lists as one scene.

    In the masks 0 is "others" and 255 is void: both are ignored, and class k - 1 is stored as k.

    Args:
        split: "train", "val" or "test" (no labels).
    Raises:
        FileNotFoundError, ValueError: a folder, the list, a video that it lists or a mask is missing; names it.
    Source:
        Miao et al., CVPR 2021; the notation in the data set's own README.
    """

    dataset: Literal["vspw"] = "vspw"
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"

    def open(self, setting: Setting = DEFAULT) -> Footage:
        root = self.folder(self.root, setting, LAYOUT)
        videos = require_folder(root / "data", root, LAYOUT)
        listing = root / f"{self.split}.txt"
        mapping = {0: 255, **{value: value - 1 for value in range(1, CLASSES + 1)}}
        reader = MapReader(CLASSES, mapping=mapping, expected=f"0 (others), 1 to {CLASSES} or 255 (void)")
        sources: list[Source] = []
        for number, name in read_list(listing, LAYOUT):
            if not (videos / name / "origin").is_dir():
                raise FileNotFoundError(
                    f"{listing}, line {number}: '{name}', but there is no {videos / name / 'origin'}"
                )
            sources.append(_video(videos / name, setting.labelled, reader))
        return Footage(sources, _class_names(root / NAMES))


def _video(folder: Path, labelled: bool, reader: MapReader) -> ImageFiles:
    frames = files_in(folder / "origin", IMAGES, "frames")
    labels: dict[int, Path] = {}
    if labelled:
        if not (folder / "mask").is_dir():
            raise FileNotFoundError(f"{folder / 'mask'}: no such folder: the labels of split test are not public")
        masks = files_in(folder / "mask", MAPS, "masks")
        for index, (stem, path) in enumerate(frames.items()):
            if stem not in masks:
                raise FileNotFoundError(f"{path}: a frame without its mask, expected {folder / 'mask' / stem}.png")
            labels[index] = masks[stem]
    return ImageFiles(folder.name, list(frames.values()), labels, reader, FPS)


def _class_names(path: Path) -> tuple[str, ...]:
    """By the file that comes with the data set, {name: number}; by number where it is not there."""
    if not path.is_file():
        return tuple(f"class {index}" for index in range(CLASSES))
    try:
        names = {int(number): str(name) for name, number in read_json(path).items()}
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(f"{path}: expected json of the form {{name: number}} ({error})") from error
    missing = [number for number in range(1, CLASSES + 1) if number not in names]
    if missing:
        raise ValueError(f"{path}: no class has the number {missing[0]}, expected 1 to {CLASSES}")
    return tuple(names[number] for number in range(1, CLASSES + 1))
