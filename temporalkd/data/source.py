"""Where frames come from: one scene, in temporal order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from flow import LazyFrame, visible
from temporalkd.data.clip import Motion

EstimateMotion = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Two frames (1, 3, H, W) in [0, 1] -> forward and backward flow (1, 2, H, W), e.g. FlowCache.both."""


class Source(ABC):
    """Frames of one scene in temporal order, and what is known about them.

    A folder of images, a video file, a synthetic street, one still that is moved. Sources are cheap to make and to
    pickle: they open files when they are asked for a frame, in the process that asks.
    """

    name: str
    fps: float = 25.0

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB.

        Raises:
            ValueError: the frame cannot be decoded; names the file.
        """

    def clip(self, indices: Sequence[int]) -> Tensor:
        """(T, 3, H, W) uint8 RGB, the frames of these indices.

        Raises:
            ValueError: a frame cannot be decoded, or has not the size of the first; names it.
        """
        images = [self.frame(index) for index in indices]
        for index, image in zip(indices, images):
            require_size(self, index, image.shape[1:], images[0].shape[1:])
        return torch.stack(images)

    def describe(self, index: int) -> str:
        """Which frame that is, for messages to people."""
        return f"{self.name}, frame {index}"

    def files(self, index: int) -> list[Path]:
        """What that frame and its label are read from; none where they are made."""
        return []

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8 class indices, 255 where ignored; None where this frame has no label."""
        return None

    def motion(self, source: int, target: int) -> Motion | None:
        """Exact motion from frame `source` to frame `target`, or None where only an estimate can be had."""
        return None

    @property
    def knows_motion(self) -> bool:
        """Whether `motion` tells any."""
        return len(self) > 1 and self.motion(0, 1) is not None

    def origin(self, index: int) -> tuple[Source, int, Tensor | None]:
        """The frame that a frame is made of, and where its pixels lie in it.

        Returns:
            (source, index in it, positions (2, H, W): x and y in pixels, NaN outside); no positions where the frame is
            itself.
        """
        return self, index, None

    @property
    def labelled(self) -> list[int]:
        """Indices of the frames that have labels."""
        return []

    @property
    def withheld(self) -> list[int]:
        """Indices of the frames whose labels are hidden: anchors of methods that learn without labels too."""
        return []

    def weak(self, index: int) -> Tensor | None:
        """(H, W) uint8, a label that is incomplete or in doubt, 255 where unknown; None where there is none."""
        return None

    def hidden_label(self, index: int) -> Tensor | None:
        """The label of a withheld frame, to measure with and never to train on; None where there is none."""
        return None

    def frames(self) -> Iterator[Tensor]:
        """All frames in order, one at a time: the streaming way to read."""
        for index in range(len(self)):
            yield self.frame(index)

    def same_size_frames(self) -> Iterator[Tensor]:
        """As `frames`, of which each must have the size of the first.

        Raises:
            ValueError: one has another; names it.
        """
        return (frame.pixels for frame in self.stream())

    def stream(self) -> Iterator[Frame]:
        """All frames in order, each of the first one's size, with what is known about them.

        Raises:
            ValueError: one has another size; names it.
        """
        size: Sequence[int] | None = None
        for frame in self._stream():
            size = frame.size if size is None else size
            require_size(self, frame.index, frame.size, size)
            yield frame

    def _stream(self) -> Iterator[Frame]:
        for index, pixels in enumerate(self.frames()):
            yield Frame(self, index, pixels)


class Frame:
    """A frame of a source on its way through an evaluation: pixels and label are read once, on first use.

    Args:
        pixels: (3, H, W) uint8 RGB, where they have been decoded already.
        size: (H, W), where it is known without decoding.
        identity: of what the frame is decoded from: equal only where the pixels are.
    """

    def __init__(
        self,
        source: Source,
        index: int,
        pixels: Tensor | None = None,
        *,
        size: tuple[int, int] | None = None,
        identity: str | None = None,
    ):
        self.source, self.index, self.identity = source, index, identity
        if pixels is not None:
            self.pixels = pixels
        self.size: tuple[int, int] = size or (int(self.pixels.shape[1]), int(self.pixels.shape[2]))

    @cached_property
    def pixels(self) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.source.frame(self.index)

    @cached_property
    def label(self) -> Tensor | None:
        """(H, W) uint8 class indices, 255 where ignored; None where there is none."""
        return self.source.label(self.index)

    def for_flow(self) -> Tensor | LazyFrame:
        """(1, 3, H, W) in [0, 1]; a promise of that where it can be identified undecoded."""
        return self._scaled() if self.identity is None else LazyFrame(self.identity, self.size, self._scaled)

    def _scaled(self) -> Tensor:
        return self.pixels[None].float() / 255

    def __str__(self) -> str:
        return self.source.describe(self.index)


def require_size(source: Source, index: int, size: Sequence[int], expected: Sequence[int]) -> None:
    """Refuse a frame whose (H, W) is not that of those it is compared with; names it."""
    if tuple(size) != tuple(expected):
        raise ValueError(
            f"{source.describe(index)}: {size[1]}x{size[0]}, expected {expected[1]}x{expected[0]} "
            f"like the other frames of {source.name}"
        )


def motion_between(
    source: Source,
    frame: int,
    other: int,
    estimate: EstimateMotion | None = None,
    read: Callable[[int], Tensor] | None = None,
) -> Motion | None:
    """The source's own motion from one frame to another, else that of `estimate`, else None.

    Args:
        read: gives the source's frames, where they have been decoded already.
    """
    exact = source.motion(frame, other)
    if exact is not None or estimate is None:
        return exact
    a, b = ((read or source.frame)(i)[None].float() / 255 for i in (frame, other))
    forward, backward = (x.float() for x in estimate(a, b))
    return Motion(forward[0], backward[0], visible(forward, backward)[0])
