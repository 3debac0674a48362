"""Video files, opened with care: kinds and codecs of video that are read here, and none of FFmpeg's others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from temporalkd.data.images import MAX_PIXELS, refuse_absurd_size

MAX_FRAMES = 10_000_000
KINDS = (
    "asf", "av1", "avi", "dv", "flv", "gif", "h263", "h264", "hevc", "ivf", "m4v", "matroska", "mjpeg", "mov", "mpeg",
    "mpegts", "mpegvideo", "mxf", "nut", "obu", "ogg", "yuv4mpegpipe",
)  # fmt: skip
"""Of FFmpeg's several hundred formats: those of cameras and editors. None names other files, or is a single image."""
CODECS = (
    "av1", "dnxhd", "dvvideo", "ffv1", "ffvhuff", "flv", "gif", "h263", "h264", "hevc", "huffyuv", "libdav1d", "libvpx",
    "libvpx-vp9", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "png", "prores", "rawvideo",
    "theora", "vc1", "vp8", "vp9", "wmv1", "wmv2", "wmv3",
)  # fmt: skip
"""Of FFmpeg's 300 decoders; most others are of games and screens of the past, and most holes are found in them."""
_TOLERANT = ("h264", "hevc")
"""Not asked to end at every fault: they would at frames whose references lie before the place where a video was cut, or
that was jumped to, and which they mark or leave out."""
_THREADED = ("h264", "libdav1d", "mjpeg", "mpeg1video", "mpeg2video", "vp9")
"""Decoders whose threads ended, however their files were damaged; HEVC's may wait for one another for ever."""
_EXPECTED = "expected mp4, mov, mkv, webm, avi, mpg, ts, wmv, flv, mxf, ogv, y4m or gif, or a folder of images"
_CONVERT = "for instance by ffmpeg -i {} -c:v ffv1 converted.mkv"


@contextmanager
def open_video(path: Path, *, threads: bool = False, edited: bool = True) -> Iterator[InputContainer]:
    """The open container of a file that holds video.

    Args:
        threads: decode with several, where the decoder may.
        edited: leave out what the file's edit list cuts away.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a video, or FFmpeg fails while it is open; names the file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such video file")
    if not path.is_file():
        raise ValueError(f"{path}: not a file, expected a video")
    options = {"format_whitelist": ",".join(KINDS), "codec_whitelist": ",".join(CODECS), "protocol_whitelist": "file"}
    if not edited:
        options["ignore_editlist"] = "1"
    opened = False
    try:
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            _require_video(path, container)
            _set_up(container.streams.video[0], threads)
            opened = True
            yield container
    except av.FFmpegError as error:
        if opened:
            raise ValueError(f"{path}: truncated or damaged video ({error.strerror})") from error
        # An invalid argument is what FFmpeg calls a format that is not on the list.
        why = _EXPECTED if isinstance(error, av.ArgumentError) else error.strerror
        raise ValueError(f"{path}: not a readable video ({why})") from error


def _require_video(path: Path, container: InputContainer) -> None:
    if not container.streams.video:
        raise ValueError(f"{path}: no video stream in it ({container.format.name}), expected a video")
    stream = container.streams.video[0]
    if stream.codec_context is None or stream.codec_context.name not in CODECS:
        codec = "of an unknown codec" if stream.codec_context is None else f"{stream.codec_context.name}, not read here"
        raise ValueError(f"{path}: its video stream is {codec}; convert it, {_CONVERT.format(path.name)}")
    if not (stream.width and stream.height):
        raise ValueError(f"{path}: its video stream has no size, expected a video")
    refuse_absurd_size(path, stream.width, stream.height)
    if stream.frames > MAX_FRAMES:
        raise ValueError(f"{path}: refused, claims {stream.frames} frames, the limit is {MAX_FRAMES}")


def _set_up(stream: av.VideoStream, threads: bool) -> None:
    name = stream.codec_context.name
    stream.thread_type = "AUTO" if threads and name in _THREADED else "NONE"
    # Of any size that a later frame claims the decoder would take memory.
    asked = {"max_pixels": str(MAX_PIXELS)}
    if name not in _TOLERANT:
        asked["err_detect"] = "explode"
    stream.codec_context.options = asked
