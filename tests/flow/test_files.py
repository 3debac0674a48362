import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.datasets._optical_flow import _read_flo

from flow import read_flo, read_kitti, write_flo, write_kitti
from tests.properties import few, given, sizes, st


def test_flo_bytes_are_middleburys(tmp_path):
    path = tmp_path / "a.flo"
    field = torch.tensor([[[1.0, 2.0, 3.0]], [[-4.0, 5.5, 1e10]]])
    write_flo(path, field)
    assert path.read_bytes() == b"PIEH" + struct.pack("<ii6f", 3, 1, 1.0, -4.0, 2.0, 5.5, 3.0, 1e10)
    assert torch.equal(read_flo(path), field)


def test_flo_round_trip_agrees_with_torchvisions_reader(tmp_path):
    field = torch.randn(1, 2, 13, 17) * 50
    write_flo(str(tmp_path / "a.flo"), field)
    assert torch.equal(read_flo(str(tmp_path / "a.flo")), field[0])
    assert np.array_equal(_read_flo(str(tmp_path / "a.flo")), field[0].numpy())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"PIEH" + struct.pack("<i", 3), "8 bytes"),
        (struct.pack("<fii2f", 1.0, 1, 1, 0, 0), "begins with 1.0"),
        (b"PIEH" + struct.pack("<ii2f", 1, 2, 0, 0), "20 bytes, expected 28 for 2 x 1"),
        (b"PIEH" + struct.pack("<ii4f", 1, 1, 0, 0, 0, 0), "28 bytes, expected 20"),
        (b"PIEH" + struct.pack("<ii", -1, 4), "size 4 x -1"),
        (b"PIEH" + struct.pack("<ii", 0, 4), "size 4 x 0"),
    ],
)
def test_flo_that_is_none_is_named(tmp_path, content, words):
    path = tmp_path / "broken.flo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_flo(path)
    assert "broken.flo" in str(caught.value)


def test_kitti_by_hand(tmp_path):
    path = tmp_path / "a.png"
    raw = np.zeros((1, 3, 3), np.uint16)  # blue = valid, green = v, red = u
    raw[0, 0] = (1, 2**15 - 64, 2**15 + 96)
    raw[0, 1] = (1, 65535, 0)
    cv2.imwrite(str(path), raw)
    field, valid = read_kitti(path)
    assert valid.tolist() == [[[True, True, False]]]
    assert field.tolist() == [[[1.5, -512.0, 0.0]], [[-1.0, 511.984375, 0.0]]]


def test_kitti_round_trip(tmp_path):
    field, valid = torch.randn(1, 2, 11, 13) * 60, torch.rand(1, 1, 11, 13) > 0.3
    write_kitti(tmp_path / "a.png", field, valid)
    back, mask = read_kitti(tmp_path / "a.png")
    assert torch.equal(mask, valid[0])
    assert ((back - field[0]).abs() * mask).max() <= 1 / 128
    write_kitti(tmp_path / "b.png", field[0])
    assert read_kitti(tmp_path / "b.png")[1].all()


def test_kitti_holds_what_it_can_and_says_so(tmp_path):
    field = torch.zeros(2, 2, 3)
    field[0, 1, 1], field[1, 0, 0] = 600.0, float("nan")
    with pytest.raises(ValueError, match=r"a.png.*512"):
        write_kitti(tmp_path / "a.png", field)
    assert not (tmp_path / "a.png").exists()
    valid = torch.ones(1, 2, 3, dtype=torch.bool)
    valid[0, 1, 1] = valid[0, 0, 0] = False
    write_kitti(tmp_path / "a.png", field, valid)
    assert torch.equal(read_kitti(tmp_path / "a.png")[1], valid)


@pytest.mark.parametrize("write", [write_flo, write_kitti])
def test_writes_are_whole_or_not_at_all(tmp_path, monkeypatch, write):
    path = tmp_path / "a.out"
    path.write_bytes(b"what was there")

    def full(handle):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "fsync", full)
        write(path, torch.zeros(2, 3, 4))
    assert path.read_bytes() == b"what was there"
    assert [p.name for p in tmp_path.iterdir()] == ["a.out"]
    write(path, torch.zeros(2, 3, 4))
    assert path.read_bytes() != b"what was there"
    assert [p.name for p in tmp_path.iterdir()] == ["a.out"]


def refused(read: Any, path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises((ValueError, OSError)) as caught:
        read(path)
    said = str(caught.value)
    assert path.name in said and "\n" not in said
    return said


@few
@given(data=st.data(), size=sizes)
def test_flo_gives_back_any_field(data: Any, size: tuple[int, int], tmp_path: Path) -> None:
    count = 2 * size[0] * size[1]
    values = data.draw(st.lists(st.floats(width=32), min_size=count, max_size=count))
    field = torch.tensor(values, dtype=torch.float32).reshape(2, *size)
    write_flo(tmp_path / "a.flo", field)
    assert read_flo(tmp_path / "a.flo").numpy().tobytes() == field.numpy().tobytes()


@few
@given(content=st.binary(max_size=64) | st.binary(max_size=40).map(lambda rest: b"PIEH" + rest))
def test_flo_is_what_its_header_says_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.flo"
    path.write_bytes(content)
    if len(content) >= 12 and content[:4] == b"PIEH":
        width, height = struct.unpack("<ii", content[4:12])
        if min(width, height) > 0 and len(content) == 12 + 8 * width * height:
            assert read_flo(path).shape == (2, height, width)
            return
    refused(read_flo, path)
