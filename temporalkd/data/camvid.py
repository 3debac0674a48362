"""CamVid in the 360x480 copy's layout: train, val (one 15 Hz clip) and test, 11 classes, void 11."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from temporalkd.data.footage import DEFAULT, DatasetOptions, Footage, Setting, move_stills, register
from temporalkd.data.holdout import Split, runs
from temporalkd.data.image_folder import IMAGES, FrameFolder, files_in
from temporalkd.data.images import ImageFiles
from temporalkd.data.palettes import palette
from temporalkd.data.selection import within
from temporalkd.data.source import Source
from temporalkd.options import Span

CLASSES, PALETTE = palette("camvid").names, palette("camvid").colours
VOID = 11
SEQUENCES = "sequences"
LAYOUT = (
    "CamVid has {split}/*.png and {split}annot/*.png of class indices, void 11; tools/prepare_camvid.py makes them of "
    "the original release"
)


def _train_is_all(split: Any) -> Any:
    return "train" if split == "all" else split


@register
class CamVid(DatasetOptions):
    """Stills `root/split/*.png` and labels `root/{split}annot/*.png`, one index a pixel.

    Args:
        split: "train" or "test": stills at 1 Hz; "val": the clip 0016E5, 15 Hz, every frame labelled. "holdout": the
            middle tenth of each sequence of train; "fit": train without it and the still on each side of it; "all": as
            "train". The motion of the held-out stills is always the same, whatever the seed.
        frames: [first, end]: of val, from that frame up to, and without, the other one; null: to the end.
        synthetic_motion: give each still neighbours by synthetic motion, with exact flow; None: for all but val,
            whose frames are real neighbours, and but the stills with frames of the video around them in
            `root/sequences/{still}/`, the still in the middle; then no motion is told, for either kind.
    Source:
        Brostow, Fauqueur, Cipolla, PRL 2009; 11 classes and split of the SegNet tutorial.
    """

    dataset: Literal["camvid"] = "camvid"
    root: str | None = None
    split: Annotated[Literal["train", "fit", "holdout", "val", "test"], BeforeValidator(_train_is_all)] = "train"
    synthetic_motion: bool | None = None
    frames: Span | None = None

    def open(self, setting: Setting = DEFAULT) -> Footage:
        root = self.folder(self.root, setting, LAYOUT)
        part: Split = "fit" if self.split == "fit" else "holdout" if self.split == "holdout" else "all"
        stored = self.split if part == "all" else "train"
        folder = FrameFolder(root / stored, root / f"{stored}annot", classes=len(CLASSES), void=VOID, fps=15.0)
        if self.frames is not None:
            if self.split != "val":
                raise ValueError(f"frames: {list(self.frames)} of split {self.split}: stills are chosen by split")
            return Footage([folder.part(within(folder, self.frames))], CLASSES, PALETTE)
        chosen = [run for _, run in runs([folder], part)]
        moved = self.split != "val" if self.synthetic_motion is None else self.synthetic_motion
        if not moved:
            return Footage([folder.part(run) for run in chosen], CLASSES, PALETTE)
        real = {} if self.synthetic_motion else dict(_sequences(folder, root / SEQUENCES))
        seed = 0 if part == "holdout" else setting.seed
        # Clips of one batch must all carry motion or none of them.
        scenes = [
            _among(folder, i, real[i]) if i in real else move_stills(folder, seed, [i], not real, setting.objects)[0]
            for i in chain(*chosen)
        ]
        return Footage(scenes, CLASSES, PALETTE)


def _sequences(stills: FrameFolder, place: Path) -> Iterator[tuple[int, list[Path]]]:
    """The frames around each still that has some, the still in the middle."""
    for index, path in enumerate(stills.paths):
        folder = place / path.stem
        if not folder.is_dir():
            continue
        frames = list(files_in(folder, IMAGES, "frames").values())
        if len(frames) % 2 == 0:
            raise ValueError(
                f"{folder}: {len(frames)} frames, expected as many before the still as after it: delete the folder "
                "and run tools/prepare_camvid.py again"
            )
        yield index, frames


def _among(stills: FrameFolder, index: int, frames: list[Path]) -> Source:
    """A still among frames of its video."""
    labels = {len(frames) // 2: stills.labels[index]}
    return ImageFiles(stills.paths[index].stem, frames, labels, stills.reader, fps=30.0)
