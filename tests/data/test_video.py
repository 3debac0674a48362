"""Video files: the right frame at every index, and errors that name the file."""

from __future__ import annotations

import pickle
import shutil
import struct
import sys
import types
import wave
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from temporalkd.data.video import DecoderName, VideoFile

COUNT = 40
SIZE = (48, 64)


def picture(index: int) -> np.ndarray:
    """A grey level that tells the index, and a red corner."""
    array = np.full((*SIZE, 3), 20 + 5 * index, np.uint8)
    array[:16, :16] = (255, 0, 0)
    return array


def number(frame: torch.Tensor) -> float:
    """Index of a frame, read from its grey level."""
    return (frame[:, 20:, 20:].float().mean().item() - 20) / 5


def write(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    mux: dict[str, str] | None = None,
    **options: str,
) -> Path:
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    options = options or {"g": "10", "bf": "2", "crf": "10"}
    with av.open(str(path), "w", options=mux or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options=options)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pixels
        for index, time in enumerate(times or range(COUNT)):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "greys.mp4", mux={"movflags": "faststart"})


@pytest.fixture
def driving(data_root: Path) -> Path:
    return data_root / "data" / "video" / "solid_white_right.mp4"


needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel here")
DECODERS = ["pyav", pytest.param("decord", marks=needs_decord)]


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_frame_is_the_one_asked_for(video: Path, decoder: DecoderName) -> None:
    source = VideoFile(video, decoder=decoder)
    assert len(source) == COUNT
    assert source.fps == pytest.approx(29.97, abs=0.001)
    for index in [0, 1, 39, 38, 9, 10, 11, *torch.randperm(COUNT).tolist()]:
        assert number(source.frame(index)) == pytest.approx(index, abs=0.45)
    clip = source.clip([5, 4, 20, 5])
    assert clip.shape == (4, 3, *SIZE) and clip.dtype == torch.uint8
    assert [round(number(frame)) for frame in clip] == [5, 4, 20, 5]
    red = clip[0, :, 4:12, 4:12].float().mean((1, 2))
    assert red[0] > 220 and red[1:].max() < 40
    for outside in (-1, COUNT):
        with pytest.raises(IndexError, match=r"greys\.mp4"):
            source.frame(outside)


