"""Written videos play: right codec, size, count and colours; and a failure leaves nothing behind."""

from __future__ import annotations

import resource
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from temporalkd.data.video import VideoFile
from temporalkd.visualization.video import VideoWriter

COLOURS = [(220, 30, 30), (30, 200, 40), (30, 60, 220), (240, 240, 240)]


def quarters(height: int, width: int) -> torch.Tensor:
    """Four colours in four quarters."""
    image = torch.empty(3, height, width, dtype=torch.uint8)
    for index, colour in enumerate(COLOURS):
        rows = slice(0, height // 2) if index < 2 else slice(height // 2, None)
        columns = slice(width // 2, None) if index % 2 else slice(0, width // 2)
        image[:, rows, columns] = torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1)
    return image


def noise(side: int = 128) -> torch.Tensor:
    return torch.randint(0, 256, (3, side, side), dtype=torch.uint8)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (51, 65)])
def test_what_is_written_is_what_plays(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "new" / "folder" / "out.mp4"
    with VideoWriter(path, 30000 / 1001, crf=10) as writer:
        for _ in range(7):
            writer.write(quarters(height, width))
    assert [file.name for file in path.parent.iterdir()] == ["out.mp4"]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert len(frames) == stream.frames == 7
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == (height + height % 2, width + width % 2)
        assert stream.average_rate == Fraction(30000, 1001)
        assert frames[0].colorspace == 1  # BT.709, as tagged
    shown = VideoFile(path).frame(6)
    for index, colour in enumerate(COLOURS):
        row, column = height // 4 + height // 2 * (index // 2), width // 4 + width // 2 * (index % 2)
        assert np.abs(shown[:, row, column].numpy().astype(int) - colour).max() < 8
    assert np.abs(shown[:, -1, -1].numpy().astype(int) - COLOURS[3]).max() < 8  # the padding repeats the edge


def test_the_index_is_in_front(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        for _ in range(5):
            writer.write(torch.rand(3, 32, 32))
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_a_failing_block_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(KeyError, match="mid-way"), VideoWriter(path) as writer:
        writer.write(noise())
        assert len(list(tmp_path.iterdir())) == 2  # the temporary file is beside the old one
        raise KeyError("mid-way")
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    assert path.read_bytes() == b"the old one"


@pytest.mark.parametrize("room", [500, 200_000, -20], ids=["first write", "mid-way", "moving the index"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, room: int) -> None:
    frames = [noise(96) for _ in range(100)]

    def write() -> int:
        with VideoWriter(tmp_path / "full.mp4", crf=10) as writer:
            for frame in frames:
                writer.write(frame)
        return (tmp_path / "full.mp4").stat().st_size

    size = write()
    assert size > 400_000
    (tmp_path / "full.mp4").unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room if room > 0 else size + room, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write video .*full\.mp4"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
