"""PASCAL VOC 2012: stills of many sizes, 21 classes, borders ignored."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from temporalkd.data.footage import DEFAULT, DatasetOptions, Footage, Setting, register, stills
from temporalkd.data.image_folder import MapReader
from temporalkd.data.images import ImageFiles
from temporalkd.data.layout import read_list, require_folder
from temporalkd.data.palettes import palette

CLASSES, PALETTE = palette("voc").names, palette("voc").colours
AUGMENTED = "train_aug"
LAYOUT = (
    "PASCAL VOC has JPEGImages/*.jpg, SegmentationClass/*.png and ImageSets/Segmentation/{split}.txt in "
    "VOCdevkit/VOC2012, and SegmentationClassAug/*.png for train_aug"
)


@register
class VOC(DatasetOptions):
    """Stills of a split list, each with neighbours by synthetic motion, or each alone.

    Args:
        root: the folder VOC2012, or a folder that holds it or VOCdevkit.
        split: "train", "val", "trainval" or "train_aug"; the last with the labels of SegmentationClassAug. A line is
            a name, or the paths of image and label as the augmented set's own list has them.
    Raises:
        FileNotFoundError, ValueError: a folder, the list, or a file that it names is missing; names it.
    Source:
        Everingham et al., IJCV 2010; the augmented labels: Hariharan et al., ICCV 2011.
    """

    dataset: Literal["voc"] = "voc"
    root: str | None = None
    split: Literal["train", "val", "trainval", "train_aug"] = "train"
    synthetic_motion: bool = True

    def open(self, setting: Setting = DEFAULT) -> Footage:
        root = self.folder(self.root, setting, LAYOUT)
        places = [root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"]
        place = next((p for p in places if (p / "JPEGImages").is_dir()), root)
        images = require_folder(place / "JPEGImages", root, LAYOUT)
        maps = place / ("SegmentationClassAug" if self.split == AUGMENTED else "SegmentationClass")
        if setting.labelled:
            require_folder(maps, root, LAYOUT)
        listing = place / "ImageSets" / "Segmentation" / f"{self.split}.txt"
        paths, labels = [], {}
        for index, (number, line) in enumerate(read_list(listing, LAYOUT)):
            stem = PurePosixPath(line.split()[0]).stem
            path, label = images / f"{stem}.jpg", maps / f"{stem}.png"
            for wanted in (path, label) if setting.labelled else (path,):
                if not wanted.is_file():
                    raise FileNotFoundError(f"{listing}, line {number}: '{stem}', but there is no {wanted}")
            paths.append(path)
            if setting.labelled:
                labels[index] = label
        reader = MapReader(len(CLASSES), palette=palette("voc"))
        files = ImageFiles(f"voc-{self.split}", paths, labels, reader)
        return Footage(stills(files, self.synthetic_motion, setting.seed, setting.objects), CLASSES, PALETTE)