VARIABLE = [3 * index + index % 2 for index in range(COUNT)]
OPEN_GOP = "open-gop=1:keyint=10:bframes=3:scenecut=0:log-level=error"


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"g": "15", "bf": "3", "b_strategy": "0"}),
        ("long.mp4", "libx264", {"g": "250", "bf": "3", "b_strategy": "0", "sc_threshold": "0"}),
        ("open.mp4", "libx264", {"x264-params": OPEN_GOP}),
        ("variable.mkv", "libx264", {"g": "12", "bf": "3"}),
        ("hevc.mkv", "libx265", {"x265-params": OPEN_GOP}),
        ("vp9.webm", "libvpx-vp9", {"g": "12", "deadline": "realtime"}),
        ("vp8.webm", "libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("av1.mp4", "libsvtav1", {"g": "12"}),
        ("prores.mov", "prores_ks", {"profile": "0"}),
        ("a.gif", "gif", {"g": "12"}),
        ("motion.avi", "mjpeg", {"g": "1"}),
        ("variable.avi", "mpeg4", {"g": "12"}),
        ("divx.avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("x.avi", "libx264", {"g": "12", "bf": "3"}),
        ("open.ts", "libx265", {"x265-params": OPEN_GOP}),
        ("b.ts", "libx264", {"g": "12", "bf": "3"}),
        ("b.flv", "libx264", {"g": "12", "bf": "3"}),
        ("b.mxf", "mpeg2video", {"g": "12", "bf": "2"}),
        ("b.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("raw.m1v", "mpeg1video", {"g": "12", "bf": "2"}),
        ("raw.h264", "libx264", {"g": "12", "bf": "3"}),
        ("parts.mp4", "libx264", {"g": "10"}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*time stamps")
def test_random_access_equals_streaming(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    """Bit for bit, and both equal plain decoding; forwards, backwards, near and far."""
    formats = {"prores_ks": "yuv422p10le", "gif": "rgb8", "mjpeg": "yuvj420p"}
    pixels = "yuv422p" if name.endswith("mxf") else formats.get(codec, "yuv420p")
    mux = {"movflags": "frag_keyframe+empty_moov"} if name.startswith("parts") else {}
    times = VARIABLE if name.startswith("variable") else None
    path = write(tmp_path / name, codec, pixels, times, mux, **options)
    with av.open(str(path)) as container:
        plain = [torch.from_numpy(f.to_ndarray(format="rgb24")).permute(2, 0, 1) for f in container.decode(video=0)]
    source = VideoFile(path)
    streamed = list(source.frames())
    assert len(source) == len(streamed) == COUNT
    assert torch.equal(torch.stack(streamed), torch.stack(plain))
    generator = torch.Generator().manual_seed(0)
    for anchor in torch.randint(3, COUNT - 3, (50,), generator=generator).tolist():
        other = anchor + [-3, -2, -1, 1, 2, 3][int(torch.randint(6, (), generator=generator))]
        for frame, index in zip(source.clip([anchor, other]), (anchor, other)):
            assert torch.equal(frame, streamed[index]), (anchor, other, index)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": OPEN_GOP}),
        ("libx265", {"x265-params": OPEN_GOP}),
        ("mpeg2video", {"g": "10", "bf": "2"}),
    ],
)
def test_a_recording_that_begins_inside_a_group_of_pictures(
    codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    whole = write(tmp_path / "whole.ts", codec, **options)
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        key = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe][1]
    (tmp_path / "late.ts").write_bytes(data[: 3 * 188] + data[key + 188 :])
    late = VideoFile(tmp_path / "late.ts")
    shown = list(late.frames())
    assert 10 < len(late) == len(shown) < COUNT
    for index in (len(late) - 1, 3, 0, len(late) // 2):
        assert torch.equal(late.frame(index), shown[index])


def test_an_edit_list_that_cuts_the_beginning(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    at = data.index(b"elst") + 16
    (start,) = struct.unpack(">i", data[at : at + 4])
    data[at : at + 4] = struct.pack(">i", start + 5 * 512)
    (tmp_path / "trimmed.mp4").write_bytes(data)
    source = VideoFile(tmp_path / "trimmed.mp4")
    streamed = list(source.frames())
    assert 0 < len(streamed) == len(source) < COUNT
    for index in (len(source) - 1, 0, 7, 3):
        assert torch.equal(source.frame(index), streamed[index])


@needs_decord
@pytest.mark.parametrize("name", ["video", pytest.param("driving", marks=pytest.mark.real)])
def test_decord_agrees_with_pyav(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    ours, other = VideoFile(path), VideoFile(path, decoder="decord")
    clip = [len(ours) // 2, 3, len(ours) - 1, 0]
    gap = ours.clip(clip).float() - other.clip(clip).float()
    assert gap.abs().mean((1, 2, 3)).max() < 1


def test_decoders_that_cannot_be_used_name_the_key(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'opencv'"):
        VideoFile(video, decoder="opencv")  # type: ignore[arg-type]
    for library in ("decord", "torchcodec"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ValueError, match=rf"greys\.mp4: {library} .*data\.decoder") as error:
            VideoFile(video, decoder=library).frame(0)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)


class FakeTorchcodec:
    """Frames of a video file behind the interface of torchcodec's VideoDecoder, moved on by `shift`."""

    shift = 0

    def __init__(self, path: str, **options: object) -> None:
        self.frames = list(VideoFile(Path(path)).frames())

    def __len__(self) -> int:
        return len(self.frames)

    def get_frames_at(self, indices: list[int]) -> types.SimpleNamespace:
        return types.SimpleNamespace(data=torch.stack([self.frames[index + self.shift] for index in indices]))


def test_another_library_is_used_where_it_finds_the_same_frames(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torchcodec.decoders")
    module.VideoDecoder = FakeTorchcodec  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    source = VideoFile(video, decoder="torchcodec")
    assert torch.equal(source.clip([7, 3]), VideoFile(video).clip([7, 3]))
    monkeypatch.setattr(FakeTorchcodec, "shift", 3)
    with pytest.raises(ValueError, match=r"greys\.mp4: torchcodec .*differs"):
        VideoFile(video, decoder="torchcodec").frame(0)


def open_files(path: Path) -> int:
    """How often this process has it open."""
    held = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            held += entry.readlink() == path
    return held


class Frames(torch.utils.data.Dataset):
    """Frames of two videos in turn, and how many files of them are open once one has been read."""

    def __init__(self, *sources: VideoFile):
        self.sources = sources

    def __len__(self) -> int:
        return 2 * COUNT

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        place, which = divmod(index, 2)
        frame = self.sources[which].frame(place)
        return frame, sum(open_files(source.path) for source in self.sources)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_worker_has_one_decoder_of_its_own(video: Path, decoder: DecoderName, tmp_path: Path) -> None:
    # Copies of its own: other tests may have left the shared one open.
    one, other = (Path(shutil.copy(video, tmp_path / name)) for name in ("one.mp4", "other.mp4"))
    sources = VideoFile(one, decoder=decoder), VideoFile(other, decoder=decoder)
    sources[0].frame(0)  # open in the parent, so that a forked worker could inherit it
    loader = torch.utils.data.DataLoader(
        Frames(*sources), batch_size=4, num_workers=2, timeout=60, multiprocessing_context="fork"
    )
    frames, held = (torch.cat(parts) for parts in zip(*loader))
    assert [round(number(frame)) for frame in frames] == [i // 2 for i in range(2 * COUNT)]
    assert held.tolist() == [1] * 2 * COUNT
    assert torch.equal(pickle.loads(pickle.dumps(sources[1])).frame(7), sources[1].frame(7))
    sources[1].frame(0)
    sources[1].close()
    assert open_files(one) == open_files(other) == 0


@pytest.mark.parametrize("width", [50, 52, 66, 82])
def test_every_column_of_any_width_is_converted(width: int, tmp_path: Path) -> None:
    """FFmpeg's conversion to planes leaves the last columns of some widths as they were in memory."""
    path = tmp_path / "grey.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((48, width, 3), 120, np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    frame = VideoFile(path).frame(0)
    assert frame.shape == (3, 48, width) and (frame.int() - 120).abs().max() <= 3


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


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 200, 300, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        moving = container.add_stream("libx264", rate=25)
        moving.height, moving.width, moving.pix_fmt = *SIZE, "yuv420p"
        still = av.VideoFrame.from_ndarray(np.full((300, 200, 3), 200, np.uint8), format="rgb24")
        container.mux([*cover.encode(still.reformat(format="yuvj420p")), *cover.encode()])
        for index in range(8):
            container.mux(moving.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        container.mux(moving.encode())
    source = VideoFile(path)
    assert len(source) == len(list(source.frames())) == 8
    assert source.frame(3).shape == (3, *SIZE)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ["2024-05-01T12:30:05.mp4", "12:30.mp4"])
def test_a_name_with_a_colon_is_a_file(
    name: str, decoder: DecoderName, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(video, name)
    source = VideoFile(Path(name), decoder=decoder)
    assert round(number(source.frame(7))) == 7 and len(list(source.frames())) == COUNT


def test_files_that_are_no_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        VideoFile(tmp_path / "gone.mp4")
    with pytest.raises(ValueError, match="folder"):
        VideoFile(tmp_path)
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    for name, what in (("zero.mp4", "empty"), ("text.mp4", "ffmpeg -i text.mp4"), ("sound.wav", "no video stream")):
        with pytest.raises(ValueError, match=rf"{name}: .*{what}") as error:
            VideoFile(tmp_path / name)
        assert "\n" not in str(error.value)


def test_unfinished_recordings_and_downloads(video: Path, tmp_path: Path) -> None:
    at_the_end = write(tmp_path / "camera.mp4").read_bytes()
    (tmp_path / "camera.mp4").write_bytes(at_the_end[: at_the_end.index(b"moov") - 4])
    with pytest.raises(ValueError, match=r"camera\.mp4: .*not finished"):
        VideoFile(tmp_path / "camera.mp4")
    whole, path = video.read_bytes(), tmp_path / "cut.mp4"
    with av.open(str(video)) as container:
        ends = sorted(packet.pos + packet.size for packet in container.demux(video=0) if packet.size)
    for size in (ends[25], ends[25] + 5, ends[0] - 1, len(whole) * 2 // 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.mp4: truncated"):
            len(VideoFile(path))


def test_damaged_in_the_middle(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        key = [packet for packet in container.demux(video=0) if packet.is_keyframe][-1]
    data[key.pos : key.pos + key.size] = bytes(b ^ 0x5A for b in data[key.pos : key.pos + key.size])
    path = tmp_path / "hole.mp4"
    path.write_bytes(bytes(data))
    source = VideoFile(path)
    with pytest.raises(ValueError, match=r"hole\.mp4: damaged video, frame 3\d of 40"):
        list(source.frames())
    place = source.index.times.index(key.pts)
    with pytest.raises(ValueError, match=rf"hole\.mp4: damaged video, frame {place} of 40"):
        source.frame(place)
    assert round(number(source.frame(3))) == 3, "the frames before it are read"


def test_a_title_in_another_encoding(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    at = data.index(b"VideoHandler")
    data[at : at + 4] = b"\xef\xf2\xff\x90"
    (tmp_path / "latin.mp4").write_bytes(bytes(data))
    assert torch.equal(VideoFile(tmp_path / "latin.mp4").frame(3), VideoFile(video).frame(3))
