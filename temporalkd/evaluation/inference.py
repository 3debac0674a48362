"""Class maps of footage with reading, computing and writing overlapped."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

import torch
from torch import Tensor

from temporalkd.data.prefetch import ahead, read_ahead
from temporalkd.data.source import Source

MOST_AT_ONCE = 8


class ClassMapper(Protocol):
    """What gives the class map of a frame, asked by several threads at once: `models.Classifier`, an ONNX file."""

    device: torch.device

    def require(self, frame: str, size: tuple[int, int]) -> None:
        """Refuse a frame of a size (H, W) that it cannot take; names it."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """(3, H, W) uint8 RGB -> (H, W) uint8."""


def each_class_map(mapper: ClassMapper, source: Source, write: Callable[[int, Tensor], None]) -> Generator[int]:
    """The class map of every frame, given to `write` with the frame's index, in order; yields each index when done.

    One thread decodes and one writes; on a CPU the frames are computed side by side, each on its own share of torch's
    threads: small networks leave cores idle when they share one frame. Each map is the one that as many threads make of
    the frame alone. A few frames are held, however long the video.

    Raises:
        What decoding, computing or writing raises; no frame after it is written.
    """

    def answer(frame: tuple[int, Tensor]) -> tuple[int, Tensor]:
        index, pixels = frame
        mapper.require(source.describe(index), (int(pixels.shape[1]), int(pixels.shape[2])))
        return index, mapper(pixels)

    def finish(answered: tuple[int, Tensor]) -> int:
        write(*answered)
        return answered[0]

    threads = torch.get_num_threads()
    at_once = frames_at_once(mapper.device)
    try:
        with (
            closing(read_ahead(enumerate(source.frames()))) as frames,
            closing(ahead(answer, frames, at_once, lambda: torch.set_num_threads(threads // at_once))) as answers,
            closing(ahead(finish, answers)) as done,
        ):
            yield from done
    finally:
        torch.set_num_threads(threads)


def frames_at_once(device: torch.device) -> int:
    """How many frames are computed side by side."""
    return min(torch.get_num_threads(), MOST_AT_ONCE) if device.type == "cpu" else 1
