"""Readers of flow, images and video."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from flow import read_flo, read_kitti, write_flo, write_kitti
from flow.store import Store
from soaks.reader import Reader
from temporalkd.data.images import image_size, read_image
from temporalkd.data.maps import read_map
from temporalkd.data.opening import open_video
from temporalkd.data.palettes import palette
from temporalkd.data.street import CLASSES, Street
from temporalkd.data.video import VideoFile
from temporalkd.render import VideoWriter

SIZE = (48, 64)


def _street() -> Street:
    return Street(seed=1, length=8, size=SIZE)


# Flow


def _flow() -> Tensor:
    return torch.randn(2, 13, 17, generator=torch.Generator().manual_seed(0)) * 9


def _write_flo(folder: Path) -> Path:
    write_flo(folder / "a.flo", _flow())
    return folder / "a.flo"


def _write_kitti(folder: Path) -> Path:
    write_kitti(folder / "a.png", _flow())
    return folder / "a.png"


def _is_field(field: Tensor) -> bool:
    return field.dtype == torch.float32 and field.ndim == 3 and len(field) == 2 and field.numel() > 0


def _write_entry(folder: Path) -> Path:
    Store(folder, 2**20).save("a pair", {"forward": _flow().half()})
    return next(folder.rglob("*.flow"))


def _read_entry(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = Store(path.parents[1], 2**20).load("a pair", {"forward": ((2, None, None), torch.float16)})
    if not found:
        raise ValueError(
            str(told[0].message) if told else f"{path}: the store lacks what is expected, and says nothing"
        )
    return found


def _is_entry(found: dict[str, Tensor]) -> bool:
    field = found["forward"]
    return field.dtype == torch.float16 and field.ndim == 3 and len(field) == 2


# Footage


def _write_image(suffix: str, deep: bool = False, **options: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        frame = _street().frame(0).permute(1, 2, 0).numpy()
        picture = Image.fromarray(frame[..., 0].astype(np.uint16) * 257) if deep else Image.fromarray(frame)
        picture.save(folder / f"a{suffix}", **options)
        return folder / f"a{suffix}"

    return make


def _read_frame(path: Path) -> tuple[Tensor, tuple[int, int]]:
    return read_image(path), image_size(path)


def _is_frame(found: tuple[Tensor, tuple[int, int]]) -> bool:
    frame, size = found
    return frame.dtype == torch.uint8 and tuple(frame.shape) == (3, *size)


def _write_map(folder: Path) -> Path:
    picture = Image.fromarray(_street().label(0).numpy(), mode="P")
    picture.putpalette([value for colour in palette("camvid").colours for value in colour])
    picture.save(folder / "a.png")
    return folder / "a.png"


def _write_bmp_map(folder: Path) -> Path:
    Image.fromarray(_street().label(0).numpy()).save(folder / "a.bmp")
    return folder / "a.bmp"


def _read_map(path: Path) -> Tensor:
    return read_map(path, classes=len(CLASSES))


def _is_map(labels: Tensor) -> bool:
    return labels.dtype == torch.uint8 and labels.ndim == 2 and int(labels[labels != 255].max()) < len(CLASSES)


def _write_video(folder: Path) -> Path:
    with VideoWriter(folder / "a.mp4", fps=10) as writer:
        for frame in _street().frames():
            writer.write(frame)
    return folder / "a.mp4"


def _write_film(suffix: str, codec: str, pixels: str = "yuv420p") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with av.open(str(folder / f"a{suffix}"), "w") as container:
            stream = container.add_stream(codec, rate=25, options={"g": "4"})
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = _street().frame(0).shape[1:]
            stream.pix_fmt = pixels
            for frame in _street().frames():
                picture = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).numpy(), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return folder / f"a{suffix}"

    return write


def _read_video(path: Path) -> Tensor:
    """As it streams, and again at random, which must not see anything else but of frames whose pixels are left open."""
    video = VideoFile(path)
    streamed = torch.stack(list(video.frames()))
    indices = [len(video) - 1, 0, len(video) // 2]
    if not torch.equal(video.clip(indices), streamed[indices]) and not _predicts_from_nothing(path):
        raise AssertionError("random access reads other frames than streaming")
    return streamed


def _read_at_will(path: Path) -> Tensor:
    """As it streams; at random the same number of frames of the same size.

    What these decoders do not find in a damaged frame, tables or blocks, they take from what they decoded before.
    """
    video = VideoFile(path)
    streamed = torch.stack(list(video.frames()))
    if video.clip([len(video) - 1, 0, len(video) // 2]).shape[1:] != streamed.shape[1:]:
        raise AssertionError("random access reads other sizes than streaming")
    return streamed


def _predicts_from_nothing(path: Path) -> bool:
    """Whether FFmpeg's log, and nothing else, says that motion is predicted from a frame without any.

    Then even one frame read twice has other pixels; as this is said of whole videos cut inside a group of pictures
    too, it is no reason to refuse one.
    """
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # what the last file's decoder said counts too
    try:
        with open_video(path) as container, av.logging.Capture() as told:
            for _ in container.decode(container.streams.video[0]):
                pass
    finally:
        av.logging.set_level(None)
    return any("co located POCs unavailable" in message for _, _, message in told)


def _is_video(frames: Tensor) -> bool:
    return frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[1] == 3


FOOTAGE = (
    Reader("flo", _write_flo, read_flo, _is_field),
    Reader("kitti", _write_kitti, read_kitti, lambda found: _is_field(found[0]), checked=True),
    Reader("store", _write_entry, _read_entry, _is_entry, checked=True),
    Reader("png", _write_image(".png"), _read_frame, _is_frame, checked=True),
    Reader("deep-png", _write_image(".png", deep=True), _read_frame, _is_frame, checked=True),
    Reader("jpeg", _write_image(".jpg"), _read_frame, _is_frame),
    Reader("bmp", _write_image(".bmp"), _read_frame, _is_frame),
    Reader("webp", _write_image(".webp"), _read_frame, _is_frame),
    Reader("tiff", _write_image(".tiff"), _read_frame, _is_frame),
    Reader("lzw-tiff", _write_image(".tiff", compression="tiff_lzw"), _read_frame, _is_frame),
    Reader("map", _write_map, _read_map, _is_map, checked=True),
    Reader("bmp-map", _write_bmp_map, _read_map, _is_map),
    Reader("video", _write_video, _read_video, _is_video),
    Reader("ts", _write_film(".ts", "libx264"), _read_video, _is_video),
    Reader("mpg", _write_film(".mpg", "mpeg2video"), _read_video, _is_video),
    Reader("avi", _write_film(".avi", "mjpeg", "yuvj420p"), _read_at_will, _is_video),
    Reader("mkv", _write_film(".mkv", "libx265"), _read_at_will, _is_video),
    Reader("webm", _write_film(".webm", "libvpx-vp9"), _read_video, _is_video),
    Reader("av1", _write_film(".mp4", "libsvtav1"), _read_video, _is_video),
    Reader("divx", _write_film(".avi", "mpeg4"), _read_video, _is_video),
    Reader("wmv", _write_film(".wmv", "wmv2"), _read_video, _is_video),
    Reader("vp8", _write_film(".webm", "libvpx"), _read_at_will, _is_video),
    Reader("prores", _write_film(".mov", "prores", "yuv422p10le"), _read_video, _is_video),
    Reader("ffv1", _write_film(".mkv", "ffv1"), _read_video, _is_video),
    Reader("flv", _write_film(".flv", "flv"), _read_video, _is_video),
    Reader("mxf", _write_film(".mxf", "mpeg2video", "yuv422p"), _read_video, _is_video),
    Reader("gif", _write_film(".gif", "gif", "rgb8"), _read_video, _is_video),
)
