"""Clips for training from folders of images, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from temporalkd.data.clip import Augment
from temporalkd.data.footage import mixed, open_footage, split_scenes
from temporalkd.data.holdout import Split
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.mix import Mix
from temporalkd.data.palettes import Palette
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.scenes import scene_folders
from temporalkd.data.source import Source
from temporalkd.data.street import Street


class ImageFolder(ClipSampler):
    """Clips of one to three frames from a folder of images in temporal order, and a folder of their class maps.

    A folder of folders is several scenes; then the labels lie in folders of the same names. Item n is a Clip, the same
    for a seed on any machine; a DataLoader takes `collate_fn=temporalkd.data.collate`.

    Args:
        images: png, jpg, bmp or webp files; natural order (9 before 10) is temporal order.
        labels: class maps (png) named like their frames; frames may lack one. None: no labels.
        frames: 1, 2 or 3: the labelled frame alone, with one neighbour, or between two.
        gaps: smallest and largest distance to a neighbour, in frames.
        crop: (height, width) cut at random; needed for a batch of frames of several sizes.
        scale: smallest and largest factor of a random scale; flip: mirror half of the clips.
        classes, void, mapping, palette: see `temporalkd.data.label_maps.read_map`.
        split: "holdout": the middle tenth of each sequence's labelled frames, to choose by; "fit": all but that and the
            labelled frame on each side of it. Sequences are the folders of a folder of folders, else the names that are
            equal up to their last "_".
        unlabelled: videos, folders of frames, or folders of either, whose frames are drawn without labels;
            `unlabelled_frames`: (first, end) of each scene, end excluded; `share`: of the clips without labels.
        synthetic_motion: the images are unrelated stills, whose neighbours are made by moving them.
        moving_objects: share of these stills in which an object, cut out by its label, moves on its own.
        mix: parts of the clips of a batch are pasted into each other, see `Mix`.
        seed: of all that is drawn.
    Raises:
        FileNotFoundError: no such folder, or nothing in it.
        ValueError: maps that match no frame; frames too few for clips of that length.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from torchvision.io import write_png
    >>> from temporalkd.data import ImageFolder
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, channels in (("frames", 3), ("labels", 1)):
    ...     (root / name).mkdir()
    ...     for t in range(4):
    ...         _ = write_png(torch.zeros(channels, 16, 24).byte(), str(root / name / f"{t}.png"))
    >>> clips = ImageFolder(root / "frames", root / "labels", frames=3, gaps=(1, 1))
    >>> len(clips), tuple(clips[0].frames.shape)
    (2, (1, 3, 3, 16, 24))
    """

    def __init__(
        self,
        images: str | PathLike[str],
        labels: str | PathLike[str] | None = None,
        *,
        frames: int = 2,
        gaps: tuple[int, int] = (1, 3),
        crop: tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        classes: int | None = None,
        void: int | Iterable[int] | None = 255,
        mapping: Mapping[int, int] | None = None,
        palette: Palette | None = None,
        split: Split = "all",
        unlabelled: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
        unlabelled_frames: tuple[int, int | None] | None = None,
        share: float | None = None,
        synthetic_motion: bool = False,
        moving_objects: float = 0.0,
        mix: Mix | None = None,
        seed: int = 0,
    ):
        made = [
            FrameFolder(folder, maps, classes=classes, void=void, mapping=mapping, palette=palette, partial=True)
            for folder, maps in scene_folders(Path(images), None if labels is None else Path(labels))
        ]
        footage = split_scenes(made, split, synthetic_motion, seed, moving_objects)
        with_labels, without = (footage, []) if labels is not None else ([], footage)
        paths = [unlabelled] if isinstance(unlabelled, str | PathLike) else unlabelled
        beside = open_footage([Path(path) for path in paths], unlabelled_frames)
        augment, motion = Augment(crop, scale, flip), frames > 1 and not mixed([*footage, *beside])
        super().__init__(
            with_labels, frames, gaps, seed, [*without, *beside], augment, motion=motion, share=share, mix=mix
        )


class Streets(ClipSampler):
    """Clips of synthetic streets with exact labels, flow and visibility: to try things out, without any file.

    Args:
        count: number of streets; length: of each, in frames; size: (height, width).
        frames, gaps, crop, scale, flip, seed: as for `ImageFolder`.

    >>> from temporalkd.data import Streets
    >>> clip = Streets(count=1, length=4, size=(32, 48), gaps=(1, 1))[0]
    >>> tuple(clip.frames.shape), tuple(clip.flow.shape)
    ((1, 2, 3, 32, 48), (1, 1, 2, 32, 48))
    """

    def __init__(
        self,
        count: int = 4,
        *,
        length: int = 40,
        size: tuple[int, int] = (96, 160),
        frames: int = 2,
        gaps: tuple[int, int] = (1, 3),
        crop: tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        seed: int = 0,
    ):
        streets: Sequence[Source] = [Street(seed + number, length, size) for number in range(count)]
        super().__init__(streets, frames, gaps, seed, augment=Augment(crop, scale, flip), motion=frames > 1)
