"""CamVid in the 360x480 copy's layout: train, val (one 15 Hz clip) and test, 11 classes, void 11."""

from __future__ import annotations

from pathlib import Path

from temporalkd.data.footage import Footage, move_stills
from temporalkd.data.frames import ImageFolder
from temporalkd.data.palettes import palette

CLASSES, PALETTE = palette("camvid").names, palette("camvid").colours
VOID = 11


def camvid(root: Path, split: str = "train", synthetic_motion: bool | None = None, seed: int = 0) -> Footage:
    """Stills `root/split/*.png` and labels `root/{split}annot/*.png`, one index a pixel.

    Args:
        split: "train" or "test": stills at 1 Hz; "val": the clip 0016E5, 15 Hz, every frame labelled.
        synthetic_motion: give each still neighbours by synthetic motion, with exact flow; None: for all but val,
            whose frames are real neighbours.
    Source:
        Brostow, Fauqueur, Cipolla, PRL 2009; 11 classes and split of the SegNet tutorial.
    """
    folder = ImageFolder(root / split, root / f"{split}annot", classes=len(CLASSES), void=VOID, fps=15.0)
    moved = split != "val" if synthetic_motion is None else synthetic_motion
    return Footage(move_stills(folder, seed) if moved else [folder], CLASSES, PALETTE)
