"""Video files: any frame by its index, or all of them as a stream."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args
from weakref import WeakSet, finalize

import av
import torch
from torch import Tensor

from temporalkd.data.decoding import FrameFault, FrameTimes, damaged, frame_times, frames_of, require_whole, to_rgb
from temporalkd.data.decord_decoder import DecordDecoder
from temporalkd.data.opening import open_video
from temporalkd.data.seeking import Decoder
from temporalkd.data.source import Source

Backend = Literal["pyav", "decord"]

_MAX_FPS = 1000
"""A higher rate is the clock's, as FFmpeg has it of DV with sound."""
# At most one: a worker that draws from thousands of videos must not hold thousands of decoders. And none at a fork: the
# processes would share its place in the file.
_OPEN: WeakSet[VideoFile] = WeakSet()


def _close_all() -> None:
    for video in list(_OPEN):
        video.close()


@cache
def _close_before_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_close_all)


class VideoFile(Source):
    """The frames of one video file.

    `frame` and `clip` read at random, `frames` streams. The decoder of random access is opened by the process that
    asks, in place of that of any other video, closed before a fork, and never pickled; where the frames are is pickled,
    so that a worker need not find out again.

    Args:
        path: of a kind and a codec that `temporalkd.data.opening` lists.
        backend: what reads at random.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a video, no video stream, an absurd size or count; names the file. A truncated video is
            found out by `len` and everything that reads frames, one that decord reads differently by `clip`.
    """

    def __init__(self, path: Path, *, backend: Backend = "pyav") -> None:
        if backend not in get_args(Backend):
            raise ValueError(f"{path}: unknown video backend {backend!r}, expected {' or '.join(get_args(Backend))}")
        self.path = Path(path)
        self.name = self.path.stem
        self.backend = backend
        self._index: FrameTimes | None = None
        self._decoder: Decoder | DecordDecoder | None = None
        self._closing: finalize[..., VideoFile] | None = None
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            rates = (stream.average_rate, stream.guessed_rate)
            self.fps = float(next((rate for rate in rates if rate and rate <= _MAX_FPS), Source.fps))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoder": None, "_closing": None}

    def __len__(self) -> int:
        return len(self.index.times)

    @property
    def index(self) -> FrameTimes:
        """Where the frames are; reads through the packets of the file on first use."""
        if self._index is None:
            self._index = frame_times(self.path)
        return self._index

    def files(self, index: int) -> list[Path]:
        """The video."""
        return [self.path]

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.clip([index])[0]

    def clip(self, indices: Sequence[int]) -> Tensor:
        """(T, 3, H, W) uint8 RGB, the frames of these indices, decoded in ascending order whatever theirs is."""
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"{self.path}: frame {index} asked for, it has {len(self)}")
        if self._decoder is None:
            _close_all()
            _close_before_forks()
            self._decoder = (Decoder if self.backend == "pyav" else DecordDecoder)(self.path, self.index)
            self._closing = finalize(self, self._decoder.close)  # also where this video is forgotten before
            _OPEN.add(self)
        return torch.from_numpy(self._decoder.read(indices))

    def frames(self) -> Iterator[Tensor]:
        """All frames in order, decoded as they are asked for.

        Raises:
            ValueError: the video breaks off, or a frame in the middle is damaged.
        """
        times, seekable = self.index.times, self.index.seekable
        index = 0
        with open_video(self.path, threads=True) as container:
            stream = container.streams.video[0]
            size = stream.width, stream.height
            try:
                for frame in chain.from_iterable(map(frames_of, container.demux(stream))):
                    if seekable and (index >= len(times) or frame.pts != times[index]):
                        break
                    require_whole(frame, size)
                    yield torch.from_numpy(to_rgb(frame))
                    index += 1
            except (FrameFault, av.FFmpegError) as error:
                raise damaged(self.path, index, len(times), error) from error
        if index < len(times):
            raise damaged(self.path, index, len(times), "missing")

    def close(self) -> None:
        """Close the decoder of this process; the next `frame` opens it again."""
        _OPEN.discard(self)
        if self._closing is not None:
            self._closing()
        self._decoder = self._closing = None
