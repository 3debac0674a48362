"""CamVid in its real folder layout, tiny and generated; and the real one where it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flow import in_frame
from temporalkd.data.camvid import CLASSES, PALETTE, CamVid
from temporalkd.data.motion import MovedStill
from tests.fake_data import opened
from tests.tiny import fake_camvid

SIZE = (48, 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_camvid(tmp_path / "camvid", {"train": 3, "val": 4}, SIZE)


def stored(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_val_is_one_scene_in_order(root: Path) -> None:
    val = opened(CamVid, root, "val")
    (scene,) = val.sources
    assert (val.class_names, val.palette) == (CLASSES, PALETTE) and len(CLASSES) == len(PALETTE) == 11
    assert len(scene) == 4 and scene.labelled == [0, 1, 2, 3] and scene.fps == 15
    assert scene.motion(0, 1) is None
    for index, path in enumerate(sorted((root / "val").iterdir())):
        assert np.array_equal(scene.frame(index).permute(1, 2, 0).numpy(), stored(path))
        label = scene.label(index)
        assert label is not None
        wanted = stored(root / "valannot" / path.name)
        assert np.array_equal(label.numpy(), np.where(wanted == 11, 255, wanted))
        assert set(np.unique(wanted)) == set(range(12)) and set(label.unique().tolist()) == {*range(11), 255}


def test_train_is_stills_with_exact_motion(root: Path) -> None:
    train = opened(CamVid, root, "train")
    assert len(train.sources) == 3 and all(isinstance(s, MovedStill) for s in train.sources)
    for source in train.sources:
        (middle,) = source.labelled
        assert 0 < middle < len(source) - 1
        motion = source.motion(middle, middle + 1)
        assert motion is not None
        assert 0.05 < motion.flow.norm(dim=0).mean() < 0.016 * 64 * 1.5
        assert motion.visible.float().mean() > 0.8 and in_frame(motion.flow[None])[0][motion.visible].all()
        assert not torch.equal(source.frame(middle), source.frame(middle + 1))


def test_synthetic_motion_can_be_turned_off_and_on(root: Path) -> None:
    (folder,) = opened(CamVid, root, "train", synthetic_motion=False).sources
    assert len(folder) == 3 and folder.motion(0, 1) is None
    assert len(opened(CamVid, root, "val", synthetic_motion=True).sources) == 4


def test_mistakes_name_the_place(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"camvid/test"):
        opened(CamVid, root, "test")
    victim = sorted((root / "valannot").iterdir())[2]
    Image.fromarray(np.full(SIZE, 12, np.uint8)).save(victim)
    with pytest.raises(ValueError, match=rf"{victim.name}: value 12 .*11 classes"):
        opened(CamVid, root, "val").sources[0].label(2)
    victim.unlink()
    with pytest.raises(ValueError, match=victim.stem):
        opened(CamVid, root, "val")


@pytest.mark.real
def test_real_counts_and_labels(data_root: Path) -> None:
    place = data_root / "data" / "camvid"
    if not place.is_dir():
        pytest.skip(f"no {place}")
    train, val = opened(CamVid, place, "train"), opened(CamVid, place, "val")
    assert (len(train.sources), len(val.sources), len(val.sources[0])) == (367, 1, 101)
    assert val.sources[0].labelled == list(range(101))
    seen: set[int] = set()
    for source, index in [(s, 3) for s in train.sources[::60]] + [(val.sources[0], i) for i in range(0, 101, 20)]:
        label, frame = source.label(index), source.frame(index)
        assert label is not None and frame.shape == (3, 360, 480) and label.shape == (360, 480)
        seen |= set(label.unique().tolist())
        assert 5 < frame.float().mean() < 250
    assert seen == {*range(11), 255}
