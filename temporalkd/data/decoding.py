"""What PyAV knows about a video file: opening it safely, and where its frames are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from temporalkd.data.images import MAX_PIXELS, refuse_absurd_size

MAX_FRAMES = 10_000_000
# FFmpeg reads texts and stills as one-frame videos.
_NOT_VIDEO = ("tty", "image2", "bin", "xbin", "idf", "adf")
# They name other files to read, or wait for what is yet to come: lists that play on, and sessions of a network.
_ELSEWHERE = {"concat", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "vobsub", "webm_dash_manifest"}
_READ = ",".join(sorted(av.formats_available - _ELSEWHERE))


class FrameTimes(NamedTuple):
    """Presentation times of all frames in order, and which of them decoding can begin at.

    Where not `seekable` the times are mere numbers, found by counting, and there are no `keys`.
    """

    times: list[int]
    keys: list[int]
    seekable: bool


@contextmanager
def open_video(path: Path, **options: str) -> Iterator[InputContainer]:
    """The open container of a file that holds video.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a video, or FFmpeg fails while it is open; names the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file, expected a video")
    wrong = "not a readable video"
    try:
        asked = {"protocol_whitelist": "file", "format_whitelist": _READ, **options}
        with av.open(str(path), options=asked, metadata_errors="replace") as container:
            _require_video(path, container)
            wrong = "truncated or damaged video"
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"{path}: {wrong} ({error.strerror})") from error


def _require_video(path: Path, container: InputContainer) -> None:
    kind = container.format.name
    if not container.streams.video:
        raise ValueError(f"{path}: no video stream in it ({kind}), expected a video")
    if kind in _NOT_VIDEO or kind.endswith("_pipe"):
        raise ValueError(f"{path}: not a video ({kind}), expected a video or a folder of images")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise ValueError(f"{path}: nothing here decodes its video stream, expected a video")
    if not (stream.width and stream.height):
        raise ValueError(f"{path}: its video stream has no size, expected a video")
    refuse_absurd_size(path, stream.width, stream.height)
    if stream.frames > MAX_FRAMES:
        raise ValueError(f"{path}: refused, claims {stream.frames} frames, the limit is {MAX_FRAMES}")
    stream.thread_type = "NONE"
    # Of any size that a later frame claims the decoder would take memory.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}


def frame_times(path: Path) -> FrameTimes:
    """Where the frames are: reads the packets once and decodes one frame, or all where packets have no times.

    Raises:
        ValueError: truncated, or longer than `MAX_FRAMES`; names the file.
    """
    announced, packets, times, keys = _demux(path)
    # Packets that an edit list cuts away are announced too; what is missing even with them is lost.
    if packets < announced and _demux(path, ignore_editlist="1")[1] < announced:
        raise ValueError(f"{path}: truncated, {packets} of {announced} frames are there")
    with open_video(path) as container:
        first = next(container.decode(container.streams.video[0]), None)
    if first is None:
        raise ValueError(f"{path}: not one frame can be decoded")
    known = [time for time in times if time is not None]
    if len(set(known)) == len(times) and first.pts in known:
        # A video that was cut inside a group of pictures begins with frames that nothing can decode.
        shown = sorted(time for time in known if time >= first.pts)
        return FrameTimes(shown, [n for n, time in enumerate(shown) if time in keys], seekable=True)
    with open_video(path) as container:
        count = sum(1 for _ in container.decode(container.streams.video[0]))
    return FrameTimes(list(range(count)), [], seekable=False)


def _demux(path: Path, **options: str) -> tuple[int, int, list[int | None], set[int | None]]:
    """Frames that the header announces, packets that are there, times of those shown, times of key frames."""
    packets, times = 0, []
    keys: set[int | None] = set()
    with open_video(path, **options) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                raise ValueError(f"{path}: truncated or damaged after {packets} frames")
            if packets >= MAX_FRAMES:
                raise ValueError(f"{path}: refused, more frames than the limit of {MAX_FRAMES}")
            packets += 1
            if not packet.is_discard:
                times.append(packet.pts)
            if packet.is_keyframe:
                keys.add(packet.pts)
        return stream.frames, packets, times, keys


def require_whole(frame: av.VideoFrame, size: tuple[int, int]) -> None:
    """Refuse what the decoder could not restore, or what is not of the stream's size (width, height).

    Raises:
        FrameFault: says why, for `damaged`.
    """
    if frame.is_corrupt:
        raise FrameFault("corrupt data")
    if (frame.width, frame.height) != size:
        raise FrameFault(f"{frame.width}x{frame.height} instead of {size[0]}x{size[1]}")


def to_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(3, H, W) of a decoded frame, upright as the file says."""
    array = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return np.ascontiguousarray(array.transpose(2, 0, 1))


class FrameFault(Exception):
    """Why a frame that was decoded is not to be used."""


def damaged(path: Path, index: int, count: int, why: str) -> ValueError:
    """The error of a frame that cannot be had."""
    return ValueError(f"{path}: damaged video, frame {index} of {count} cannot be decoded ({why})")
