"""Any frames of a video file by their indices, with as little decoding as their order allows."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from temporalkd.data.decoding import FrameFault, FrameTimes, damaged, frames_of, require_whole, to_rgb
from temporalkd.data.opening import open_video

_SLOW = (
    "frames have no times of their own, each is looked for from the beginning; "
    "ffmpeg -i VIDEO -c:v ffv1 VIDEO.mkv makes a file that is read faster"
)


class Decoder:
    """One open decoder of a video file, at one place in it.

    It seeks only where a key frame lies between its place and the frame that is asked for. On the way there, frames
    that no other frame is predicted from are not decoded, and none but those asked for are converted.

    Args:
        index: of the file.
    """

    def __init__(self, path: Path, index: FrameTimes) -> None:
        self.path, self.index = path, index
        self._open()

    def _open(self) -> None:
        self.opened = ExitStack()
        self.container = self.opened.enter_context(open_video(self.path))
        self.stream = self.container.streams.video[0]
        # Some decoders, of AV1 for one, look once at what they are to skip: then nothing yet.
        self.stream.codec_context.open(strict=False)
        self.size = self.stream.width, self.stream.height
        self.next, self.wanted = 0, 0
        self.decoded: Iterator[av.VideoFrame] = self._decode()

    def close(self) -> None:
        """Close the file, if that has not been done."""
        self.decoded = iter(())
        self.opened.close()

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """(T, 3, H, W) RGB, the frames of these indices, which are decoded in ascending order.

        Raises:
            ValueError: a frame cannot be decoded, or is of another size; names the file.
        """
        frames: dict[int, NDArray[np.uint8]] = {}
        for index in sorted(set(indices)):
            frames[index] = self._read(index)
        return np.stack([frames[index] for index in indices])

    def _read(self, index: int) -> NDArray[np.uint8]:
        try:
            self.wanted = index
            if self._must_seek(index):
                self._approach(index)
            for frame in self.decoded:
                at = self._number(frame)
                self.next = at + 1
                if at == index:
                    require_whole(frame, self.size)
                    return to_rgb(frame)
                if at > index:
                    break
        except (FrameFault, av.FFmpegError) as error:
            self.next = len(self.index.times) + 1  # after an error only seeking brings the decoder back
            raise damaged(self.path, index, len(self.index.times), error) from error
        raise damaged(self.path, index, len(self.index.times), "missing")

    def _number(self, frame: av.VideoFrame) -> int:
        if self.index.seekable and frame.pts is not None:
            return bisect_left(self.index.times, frame.pts)
        return self.next

    def _must_seek(self, index: int) -> bool:
        """Backwards, or over a key frame."""
        keys = self.index.keys
        return index < self.next or bisect_right(keys, index) > bisect_right(keys, max(self.next - 1, 0))

    def _approach(self, index: int) -> None:
        """Place the decoder at or before the frame; some containers seek by decoding time and land after it."""
        times, seekable = self.index.times, self.index.seekable
        for back in (0, 8, 64, 512) if seekable else ():
            self.container.seek(times[max(0, index - back)], stream=self.stream)
            self.decoded = self._decode(sought=True)
            first = next(self.decoded, None)
            if first is not None and first.pts is not None and first.pts <= times[index]:
                self.next, self.decoded = bisect_left(times, first.pts), _after(first, self.decoded)
                return
        if index < self.next or seekable:
            if not seekable:
                warnings.warn(f"{self.path}: {_SLOW}", stacklevel=2)
            self.close()
            self._open()
            self.wanted = index

    def _decode(self, sought: bool = False) -> Iterator[av.VideoFrame]:
        """Frames from the decoder's place on; those before the wanted one only as far as others need them.

        Args:
            sought: it was jumped to, and decoding begins at a key frame.
        """
        index = self.index
        packets: Iterator[av.Packet] = self.container.demux(self.stream)
        if sought:
            key = self._first_key(packets)
            if key is None:
                return
            packets = chain([key], packets)
        for packet in packets:
            passed = index.seekable and packet.pts is not None and packet.pts < index.times[self.wanted]
            self.stream.codec_context.skip_frame = "NONREF" if passed else "DEFAULT"
            yield from frames_of(packet)

    def _first_key(self, packets: Iterator[av.Packet]) -> av.Packet | None:
        """Of those up to the wanted frame's, if it is known to be in this place of the file at this time.

        Where a container has no index, or a broken one, FFmpeg guesses times after a jump, and guesses wrong.
        """
        for packet in packets:
            if packet.is_keyframe:
                return packet if packet.pts is not None and self.index.places.get(packet.pts) == packet.pos else None
            if packet.pts is not None and packet.pts > self.index.times[self.wanted]:
                return None
        return None


def _after(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest
