"""TemporalConsistency and FlipRate give what Consistency and Flips give."""

from __future__ import annotations

import pytest
import torch

from temporalkd.metrics import Consistency, FlipRate, Flips, FramePair, TemporalConsistency

MAPS = torch.randint(0, 4, (3, 12, 16), generator=torch.Generator().manual_seed(0))
FLOW = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(1))


def test_a_batch_is_its_pairs() -> None:
    consistency, flips = TemporalConsistency(4), FlipRate()
    expected, expected_flips = Consistency(4), Flips()
    consistency.update(MAPS[:2], MAPS[1:], FLOW, -FLOW)
    flips.update(MAPS[:2], MAPS[1:], FLOW, -FLOW)
    for i in range(2):
        pair = FramePair.between(FLOW[i : i + 1], -FLOW[i : i + 1])
        expected.update(MAPS[i].byte(), MAPS[i + 1].byte(), pair)
        expected_flips.update(MAPS[i].byte(), MAPS[i + 1].byte(), pair)
    assert 0 < consistency.compute() == expected.compute()["consistency"]
    torch.testing.assert_close(consistency.per_class(), expected.compute()["per_class"])
    assert 0 < flips.compute() == expected_flips.compute()["flip_rate"]


def test_void_does_not_count() -> None:
    labels, still = MAPS.clone(), torch.zeros(2, 12, 16)
    other = MAPS[0].clone()
    other[:3] = (other[:3] + 1) % 4
    labels[:, :3] = 255
    metric = FlipRate()
    metric.update(MAPS[0], other, still, still, labels[0], labels[0])
    assert metric.compute() == 0


def test_mistakes_name_the_argument() -> None:
    metric = TemporalConsistency(4)
    with pytest.raises(ValueError, match=r"map_t1: .*\(11, 16\)"):
        metric.update(MAPS[0], MAPS[1, 1:], FLOW[0], FLOW[0])
    with pytest.raises(ValueError, match=r"map_t: torch.float32.*argmax"):
        metric.update(MAPS[0].float(), MAPS[1], FLOW[0], FLOW[0])
    with pytest.raises(ValueError, match=r"backward: \(1, 2, 11, 16\), expected \(1, 2, 12, 16\)"):
        metric.update(MAPS[0], MAPS[1], FLOW[0], FLOW[0, :, 1:])
    with pytest.raises(ValueError, match="labels_t, labels_t1"):
        metric.update(MAPS[0], MAPS[1], FLOW[0], FLOW[0], MAPS[0])
