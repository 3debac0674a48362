"""PASCAL VOC in its real folder layout, tiny and generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from temporalkd.data.clip import Augment, collate
from temporalkd.data.motion import MovedStill
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.voc import CLASSES, PALETTE, VOC
from tests.fake_data import SIZE, fake_voc, opened, stripes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_voc(tmp_path / "voc", {"train": 3, "val": 1, "train_aug": 2})


def test_stills_of_different_sizes_move(root: Path) -> None:
    footage = opened(VOC, root)
    assert (footage.class_names, footage.palette) == (CLASSES, PALETTE) and len(CLASSES) == 21
    assert all(isinstance(source, MovedStill) for source in footage.sources)
    assert [tuple(source.frame(0).shape[1:]) for source in footage.sources] == [(48, 64), (48, 70), (48, 76)]
    clips = ClipSampler(footage.sources, 3, augment=Augment(crop=(40, 48)))
    clip = collate([clips[i] for i in range(3)])
    assert clip.frames.shape == (3, 3, 3, 40, 48) and clip.flow is not None


def test_borders_are_ignored(root: Path) -> None:
    (source,) = opened(VOC, root, "val", synthetic_motion=False).sources
    label, wanted = source.label(0), stripes(22, SIZE)
    assert len(source) == 1 and label is not None
    assert np.array_equal(label.numpy(), np.where(wanted == 21, 255, wanted))


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_root_may_be_any_of_its_folders(root: Path, below: str) -> None:
    assert len(opened(VOC, root / below).sources) == 3


def test_augmented_list_and_labels(root: Path) -> None:
    sources = opened(VOC, root, "train_aug", synthetic_motion=False).sources
    assert len(sources) == 2 and "2009_000001.jpg" in sources[1].describe(0)
    assert set(sources[0].label(0).unique().tolist()) == {*range(21), 255}  # type: ignore[union-attr]


def test_labels_in_colours_are_read(root: Path) -> None:
    path = root / "VOCdevkit/VOC2012/SegmentationClass/2008_000000.png"
    before = opened(VOC, root, "val", synthetic_motion=False).sources[0].label(0)
    Image.open(path).convert("RGB").save(path)
    after = opened(VOC, root, "val", synthetic_motion=False).sources[0].label(0)
    assert before is not None and after is not None and np.array_equal(before.numpy(), after.numpy())


def test_unlabelled_footage_needs_no_labels(root: Path) -> None:
    (root / "VOCdevkit/VOC2012/SegmentationClass").rename(root / "elsewhere")
    sources = opened(VOC, root, labelled=False).sources
    assert len(sources) == 3 and not any(source.labelled for source in sources)
    assert len(ClipSampler([], 2, unlabelled=sources)) == 21
    with pytest.raises(FileNotFoundError, match=r"SegmentationClass: no such folder; PASCAL VOC has"):
        opened(VOC, root)
