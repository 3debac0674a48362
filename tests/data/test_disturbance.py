"""Disturbance: other from frame to frame, the same for a seed."""

from __future__ import annotations

import torch

from temporalkd.data.disturbance import Disturbance
from temporalkd.data.street import Street


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
