"""CamVid as it was released, 701 stills with labels in 32 colours, brought into the layout that `camvid` reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.camvid import CLASSES, VOID
from temporalkd.data.image_folder import files_in
from temporalkd.data.images import image_size, read_image
from temporalkd.data.label_maps import read_map, resize_map, save_png, write_map
from temporalkd.data.layout import read_list, require_folder
from temporalkd.data.palettes import Colour, Palette

SPLITS = ("train", "val", "test")
STILLS, LABELS = "701_StillsRaw_full", "LabeledApproved_full"
LAYOUT = f"CamVid's release has {STILLS}/*.png and {LABELS}/*_L.png"
COLOURS: dict[str, Colour] = {
    "Animal": (64, 128, 64), "Archway": (192, 0, 128), "Bicyclist": (0, 128, 192), "Bridge": (0, 128, 64),
    "Building": (128, 0, 0), "Car": (64, 0, 128), "CartLuggagePram": (64, 0, 192), "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128), "Fence": (64, 64, 128), "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64), "Misc_Text": (128, 128, 64), "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64), "ParkingBlock": (64, 192, 128), "Pedestrian": (64, 64, 0), "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192), "Sidewalk": (0, 0, 192), "SignSymbol": (192, 128, 128), "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192), "TrafficCone": (0, 0, 64), "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128), "Tree": (128, 128, 0), "Truck_Bus": (192, 128, 192), "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0), "Void": (0, 0, 0), "Wall": (64, 192, 0),
}  # fmt: skip
"""The 32 classes of label_colors.txt. Source: Brostow, Fauqueur, Cipolla, PRL 2009."""
GROUPS: dict[str, tuple[str, ...]] = {
    "Sky": ("Sky",),
    "Building": ("Building", "Bridge", "Wall", "Tunnel", "Archway"),
    "Pole": ("Column_Pole", "TrafficCone"),
    "Road": ("Road", "LaneMkgsDriv", "LaneMkgsNonDriv"),
    "Sidewalk": ("Sidewalk", "ParkingBlock", "RoadShoulder"),
    "Tree": ("Tree", "VegetationMisc"),
    "Sign": ("SignSymbol", "Misc_Text", "TrafficLight"),
    "Fence": ("Fence",),
    "Car": ("Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"),
    "Pedestrian": ("Pedestrian", "Child", "CartLuggagePram", "Animal"),
    "Bicyclist": ("Bicyclist", "MotorcycleScooter"),
}
"""Of which of the 32 classes each of the 11 is made; what is in none is void. Source: Badrinarayanan, Kendall, Cipolla,
SegNet, PAMI 2017, as MATLAB's camvidPixelLabelIDs spells its grouping out."""
Tick = Callable[[int, int], None]


def segnet_split(stem: str) -> str:
    """The split of a still, by its sequence and number, as in the SegNet tutorial: 367 train, 101 val, 233 test.

    Raises:
        ValueError: not the name of one of CamVid's stills.
    """
    sequence, number = sequence_and_number(stem)
    if sequence == "Seq05VD" or (sequence == "0001TP" and number >= 8550):
        return "test"
    return "val" if sequence == "0016E5" and 7959 <= number <= 8159 else "train"


def sequence_and_number(stem: str) -> tuple[str, int]:
    """("0006R0", 1470) of "0006R0_f01470"."""
    found = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", stem)
    if found is None:
        raise ValueError(f"{stem}: expected the name of a still of CamVid, like 0001TP_006690 or Seq05VD_f00000")
    return found[1], int(found[2])


def splits_of(stems: list[str], lists: Path | None = None, like: Path | None = None) -> dict[str, str]:
    """Still -> split: the SegNet tutorial's, that of lists of names, or that of another copy's folders.

    Args:
        lists: a folder with train.txt, val.txt and test.txt; a line names a still, its file, or the files of both.
        like: a folder with train/, val/ and perhaps test/ of images.
    Raises:
        FileNotFoundError, ValueError: a list is missing, or names a still that is not there; names it.
    """
    if lists is not None:
        named = _listed(lists)
    elif like is not None:
        named = _present(require_folder(like, like, "expected a copy with train/, val/ and perhaps test/"))
    else:
        return {stem: segnet_split(stem) for stem in stems}
    known = set(stems)
    chosen: dict[str, str] = {}
    for where, split, stem in named:
        if stem not in known:
            raise FileNotFoundError(f"{where}: '{stem}', but the release has no still of that name")
        chosen[stem] = split
    return chosen


