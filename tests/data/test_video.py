"""Video files: the right frame at every index, from either decoder, and errors that name the file."""

from __future__ import annotations

import pickle
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from temporalkd.data import decoding
from temporalkd.data.video import VideoFile

COUNT = 40


def shade(index: int) -> int:
    """Grey level of frame `index`: 5 apart, so that a frame can be told from its neighbours after coding."""
    return 20 + 5 * index


def write(path: Path, count: int = COUNT, codec: str = "libx264", rate: int | Fraction = 25, **options: str) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {"g": "10", "bf": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(count):
            array = np.full((48, 64, 3), shade(index), np.uint8)
            array[:16, :16] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number(frame: torch.Tensor) -> float:
    """Index of a frame, read from its grey level."""
    return (frame[:, 20:, 20:].float().mean().item() - shade(0)) / 5


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "greys.mp4", rate=Fraction(30000, 1001))


def has_decord() -> bool:
    try:
        import decord  # noqa: F401
    except Exception:
        return False
    return True


BACKENDS = [
    "pyav",
    pytest.param("decord", marks=pytest.mark.skipif(not has_decord(), reason="decord has no wheel here")),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_frame_is_the_one_asked_for(video: Path, backend: str) -> None:
    source = VideoFile(video, backend=backend)
    assert len(source) == COUNT
    assert source.fps == pytest.approx(29.97, abs=0.001)
    order = [0, 1, 39, 38, 9, 10, 11, 3, 30, 17, 0, 39, *torch.randperm(COUNT).tolist()]
    for index in order:
        assert number(source.frame(index)) == pytest.approx(index, abs=0.45)
    clip = source.clip([5, 4, 20])
    assert clip.shape == (3, 3, 48, 64)
    assert clip.dtype == torch.uint8
    assert [round(number(frame)) for frame in clip] == [5, 4, 20]
    red = clip[0, :, 4:12, 4:12].float().mean((1, 2))
    assert red[0] > 220
    assert red[1:].max() < 40


def test_streaming_gives_the_same_frames(video: Path) -> None:
    source = VideoFile(video, backend="pyav")
    streamed = list(source.frames())
    assert [round(number(frame)) for frame in streamed] == list(range(COUNT))
    assert torch.equal(streamed[23], source.frame(23))


@pytest.mark.skipif(not has_decord(), reason="decord has no wheel here")
def test_decord_and_pyav_agree(video: Path) -> None:
    fast, safe = VideoFile(video, backend="decord"), VideoFile(video, backend="pyav")
    for index in (0, 13, 39):
        assert (fast.frame(index).float() - safe.frame(index).float()).abs().mean() < 1


@pytest.mark.parametrize("index", [-1, COUNT])
def test_index_out_of_range(video: Path, index: int) -> None:
    with pytest.raises(IndexError, match=rf"greys\.mp4: frame {index} asked for, it has 40"):
        VideoFile(video).frame(index)


def test_other_containers(tmp_path: Path) -> None:
    cases = {
        "a.mkv": ("libx264", {}),
        "b.avi": ("mpeg4", {"bf": "2"}),
        "c.ts": ("libx264", {}),
        "d.h264": ("libx264", {}),
    }
    for name, (codec, options) in cases.items():
        source = VideoFile(write(tmp_path / name, 20, codec, **options), backend="pyav")
        assert len(source) == 20, name
        assert [round(number(source.frame(i))) for i in (19, 0, 7, 6, 12)] == [19, 0, 7, 6, 12], name
        assert len(list(source.frames())) == 20, name


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    source = VideoFile(write(tmp_path / "one.mp4", count=1))
    assert len(source) == 1
    assert number(source.frame(0)) == pytest.approx(0, abs=0.45)


def test_without_decord(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    assert round(number(VideoFile(video).frame(21))) == 21
    with pytest.raises(ValueError, match=r"greys\.mp4: decord cannot be used"):
        VideoFile(video, backend="decord").frame(0)


@pytest.mark.skipif(not has_decord(), reason="decord has no wheel here")
def test_a_failing_decord_is_replaced(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import decord

    source = VideoFile(video)
    source.frame(0)

    def fail(*args: object) -> None:
        raise RuntimeError("bad frame")

    monkeypatch.setattr(decord.VideoReader, "__getitem__", fail)
    assert round(number(source.frame(21))) == 21
    insisting = VideoFile(video, backend="decord")
    with pytest.raises(ValueError, match=r"greys\.mp4: .*bad frame"):
        insisting.frame(0)


def test_readers_are_not_pickled_and_close(video: Path) -> None:
    source = VideoFile(video)
    source.frame(7)
    copy = pickle.loads(pickle.dumps(source))
    assert copy._reader is None
    assert torch.equal(copy.frame(7), source.frame(7))
    source.close()
    assert source._reader is None
    assert round(number(source.frame(8))) == 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_data_loader_workers_open_their_own_reader(video: Path, backend: str) -> None:
    source = VideoFile(video, backend=backend)
    source.frame(0)  # open in the parent, so that a forked worker could inherit it

    class Frames(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(source)

        def __getitem__(self, index: int) -> torch.Tensor:
            return source.frame(index)

    loader = torch.utils.data.DataLoader(
        Frames(), batch_size=4, num_workers=2, timeout=60, multiprocessing_context="fork"
    )
    frames = torch.cat(list(loader))
    assert [round(number(frame)) for frame in frames] == list(range(COUNT))


def test_rotation_of_phone_videos_is_applied(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    path = tmp_path / "turned.mp4"
    path.write_bytes(bytes(data))
    for frame in (VideoFile(path).frame(3), next(VideoFile(path).frames())):
        assert frame.shape == (3, 64, 48)
        assert frame[0, 4:12, -12:-4].float().mean() > 220  # the red corner, turned clockwise
        assert frame[0, 4:12, 4:12].float().mean() < 60


def test_truncated_videos(video: Path, tmp_path: Path) -> None:
    whole = video.read_bytes()
    path = tmp_path / "cut.mp4"
    start = whole.find(b"mdat")
    for size in (len(whole) - 100, start + 600, start + 8, start // 2, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.mp4: (truncated|not a readable|not one frame)"):
            len(VideoFile(path))
    with av.open(str(video)) as container:
        positions = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    end_of_frame = sorted(positions)[25]
    path.write_bytes(whole[: end_of_frame[0] + end_of_frame[1]])
    with pytest.raises(ValueError, match=r"cut\.mp4: truncated"):
        len(VideoFile(path))


def test_damaged_in_the_middle(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        key = next(p for p in container.demux(video=0) if p.is_keyframe and p.pts and p.pts > 0)
    data[key.pos : key.pos + key.size] = bytes(b ^ 0x5A for b in data[key.pos : key.pos + key.size])
    path = tmp_path / "hole.mp4"
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"hole\.mp4: "):
        list(VideoFile(path).frames())
    with pytest.raises(ValueError, match=r"hole\.mp4: damaged video, frame 12 of 40"):
        VideoFile(path, backend="pyav").frame(12)


def test_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4: no such video file"):
        VideoFile(tmp_path / "gone.mp4")
    with pytest.raises(ValueError, match="not a file, expected a video"):
        VideoFile(tmp_path)
    for name in ("text.mp4", "text.txt"):
        (tmp_path / name).write_text("no video\n" * 100)
        with pytest.raises(ValueError, match=rf"{name}: not a"):
            VideoFile(tmp_path / name)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=r"sound\.wav: no video stream"):
        VideoFile(tmp_path / "sound.wav")
    with pytest.raises(ValueError, match="unknown video backend 'opencv', expected one of auto"):
        VideoFile(tmp_path / "gone.mp4", backend="opencv")


def test_absurd_claims_are_refused(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_FRAMES", 39)
    with pytest.raises(ValueError, match=r"greys\.mp4: refused, claims 40 frames, the limit is 39"):
        VideoFile(video)
    monkeypatch.undo()
    monkeypatch.setattr("temporalkd.data.images.MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"greys\.mp4: refused, 64x48 is more than the limit of 1000 pixels"):
        VideoFile(video)


@pytest.mark.real
def test_real_video_counts_and_frames(data_root: Path) -> None:
    path = data_root / "data" / "video" / "solid_white_right.mp4"
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    sources = [VideoFile(path, backend="pyav")] + ([VideoFile(path, backend="decord")] if has_decord() else [])
    for source in sources:
        assert len(source) == len(decoded) == 221
        assert source.fps == 25
        for index in (0, 220, 100, 101, 57):
            truth = torch.from_numpy(decoded[index]).permute(2, 0, 1).float()
            assert (source.frame(index).float() - truth).abs().mean() < 1
            if index:
                before = torch.from_numpy(decoded[index - 1]).permute(2, 0, 1).float()
                assert (source.frame(index).float() - before).abs().mean() > 1  # so the neighbour would not pass
