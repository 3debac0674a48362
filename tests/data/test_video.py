"""Video files: the right frame at every index, few decoded for it, and errors that name the file."""

from __future__ import annotations

import pickle
import re
import shutil
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from temporalkd.data import opening, seeking
from temporalkd.data.video import Backend, VideoFile

COUNT = 40


def shade(index: int) -> int:
    """Grey level of frame `index`: 5 apart, so that a frame can be told from its neighbours after coding."""
    return 20 + 5 * index


def write(
    path: Path,
    count: int = COUNT,
    codec: str = "libx264",
    rate: int | Fraction = 25,
    pixels: str = "yuv420p",
    **options: str,
) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {"g": "10", "bf": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
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


@pytest.fixture
def driving(data_root: Path) -> Path:
    return data_root / "data" / "video" / "solid_white_right.mp4"


def has_decord() -> bool:
    try:
        import decord  # noqa: F401
    except Exception:
        return False
    return True


needs_decord = pytest.mark.skipif(not has_decord(), reason="decord has no wheel here")
BACKENDS = ["pyav", pytest.param("decord", marks=needs_decord)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_frame_is_the_one_asked_for(video: Path, backend: Backend) -> None:
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
    source = VideoFile(video)
    streamed = list(source.frames())
    assert [round(number(frame)) for frame in streamed] == list(range(COUNT))
    assert torch.equal(streamed[23], source.frame(23))


@needs_decord
@pytest.mark.parametrize("source", ["video", pytest.param("driving", marks=pytest.mark.real)])
def test_decord_sees_the_same_clips(source: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(source)
    ours, other = VideoFile(path), VideoFile(path, backend="decord")
    generator = torch.Generator().manual_seed(0)
    for anchor in torch.randint(3, len(ours) - 3, (12,), generator=generator).tolist():
        clip = [anchor, anchor - 2, anchor, anchor + 3]
        gap = ours.clip(clip).float() - other.clip(clip).float()
        assert gap.abs().mean((1, 2, 3)).max() < 1, clip


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
        source = VideoFile(write(tmp_path / name, 20, codec, **options))
        assert len(source) == 20, name
        assert [round(number(source.frame(i))) for i in (19, 0, 7, 6, 12)] == [19, 0, 7, 6, 12], name
        assert len(list(source.frames())) == 20, name


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    source = VideoFile(write(tmp_path / "one.mp4", count=1))
    assert len(source) == 1
    assert number(source.frame(0)) == pytest.approx(0, abs=0.45)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b.mp4", "libx264", {"g": "15", "bf": "3", "b_strategy": "0"}),
        ("long.mp4", "libx264", {"g": "250", "bf": "3", "b_strategy": "0", "sc_threshold": "0"}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
        ("b.mkv", "libx265", {"x265-params": "keyint=12:bframes=3:log-level=error"}),
        ("b.webm", "libvpx-vp9", {"g": "12", "deadline": "realtime"}),
        ("b.avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("b.ts", "libx264", {"g": "12", "bf": "3"}),
        ("open.ts", "libx265", {"x265-params": "open-gop=1:keyint=12:bframes=3:log-level=error"}),
        ("x.avi", "libx264", {"g": "12", "bf": "3"}),
        ("b1.webm", "libsvtav1", {"g": "12"}),
        ("b.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("p.mpg", "mpeg1video", {"g": "12"}),
        ("b.vob", "mpeg2video", {"g": "12"}),
        ("raw.m1v", "mpeg1video", {"g": "12", "bf": "2"}),
    ],
)
def test_clips_are_what_decoding_from_the_start_gives(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    """Bit for bit, whatever is skipped on the way; forwards, backwards, near and far."""
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = write(tmp_path / name, COUNT, codec, **options)
    with av.open(str(path)) as container:
        plain = [torch.from_numpy(f.to_ndarray(format="rgb24")).permute(2, 0, 1) for f in container.decode(video=0)]
    source = VideoFile(path)
    assert len(source) == len(plain) == COUNT
    generator = torch.Generator().manual_seed(0)
    for anchor in torch.randint(3, COUNT - 3, (60,), generator=generator).tolist():
        other = anchor + [-3, -2, -1, 1, 2, 3][int(torch.randint(6, (), generator=generator))]
        for frame, index in zip(source.clip([anchor, other]), (anchor, other)):
            assert torch.equal(frame, plain[index]), (anchor, other, index)


def test_what_no_other_frame_needs_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "b.mp4", 40, g="40", bf="3", b_strategy="0", sc_threshold="0")
    seen, converted, sought = [0], [0], [0]

    def count(counter: list[int], job: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            counter[0] += 1
            return job(*args)

        return counted

    monkeypatch.setattr(seeking.Decoder, "_number", count(seen, seeking.Decoder._number))
    monkeypatch.setattr(seeking, "to_rgb", count(converted, seeking.to_rgb))
    monkeypatch.setattr(seeking.Decoder, "_approach", count(sought, seeking.Decoder._approach))
    source = VideoFile(path)
    assert [round(number(frame)) for frame in source.clip([32, 30])] == [32, 30]
    assert sought == [0] and converted == [2], "neither backwards nor over a key frame"
    assert seen[0] < 25, "of 33, a part is not decoded"
    source.clip([5, 2, 5])
    assert sought == [1] and converted == [4], "backwards once, in ascending order from there, each frame once"


@needs_decord
def test_a_decord_that_fails_or_sees_other_frames_is_refused(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import decord

    def refusal(reads: str) -> str:
        with pytest.raises(ValueError, match=r"greys\.mp4: ") as caught:
            source.frame(int(reads))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    source = VideoFile(video, backend="decord")
    source.frame(0)
    plain = decord.VideoReader.get_batch
    with monkeypatch.context() as patched:
        patched.setattr(
            decord.VideoReader, "get_batch", lambda reader, at: plain(reader, [len(reader) - 1 - i for i in at])
        )
        source.close()
        assert "it decodes the first frame differently" in refusal("0")
    with monkeypatch.context() as patched:
        source.frame(0)
        patched.setattr(decord.VideoReader, "get_batch", lambda reader, at: reader[10**6])
        assert "damaged video, frame 7 of 40" in refusal("7")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "decord", None)
        source.close()
        assert "expected backend 'pyav'" in refusal("0")
    assert round(number(source.frame(7))) == 7


def test_backends_are_known_by_name(video: Path) -> None:
    with pytest.raises(ValueError, match=r"greys\.mp4: unknown video backend 'opencv', expected pyav or decord"):
        VideoFile(video, backend="opencv")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_decoders_are_not_pickled_and_close(video: Path, backend: Backend) -> None:
    source = VideoFile(video, backend=backend)
    source.frame(7)
    copy = pickle.loads(pickle.dumps(source))
    assert copy._decoder is None and copy._index is not None, "where the frames are is known already"
    assert torch.equal(copy.frame(7), source.frame(7))
    source.close()
    assert source._decoder is None
    assert round(number(source.frame(8))) == 8


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
        return len(self.sources) * len(self.sources[0])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        place, which = divmod(index, len(self.sources))
        frame = self.sources[which].frame(place)
        return frame, sum(open_files(path) for path in {source.path for source in self.sources})


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_worker_has_one_decoder_of_its_own(video: Path, workers: int, backend: Backend, tmp_path: Path) -> None:
    # Copies of its own: other tests may have left the shared one open.
    one, other = (Path(shutil.copy(video, tmp_path / name)) for name in ("one.mp4", "other.mp4"))
    sources = VideoFile(one, backend=backend), VideoFile(other, backend=backend)
    sources[0].frame(0)  # open in the parent, so that a forked worker could inherit it
    context = "fork" if workers else None
    loader = torch.utils.data.DataLoader(
        Frames(*sources), batch_size=4, num_workers=workers, timeout=60 * bool(workers), multiprocessing_context=context
    )
    for _ in range(3):
        frames, held = (torch.cat(parts) for parts in zip(*loader))
        assert [round(number(frame)) for frame in frames] == [i // 2 for i in range(2 * COUNT)]
        assert held.tolist() == [1] * 2 * COUNT
    sources[1].close()
    del sources, loader  # a video that is forgotten is closed too
    assert open_files(one) == open_files(other) == 0


@pytest.mark.parametrize("width", range(50, 84, 2))
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


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.wmv", "wmv2", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("a.mxf", "mpeg2video", "yuv422p"),
        ("a.avi", "mpeg4", "yuv420p"),
    ],
)
def test_a_download_that_broke_off(name: str, codec: str, pixels: str, tmp_path: Path) -> None:
    """Wherever it did, between two frames too."""
    path = write(tmp_path / name, COUNT, codec, pixels=pixels, g="10")
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        places = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    for size in (places[12], places[30], places[30] + 20, len(whole) * 2 // 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"{re.escape(name)}: (truncated|damaged)"):
            list(VideoFile(path).frames())
    path.write_bytes(whole)
    assert len(list(VideoFile(path).frames())) == COUNT


def test_mp4_in_fragments_that_broke_off(tmp_path: Path) -> None:
    path = tmp_path / "parts.mp4"
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), "rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    assert len(VideoFile(path)) == COUNT
    third = [found.start() - 4 for found in re.finditer(b"moof", whole)][2]
    for size in (third + 30, third + 200):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"parts\.mp4: (truncated|not a readable|damaged)"):
            list(VideoFile(path).frames())


def test_a_box_of_an_absurd_size(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "vast.mp4"
    path.write_bytes(video.read_bytes() + struct.pack(">I4sQ", 1, b"free", 2**64 - 1))
    with pytest.raises(ValueError, match=r"vast\.mp4: truncated"):
        len(VideoFile(path))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, "file"])
def test_an_avi_whose_size_is_a_placeholder(size: int | str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", 5, "mpeg4", g="5")
    whole = path.read_bytes()
    said = len(whole) if size == "file" else int(size)
    path.write_bytes(whole[:4] + said.to_bytes(4, "little") + whole[8:])
    assert len(list(VideoFile(path).frames())) == 5


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_frames_that_an_avi_leaves_out_are_not_missing(codec: str, tmp_path: Path) -> None:
    """Its header counts those too that nothing was written for, as the rate varies."""
    path = tmp_path / "varied.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade(index), np.uint8), format="rgb24")
            frame.pts = 3 * index + index % 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    video = VideoFile(path)
    assert [round(number(frame)) for frame in video.frames()] == list(range(20))
    assert [round(number(video.frame(index))) for index in (13, 2, 19)] == [13, 2, 19]


def test_a_recording_does_not_know_how_long_it_will_be(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    assert b"\x18\x53\x80\x67\x01" + 7 * b"\xff" in path.read_bytes()
    assert len(VideoFile(path)) == 5


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
        VideoFile(path).frame(12)


def test_a_damaged_frame_that_its_decoder_shows(tmp_path: Path) -> None:
    """Motion JPEG's says so in FFmpeg's log alone, and leaves blocks as they were in memory."""
    path = tmp_path / "camera.avi"
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][1]
    whole = path.read_bytes()
    shown = 0
    for at in range(packet.pos + packet.size // 2, packet.pos + packet.size - 20, 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as told, av.open(str(path)) as container:
                frames = [frame for frame in container.decode(video=0) if not frame.is_corrupt]
        finally:
            av.logging.set_level(None)
        if told and len(frames) == 3:
            shown += 1
            with pytest.raises(ValueError, match=r"camera\.avi: damaged video, frame 1 of 3"):
                VideoFile(path).frame(1)
    assert shown > 3


def test_checksums_of_ffv1_are_heeded(tmp_path: Path) -> None:
    path = write(tmp_path / "archive.mkv", 20, "ffv1", g="5", slicecrc="1")
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][12]
    data = bytearray(path.read_bytes())
    data[packet.pos + packet.size // 2] ^= 1
    path.write_bytes(bytes(data))
    video = VideoFile(path)
    for index in (12, 13):
        with pytest.raises(ValueError, match=rf"archive\.mkv: damaged video, frame {index} of 20 .*CRC mismatch"):
            video.frame(index)
        assert round(number(video.frame(2))) == 2
    seen = []
    with pytest.raises(ValueError, match=r"archive\.mkv: damaged video, frame 12 of 20 .*CRC mismatch"):
        seen.extend(video.frames())
    assert len(seen) == 12


def test_threads_only_where_they_end(video: Path, tmp_path: Path) -> None:
    """Those of HEVC's decoder may wait for one another for ever where a file is damaged."""
    for path, kind in ((video, "AUTO"), (write(tmp_path / "a.mkv", 4, "libx265"), "NONE")):
        with opening.open_video(path, threads=True) as container:
            assert container.streams.video[0].thread_type.name == kind


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}),
        ("libx265", {"x265-params": "open-gop=1:keyint=10:bframes=3:log-level=error"}),
        ("mpeg2video", {"g": "10", "bf": "2"}),
    ],
)
def test_a_recording_that_begins_anywhere(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    """Its first frames are predicted from some that are not in it."""
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    path = write(tmp_path / "whole.ts", COUNT, codec, **options)
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        begin = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe][1]
    tables = whole[: 3 * 188]
    for skipped in (188, 188 * 3):
        (tmp_path / "late.ts").write_bytes(tables + whole[begin + skipped :])
        late = VideoFile(tmp_path / "late.ts")
        shown = torch.stack(list(late.frames()))
        assert 10 < len(late) == len(shown) < COUNT
        for index in (len(late) - 1, 3, len(late) // 2):
            assert torch.equal(late.frame(index), shown[index])


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
    (tmp_path / "sound.avi").write_bytes((tmp_path / "sound.wav").read_bytes())
    for name in ("sound.wav", "sound.avi"):
        with pytest.raises(ValueError, match=rf"{name}: not a readable video \(expected mp4, mov"):
            VideoFile(tmp_path / name)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=r"sound\.mkv: no video stream"):
        VideoFile(tmp_path / "sound.mkv")


