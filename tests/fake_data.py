"""Tiny generated copies of data sets in their real folder layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from temporalkd.data.camvid_release import COLOURS
from temporalkd.data.footage import DatasetOptions, Footage, Setting
from temporalkd.data.palettes import palette
from temporalkd.visualization import VideoWriter

SIZE = (48, 64)
LABEL_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33, 0, 4, 9])
"""The 19 evaluated label ids of Cityscapes in the order of their classes, and three that are ignored."""


def stripes(values: int, size: tuple[int, int], shift: int = 0) -> NDArray[np.uint8]:
    """(H, W) upright stripes of 0..values - 1, moved to the right."""
    column = (np.arange(size[1]) - shift) * values // size[1] % values
    return np.broadcast_to(column, size).astype(np.uint8)


def shaded(classes: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) a picture of the classes, each in a colour of its own, with noise."""
    shades = np.random.default_rng(7).integers(0, 256, (256, 3))
    noise = np.random.default_rng(seed).integers(-8, 9, (*classes.shape, 3))
    return (shades[classes] + noise).clip(0, 255).astype(np.uint8)


def save(path: Path, array: NDArray[np.uint8], colours: tuple[tuple[int, int, int], ...] = ()) -> Path:
    """An image file, with a palette where colours are given; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if colours:
        image = Image.fromarray(array, mode="P")
        image.putpalette([value for colour in colours for value in colour])
    image.save(path)
    return path


def fake_cityscapes(
    root: Path, split: str = "train", count: int = 2, size: tuple[int, int] = SIZE, snippet: int = 0
) -> Path:
    """Stills with fine and coarse labels in two cities; `snippet` frames of a sequence around each, as in 11 of 30."""
    for index in range(count):
        city, number = ("aachen", 19) if index % 2 == 0 else ("hanover", 2357)
        name = f"{city}_{index:06d}_{number:06d}"
        classes = stripes(len(LABEL_IDS), size, index)
        save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", shaded(classes, 0))
        for kind in ("gtCoarse",) if split == "train_extra" else ("gtFine", "gtCoarse"):
            values = LABEL_IDS[classes].astype(np.uint8)
            if kind == "gtCoarse":
                values[: size[0] // 2] = 0
            save(root / kind / split / city / f"{name}_{kind}_labelIds.png", values)
        for frame in range(snippet):
            moved = stripes(len(LABEL_IDS), size, index + frame - snippet * 19 // 30)
            stem = f"{city}_{index:06d}_{number + frame - snippet * 19 // 30:06d}"
            path = root / "leftImg8bit_sequence" / split / city / f"{stem}_leftImg8bit.png"
            save(path, shaded(moved, frame))
    return root


def fake_vspw(root: Path, splits: dict[str, int], length: int = 3, size: tuple[int, int] = SIZE) -> Path:
    """Videos of each split, masks for all but the test split, and the class names."""
    root.mkdir(parents=True, exist_ok=True)
    for split, count in splits.items():
        names = [f"{split}{number}_aBc-d_E" for number in range(count)]
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            for index in range(length):
                values = stripes(126, size, index)
                values = np.where(values == 125, 255, values).astype(np.uint8)
                stem = f"{index * 5 + 8:08d}"
                save(root / "data" / name / "origin" / f"{stem}.jpg", shaded(values, index))
                if split != "test":
                    save(root / "data" / name / "mask" / f"{stem}.png", values)
    numbers = {f"thing {number}": number for number in range(124, 0, -1)}
    (root / "label_num_dic_final.json").write_text(json.dumps({"others": 0, **numbers}))
    return root


def fake_voc(root: Path, splits: dict[str, int], size: tuple[int, int] = SIZE) -> Path:
    """VOCdevkit/VOC2012 with stills of different sizes; palette labels, or grey ones for train_aug."""
    place = root / "VOCdevkit" / "VOC2012"
    for number, (split, count) in enumerate(splits.items()):
        names = [f"{2007 + number}_{index:06d}" for index in range(count)]
        augmented = split == "train_aug"
        lines = [f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png" if augmented else n for n in names]
        listing = place / "ImageSets" / "Segmentation" / f"{split}.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(lines) + "\n")
        for index, name in enumerate(names):
            classes = stripes(22, (size[0], size[1] + 6 * index), index)
            values = np.where(classes == 21, 255, classes).astype(np.uint8)
            save(place / "JPEGImages" / f"{name}.jpg", shaded(classes, index))
            folder = "SegmentationClassAug" if augmented else "SegmentationClass"
            colours = palette("voc").colours + ((0, 0, 0),) * 234 + ((224, 224, 192),)
            save(place / folder / f"{name}.png", values, () if augmented else colours)
    return root


def drive(length: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """(T, H, W, 3) a camera that pans over a picture at a pixel a frame or two."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 40, 3)).astype(np.uint8)
    wide = np.asarray(Image.fromarray(coarse).resize((2 * length + size[1], size[0]), Image.Resampling.BICUBIC))
    return np.stack([wide[:, 2 * i : 2 * i + size[1]] for i in range(length)])


def fake_camvid_release(
    release: Path, off: dict[str, int], step: int = 12, length: int = 60, size: tuple[int, int] = SIZE
) -> Path:
    """CamVid's own folders, and videos/ whose frame `number + off[sequence]` is the still of that number.

    Stills of 0001TP begin at 8500, so that they are in train and in test.
    """
    files = {"0001TP": "01TP_extract.avi", "0006R0": "0006R0.MXF", "0016E5": "0016E5.MXF", "Seq05VD": "0005VD.MXF"}
    names = {
        "0001TP": "0001TP_{:06d}",
        "0006R0": "0006R0_f{:05d}",
        "0016E5": "0016E5_{:05d}",
        "Seq05VD": "Seq05VD_f{:05d}",
    }
    colours = np.array(list(COLOURS.values()), np.uint8)
    for seed, (sequence, offset) in enumerate(off.items()):
        frames = drive(length, size, seed)
        path = release / "videos" / files[sequence]
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(release / "videos" / f"{sequence}.mp4", fps=30, crf=12) as writer:
            for frame in frames:
                writer.write(torch.from_numpy(frame.copy()).permute(2, 0, 1))
        (release / "videos" / f"{sequence}.mp4").rename(path)
        for frame in range(5, length - 5, step):
            stem = names[sequence].format(frame - offset)
            save(release / "701_StillsRaw_full" / f"{stem}.png", frames[frame])
            save(release / "LabeledApproved_full" / f"{stem}_L.png", colours[stripes(32, size, frame)])
    return release


def opened(
    options: type[DatasetOptions], root: Path, split: str = "train", seed: int = 0, labelled: bool = True, **more: Any
) -> Footage:
    """The footage of a data set's folder."""
    return options(root=str(root), split=split, **more).open(Setting(seed=seed, labelled=labelled))  # type: ignore[call-arg]
