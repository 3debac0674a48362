"""Video files: any frame by its index, or all of them as a stream."""

from __future__ import annotations

import os
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import av
import numpy as np
import torch
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.source import Source, require_size

if TYPE_CHECKING:
    from temporalkd.data.other_decoders import LibraryReader

DecoderName = Literal["pyav", "decord", "torchcodec"]

_MAX_FPS = 1000
"""A higher rate is the clock of the container, as FFmpeg reports it for DV with sound."""
_PROBED = 24
"""Frames that are decoded to check the time stamps of the packets."""
_MP4_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip")
"""What an mp4 or mov file can begin with."""


class FrameIndex(NamedTuple):
    """Where the frames of a video are.

    `times` are the presentation times of all frames, ascending. `keys` maps the time of each key frame to the place of
    its packet in the file; it is empty where time stamps cannot be used to seek, and `times` are then plain numbers.
    """

    times: list[int]
    keys: dict[int, int]


class VideoFile(Source):
    """The frames of one video file.

    `frame` and `clip` read at random, `frames` streams. A process has one decoder for random access open, that of the
    video it last read from. Objects can be pickled; the index of the frames is pickled with them.

    Args:
        path: a video file that FFmpeg can read.
        decoder: the library that reads at random. Streams are always read by PyAV.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an empty file, an unfinished recording, no video; names the file and what can be done.
    """

    def __init__(self, path: Path, *, decoder: DecoderName = "pyav") -> None:
        if decoder not in get_args(DecoderName):
            raise ValueError(f"{path}: unknown video decoder {decoder!r}, expected one of {get_args(DecoderName)}")
        self.path = Path(path)
        self.name = self.path.stem
        self.decoder = decoder
        self._index: FrameIndex | None = None
        container, stream = open_video(self.path)
        with container:
            rates = (stream.average_rate, stream.guessed_rate)
            self.fps = float(next((rate for rate in rates if rate and rate <= _MAX_FPS), Source.fps))

    def __len__(self) -> int:
        return len(self.index.times)

    @property
    def index(self) -> FrameIndex:
        """Where the frames are; the packets of the file are read through on first use."""
        if self._index is None:
            self._index = index_frames(self.path)
        return self._index

    def files(self, index: int) -> list[Path]:
        """The video."""
        return [self.path]

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return self.clip([index])[0]

    def clip(self, indices: Sequence[int]) -> Tensor:
        """(T, 3, H, W) uint8 RGB, the frames of these indices in any order."""
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"{self.path}: frame {index} asked for, it has {len(self)}")
        ascending = sorted(set(indices))
        frames = dict(zip(ascending, self._reader().read(ascending)))
        for index in indices:
            require_size(self, index, frames[index].shape[1:], frames[indices[0]].shape[1:])
        return torch.from_numpy(np.stack([frames[index] for index in indices]))

    def frames(self) -> Iterator[Tensor]:
        """All frames in order, decoded as they are asked for.

        Raises:
            ValueError: a frame is damaged or missing.
        """
        times, keys = self.index
        count = 0
        container, stream = open_video(self.path)
        stream.thread_type = "AUTO"
        with container:
            try:
                for frame in container.decode(stream):
                    if count == len(times) or (keys and frame.pts != times[count]):
                        break
                    yield torch.from_numpy(to_rgb(frame))
                    count += 1
            except (av.FFmpegError, DamagedFrame) as error:
                raise damaged(self.path, count, len(times), error) from error
        if count < len(times):
            raise damaged(self.path, count, len(times), "it is missing")

    def close(self) -> None:
        """Close the decoder that this process has open for this video; the next `frame` opens it again."""
        if _open is not None and _open[0] is self:
            _close_reader()

    def _reader(self) -> PyAVReader | LibraryReader:
        global _open
        if _open is None or _open[0] is not self:
            _close_reader()
            if self.decoder == "pyav":
                _open = self, PyAVReader(self.path, self.index)
            else:
                from temporalkd.data.other_decoders import LibraryReader

                _open = self, LibraryReader(self.decoder, self.path, self.index)
        return _open[1]


# One, since a worker that draws from thousands of videos must not hold thousands of decoders. None at a fork, since the
# processes would share its place in the file.
_open: tuple[VideoFile, PyAVReader | LibraryReader] | None = None


