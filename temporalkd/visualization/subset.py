"""A range of a source's frames, as a source of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from torch import Tensor

from temporalkd.data.clip import Motion
from temporalkd.data.source import Source
from temporalkd.data.video import VideoFile


class Subset(Source):
    """Frames `start` to `stop` - 1 of a source, counted from 0; the others are not read.

    Of a video file the frames before `start` are decoded and dropped, one at a time.

    Raises:
        ValueError: there are no such frames, or none between the two.
    """

    def __init__(self, source: Source, start: int, stop: int) -> None:
        if not 0 <= start < stop <= len(source):
            raise ValueError(f"frames {start}:{stop} of {source.name}, which has {len(source)}")
        self.source, self.start, self.stop = source, start, stop
        self.name, self.fps = source.name, source.fps

    def __len__(self) -> int:
        return self.stop - self.start

    def _index(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: frame {index} asked for, the range has {len(self)}")
        return self.start + index

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its frames. A video is of one size, so that nothing needs to be skipped to know it."""
        first = next(self.source.frames()) if isinstance(self.source, VideoFile) else self.frame(0)
        return int(first.shape[1]), int(first.shape[2])

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.source.frame(self._index(index))

    def describe(self, index: int) -> str:
        """The frame as the source calls it."""
        return self.source.describe(self._index(index))

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8, or None where this frame has no label."""
        return self.source.label(self._index(index))

    def motion(self, source: int, target: int) -> Motion | None:
        """As the source knows it."""
        return self.source.motion(self._index(source), self._index(target))

    @property
    def labelled(self) -> list[int]:
        """Indices, within the range, of the frames that have labels."""
        return [index - self.start for index in self.source.labelled if self.start <= index < self.stop]

    def frames(self) -> Iterator[Tensor]:
        """All frames of the range in order, one at a time."""
        if isinstance(self.source, VideoFile):  # streams faster than it reads at random
            return islice(self.source.frames(), self.start, self.stop)
        return super().frames()


def subset(source: Source, text: str) -> Subset:
    """The range that a person means by START:END: frames START to END - 1, either left out for the first or last.

    Raises:
        ValueError: not of this form, empty, or beyond the source's frames; says how many there are.
    """
    start, colon, stop = text.partition(":")
    count = len(source)
    expected = f"expected START:END within 0:{count}, {source.name} has {count} frames"
    if not colon or any(part and not (part.isascii() and part.isdecimal()) for part in (start, stop)):
        raise ValueError(f"range {text!r}: {expected}")
    first, last = int(start or 0), int(stop or count)
    if first >= count or last > count:
        raise ValueError(f"range {text!r} goes beyond the end: {expected}")
    if first >= last:
        raise ValueError(f"range {text!r} holds no frame: {expected}")
    return Subset(source, first, last)