@pytest.mark.parametrize(("name", "codec"), [("old.avi", "asv1"), ("hole.avi", "magicyuv"), ("odd.avi", "utvideo")])
def test_a_codec_of_no_camera_is_not_even_looked_at(name: str, codec: str, tmp_path: Path) -> None:
    """FFmpeg has 300 decoders, and opens them while it looks at what is in a file."""
    path = write(tmp_path / name, 4, codec)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 4
    remedy = rf"{name}: its video stream is {codec}, not read here; convert it, for instance by ffmpeg -i {name} "
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as told, pytest.raises(ValueError, match=remedy):
            VideoFile(path)
    finally:
        av.logging.set_level(None)
    assert any(f"Codec ({codec}) not on whitelist" in text for _, _, text in told)


def test_absurd_claims_are_refused(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_FRAMES", 39)
    with pytest.raises(ValueError, match=r"greys\.mp4: refused, claims 40 frames, the limit is 39"):
        VideoFile(video)
    monkeypatch.undo()
    monkeypatch.setattr("temporalkd.data.images.MAX_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"greys\.mp4: refused, 64x48 is more than the limit of 1000 pixels"):
        VideoFile(video)


@pytest.mark.real
def test_real_video_counts_and_frames(driving: Path) -> None:
    with av.open(str(driving)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    source = VideoFile(driving)
    assert len(source) == len(decoded) == 221
    assert source.fps == 25
    for index in (0, 220, 100, 101, 57):
        assert torch.equal(source.frame(index), torch.from_numpy(decoded[index]).permute(2, 0, 1))


def test_a_title_in_another_encoding_is_no_reason(video: Path, tmp_path: Path) -> None:
    """What FFmpeg takes for text may be any bytes: the handler's name, here."""
    data = bytearray(video.read_bytes())
    at = data.index(b"VideoHandler")
    data[at : at + 4] = b"\xef\xf2\xff\x90"
    path = tmp_path / "latin.mp4"
    path.write_bytes(bytes(data))
    assert torch.equal(VideoFile(path).frame(3), VideoFile(video).frame(3))


@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.m3u8"])
def test_a_list_of_other_videos_is_none(name: str, tmp_path: Path) -> None:
    """FFmpeg would read what it names, again and again, or wait for the list to go on."""
    write(tmp_path / "other.ts", 4)
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:100000\n#EXTINF:1,\nother.ts\n"
    text = head if name.endswith("m3u8") else "ffconcat version 1.0\n" + 1000 * "file other.ts\n"
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: not a readable video"):
        VideoFile(tmp_path / name)
