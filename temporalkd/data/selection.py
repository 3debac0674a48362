"""Which frames of a recording are used, at which size: a part of a source, read when asked for or held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.data.clip import Motion
from temporalkd.data.source import Source
from temporalkd.data.video import VideoFile

RUN = 8
"""Frames that are used one after the other, so that each has neighbours."""


class Part(Source):
    """A range of a source's frames, read when they are asked for.

    Nothing outside of it is ever read: not as a neighbour, nor to average predictions along the flow. Where a video
    is streamed, the frames before the range are decoded and dropped, one at a time.

    Args:
        labels: whether its frames have the labels that they have in the source, or none.
    """

    def __init__(self, source: Source, frames: range, *, labels: bool = False):
        self.source, self.range, self.labels = source, frames, labels
        self.name, self.fps = f"{source.name}[{frames.start}:{frames.stop}]", source.fps

    def __len__(self) -> int:
        return len(self.range)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its frames. A video is of one size, so that nothing needs to be skipped to know it."""
        first = next(self.source.frames()) if isinstance(self.source, VideoFile) else self.frame(0)
        return int(first.shape[1]), int(first.shape[2])

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.source.frame(self.range[index])

    def frames(self) -> Iterator[Tensor]:
        """All frames of the range in order, one at a time."""
        if isinstance(self.source, VideoFile):  # streams faster than it reads at random
            return islice(self.source.frames(), self.range.start, self.range.stop)
        return super().frames()

    def clip(self, indices: Sequence[int]) -> Tensor:
        """(T, 3, H, W) uint8 RGB."""
        return self.source.clip([self.range[index] for index in indices])

    def describe(self, index: int) -> str:
        """As the source itself says it."""
        return self.source.describe(self.range[index])

    def files(self, index: int) -> list[Path]:
        """The source's own."""
        return self.source.files(self.range[index])

    def motion(self, source: int, target: int) -> Motion | None:
        """The source's own."""
        return self.source.motion(self.range[source], self.range[target])

    def label(self, index: int) -> Tensor | None:
        """The source's own, where labels are wanted."""
        return self.source.label(self.range[index]) if self.labels else None

    @property
    def labelled(self) -> list[int]:
        """Indices, within the range, of the frames that have labels."""
        return [index - self.range.start for index in self.source.labelled if self.labels and index in self.range]


def within(source: Source, span: tuple[int, int | None] | None) -> range:
    """The frames of a source from span[0] on, up to but without span[1]; None: all.

    Raises:
        ValueError: the source has no frame there.
    """
    first, end = span or (0, None)
    found = range(first, min(len(source), end or len(source)))
    if not found:
        raise ValueError(f"frames: [{first}, {end}], but {source.name} has {len(source)}")
    return found


class Selection(Source):
    """Frames `start` to `stop` - 1 of a source, decoded and resized; see `select`.

    Shape:
        pixels: (stop - start, 3, H, W) uint8 RGB.
    """

    def __init__(self, source: Source, start: int, stop: int, pixels: Tensor):
        self.source, self.start, self.stop = source, start, stop
        self.name, self.fps = f"{source.name}[{start}:{stop}]", source.fps
        self.pixels = pixels

    def __len__(self) -> int:
        return self.stop - self.start

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.pixels[index]

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8, resized by the nearest pixel centre; None where the frame has none."""
        label = self.source.label(self.start + index)
        size = self.pixels.shape[-2:]
        if label is None or label.shape == size:
            return label
        return F.interpolate(label[None, None].float(), size, mode="nearest-exact")[0, 0].byte()

    @property
    def labelled(self) -> list[int]:
        """Of the frames in the selection."""
        return [i - self.start for i in self.source.labelled if self.start <= i < self.stop]

    def motion(self, source: int, target: int) -> Motion | None:
        """As the source knows it, where frames are not resized."""
        found = self.source.motion(self.start + source, self.start + target)
        return found if found is not None and found.flow.shape[-2:] == self.pixels.shape[-2:] else None


def resized(frame: Tensor, longest: int | None) -> Tensor:
    """A frame (3, H, W) uint8 whose longest side is `longest` pixels at most."""
    height, width = frame.shape[1:]
    if longest is None or max(height, width) <= longest:
        return frame
    size = [max(1, round(side * longest / max(height, width))) for side in (height, width)]
    small = F.interpolate(frame[None].float(), size, mode="bilinear", align_corners=False, antialias=True)[0]
    return small.round().clamp(0, 255).byte()


def select(source: Source, spans: Sequence[tuple[int, int]], longest: int | None = None) -> list[Selection]:
    """The frames of each span, decoded in one pass."""
    wanted = {index for start, stop in spans for index in range(start, stop)}
    kept: dict[int, Tensor] = {}
    for index, frame in _read(source, wanted):
        kept[index] = resized(frame, longest)
    return [Selection(source, a, b, torch.stack([kept[i] for i in range(a, b)])) for a, b in spans]


def spread(start: int, stop: int, count: int, run: int = RUN) -> list[tuple[int, int]]:
    """Spans of `run` consecutive frames, evenly spread over start..stop, of `count` frames in all at most.

    Everything in one span where that is no more than `count`.

    >>> spread(0, 100, 24)
    [(0, 8), (46, 54), (92, 100)]
    >>> spread(5, 20, 24)
    [(5, 20)]
    """
    if stop - start <= count:
        return [(start, stop)] if stop > start else []
    runs = max(1, count // run)
    last = stop - min(run, count)
    firsts = [round(start + (last - start) * (i / (runs - 1) if runs > 1 else 0.5)) for i in range(runs)]
    return [(first, first + min(run, count)) for first in firsts]


def _read(source: Source, wanted: set[int]) -> Iterator[tuple[int, Tensor]]:
    """Streaming where most frames are wanted, at random where few are."""
    if 3 * len(wanted) < max(wanted, default=0):
        yield from ((index, source.frame(index)) for index in sorted(wanted))
        return
    for index, frame in enumerate(source.frames()):
        if index in wanted:
            yield index, frame
        if index >= max(wanted):
            return
