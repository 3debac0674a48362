"""A part of the labelled frames that is held out of the training, to choose by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from temporalkd.data.images import ImageFiles

Split = Literal["all", "fit", "holdout"]
SHARE = 10
"""One labelled frame in so many is held out."""


def runs(folders: Sequence[ImageFiles], split: Split) -> list[tuple[ImageFiles, list[int]]]:
    """The frames of a part, as runs of frames that follow each other; a function of the names alone.

    From the middle of each sequence one contiguous tenth of its labelled frames (rounded down) is held out, with the
    frames between them. The labelled frame on each side of it, and what lies between, belongs to neither part, since it
    resembles what is held out. A sequence of fewer than ten labelled frames belongs to "fit". Where a folder has no
    label, every frame counts. Of several folders each is a sequence; in a single one, the frames whose names are equal
    up to their last "_" are.

    Raises:
        ValueError: nothing is held out, since no sequence is long enough.
    """
    if split == "all":
        return [(folder, list(range(len(folder)))) for folder in folders]
    found = []
    for folder in folders:
        sequences: dict[str, list[int]] = {}
        for index, path in enumerate(folder.paths):
            name = path.stem.rpartition("_")[0] if len(folders) == 1 else folder.name
            sequences.setdefault(name, []).append(index)
        known = set(folder.labelled) or set(range(len(folder)))
        found += [(folder, run) for frames in sequences.values() for run in _parts(frames, known, split) if run]
    if not found:
        raise ValueError(f"split: holdout, but {folders[0].name} has no sequence of {SHARE} labelled frames")
    return found


def _parts(frames: list[int], known: set[int], split: Split) -> Iterator[list[int]]:
    """The runs of a sequence that belong to the part."""
    labelled = [i for i in frames if i in known]
    count = len(labelled) // SHARE
    start = (len(labelled) - count) // 2
    if split == "holdout":
        yield [i for i in frames if labelled[start] <= i <= labelled[start + count - 1]] if count else []
    elif count == 0:
        yield frames
    else:
        yield [i for i in frames if i < labelled[start - 1]]
        yield [i for i in frames if i > labelled[start + count]]
