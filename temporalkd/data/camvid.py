"""CamVid in the 360x480 copy's layout: train, val (one 15 Hz clip) and test, 11 classes, void 11."""

from __future__ import annotations

from pathlib import Path

from temporalkd.data.footage import GRAIN, LIGHT, Footage
from temporalkd.data.frames import ImageFolder
from temporalkd.data.image_files import IMAGES, ImageFiles, files_in
from temporalkd.data.motion import MovedStill
from temporalkd.data.palettes import palette
from temporalkd.data.source import Source

CLASSES, PALETTE = palette("camvid").names, palette("camvid").colours
VOID = 11
SEQUENCES = "sequences"
LAYOUT = (
    "CamVid has {split}/*.png and {split}annot/*.png of class indices, void 11; tools/prepare_camvid.py makes them of "
    "the original release"
)


def camvid(root: Path, split: str = "train", synthetic_motion: bool | None = None, seed: int = 0) -> Footage:
    """Stills `root/split/*.png` and labels `root/{split}annot/*.png`, one index a pixel.

    Args:
        split: "train" or "test": stills at 1 Hz; "val": the clip 0016E5, 15 Hz, every frame labelled.
        synthetic_motion: give each still neighbours by synthetic motion, with exact flow; None: for all but val,
            whose frames are real neighbours, and but the stills with frames of the video around them in
            `root/sequences/{still}/`, the still in the middle.
    Source:
        Brostow, Fauqueur, Cipolla, PRL 2009; 11 classes and split of the SegNet tutorial.
    """
    folder = ImageFolder(root / split, root / f"{split}annot", classes=len(CLASSES), void=VOID, fps=15.0)
    moved = split != "val" if synthetic_motion is None else synthetic_motion
    if not moved:
        return Footage([folder], CLASSES, PALETTE)
    real = root / SEQUENCES if synthetic_motion is None else None
    return Footage([_with_neighbours(folder, i, real, seed) for i in range(len(folder))], CLASSES, PALETTE)


def _with_neighbours(stills: ImageFolder, index: int, sequences: Path | None, seed: int) -> Source:
    """A still among frames of its video where there are some, else with synthetic motion."""
    name = stills.paths[index].stem
    if sequences is None or not (sequences / name).is_dir():
        return MovedStill(stills, index, seed=seed, light=LIGHT, grain=GRAIN)
    frames = list(files_in(sequences / name, IMAGES, "frames").values())
    if len(frames) % 2 == 0:
        raise ValueError(
            f"{sequences / name}: {len(frames)} frames, expected as many before the still as after it: delete the "
            "folder and run tools/prepare_camvid.py again"
        )
    return ImageFiles(name, frames, {len(frames) // 2: stills.labels[index]}, stills.reader, fps=30.0)
