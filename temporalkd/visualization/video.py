"""Writing H.264 that every browser plays."""

from __future__ import annotations

import secrets
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch
from av.codec import codecs_available
from av.container import OutputContainer
from av.video.stream import VideoStream
from torch import Tensor

from temporalkd.visualization.overlay import as_uint8

CODEC = "libx264"
_BT709 = 1
# x264's kernels for AVX-512 weigh macroblocks by memory that nothing was written to: another file at each writing.
_KERNELS = {"x264-params": "asm=avx2"} if torch.backends.cpu.get_cpu_capability() == "AVX512" else {}


class VideoWriter:
    """Context manager that writes frames into an mp4: H.264, yuv420p, index in front.

    The file appears under its name only when everything has been written; until then, and after any failure, an
    existing file of that name is untouched. The first frame sets the size; an odd size is padded by repeating the
    last row or column. The same frames give the same file on the same machine.

    Args:
        path: the mp4 to write; missing folders above it are made.
        fps: frames per second.
        crf: 0 (lossless) to 51; 18 is visually lossless, 23 small.
        keyframe_every: the most frames from one key frame to the next, for videos that are scrubbed: a player that
            jumps to a frame decodes from the key frame before it. 1 makes every frame a key frame. None leaves it to
            the encoder, which goes up to 250.

    Raises:
        ValueError: no libx264 in this PyAV, a bad fps, crf or keyframe_every, frames of different sizes, or no
            frame at all.
        OSError: the file cannot be written; names it.
    """

    def __init__(
        self, path: Path, fps: float | Fraction = 25, *, crf: int = 20, keyframe_every: int | None = None
    ) -> None:
        if CODEC not in codecs_available:
            raise ValueError(f"this build of PyAV {av.__version__} has no {CODEC}: install the wheel from PyPI")
        if not 0 < fps <= 1000:
            raise ValueError(f"fps must be more than 0 and at most 1000, got {fps}")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf must be 0 to 51, got {crf}")
        if keyframe_every is not None and keyframe_every < 1:
            raise ValueError(f"keyframe_every must be a number of frames from 1, got {keyframe_every}")
        self.path = Path(path)
        self.fps = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        self.keyframe_every = keyframe_every
        self.count = 0
        self.size: tuple[int, int] | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")

    def __enter__(self) -> VideoWriter:
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path}: a folder, expected the name of an mp4 file")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.touch()
            # Of a relative path FFmpeg takes what is before a colon for a protocol.
            name = str(self._partial.absolute())
            self._container = av.open(name, "w", format="mp4", options={"movflags": "+faststart"})
        except OSError as error:
            with suppress(OSError):  # there is nothing to remove where even the folder cannot be made
                self._partial.unlink()
            raise self._cannot_write(error) from error
        return self

    def write(self, frame: Tensor) -> None:
        """Append one frame, (3, H, W), uint8 or floating point in [0, 1]."""
        if self._container is None:
            raise ValueError(f"{self.path}: write() outside of the with block")
        picture = as_uint8(frame).permute(1, 2, 0).numpy()
        if self.size is None:
            self.size = picture.shape[:2]
            self._stream = self._open_stream(self._container, *self.size)
        if picture.shape[:2] != self.size:
            raise ValueError(f"{self.path}: frame {self.count} is {picture.shape[:2]}, expected {self.size}")
        missing = self.size[0] % 2, self.size[1] % 2
        if any(missing):
            picture = np.pad(picture, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        coded = image.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        coded.pts, coded.time_base = self.count, 1 / self.fps
        assert self._stream is not None
        try:
            self._container.mux(self._stream.encode(coded))
        except OSError as error:
            raise self._cannot_write(error) from error
        self.count += 1

    def _cannot_write(self, error: OSError) -> OSError:
        return OSError(error.errno, f"cannot write video ({error.strerror})", str(self.path))

    def _open_stream(self, container: OutputContainer, height: int, width: int) -> VideoStream:
        options = {"crf": str(self.crf), "preset": "medium", **_KERNELS}
        stream = container.add_stream(CODEC, rate=self.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        # Without these tags players guess the colour matrix from the size.
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1
        if self.keyframe_every is not None:
            context.gop_size = self.keyframe_every
        return stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._finish(failed=kind is not None)
        finally:
            self._partial.unlink(missing_ok=True)

    def _finish(self, failed: bool) -> None:
        container, self._container = self._container, None
        assert container is not None
        try:
            if self._stream is not None and not failed:
                container.mux(self._stream.encode())
            container.close()
        except (OSError, av.FFmpegError) as error:
            if failed:
                return  # the first error is the one to report
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise
        if failed:
            return
        if self.count == 0:
            raise ValueError(f"{self.path}: no frame was written, nothing is left there")
        self._partial.replace(self.path)
