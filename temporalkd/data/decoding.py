"""Where a video file's frames are, and frames as arrays."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from temporalkd.data.lengths import require_end
from temporalkd.data.opening import MAX_FRAMES, open_video

_UNTIMED = ("h263", "h264", "hevc", "m4v", "mpegvideo")
"""Kinds that are a codec's stream without a container."""
_LISTENING = Lock()
"""Held while FFmpeg's log is listened to, of which a process has one."""


class FrameTimes(NamedTuple):
    """Presentation times of all frames in order, which of them decoding can begin at, and where in the file, by time.

    Where not `seekable` the times are mere numbers, found by counting, and there are no `keys`.
    """

    times: list[int]
    keys: list[int]
    places: dict[int, int]
    seekable: bool


def frame_times(path: Path) -> FrameTimes:
    """Where the frames are: reads the packets once and decodes one frame, or all where packets' times say too little.

    Raises:
        ValueError: truncated, or longer than `MAX_FRAMES`; names the file.
    """
    found = _demux(path)
    # Packets that an edit list cuts away are announced too; what is missing even with them is lost.
    if found.present < found.announced and _demux(path, edited=False).present < found.announced:
        raise ValueError(f"{path}: truncated, {found.present} of {found.announced} frames are there")
    with open_video(path) as container:
        first = next(container.decode(container.streams.video[0]), None)
    if first is None:
        raise ValueError(f"{path}: not one frame can be decoded")
    known = not found.guessed and len(set(found.times)) == len(found.times)
    if known and not found.decoding_order and first.pts in found.times:
        # A video that was cut inside a group of pictures begins with frames that nothing can decode.
        return _seekable(sorted(time for time in found.times if time >= first.pts), found.keys)
    with open_video(path) as container:
        shown = [frame.pts for frame in container.decode(container.streams.video[0])]
    times = [time for time in shown if time is not None]
    if known and len(times) == len(shown) and times == sorted(set(times) & set(found.times)):
        return _seekable(times, found.keys)
    return FrameTimes(list(range(len(shown))), [], {}, seekable=False)


def _seekable(times: list[int], keys: dict[int, int]) -> FrameTimes:
    return FrameTimes(times, [n for n, time in enumerate(times) if time in keys], keys, seekable=True)


class _Packets(NamedTuple):
    """Frames that the header announces, packets that are present, times of those shown, of keys where in the file too.

    `guessed` where some have no time of their own: MPEG's program streams give one to several frames, and FFmpeg counts
    on from there, otherwise where it has jumped to than where it came by from the beginning. `decoding_order` where the
    times ascend although the codec has frames that are shown in another order than they are decoded in: then there are
    none of those, or the container, AVI, does not know of them, and the times are wrong.
    """

    announced: int
    present: int
    times: list[int]
    keys: dict[int, int]
    guessed: bool
    decoding_order: bool


def _demux(path: Path, edited: bool = True) -> _Packets:
    present, times = 0, []
    keys: dict[int, int] = {}
    with open_video(path, edited=edited) as container:
        kind, stream = container.format.name, container.streams.video[0]
        require_end(path, kind)
        guessed = kind in _UNTIMED
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.is_corrupt:
                raise ValueError(f"{path}: truncated or damaged after {present} frames")
            if present >= MAX_FRAMES:
                raise ValueError(f"{path}: refused, more frames than the limit of {MAX_FRAMES}")
            present += 1
            if packet.pts is None or packet.pos is None:
                guessed = True
                continue
            if not packet.is_discard:
                times.append(packet.pts)
            if packet.is_keyframe:
                keys[packet.pts] = packet.pos
        decoding_order = bool(stream.codec_context.has_b_frames) and times == sorted(times)
        announced = {"avi": 0, "mxf": stream.duration or 0}.get(kind, stream.frames)
        return _Packets(announced, present, times, keys, guessed, decoding_order)


def frames_of(packet: av.Packet) -> list[av.VideoFrame]:
    """What a packet is decoded to.

    Raises:
        FrameFault: a checksum of FFV1 does not match, which its decoder says in its log alone.
        av.FFmpegError: it is damaged otherwise.
    """
    if packet.stream.codec_context.name != "ffv1":
        return packet.decode()
    with _LISTENING:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as told:
                frames = packet.decode()
        finally:
            av.logging.set_level(before)
    if told:
        raise FrameFault(told[0][2].splitlines()[0])
    return frames


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


def damaged(path: Path, index: int, count: int, why: FrameFault | av.FFmpegError | str) -> ValueError:
    """The error of a frame that cannot be had."""
    if isinstance(why, av.FFmpegError):
        why = why.strerror or "decoder error"
    return ValueError(f"{path}: damaged video, frame {index} of {count} cannot be decoded ({why})")
