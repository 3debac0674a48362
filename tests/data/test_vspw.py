"""VSPW in its real folder layout, tiny and generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temporalkd.data.vspw import vspw
from tests.fake_data import fake_vspw, stripes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_vspw(tmp_path / "vspw", {"train": 2, "val": 1, "test": 1}, size=(16, 252))


def test_every_frame_of_a_video_is_labelled(root: Path) -> None:
    footage = vspw(root)
    assert [source.name for source in footage.sources] == ["train0_aBc-d_E", "train1_aBc-d_E"]
    source = footage.sources[0]
    assert len(source) == 3 and source.labelled == [0, 1, 2] and source.fps == 15
    label = source.label(1)
    assert label is not None
    stored = stripes(126, (16, 252), 1).astype(int)
    assert np.array_equal(label.numpy(), np.where((stored == 0) | (stored == 125), 255, stored - 1))
    assert set(label.unique().tolist()) == {*range(124), 255}


def test_the_test_split_has_frames_alone(root: Path) -> None:
    (source,) = vspw(root, "test", labelled=False).sources
    assert len(source) == 3 and source.labelled == []
    with pytest.raises(FileNotFoundError, match=r"test0_aBc-d_E/mask: .*test are not public"):
        vspw(root, "test")


def test_a_value_beyond_the_classes(root: Path) -> None:
    path = root / "data/val0_aBc-d_E/mask/00000008.png"
    Image.fromarray(np.full((16, 252), 254, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"00000008.png: value 254 .*expected 0 \(others\), 1 to 124 or 255 \(void\)"):
        vspw(root, "val").sources[0].label(0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"00000008.jpg: a frame without its mask"):
        vspw(root, "val")
