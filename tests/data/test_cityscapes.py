"""Cityscapes in its real folder layout, tiny and generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.config import build
from temporalkd.data.cityscapes import CLASSES, PALETTE, TRAIN_IDS, Cityscapes
from temporalkd.data.motion import MovedStill
from temporalkd.data.sampler import ClipSampler
from tests.fake_data import LABEL_IDS, SIZE, fake_cityscapes, opened, stripes

KNOWN = """\
unlabeled 255, ego vehicle 255, rectification border 255, out of roi 255, static 255, dynamic 255, ground 255, road 0,
sidewalk 1, parking 255, rail track 255, building 2, wall 3, fence 4, guard rail 255, bridge 255, tunnel 255, pole 5,
polegroup 255, traffic light 6, traffic sign 7, vegetation 8, terrain 9, sky 10, person 11, rider 12, car 13, truck 14,
bus 15, caravan 255, trailer 255, train 16, motorcycle 17, bicycle 18"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_cityscapes(tmp_path / "cityscapes", snippet=30)


def test_the_table_is_the_published_one() -> None:
    listed = [entry.strip().rpartition(" ") for entry in KNOWN.replace("\n", " ").split(",")]
    assert len(listed) == 34
    for label_id, (name, _, train_id) in enumerate(listed):
        assert TRAIN_IDS.get(label_id, 255) == int(train_id)
        assert train_id == "255" or CLASSES[int(train_id)] == name


def test_snippets_have_thirty_frames_and_one_label(root: Path) -> None:
    footage = opened(Cityscapes, root)
    assert (footage.class_names, footage.palette) == (CLASSES, PALETTE) and len(footage.sources) == 2
    for number, source in enumerate(footage.sources):
        assert len(source) == 30 and source.labelled == [19] and source.fps == 17
        label = source.label(19)
        assert label is not None and source.label(18) is None and source.motion(19, 20) is None
        wanted = stripes(22, SIZE, number)
        assert np.array_equal(label.numpy(), np.where(wanted >= 19, 255, wanted))
    assert "hanover_000001_002357_leftImg8bit.png" in footage.sources[1].describe(19)
    clip = ClipSampler(footage.sources, 3)[0]
    assert clip.labelled.tolist() == [[False, True, False]] and clip.flow is None


def test_deleted_frames_shorten_a_snippet(root: Path) -> None:
    folder = root / "leftImg8bit_sequence" / "train" / "aachen"
    for number in (5, 26):
        (folder / f"aachen_000000_{number:06d}_leftImg8bit.png").unlink()
    source = opened(Cityscapes, root).sources[0]
    assert len(source) == 20 and source.labelled == [13] and "000006" in source.describe(0)


@pytest.mark.parametrize("motion", [None, True])
def test_without_sequences_stills_move(tmp_path: Path, motion: bool | None) -> None:
    footage = opened(Cityscapes, fake_cityscapes(tmp_path / "c"), synthetic_motion=motion)
    assert all(isinstance(source, MovedStill) for source in footage.sources) and len(footage.sources) == 2
    assert footage.sources[0].motion(3, 4) is not None and footage.sources[0].fps == 17


def test_synthetic_motion_overrides_the_sequences(root: Path) -> None:
    assert isinstance(opened(Cityscapes, root, synthetic_motion=True).sources[0], MovedStill)
    assert len(opened(Cityscapes, root, synthetic_motion=False).sources[0]) == 30


def test_stills_alone(tmp_path: Path) -> None:
    sources = opened(Cityscapes, fake_cityscapes(tmp_path / "c"), synthetic_motion=False).sources
    assert [len(source) for source in sources] == [1, 1] and [source.labelled for source in sources] == [[0], [0]]


@pytest.mark.parametrize("split", ["train", "train_extra"])
def test_coarse_labels(tmp_path: Path, split: str) -> None:
    root = fake_cityscapes(tmp_path / "c", split)
    source = opened(Cityscapes, root, split, coarse=True, synthetic_motion=False).sources[0]
    label = source.label(0)
    assert label is not None and (label[: SIZE[0] // 2] == 255).all()
    assert set(label[-1].tolist()) == {*range(19), 255}


def test_unlabelled_footage_needs_no_labels(tmp_path: Path) -> None:
    root = fake_cityscapes(tmp_path / "c", "test", snippet=30)
    for folder in ("gtFine", "gtCoarse", "leftImg8bit"):
        (root / folder).rename(tmp_path / folder)
    section = Cityscapes(root=str(root), split="test")
    sources = build.footage(section, None, 0, labelled=False).sources
    assert [len(source) for source in sources] == [30, 30] and not any(source.labelled for source in sources)
    assert len(ClipSampler([], 2, unlabelled=sources)) == 60
    (tmp_path / "leftImg8bit").rename(root / "leftImg8bit")
    moved = build.footage(section.model_copy(update={"synthetic_motion": True}), None, 0, labelled=False).sources
    assert len(ClipSampler([], 2, unlabelled=moved)) == 14


def test_unknown_label_ids_are_refused(tmp_path: Path) -> None:
    root = fake_cityscapes(tmp_path / "c")
    path = next((root / "gtFine/train/aachen").iterdir())
    values = LABEL_IDS[stripes(22, SIZE)].astype(np.uint8)
    values[3, 4] = 34
    Image.fromarray(values).save(path)
    source = opened(Cityscapes, root, synthetic_motion=False).sources[0]
    with pytest.raises(ValueError, match=rf"{path.name}: value 34 at row 3, column 4 .*Cityscapes label id, 0 to 33"):
        source.label(0)


def test_train_ids_alone_are_read(tmp_path: Path) -> None:
    root = fake_cityscapes(tmp_path / "c")
    expected = opened(Cityscapes, root, synthetic_motion=False).sources[0].label(0)
    for path in list((root / "gtFine").rglob("*_labelIds.png")):
        ids = np.asarray(Image.open(path))
        train = np.vectorize(lambda value: TRAIN_IDS.get(int(value), 255))(ids).astype(np.uint8)
        Image.fromarray(train).save(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        path.unlink()
    found = opened(Cityscapes, root, synthetic_motion=False).sources[0].label(0)
    assert expected is not None and found is not None and torch.equal(found, expected)


def test_a_label_without_its_image(tmp_path: Path) -> None:
    root = fake_cityscapes(tmp_path / "c")
    image = next((root / "leftImg8bit/train/aachen").iterdir())
    image.unlink()
    with pytest.raises(FileNotFoundError, match=rf"a label without its image, expected {image.name}"):
        opened(Cityscapes, root)
