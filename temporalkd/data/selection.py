"""Which frames of a recording are used, at which size: a part of a source, held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.data.clip import Motion
from temporalkd.data.source import Source

RUN = 8
"""Frames that are used one after the other, so that each has neighbours."""


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
