import errno
import os
import re
import struct

import cv2
import numpy as np
import pytest
import torch
from torchvision.datasets._optical_flow import _read_flo

from flow import read_flo, read_kitti, write_flo, write_kitti


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


def test_kitti_that_is_none_is_named(tmp_path):
    write_kitti(tmp_path / "whole.png", torch.randn(2, 20, 30))
    whole = (tmp_path / "whole.png").read_bytes()
    cv2.imwrite(str(tmp_path / "eight.png"), np.zeros((4, 5, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "gray.png"), np.zeros((4, 5), np.uint16))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"a letter")
    for name, words in {
        "eight": "uint8",
        "gray": "3 channels",
        "cut": "not a readable",
        "empty": "not",
        "text": "not",
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            read_kitti(tmp_path / f"{name}.png")
        assert f"{name}.png" in str(caught.value)


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


@pytest.mark.parametrize("write", [write_flo, write_kitti])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 2, 4, 5), (4, 5)])
def test_fields_of_another_shape_are_refused(tmp_path, write, shape):
    with pytest.raises(ValueError, match=rf"\({', '.join(map(str, shape))}\)"):
        write(tmp_path / "a", torch.zeros(shape))
    with pytest.raises(ValueError, match="valid"):
        write_kitti(tmp_path / "a", torch.zeros(2, 3, 4), torch.ones(1, 3, 5))


def test_a_missing_file_says_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.flo"):
        read_flo(tmp_path / "none.flo")
    with pytest.raises(FileNotFoundError, match=r"none.png"):
        read_kitti(tmp_path / "none.png")


def test_what_cannot_be_written_is_named_and_leaves_what_was_there(tmp_path, monkeypatch):
    """A full disk speaks up when bytes are written, where Python does not know of what file."""
    path = tmp_path / "a.flo"
    path.write_bytes(b"before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
        write_flo(path, torch.zeros(2, 3, 4))
    assert [p.name for p in tmp_path.iterdir()] == ["a.flo"] and path.read_bytes() == b"before"
