"""Cityscapes: stills with fine or coarse labels, and the 30-frame snippets around them; 19 classes, 17 fps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from temporalkd.data.footage import DEFAULT, DatasetOptions, Footage, Setting, register, stills
from temporalkd.data.images import ImageFiles
from temporalkd.data.label_maps import MapReader
from temporalkd.data.layout import named_files, require_folder
from temporalkd.data.palettes import palette
from temporalkd.data.source import Source

CLASSES, PALETTE = palette("cityscapes").names, palette("cityscapes").colours
FPS = 17.0
LABEL_IDS = 34
TRAIN_IDS = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
    28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip
"""Label id -> class, of the evaluated classes. Source: cityscapesScripts, helpers/labels.py."""
LAYOUT = (
    "Cityscapes has leftImg8bit/{split}/{city}/*_leftImg8bit.png, gtFine/{split}/{city}/*_gtFine_labelIds.png "
    "(or _labelTrainIds.png), or gtCoarse, and perhaps leftImg8bit_sequence like leftImg8bit"
)
IMAGE = "_leftImg8bit.png"


@register
class Cityscapes(DatasetOptions):
    """Snippets of leftImg8bit_sequence with one labelled frame each, or stills of leftImg8bit.

    Frames of consecutive numbers are one scene, so that a snippet may be shorter where frames have been deleted.

    Args:
        split: "train", "val", "test" (no labels) or "train_extra" (coarse labels).
        coarse: labels from gtCoarse.
        synthetic_motion: True: stills with neighbours made by synthetic motion. None: that too, but the real
            neighbours where the split's sequences are there. False: the sequences, or else each still alone.
    Raises:
        FileNotFoundError, ValueError: a folder, an image, a label or the labelled frame of a snippet is missing.
    Source:
        Cordts et al., CVPR 2016.
    """

    dataset: Literal["cityscapes"] = "cityscapes"
    root: str | None = None
    split: Literal["train", "val", "test", "train_extra"] = "train"
    coarse: bool = False
    synthetic_motion: bool | None = None

    def open(self, setting: Setting = DEFAULT) -> Footage:
        root = self.folder(self.root, setting, LAYOUT)
        labels, reader = _labels(root, self.split, self.coarse) if setting.labelled else ({}, MapReader(len(CLASSES)))
        snippets = root / "leftImg8bit_sequence" / self.split
        if self.synthetic_motion is not True and snippets.is_dir():
            return Footage(_scenes(snippets, labels, reader), CLASSES, PALETTE)
        folder = require_folder(root / "leftImg8bit" / self.split, root, LAYOUT)
        images = named_files(folder, "*/*", IMAGE, LAYOUT)
        if setting.labelled:
            _require_pairs(images, labels, folder)
        indexed = {i: labels[name] for i, name in enumerate(images) if name in labels}
        files = ImageFiles(f"cityscapes-{self.split}", list(images.values()), indexed, reader, FPS)
        return Footage(
            stills(files, self.synthetic_motion is not False, setting.seed, setting.objects), CLASSES, PALETTE
        )


def _labels(root: Path, split: str, coarse: bool) -> tuple[dict[str, Path], MapReader]:
    """{city}_{sequence}_{frame} -> label file, and how they are read: label ids, else train ids."""
    if split == "test":
        raise ValueError(f"{root}: the labels of split test are not public: set split to train or val")
    if split == "train_extra" and not coarse:
        raise ValueError(f"{root}: split train_extra has coarse labels alone: set coarse to true")
    kind = "gtCoarse" if coarse else "gtFine"
    folder = require_folder(root / kind / split, root, LAYOUT)
    label_ids, train_ids = f"_{kind}_labelIds.png", f"_{kind}_labelTrainIds.png"
    if not any(folder.glob(f"*/*{label_ids}")) and any(folder.glob(f"*/*{train_ids}")):
        return named_files(folder, "*/*", train_ids, LAYOUT), MapReader(len(CLASSES))
    reader = MapReader(
        len(CLASSES),
        mapping={value: TRAIN_IDS.get(value, 255) for value in range(LABEL_IDS)},
        expected=f"a Cityscapes label id, 0 to {LABEL_IDS - 1}",
    )
    return named_files(folder, "*/*", label_ids, LAYOUT), reader


def _require_pairs(images: dict[str, Path], labels: dict[str, Path], folder: Path) -> None:
    for name, path in labels.items():
        if name not in images:
            raise FileNotFoundError(f"{path}: a label without its image, expected {name}{IMAGE} below {folder}")
    missing = [name for name in images if name not in labels]
    if missing:
        raise FileNotFoundError(
            f"{images[missing[0]]}: an image without its label ({len(missing)} such images), expected it below "
            f"{next(iter(labels.values())).parents[1]}: unpack the labels of this split again"
        )


def _scenes(folder: Path, labels: dict[str, Path], reader: MapReader) -> Sequence[Source]:
    """The runs of consecutive frames below a split of leftImg8bit_sequence that have a label, or all if none has."""
    frames = named_files(folder, "*/*", IMAGE, LAYOUT)
    for name, path in labels.items():
        if name not in frames:
            raise FileNotFoundError(
                f"{folder / path.parent.name / (name + IMAGE)}: missing, the labelled frame of its snippet: unpack "
                "leftImg8bit_sequence again, or set synthetic_motion to true to use the stills"
            )
    scenes = []
    for run in _runs(frames):
        indexed = {i: labels[name] for i, name in enumerate(run) if name in labels}
        if indexed or not labels:
            scenes.append(ImageFiles(run[0], [frames[name] for name in run], indexed, reader, FPS))
    return scenes


def _runs(names: dict[str, Path]) -> Iterator[list[str]]:
    """Names {city}_{sequence}_{frame} of one sequence with consecutive numbers."""
    run: list[str] = []
    for name in names:
        if run and not _follows(name, run[-1], names):
            yield run
            run = []
        run.append(name)
    yield run


def _follows(name: str, before: str, names: dict[str, Path]) -> bool:
    (sequence, _, number), (earlier, _, previous) = name.rpartition("_"), before.rpartition("_")
    if not (number.isdecimal() and previous.isdecimal()):
        wrong = names[name if previous.isdecimal() else before]
        raise ValueError(f"{wrong}: expected a name of the form city_sequence_frame{IMAGE}")
    return sequence == earlier and int(number) == int(previous) + 1
