"""Stills in synthetic motion: the middle is untouched, the others follow the stated motion to a fraction of a pixel."""

import hashlib
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from temporalkd.data.motion import MovedStill
from temporalkd.data.source import Source
from tests.processes import together


class Picture(Source):
    """One smooth picture with two labelled halves; counts how often it is decoded."""

    def __init__(self, size=(90, 120), name="picture", labels=True):
        self.name, self.size, self.labels, self.decoded = name, size, labels, 0

    def __len__(self):
        return 2

    def frame(self, index):
        self.decoded += 1
        y, x = np.mgrid[0 : self.size[0], 0 : self.size[1]] * (2 * np.pi / 60)
        waves = [np.sin(x + index) * np.cos(y), np.cos(x - y), np.sin(2 * y)]
        return torch.from_numpy((127 + 100 * np.stack(waves)).astype(np.uint8))

    def label(self, index):
        label = torch.zeros(self.size, dtype=torch.uint8)
        label[:, self.size[1] // 2 :] = 1
        return label

    @property
    def labelled(self):
        return [0, 1] if self.labels else []


def digest(video: MovedStill) -> str:
    parts = [video.frame(0), video.frame(6), *video.motion(1, 5)]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def positions(video: MovedStill, source: int, target: int):
    flow, _, visible = video.motion(source, target)
    _, height, width = flow.shape
    x = np.arange(width, dtype=np.float32) + flow[0].numpy()
    y = np.arange(height, dtype=np.float32)[:, None] + flow[1].numpy()
    return x, y, visible[0].numpy()


def test_the_middle_is_the_still():
    still = Picture()
    video = MovedStill(still, 1, light=0.2, grain=0.05)
    assert video.middle == 3 and video.labelled == [3]
    assert torch.equal(video.frame(3), still.frame(1))
    assert torch.equal(video.label(3), still.label(1))
    assert video.label(2) is None
    assert not torch.equal(video.frame(2), still.frame(1))


@pytest.mark.parametrize(("source", "target"), [(3, 4), (3, 0), (0, 6), (5, 2)])
def test_brightness_follows_the_motion(source, target):
    for seed in range(4):
        video = MovedStill(Picture(), 0, seed=seed)
        x, y, visible = positions(video, source, target)
        there = video.frame(target).numpy().transpose(1, 2, 0).astype(np.float32)
        here = video.frame(source).numpy().transpose(1, 2, 0).astype(np.float32)
        # The outermost pixels are interpolated with what was filled in beside the still.
        visible[:2] = visible[-2:] = visible[:, :2] = visible[:, -2:] = False
        error = np.abs(cv2.remap(there, x, y, cv2.INTER_LINEAR) - here).max(-1)[visible]
        # A tenth of a pixel would be 1 to 2 levels on this picture, on top of two roundings.
        assert error.mean() < 1.2
        assert error.max() < 3
        assert visible.mean() > 0.4


def test_flow_there_and_back_is_nothing():
    video = MovedStill(Picture(), 0, seed=3)
    x, y, visible = positions(video, 1, 5)
    motion = video.motion(1, 5)
    back = cv2.remap(motion.backward.numpy().transpose(1, 2, 0), x, y, cv2.INTER_LINEAR).transpose(2, 0, 1)
    assert np.abs(motion.flow.numpy() + back)[:, visible].max() < 0.05
    assert torch.equal(motion.backward, video.motion(5, 1).flow)


def test_motions_compose():
    """From 1 to 3 and from there to 6 is from 1 to 6."""
    video = MovedStill(Picture(), 0, seed=5)
    x, y, visible = positions(video, 1, 3)
    onward = cv2.remap(video.motion(3, 6).flow.numpy().transpose(1, 2, 0), x, y, cv2.INTER_LINEAR).transpose(2, 0, 1)
    joined = video.motion(1, 3).flow.numpy() + onward
    assert np.abs(joined - video.motion(1, 6).flow.numpy())[:, visible].max() < 0.05


def test_visible_needs_the_frame_and_the_still():
    video = MovedStill(Picture(), 0, seed=1, label_all=True, strength=0.05)
    assert video.motion(6, 0).visible.float().mean() > video.motion(3, 6).visible.float().mean()
    assert 0.2 < video.motion(3, 6).visible.float().mean() < 0.95
    for source, target in [(0, 6), (6, 0), (3, 5), (1, 0), (2, 0)]:
        x, y, visible = positions(video, source, target)
        framed = (x >= 0) & (x <= 119) & (y >= 0) & (y <= 89)
        filled = video.label(source).numpy() == 255
        assert not (visible & ~framed).any()
        assert not (visible & filled).any()
        # All others are visible, but for the half pixel between the outermost centres and the still's edge.
        assert (framed & ~filled & ~visible).mean() < 0.03


def test_labels_of_moved_frames_follow_the_motion():
    video = MovedStill(Picture(), 0, seed=2, label_all=True)
    assert video.labelled == list(range(7))
    x, y, visible = positions(video, 3, 6)
    there, here = video.label(6).numpy(), video.label(3).numpy()
    found = there[np.clip(np.rint(y), 0, 89).astype(int), np.clip(np.rint(x), 0, 119).astype(int)]
    edge = np.abs(np.arange(120) - 59.5) < 2
    assert (found == here)[visible & ~edge].mean() > 0.999
    assert set(np.unique(video.label(0).numpy())) <= {0, 1, 255}


def shaky() -> MovedStill:
    return MovedStill(Picture(), 0, seed=4, light=0.1, grain=0.02)


def write_digest(path: Path) -> None:
    path.write_text(digest(shaky()))


def test_same_bytes_twice_and_in_another_process(tmp_path):
    first = digest(shaky())
    assert digest(pickle.loads(pickle.dumps(shaky()))) == first
    together(write_digest, tmp_path / "digest", count=1)
    assert (tmp_path / "digest").read_text() == first


def test_decodes_the_still_once():
    still = Picture()
    video = MovedStill(still, 0)
    for index in range(7):
        video.frame(index)
        video.motion(3, index)
    assert still.decoded == 1
