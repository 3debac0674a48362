"""An object of a still that moves on its own: exact flow of both layers, true disocclusion, exact visibility."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from temporalkd.config import ConfigError, build, parse
from temporalkd.data.layers import MARGIN, find_layer
from temporalkd.data.motion import MovedStill
from tests import tiny
from tests.data.test_motion import Picture

OBJECT = (slice(40, 70), slice(50, 80))


class WithObject(Picture):
    """A smooth picture with a square object of another pattern, class 2."""

    def frame(self, index: int) -> Tensor:
        frame, y = super().frame(index), torch.arange(30)[:, None]
        frame[:, *OBJECT] = torch.stack([255 - 3 * y.expand(30, 30), 3 * y.T.expand(30, 30), 90 + y + y.T]).byte()
        return frame

    def label(self, index: int) -> Tensor:
        label = super().label(index)
        label[OBJECT] = 2
        return label


def video(seed: int = 0, objects: float = 1.0, **settings: bool) -> MovedStill:
    return MovedStill(WithObject(), 0, seed=seed, strength=0.03, objects=objects, **settings)


def of_object(moved: MovedStill, index: int) -> np.ndarray:
    return moved.label(index).numpy() == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(("source", "target"), [(3, 4), (3, 0), (0, 6), (5, 2), (6, 3)])
def test_the_neighbour_warped_back_is_the_anchor(source: int, target: int) -> None:
    for seed in range(5):
        moved = video(seed, label_all=True)
        motion = moved.motion(source, target)
        assert motion is not None
        visible = motion.visible[0].numpy().copy()
        visible[:2] = visible[-2:] = visible[:, :2] = visible[:, -2:] = False
        y, x = np.mgrid[:90, :120].astype(np.float32)
        there, here = (moved.frame(i).permute(1, 2, 0).numpy().astype(np.float32) for i in (target, source))
        flow = motion.flow.numpy()
        back = cv2.remap(there, x + flow[0], y + flow[1], cv2.INTER_LINEAR)
        error = np.abs(back - here).max(-1)[visible]
        assert error.max() < 4 and error.mean() < 1.2
        thing = of_object(moved, source)
        assert (visible & thing).sum() > 0.3 * thing.sum() and visible[~thing].mean() > 0.3


def test_what_the_object_covers_or_uncovers_is_not_visible() -> None:
    differed = 0
    for seed in range(4):
        moved, still = video(seed, label_all=True), video(seed, objects=0, label_all=True)
        for source, target in ((3, 6), (6, 3), (0, 6)):
            motion, rigid = moved.motion(source, target), still.motion(source, target)
            assert motion is not None and rigid is not None
            visible = motion.visible[0].numpy()
            y, x = np.mgrid[:90, :120]
            flow = motion.flow.numpy()
            column, row = np.rint(x + flow[0]).astype(int), np.rint(y + flow[1]).astype(int)
            column, row = column.clip(0, 119), row.clip(0, 89)
            ends = of_object(moved, target)[row, column]
            assert (ends == of_object(moved, source))[visible].all(), "the layer seen at both ends is the same"
            invented = moved.label(source).numpy() == 255  # type: ignore[union-attr]
            assert not (visible & invented).any()
            assert not (motion.visible & ~rigid.visible)[0].numpy()[~of_object(moved, source)].any()
            differed += int((rigid.visible & ~motion.visible).sum())
    assert differed > 1000


def test_each_layer_has_its_own_motion() -> None:
    moved, still = video(1, label_all=True), video(1, objects=0)
    flow, rigid = moved.motion(3, 5).flow, still.motion(3, 5).flow  # type: ignore[union-attr]
    thing = torch.from_numpy(of_object(moved, 3))
    assert torch.equal(flow[:, ~thing], rigid[:, ~thing])
    apart = (flow - rigid)[:, thing].norm(dim=0)
    assert 0.3 * 0.03 * 120 * 0.3 < apart.mean() / 2 < 0.03 * 120 * 1.2


def test_predictions_of_the_still_move_with_the_layers() -> None:
    moved = video(2, label_all=True)
    _, _, where = moved.origin(5)
    assert where is not None
    known = where.isfinite().all(0)
    label, still = moved.label(5), moved.still.label(0)
    x, y = where.nan_to_num(0).round().long()
    assert label is not None and still is not None
    assert torch.equal(still[y, x][known], label[known]) and (label[~known] == 255).all()
    assert not known.all() and bool((label[known] == 2).any())


def test_the_middle_is_the_still_and_everything_a_function_of_the_seed() -> None:
    moved = video(3)
    assert torch.equal(moved.frame(3), moved.still.frame(0)) and torch.equal(moved.label(3), moved.still.label(0))  # type: ignore[arg-type]
    again = pickle.loads(pickle.dumps(moved))
    assert torch.equal(moved.frame(5), again.frame(5))
    assert not torch.equal(moved.frame(5), video(3, objects=0).frame(5))
    moving = [not torch.equal(video(s, 0.5).frame(5), video(s, 0).frame(5)) for s in range(24)]
    assert 6 <= sum(moving) <= 18


def test_regions_too_large_or_too_small_stay() -> None:
    label = torch.zeros(90, 120, dtype=torch.uint8)
    label[:, 60:], label[3, 3], label[50:60, 20:40] = 1, 3, 255
    assert find_layer(label, np.random.default_rng(0), 5) is None
    label[10:30, 10:30] = 4
    found = find_layer(label, np.random.default_rng(0), 5)
    assert found is not None and found.mask.sum() == 400
    assert (found.inner.sum(), found.outer.sum()) == ((20 - 2 * MARGIN) ** 2, (20 + 2 * MARGIN) ** 2)
    assert 0.3 * 5 * 0.3 <= np.hypot(*found.step) <= 5


def test_a_config_sets_their_share(tmp_path: Path) -> None:
    values = tiny.config(tmp_path)
    root = tiny.fake_camvid(tmp_path / "camvid", {"train": 2})
    values["data"] = {"train": {"dataset": "camvid", "root": str(root)}, "moving_objects": 0.5}
    found = build.training_footage(parse(values, "test")).sources
    assert [still.objects for still in found] == [0.5, 0.5]  # type: ignore[attr-defined]
    values["data"]["semi"] = {"labelled": 0.5}
    with pytest.raises(ConfigError, match=r"data\.moving_objects: .*data\.semi hides"):
        build.training_footage(parse(values, "test"))
