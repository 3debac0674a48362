"""Footage that moves by whole pixels, so that every number is known, and its motion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from flow import FlowEstimator
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Row


class Panning(Source):
    """Stripes 16 pixels wide that move right by two pixels a frame; only some frames have labels."""

    def __init__(self, length: int = 6, labelled: Iterable[int] = (), void: bool = False, start: int = 0) -> None:
        self.name, self.length, self._labelled, self.void, self.start = "panning", length, list(labelled), void, start

    def __len__(self) -> int:
        return self.length

    def map(self, index: int) -> Tensor:
        columns = torch.arange(64) - 2 * (index + self.start)
        return ((columns // 16) % 2).to(torch.uint8).expand(48, 64).clone()

    def frame(self, index: int) -> Tensor:
        return (100 * self.map(index)).expand(3, 48, 64)

    def label(self, index: int) -> Tensor | None:
        if index not in self._labelled:
            return None
        label = self.map(index)
        if self.void:
            label[:8, :8] = 255
        return label

    @property
    def labelled(self) -> list[int]:
        return self._labelled


class Shift(FlowEstimator):
    """Everything moves right by some pixels."""

    def __init__(self, pixels: float = 2) -> None:
        super().__init__(f"shift{pixels:g}")
        self.pixels = pixels
        self.freeze({"pixels": pixels})

    def encode(self, frames: Tensor) -> Tensor:
        return frames

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("video is overridden")

    def video(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        for number, image in enumerate(frames):
            field = torch.zeros(1, 2, *image.shape[-2:])
            field[:, 0] = self.pixels
            if number:
                yield field, -field


RIGHT = {"right": Shift()}


def moving(frame: Frame) -> FramePrediction:
    """What is there."""
    assert isinstance(frame.source, Panning)
    return FramePrediction(frame.source.map(frame.index))


def frozen(frame: Frame) -> FramePrediction:
    """What was there at first."""
    assert isinstance(frame.source, Panning)
    return FramePrediction(frame.source.map(0))


class Unsure:
    """Probabilities drawn for each frame, the same whenever asked; counts how often it is."""

    def __init__(self, classes: int = 2) -> None:
        self.classes, self.asked = classes, 0

    def __call__(self, frame: Frame) -> FramePrediction:
        self.asked += 1
        random = torch.Generator().manual_seed(1000 * len(frame.source) + frame.index)
        probs = (3 * torch.randn(self.classes, *frame.size, generator=random)).softmax(0)
        return FramePrediction(probs.argmax(0).to(torch.uint8), probs)


def by_system(rows: list[Row]) -> dict[str, Row]:
    """Of one flow and protocol."""
    assert len({row.system for row in rows}) == len(rows)
    return {row.system: row for row in rows}
