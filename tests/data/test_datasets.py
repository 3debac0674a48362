"""Folders and videos as data sets: the options that say how labels are numbered, named and spread over scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.data.datasets import Folder, Video
from temporalkd.data.palettes import palette
from temporalkd.visualization import VideoWriter

INDICES = (np.arange(24 * 32).reshape(24, 32) % 3).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for scene in "ab":
        for index in range(3):
            save(tmp_path / f"frames/{scene}/{index}.png", np.zeros((24, 32, 3), np.uint8))
            save(tmp_path / f"labels/{scene}/{index}_L.png", np.array([0, 255, 7], np.uint8)[INDICES])
    return tmp_path


def test_scenes_in_folders_with_their_own_numbers_and_names(root: Path) -> None:
    (root / "labels/a/1_L.png").unlink()
    options = {"images": str(root / "frames"), "labels": str(root / "labels"), "suffix": "_L"}
    footage = Folder(**options, class_names=["x", "y"], mapping={255: 1}, void=[7]).open()
    assert [source.name for source in footage.sources] == ["a", "b"]
    assert [source.labelled for source in footage.sources] == [[0, 2], [0, 1, 2]]
    label = footage.sources[1].label(0)
    assert label is not None and torch.equal(label, torch.from_numpy(np.array([0, 1, 255], np.uint8)[INDICES]))


def test_labels_in_colours_name_the_classes(root: Path) -> None:
    colours = palette("camvid")
    save(root / "colours/0.png", np.array(colours.colours, np.uint8)[INDICES])
    options = {"images": str(root / "frames/a"), "labels": str(root / "colours"), "palette": "camvid"}
    footage = Folder(**options).open()
    assert footage.class_names == colours.names and footage.palette == colours.colours
    label = footage.sources[0].label(0)
    assert label is not None and torch.equal(label, torch.from_numpy(INDICES))
    with pytest.warns(UserWarning, match="palette camvid"):
        assert Folder(**options, class_names=["x"]).open().class_names == colours.names


def test_a_folder_of_videos_is_a_scene_each(root: Path) -> None:
    assert [source.name for source in Video(path=str(root / "frames")).open().sources] == ["a", "b"]
    for name in ("late", "early"):
        (root / "videos").mkdir(exist_ok=True)
        with VideoWriter(root / f"videos/{name}.mp4", fps=10) as writer:
            writer.write(torch.zeros(3, 24, 32, dtype=torch.uint8))
    assert [source.name for source in Video(path=str(root / "videos")).open().sources] == ["early", "late"]
