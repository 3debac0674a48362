"""Any frames of a video file by their indices, with decord: a decoder besides ours, for those who want it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from temporalkd.data.decoding import FrameTimes, damaged
from temporalkd.data.seeking import Decoder

# Two conversions of one frame to RGB differ by rounding; another frame, a rotation or other colours by more.
_SAME_FRAME = 4.0


class DecordDecoder:
    """As `Decoder`, by decord with one thread, once it has shown that it sees the same frames in the file.

    Raises:
        ValueError: decord is not installed, cannot read the file, or reads it differently; names the file.
    """

    def __init__(self, path: Path, index: FrameTimes) -> None:
        self.path, self.count = path, len(index.times)
        ours = Decoder(path, index)
        first = ours.read([0])
        ours.close()
        with _told(lambda why: ValueError(f"{path}: decord cannot be used ({why}), expected backend 'pyav' for it")):
            import decord

            self.reader: Any = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            if len(self.reader) != self.count:
                raise RuntimeError(f"it counts {len(self.reader)} frames, there are {self.count}")
            mine = self._frames([0])
            if mine.shape != first.shape or np.abs(mine.astype(np.int16) - first).mean() > _SAME_FRAME:
                raise RuntimeError("it decodes the first frame differently")

    def close(self) -> None:
        """Close the file, if that has not been done."""
        self.reader = None

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """(T, 3, H, W) RGB, the frames of these indices.

        Raises:
            ValueError: a frame cannot be decoded; names the file.
        """
        with _told(lambda why: damaged(self.path, min(indices), self.count, why)):
            return self._frames(indices)

    def _frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.reader.get_batch(list(indices)).asnumpy().transpose(0, 3, 1, 2))


@contextmanager
def _told(error: Callable[[str], ValueError]) -> Iterator[None]:
    """Whatever decord raises (its own class of errors does not exist where decord does not), as ours, in one line."""
    try:
        yield
    except Exception as cause:
        lines = str(cause).strip().splitlines() or [repr(cause)]
        raise error(lines[0]) from cause
