"""Stills in synthetic motion: the middle is untouched, the others follow the stated motion to a fraction of a pixel."""

import hashlib
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from temporalkd.data.motion import MovedStill
from temporalkd.data.source import Source


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


def test_changing_a_frame_does_not_change_the_still():
    video = MovedStill(Picture(), 0)
    before = video.frame(3).clone()
    video.frame(3).zero_()
    assert torch.equal(video.frame(3), before)


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


def test_motion_grows_smoothly_and_keeps_to_its_strength():
    for seed in range(10):
        video = MovedStill(Picture(), 0, length=9, strength=0.02, seed=seed)
        steps = [video.motion(k, k + 1).flow.norm(dim=0).max().item() for k in range(8)]
        assert 0.45 * 0.02 * 120 < max(steps) <= 1.02 * 0.02 * 120
        sizes = [video.motion(4, k).flow.norm(dim=0).mean().item() for k in range(9)]
        assert sizes[4] == 0
        assert sizes[4] < sizes[5] < sizes[6] < sizes[8] and sizes[4] < sizes[3] < sizes[2] < sizes[0]


def test_no_gap_is_no_motion():
    for index in (0, 3):
        motion = MovedStill(Picture(), 0).motion(index, index)
        assert not motion.flow.any() and not motion.backward.any()
    assert motion.visible.all()


def test_no_strength_is_no_motion():
    video = MovedStill(Picture(), 0, strength=0)
    assert video.motion(0, 6).flow.abs().max() < 1e-6
    assert video.motion(0, 6).visible.all()


def test_light_and_grain_leave_the_motion():
    plain, lit = MovedStill(Picture(), 0), MovedStill(Picture(), 0, light=0.3)
    grainy = MovedStill(Picture(), 0, grain=0.05)
    assert torch.equal(plain.motion(0, 6).flow, lit.motion(0, 6).flow)
    change = [(lit.frame(k).float().mean() / plain.frame(k).float().mean() - 1).item() for k in (0, 2, 4, 6)]
    assert change[0] * change[3] < 0 and abs(change[0]) > abs(change[1]) > 0.001
    spread = (grainy.frame(1).float() - plain.frame(1).float()).std().item() / 255
    assert 0.04 < spread < 0.06


def test_same_bytes_twice_and_in_another_process():
    video = MovedStill(Picture(), 0, seed=4, light=0.1, grain=0.02)
    first = digest(video)
    assert digest(pickle.loads(pickle.dumps(video))) == first
    code = (
        "from tests.data.test_motion import MovedStill, Picture, digest\n"
        "print(digest(MovedStill(Picture(), 0, seed=4, light=0.1, grain=0.02)))"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == first


def test_seed_name_and_index_each_change_the_motion():
    videos = [
        MovedStill(Picture(), 0),
        MovedStill(Picture(), 1),
        MovedStill(Picture(), 0, seed=1),
        MovedStill(Picture(name="other"), 0),
    ]
    flows = [video.motion(3, 4).flow for video in videos]
    for number, flow in enumerate(flows):
        assert all((flow - other).abs().max() > 1e-3 for other in flows[:number])


def test_decodes_the_still_once():
    still = Picture()
    video = MovedStill(still, 0)
    for index in range(7):
        video.frame(index)
        video.motion(3, index)
    assert still.decoded == 1


@pytest.mark.parametrize("size", [(31, 47), (64, 33)])
def test_any_size(size):
    video = MovedStill(Picture(size), 0, length=4)
    assert video.frame(0).shape == (3, *size)
    assert video.motion(0, 3).visible.shape == (1, *size)


def test_a_still_without_a_label():
    video = MovedStill(Picture(labels=False), 0)
    assert video.labelled == [] and video.label(3) is None


def test_bad_input_is_named():
    with pytest.raises(IndexError, match="2 frames"):
        MovedStill(Picture(), 2)
    with pytest.raises(ValueError, match="length"):
        MovedStill(Picture(), 0, length=0)
    with pytest.raises(ValueError, match="strength"):
        MovedStill(Picture(), 0, strength=-1)
    with pytest.raises(ValueError, match="too much for 99 frames"):
        MovedStill(Picture(), 0, length=99, strength=0.5).frame(0)
    for index in (-1, 7):
        for call in (MovedStill(Picture(), 0).frame, MovedStill(Picture(), 0).label):
            with pytest.raises(IndexError, match="7 frames"):
                call(index)
