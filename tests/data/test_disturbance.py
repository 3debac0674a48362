"""Disturbance: other from frame to frame, the same for a seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.data.clip import Augment
from temporalkd.data.disturbance import Disturbance
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import Street
from temporalkd.methods import kd
from temporalkd.models import Prediction, Segmenter
from temporalkd.training import Plan, Runtime
from temporalkd.training.step import Batches
from tests.tiny import SIZE, segmenter


def frames() -> torch.Tensor:
    still = Street(0, 1, (48, 64)).frame(0).float() / 255
    return still.expand(2, 3, 3, 48, 64)


def test_it_is_a_function_of_the_seed() -> None:
    disturb, clip = Disturbance(), frames()
    before = torch.get_rng_state()
    first = disturb(clip, 5)
    assert torch.equal(first, disturb(clip, 5)) and not torch.equal(first, disturb(clip, 6))
    assert torch.equal(before, torch.get_rng_state())


def test_every_frame_is_disturbed_in_its_own_way() -> None:
    found = Disturbance()(frames(), 0).flatten(0, 1)
    assert found.min() >= 0 and found.max() <= 1
    assert all(not torch.equal(found[i], found[j]) for i in range(6) for j in range(i))
    assert len({round(float(frame.mean()), 4) for frame in found}) == 6, "exposure"


def test_strength_is_how_much() -> None:
    clip = frames()
    change = [float(sum((Disturbance(s)(clip, seed) - clip).abs().mean() for seed in range(4))) for s in (0.3, 1, 2)]
    assert change[0] < change[1] < change[2]


def test_some_kinds_alone() -> None:
    clip = frames()
    noise = Disturbance({"noise": 1.0})(clip, 0) - clip
    assert 0 < float(noise.abs().max()) < 6 * 6 / 255
    assert abs(float(noise.mean())) < 1e-3 < float(noise.abs().mean()), "neither exposure nor gamma"
    assert torch.equal(Disturbance({})(clip, 0), clip)
    with pytest.raises(ValueError, match="fog"):
        Disturbance({"fog": 1.0})  # type: ignore[dict-item]


def test_a_blur_by_motion_is_along_a_line_and_gamma_moves_the_grey() -> None:
    parts = Disturbance().parts
    point = torch.zeros(16, 3, 15, 15)
    point[..., 7, 7] = 1
    torch.manual_seed(0)
    blurred = [x[0] for x in parts["motion"](point) if x[0, 7, 7] < 1]
    assert 1 <= len(blurred) < 12, "a quarter of the frames"
    for line in blurred:
        assert float(line.sum()) == pytest.approx(1, abs=0.01) and int((line > 0.01).sum()) <= 2 * 5
    grey = parts["gamma"](torch.full((8, 3, 4, 4), 0.5))[:, 0, 0, 0]
    assert len(set(grey.tolist())) == 8 and 0.5**1.2 <= grey.min() < grey.max() <= 0.5 ** (1 / 1.2)


class Watched(torch.nn.Module):
    """A network that keeps the frames that it was shown."""

    def __init__(self, inner: Segmenter):
        super().__init__()
        self.inner, self.classes, self.channels = inner, inner.classes, inner.channels
        self.shown: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        return self.inner.device

    def forward(self, frames: Tensor) -> Prediction:
        self.shown.append(frames)
        return self.inner(frames)


@pytest.mark.parametrize("disturbed", [False, True])
def test_a_live_teacher_sees_the_students_own_crop(disturbed: bool) -> None:
    clips = ClipSampler([Street(0, 4, SIZE)], 2, augment=Augment((32, 40), (0.8, 1.5)))
    plan = Plan(steps=1, batch=2, jitter=0.3, disturbance=1.0, teacher_disturbed=disturbed)
    batches = Batches(clips, plan, Runtime("cpu"))
    (clip,) = batches(0, 1, 0)
    seen = batches.coloured(clip, 0)
    teacher = Watched(segmenter(seed=1))
    method = kd(segmenter(), teacher)  # type: ignore[arg-type]
    context = method.context(clip, seen.students, 0.0, seen.teacher)
    method.losses(context)
    (shown,) = teacher.shown
    jittered = Batches(clips, Plan(steps=1, batch=2, jitter=0.3), Runtime("cpu")).coloured(clip, 0).students
    assert torch.equal(shown, (seen.students if disturbed else jittered).flatten(0, 1)), "cropped and jittered alike"
    assert not torch.equal(seen.students, jittered) and shown.shape[-2:] == (32, 40)
