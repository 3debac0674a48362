"""The synthetic street: exact labels, motion and visibility, and frames that depend on (seed, index) alone."""

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from flow import warp
from temporalkd.data.street import CLASSES, PALETTE, Street, streets
from tests.processes import together

PAIRS = [(4, 6), (12, 9), (20, 21)]


@pytest.fixture(autouse=True)
def drawn_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("frame", "label", "motion"):
        monkeypatch.setattr(Street, name, getattr(Street, name).__wrapped__)


def digest(street: Street) -> str:
    motion = street.motion(3, 5)
    parts = [street.frame(3), street.label(3), *motion, street.frame(0)]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def looked_up(street: Street, source: int, target: int):
    """Positions x + f(x) (two (H, W) arrays) and the visibility of a pair."""
    flow, _, visible = street.motion(source, target)
    height, width = street.size
    x = np.arange(width, dtype=np.float32) + flow[0].numpy()
    y = np.arange(height, dtype=np.float32)[:, None] + flow[1].numpy()
    return x, y, visible[0].numpy()


def nearest(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = image.shape
    return image[np.clip(np.rint(y), 0, height - 1).astype(int), np.clip(np.rint(x), 0, width - 1).astype(int)]


def interior(label: np.ndarray) -> np.ndarray:
    """Pixels whose 5x5 neighbourhood has one class."""
    kernel = np.ones((5, 5), np.uint8)
    return cv2.dilate(label, kernel) == cv2.erode(label, kernel)


def write_digest(path: Path) -> None:
    street = Street(seed=9, length=30, size=(48, 80))
    street.label(6)
    path.write_text(digest(street))


def test_same_bytes_twice_in_any_order_and_in_another_process(tmp_path):
    street = Street(seed=9, length=8, size=(48, 80))
    first = digest(street)
    street.frame(7)
    assert digest(pickle.loads(pickle.dumps(street))) == first
    together(write_digest, tmp_path / "digest", count=1)
    assert (tmp_path / "digest").read_text() == first


def test_labels_follow_the_motion():
    agree = total = 0
    for street in streets(4, 11):
        for source, target in PAIRS:
            x, y, visible = looked_up(street, source, target)
            there, here = street.label(target).numpy(), street.label(source).numpy()
            fair = visible & interior(here) & nearest(interior(there), x, y)
            assert fair.mean() > 0.3
            agree += (nearest(there, x, y) == here)[fair].sum()
            total += fair.sum()
    assert agree / total >= 0.995


def test_brightness_follows_the_motion_and_not_the_negated_one():
    for street in streets(3, 5, light=0, grain=0):
        x, y, visible = looked_up(street, 10, 11)
        here = street.frame(10).numpy().transpose(1, 2, 0).astype(np.float32)
        there = street.frame(11).numpy().transpose(1, 2, 0).astype(np.float32)
        height, width = street.size
        column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        right = np.abs(cv2.remap(there, x, y, cv2.INTER_LINEAR) - here).mean(-1)[visible]
        wrong = np.abs(cv2.remap(there, 2 * column - x, 2 * row - y, cv2.INTER_LINEAR) - here).mean(-1)[visible]
        assert np.median(right) < 3
        assert right.mean() < 6
        assert wrong.mean() > 1.5 * right.mean()


def test_visible_points_come_back_to_where_they_were():
    for street in streets(3, 6):
        for source, target in PAIRS:
            x, y, visible = looked_up(street, source, target)
            flow, backward, _ = street.motion(source, target)
            back = cv2.remap(backward.numpy().transpose(1, 2, 0), x, y, cv2.INTER_LINEAR).transpose(2, 0, 1)
            error = np.hypot(*(flow.numpy() + back))
            assert np.median(error[visible]) < 0.02
            # Beside an outline the interpolated backward flow mixes two surfaces.
            assert np.quantile(error[visible], 0.85) < 0.25


def test_the_package_flow_reads_the_motion_the_same_way():
    street = Street(seed=12)
    x, y, visible = looked_up(street, 8, 10)
    warped = warp(street.label(10)[None, None], street.motion(8, 10).flow[None], "nearest")[0, 0].numpy()
    assert (warped == nearest(street.label(10).numpy(), x, y))[visible].mean() > 0.999


def test_every_class_appears():
    count = np.zeros(len(CLASSES))
    for street in streets(8, 31):
        for index in (3, 33):
            count += np.bincount(street.label(index).numpy().ravel(), minlength=len(CLASSES))
    share = dict(zip(CLASSES, count / count.sum()))
    least = {"sky": 0.05, "building": 0.1, "road": 0.2, "pavement": 0.02, "tree": 0.03, "car": 0.03}
    for name in CLASSES:
        assert share[name] > least.get(name, 0.003), share
    assert len(PALETTE) == len(CLASSES) == len(set(PALETTE))


@pytest.mark.parametrize("size", [(37, 53), (61, 40), (8, 8), (33, 150)])
def test_any_size(size):
    street = Street(seed=7, length=4, size=size)
    assert street.frame(3).shape == (3, *size) and street.frame(3).dtype == torch.uint8
    assert street.label(3).shape == size and street.label(3).dtype == torch.uint8
    motion = street.motion(0, 3)
    assert motion.flow.shape == motion.backward.shape == (2, *size)
    assert motion.visible.shape == (1, *size) and motion.visible.dtype == torch.bool
    assert torch.isfinite(motion.flow).all() and motion.flow.dtype == torch.float32


def test_light_and_grain_change_frames_and_only_frames():
    plain, full = Street(seed=3, light=0, grain=0), Street(seed=3)
    assert torch.equal(plain.label(4), full.label(4))
    assert not torch.equal(plain.frame(4), full.frame(4))
    means = [full.frame(index).float().mean().item() for index in range(0, 40, 4)]
    still = [plain.frame(index).float().mean().item() for index in range(0, 40, 4)]
    assert np.std(np.array(means) - np.array(still)) > 1


def test_all_frames_are_labelled():
    street = Street(seed=0, length=3, size=(24, 40))
    assert street.labelled == [0, 1, 2] and len(street) == 3
    assert sum(1 for _ in street.frames()) == 3
