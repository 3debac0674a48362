"""VSPW in its real folder layout, tiny and generated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temporalkd.data.vspw import VSPW
from tests.fake_data import SIZE, fake_vspw, opened, stripes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_vspw(tmp_path / "vspw", {"train": 2, "val": 1, "test": 1}, size=(16, 252))


def test_every_frame_of_a_video_is_labelled(root: Path) -> None:
    footage = opened(VSPW, root)
    assert [source.name for source in footage.sources] == ["train0_aBc-d_E", "train1_aBc-d_E"]
    source = footage.sources[0]
    assert len(source) == 3 and source.labelled == [0, 1, 2] and source.fps == 15
    label = source.label(1)
    assert label is not None
    stored = stripes(126, (16, 252), 1).astype(int)
    assert np.array_equal(label.numpy(), np.where((stored == 0) | (stored == 125), 255, stored - 1))
    assert set(label.unique().tolist()) == {*range(124), 255}


def test_names_follow_the_numbers(root: Path) -> None:
    assert opened(VSPW, root).class_names == tuple(f"thing {number}" for number in range(1, 125))
    names = root / "label_num_dic_final.json"
    names.write_text(json.dumps({"wall": 1}))
    with pytest.raises(ValueError, match=r"label_num_dic_final.json: no class has the number 2"):
        opened(VSPW, root)
    names.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"label_num_dic_final.json: expected json of the form {name: number}"):
        opened(VSPW, root)
    names.unlink()
    assert opened(VSPW, root).class_names[:2] == ("class 0", "class 1") and len(opened(VSPW, root).class_names) == 124


def test_the_test_split_has_frames_alone(root: Path) -> None:
    (source,) = opened(VSPW, root, "test", labelled=False).sources
    assert len(source) == 3 and source.labelled == []
    with pytest.raises(FileNotFoundError, match=r"test0_aBc-d_E/mask: .*test are not public"):
        opened(VSPW, root, "test")


def test_a_value_beyond_the_classes(root: Path) -> None:
    path = root / "data/val0_aBc-d_E/mask/00000008.png"
    Image.fromarray(np.full((16, 252), 254, np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"00000008.png: value 254 .*expected 0 \(others\), 1 to 124 or 255 \(void\)"):
        opened(VSPW, root, "val").sources[0].label(0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"00000008.jpg: a frame without its mask"):
        opened(VSPW, root, "val")


def test_sizes_are_the_files(tmp_path: Path) -> None:
    source = opened(VSPW, fake_vspw(tmp_path, {"train": 1})).sources[0]
    assert source.frame(0).shape == (3, *SIZE)


def test_a_list_with_a_byte_order_mark(root: Path) -> None:
    split = root / "train.txt"
    split.write_bytes(b"\xef\xbb\xbf" + split.read_bytes().replace(b"\n", b"\r\n"))
    assert len(opened(VSPW, root).sources) == 2
