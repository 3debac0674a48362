"""Video files: any frame by its index, or all of them as a stream."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.decoding import FrameTimes, frame_times, open_video, to_rgb
from temporalkd.data.source import Source

_BACKENDS = ("auto", "decord", "pyav")
# Two conversions of one frame to RGB differ by rounding; another frame, a rotation or other colours by more.
_SAME_FRAME = 4.0
# A forked process has the readers of its parent without their threads, and crashes when it destroys one. So all
# are closed before a fork; each process opens its own when it next asks for a frame.
_OPEN: WeakSet[VideoFile] = WeakSet()


def _close_all() -> None:
    for video in list(_OPEN):
        video.close()


@cache
def _close_before_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_close_all)


class _Reader(Protocol):
    def read(self, index: int) -> NDArray[np.uint8]: ...

    def close(self) -> None: ...


class VideoFile(Source):
    """The frames of one video file.

    `frame` and `clip` read at random with decord where it is installed and agrees with PyAV about this file
    (number of frames, first frame), with PyAV otherwise; `frames` streams with PyAV. Readers are opened by the
    process that asks, closed before a fork, and never pickled.

    Args:
        path: anything that FFmpeg decodes.
        backend: "auto", or "decord" or "pyav" to insist on one for random access.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a video, no video stream, an absurd size or count; names the file. A truncated video is
            found out by `len` and everything that reads frames.
    """

    def __init__(self, path: Path, *, backend: str = "auto") -> None:
        if backend not in _BACKENDS:
            raise ValueError(f"unknown video backend '{backend}', expected one of {', '.join(_BACKENDS)}")
        self.path = Path(path)
        self.name = self.path.stem
        self.backend = backend
        self._index: FrameTimes | None = None
        self._reader: _Reader | None = None
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate or stream.guessed_rate or Source.fps)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def __len__(self) -> int:
        return len(self.index.times)

    @property
    def index(self) -> FrameTimes:
        """Where the frames are; reads through the packets of the file on first use."""
        if self._index is None:
            self._index = frame_times(self.path)
        return self._index

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.clip([index])[0]

    def clip(self, indices: Sequence[int]) -> Tensor:
        """(T, 3, H, W) uint8 RGB, the frames of these indices."""
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"{self.path}: frame {index} asked for, it has {len(self)}")
        frames = np.stack([self._read(index) for index in indices])
        return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()

    def frames(self) -> Iterator[Tensor]:
        """All frames in order, decoded as they are asked for.

        Raises:
            ValueError: the video breaks off, or a frame in the middle is damaged.
        """
        times, seekable = self.index
        index = 0
        with open_video(self.path) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(container.streams.video[0]):
                if seekable and (index >= len(times) or frame.pts != times[index]):
                    break
                yield torch.from_numpy(to_rgb(frame)).permute(2, 0, 1).contiguous()
                index += 1
        if index < len(times):
            raise damaged(self, index, "missing")

    def close(self) -> None:
        """Close the reader of this process; the next `frame` opens it again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _read(self, index: int) -> NDArray[np.uint8]:
        if self._reader is None:
            self._reader = self._open_reader()
            _close_before_forks()
            _OPEN.add(self)
        try:
            return self._reader.read(index)
        except _DecordError as error:
            if self.backend == "decord":
                raise damaged(self, index, str(error)) from error
            self._reader = _AvReader(self)
            return self._reader.read(index)

    def _open_reader(self) -> _Reader:
        if self.backend == "pyav":
            return _AvReader(self)
        try:
            return _DecordReader(self)
        except _DecordError as error:
            if self.backend == "decord":
                raise ValueError(f"{self.path}: decord cannot be used ({error})") from error
            return _AvReader(self)


def damaged(video: VideoFile, index: int, why: str) -> ValueError:
    """The error of a frame that cannot be had."""
    return ValueError(f"{video.path}: damaged video, frame {index} of {len(video)} cannot be decoded ({why})")


class _AvReader:
    """Random access with PyAV: seek to the key frame before, decode up to the frame."""

    NEAR = 16  # frames ahead that are cheaper to decode than to seek

    def __init__(self, video: VideoFile) -> None:
        self.video = video
        self.times, self.seekable = video.index
        self._open()

    def _open(self) -> None:
        self.opened = open_video(self.video.path)
        self.container = self.opened.__enter__()
        self.stream = self.container.streams.video[0]
        self.decoded: Iterator[av.VideoFrame] = self.container.decode(self.stream)
        self.next = 0

    def close(self) -> None:
        self.decoded = iter(())
        self.opened.__exit__(None, None, None)

    def read(self, index: int) -> NDArray[np.uint8]:
        try:
            if index < self.next or index > self.next + self.NEAR:
                self._approach(index)
            for frame in self.decoded:
                at = bisect_left(self.times, frame.pts) if self.seekable and frame.pts is not None else self.next
                self.next = at + 1
                if at == index:
                    return to_rgb(frame)
                if at > index:
                    break
        except av.FFmpegError as error:
            self.next = len(self.times) + 1  # after an error only seeking brings the decoder back
            raise damaged(self.video, index, error.strerror or "decoder error") from error
        raise damaged(self.video, index, "missing")

    def _approach(self, index: int) -> None:
        """Place the decoder at or before the frame; some containers seek by decoding time and land after it."""
        for back in (0, 8, 64, 512) if self.seekable else ():
            self.container.seek(self.times[max(0, index - back)], stream=self.stream)
            decoded = self.container.decode(self.stream)
            first = next(decoded, None)
            if first is not None and first.pts is not None and first.pts <= self.times[index]:
                self.next, self.decoded = bisect_left(self.times, first.pts), chain([first], decoded)
                return
        if index < self.next or self.seekable:
            self.close()
            self._open()


class _DecordError(Exception):
    """decord is not there, fails, or reads this file differently from FFmpeg."""


class _DecordReader:
    """Random access with decord, after checking that it sees the same frames as PyAV."""

    def __init__(self, video: VideoFile) -> None:
        first = next(video.frames()).permute(1, 2, 0).numpy()
        with _decord_errors():
            import decord

            self.reader: Any = decord.VideoReader(str(video.path), ctx=decord.cpu(0), num_threads=1)
            if len(self.reader) != len(video):
                raise _DecordError(f"it counts {len(self.reader)} frames, there are {len(video)}")
        mine = self.read(0)
        if mine.shape != first.shape or np.abs(mine.astype(np.int16) - first).mean() > _SAME_FRAME:
            raise _DecordError("it decodes the first frame differently")

    def read(self, index: int) -> NDArray[np.uint8]:
        with _decord_errors():
            return self.reader[index].asnumpy()

    def close(self) -> None:
        self.reader = None


@contextmanager
def _decord_errors() -> Iterator[None]:
    try:
        yield
    except _DecordError:
        raise
    except Exception as error:  # decord's error class does not exist where decord does not
        lines = str(error).strip().splitlines() or [repr(error)]
        raise _DecordError(lines[0]) from error