def _close_reader() -> None:
    global _open
    if _open is not None:
        _open[1].close()
        _open = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_reader)


class PyAVReader:
    """Frames of a video file by their indices, decoded by PyAV from the key frame before each.

    It seeks backwards, and forwards over a key frame; otherwise it decodes on from where it is. Without usable time
    stamps it decodes from the start.
    """

    def __init__(self, path: Path, index: FrameIndex) -> None:
        self.path, self.times, self.places = path, index.times, index.keys
        self.numbers: dict[int | None, int] = {time: number for number, time in enumerate(index.times)}
        self.keys = sorted(self.numbers[time] for time in index.keys if time in self.numbers)
        self._open()

    def _open(self) -> None:
        self.container, self.stream = open_video(self.path)
        # AV1's decoder looks at `skip_frame` when it is opened: nothing may be skipped yet.
        self.stream.codec_context.open(strict=False)
        self.wanted = self.next = 0
        self.decoded = self._decode(self.container.demux(self.stream))

    def close(self) -> None:
        """Close the file."""
        self.decoded = iter(())
        self.container.close()

    def read(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """(3, H, W) RGB of each of these indices, which ascend."""
        return [self._read(index) for index in indices]

    def _read(self, index: int) -> NDArray[np.uint8]:
        self.wanted = index
        try:
            passes_key = bisect_right(self.keys, index) > bisect_right(self.keys, max(self.next - 1, 0))
            if index < self.next or passes_key:
                self._go_to(index)
            for frame in self.decoded:
                number = self.numbers.get(frame.pts) if self.places else self.next
                if number is None:
                    continue
                self.next = number + 1
                if number == index:
                    return to_rgb(frame)
                if number > index:
                    break
        except (av.FFmpegError, DamagedFrame) as error:
            self.next = len(self.times) + 1  # the decoder has to seek after an error
            raise damaged(self.path, index, len(self.times), error) from error
        raise damaged(self.path, index, len(self.times), "it is missing")

    def _go_to(self, index: int) -> None:
        """Place the decoder at or before a frame; some containers seek by decoding time and land behind it."""
        for back in (0, 8, 64, 512) if self.places else ():
            self.container.seek(self.times[max(0, index - back)], stream=self.stream)
            packets = self.container.demux(self.stream)
            key = next((packet for packet in packets if packet.is_keyframe), None)
            # Without an index in the file FFmpeg guesses time stamps after a seek, sometimes wrong ones.
            if key is None or key.pts is None or self.places.get(key.pts) != key.pos or key.pts > self.times[index]:
                continue
            self.next, self.decoded = bisect_left(self.times, key.pts), self._decode(chain([key], packets))
            return
        if not self.places:
            warnings.warn(
                f"{self.path}: no reliable time stamps, each frame is decoded from the start; for faster reading: "
                f"ffmpeg -i {self.path.name} -c:v ffv1 {self.path.stem}.mkv",
                stacklevel=2,
            )
        self.close()
        self._open()
        self.wanted = index

    def _decode(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame]:
        """Frames of these packets; those before the wanted frame that no other frame needs are skipped."""
        for packet in packets:
            skipped = self.places and packet.pts is not None and packet.pts < self.times[self.wanted]
            self.stream.codec_context.skip_frame = "NONREF" if skipped else "DEFAULT"
            yield from packet.decode()


def open_video(path: Path, **options: str) -> tuple[InputContainer, av.VideoStream]:
    """The container of a video file, to be closed by the caller, and its best video stream that is no cover picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video that FFmpeg can read; names the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video file")
    if path.is_dir():
        raise ValueError(f"{path}: a folder, expected a video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; record, copy or download it again")
    try:
        # Of a relative path FFmpeg takes what is before a colon for a protocol.
        container = av.open(str(path.absolute()), options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise ValueError(f"{path}: {_why_not(path, error)}") from error
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    # FFmpeg lists streams of unknown codecs, too: they have no context.
    for stream in sorted(streams, key=lambda stream: stream is not best):
        if stream.codec_context is not None:
            stream.thread_type = "NONE"
            return container, stream
    container.close()
    raise ValueError(f"{path}: no video stream that can be decoded, expected a video or a folder of images")


def _why_not(path: Path, error: av.FFmpegError) -> str:
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] in _MP4_BOXES
    if not isinstance(error, av.InvalidDataError):
        return f"not a readable video ({error.strerror})"
    if is_mp4:
        remedy = "copy or download it again, or recover it with a tool such as untrunc"
        return f"the recording was not finished (its index is missing); {remedy}"
    remedy = f"expected a video or a folder of images, convert it by ffmpeg -i {path.name} {path.stem}.mp4"
    return f"not a readable video (no known video format); {remedy}"


def index_frames(path: Path) -> FrameIndex:
    """Find all frames: reads the packets once and decodes some frames, or all where time stamps are unreliable.

    Raises:
        ValueError: the end of the file is missing, or no frame can be decoded; names the file.
    """
    try:
        times, keys, ordered = _read_packets(path)
        if keys and ordered:
            first = _shown_times(path, _PROBED)
            # A video that was cut begins with frames whose references are missing: they are never shown.
            expected = sorted(time for time in times if first and first[0] is not None and time >= first[0])
            if first and first == expected[:_PROBED]:
                return FrameIndex(expected, keys)
        shown = _shown_times(path)
    except av.FFmpegError as error:
        raise ValueError(f"{path}: damaged video ({error.strerror}); copy or download it again") from error
    if not shown:
        raise ValueError(f"{path}: damaged video, no frame can be decoded")
    known = sorted(set(times).intersection(shown))
    return FrameIndex(known, keys) if keys and shown == known else FrameIndex(list(range(len(shown))), {})


def _read_packets(path: Path) -> tuple[list[int], dict[int, int], bool]:
    """Presentation times of the packets, places of key frames by time, and whether the times may be in decoding order.

    There are no places where times are missing, shared or made up, as in raw streams. In program streams several frames
    share one time stamp: FFmpeg counts on from there, and gives their packets no place.
    """
    times: list[int] = []
    keys: dict[int, int] = {}
    container, stream = open_video(path)
    with container:
        count, timed = 0, Flags.no_timestamps not in Flags(container.format.flags)
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            count += 1
            if packet.pts is None or packet.pos is None:
                timed = False
                continue
            if packet.is_keyframe:
                keys[packet.pts] = packet.pos
            if not packet.is_discard:
                times.append(packet.pts)
        may_reorder = bool(stream.codec_context.has_b_frames)
        # mp4 announces the frames that its edit list cuts away, too: they are counted where some seem to be missing.
        if "mp4" in container.format.name and count < stream.frames:
            _require_end(path, stream.frames)
    timed = timed and len(set(times)) == len(times)
    # AVI numbers frames in decoding order, whatever the order in which they are shown.
    return times, keys if timed else {}, not (may_reorder and times == sorted(times))


def _require_end(path: Path, announced: int) -> None:
    container, stream = open_video(path, ignore_editlist="1")
    with container:
        count = sum(packet.size > 0 for packet in container.demux(stream))
    if count < announced:
        raise ValueError(
            f"{path}: truncated, {count} of {announced} frames are there; copy or download it again, or keep these by "
            f"ffmpeg -i {path.name} {path.stem}-cut.mp4"
        )


def _shown_times(path: Path, limit: int | None = None) -> list[int | None]:
    """Presentation times of the first frames, or of all, in the order in which the decoder returns them."""
    container, stream = open_video(path)
    with container:
        return [frame.pts for frame in islice(container.decode(stream), limit)]


class DamagedFrame(Exception):
    """The decoder could not restore a frame."""


def to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(3, H, W) of a decoded frame, upright as the file says.

    Raises:
        DamagedFrame: the decoder calls it corrupt.
    """
    if frame.is_corrupt:
        raise DamagedFrame("corrupt data")
    array = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def damaged(path: Path, index: int, count: int, why: Exception | str) -> ValueError:
    """The error for a frame that cannot be decoded."""
    if isinstance(why, av.FFmpegError):
        why = why.strerror or "decoder error"
    return ValueError(
        f"{path}: damaged video, frame {index} of {count} cannot be decoded ({why}); copy or download it again"
    )