def _listed(folder: Path) -> Iterator[tuple[str, str, str]]:
    for split in SPLITS:
        for number, line in read_list(folder / f"{split}.txt", "a folder of lists has train.txt, val.txt and test.txt"):
            yield f"{folder / split}.txt, line {number}", split, Path(line.split()[0]).stem


def _present(copy: Path) -> Iterator[tuple[str, str, str]]:
    for split in SPLITS:
        if (copy / split).is_dir():
            for stem, path in files_in(copy / split, (".png",), "stills").items():
                yield str(path), split, stem


def release_palette() -> Palette:
    """The 11 classes and void of `camvid` in the 32 colours: indices are those of `COLOURS`."""
    return Palette(tuple(COLOURS.values()), tuple(COLOURS), name="CamVid's release")


def grouping() -> dict[int, int]:
    """Index in `COLOURS` -> class of `camvid`, 11 where void."""
    group = {member: CLASSES.index(name) for name, members in GROUPS.items() for member in members}
    return {index: group.get(name, VOID) for index, name in enumerate(COLOURS)}


def convert_label(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """(H, W) uint8 of the 11 classes, 11 where void, of a label in 32 colours.

    Raises:
        ValueError: a colour that is none of the 32; names it and the pixel.
    """
    label = read_map(path, classes=len(COLOURS), mapping=grouping(), palette=release_palette())
    return label if size is None else resize_map(label, size)


def resized(picture: Tensor, size: Sequence[int] | None) -> NDArray[np.uint8]:
    """(H, W, 3) of a (3, H, W) picture, each pixel the mean of those that it covers."""
    array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    if size is None or array.shape[:2] == tuple(size):
        return array
    return np.asarray(cv2.resize(array, (size[1], size[0]), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def stills_of(release: Path) -> dict[str, Path]:
    """Name -> file of the released stills.

    Raises:
        FileNotFoundError: the release has not the folders that it should have, or a still has no label.
    """
    stills = files_in(require_folder(release / STILLS, release, LAYOUT), (".png",), "stills")
    labels = require_folder(release / LABELS, release, LAYOUT)
    for stem, path in stills.items():
        if not (labels / f"{stem}_L.png").is_file():
            raise FileNotFoundError(f"{path}: a still without its label, expected {labels / stem}_L.png")
    return stills


def convert(
    release: Path, root: Path, splits: dict[str, str], size: tuple[int, int] | None = None, tick: Tick | None = None
) -> int:
    """Write `root/{split}/*.png` and `root/{split}annot/*.png`; what is there already in this size is kept.

    Args:
        splits: still -> split.
        size: (H, W); None: as released.
    Returns:
        How many stills were written.
    Raises:
        ValueError: a folder holds a still of another split, which would be trained and tested on.
    """
    stills, written = stills_of(release), 0
    _refuse_leftovers(root, splits)
    for done, (stem, split) in enumerate(splits.items(), start=1):
        picture, label = root / split / f"{stem}.png", root / f"{split}annot" / f"{stem}.png"
        wanted = size or image_size(stills[stem])
        if not all(path.is_file() and image_size(path) == tuple(wanted) for path in (picture, label)):
            for path in (picture, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_map(label, convert_label(release / LABELS / f"{stem}_L.png", size))
            save_png(picture, resized(read_image(stills[stem]), size))
            written += 1
        if tick:
            tick(done, len(splits))
    return written


def _refuse_leftovers(root: Path, splits: dict[str, str]) -> None:
    for split in SPLITS:
        for path in sorted((root / split).glob("*.png")):
            if splits.get(path.stem) != split:
                belongs = splits.get(path.stem, "none")
                raise ValueError(
                    f"{path}: by the splits chosen it belongs to {belongs}: delete it or name another folder"
                )
