"""Where frames come from: one scene, in temporal order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor

from temporalkd.data.clip import Motion


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

    def describe(self, index: int) -> str:
        """Which frame that is, for messages to people."""
        return f"{self.name}, frame {index}"

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8 class indices, 255 where ignored; None where this frame has no label."""
        return None

    def motion(self, source: int, target: int) -> Motion | None:
        """Exact motion from frame `source` to frame `target`, or None where only an estimate can be had."""
        return None

    @property
    def labelled(self) -> list[int]:
        """Indices of the frames that have labels."""
        return []

    def frames(self) -> Iterator[Tensor]:
        """All frames in order, one at a time: the streaming way to read."""
        for index in range(len(self)):
            yield self.frame(index)

    def same_size_frames(self) -> Iterator[Tensor]:
        """As `frames`, of which each must have the size of the first.

        Raises:
            ValueError: one has another; names it.
        """
        size: Sequence[int] | None = None
        for index, frame in enumerate(self.frames()):
            size = frame.shape[1:] if size is None else size
            require_size(self, index, frame, size)
            yield frame


def require_size(source: Source, index: int, frame: Tensor, size: Sequence[int]) -> None:
    """Refuse a frame (3, H, W) that is not of the (H, W) of those that it is compared with; names it."""
    if tuple(frame.shape[1:]) != tuple(size):
        raise ValueError(
            f"{source.describe(index)}: {frame.shape[2]}x{frame.shape[1]}, expected {size[1]}x{size[0]} "
            f"like the other frames of {source.name}"
        )
