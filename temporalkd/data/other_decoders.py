"""Random access to video by libraries other than PyAV: decord and torchcodec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from temporalkd.data.video import FrameIndex, PyAVReader, damaged

_SAME_FRAME = 4.0
"""Conversions of one frame to RGB differ by rounding; another frame, rotation or colour matrix differs by more."""

ReadFrames = Callable[[list[int]], NDArray[np.uint8]]


class LibraryReader:
    """Frames of a video file by their indices, read by a library that has shown to find the same frames as PyAV.

    Raises:
        ValueError: the library is missing, cannot read the file, or reads other frames; names the file.
    """

    def __init__(self, decoder: str, path: Path, index: FrameIndex) -> None:
        self.path, self.count = path, len(index.times)
        self._read: ReadFrames | None = None
        with _errors(lambda why: ValueError(f"{path}: {decoder} cannot be used ({why}); set data.decoder to pyav")):
            count, self._read = _LIBRARIES[decoder](str(path.absolute()))
            if count != self.count:
                raise RuntimeError(f"it finds {count} frames, PyAV finds {self.count}")
            pyav = PyAVReader(path, index)
            (expected,) = pyav.read([0])
            pyav.close()
            first = self._read([0])[0]
            if first.shape != expected.shape or np.abs(first.astype(np.int16) - expected).mean() > _SAME_FRAME:
                raise RuntimeError("its first frame differs from that of PyAV")

    def read(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """(3, H, W) RGB of each of these indices."""
        assert self._read is not None, "the reader is closed"
        with _errors(lambda why: damaged(self.path, min(indices), self.count, why)):
            return list(self._read(list(indices)))

    def close(self) -> None:
        """Let go of the library's reader, which closes the file."""
        self._read = None


def _decord(path: str) -> tuple[int, ReadFrames]:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return len(reader), lambda indices: reader.get_batch(indices).asnumpy().transpose(0, 3, 1, 2)


def _torchcodec(path: str) -> tuple[int, ReadFrames]:
    try:
        from torchcodec.decoders import VideoDecoder
    except ImportError as error:
        raise ImportError("pip install temporalkd[torchcodec]; it needs FFmpeg's shared libraries") from error

    decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1)
    return len(decoder), lambda indices: decoder.get_frames_at(indices=indices).data.numpy()


_LIBRARIES = {"decord": _decord, "torchcodec": _torchcodec}


@contextmanager
def _errors(make: Callable[[str], ValueError]) -> Iterator[None]:
    """Whatever a library raises (decord has errors of its own class), as one line."""
    try:
        yield
    except Exception as cause:
        lines = str(cause).strip().splitlines() or [repr(cause)]
        raise make(lines[0]) from cause
