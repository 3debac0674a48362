"""Which frames a network is made steady on, and which are held out to see whether it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from temporalkd.data.image_folder import FrameFolder, open_frames
from temporalkd.data.selection import Selection, select, spread
from temporalkd.data.source import Source

LEAST, HELD_LEAST, HELD_MOST = 60, 12, 48
"""Frames below which a recording has no held-out part; frames of such a part."""

Video = str | PathLike[str] | Source


@dataclass
class Footage:
    """`used` to train on, `held` to watch, both at the work size; `recordings` as they are."""

    recordings: list[Source]
    used: list[Selection]
    held: list[Selection]

    @property
    def shown(self) -> list[Selection]:
        """What before and after are compared on: the held-out part, else what was trained on."""
        if self.held:
            return self.held
        longest = max(self.used, key=len)
        return [longest] if len(longest) >= HELD_LEAST else self.used

    def describe(self) -> str:
        """A line for people."""
        used, held = (sum(map(len, part)) for part in (self.used, self.held))
        height, width = self.used[0].pixels.shape[-2:]
        frames = f"{used} of {sum(map(len, self.recordings))} frames at {width}x{height}"
        if held:
            return f"{frames}; {held} frames from the end are held out, a second after them"
        return f"{frames}; too short for a held-out part: all steps are taken, and the result is kept"


def open_recording(video: Video, labels: str | PathLike[str] | None = None) -> Source:
    """A file, a folder of frames or a source; `labels`, for the report alone, belong to a folder of frames.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: labels for what is not a folder of frames.
    """
    if isinstance(video, Source):
        return video
    if labels is None:
        return open_frames(Path(video))
    if not Path(video).is_dir():
        raise ValueError(f"labels: they are matched by name with a folder of frames, {video} is a file")
    return FrameFolder(Path(video), Path(labels), partial=True)


def choose(recordings: Sequence[Source], size: int, count: int, hold_out: bool = True) -> Footage:
    """Of each recording its share of `count` frames, spread over it in runs, and its last tenth held out.

    The held-out part begins a second after the frames that may be used. A recording of fewer than 60 frames has none.
    """
    total = sum(map(len, recordings))
    used: list[Selection] = []
    held: list[Selection] = []
    for source in recordings:
        stop = length = len(source)
        spans = []
        if hold_out and length >= LEAST:
            first = length - max(HELD_LEAST, length // 10)
            spans = [(max(first, length - HELD_MOST), length)]
            stop = max(first - round(source.fps), length // 4)
        chosen = spread(0, stop, max(round(count * length / total), min(length, 2)))
        parts = select(source, [*chosen, *spans], size)
        used += parts[: len(chosen)]
        held += parts[len(chosen) :]
    return Footage(list(recordings), used, held)
