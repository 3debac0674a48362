"""Perceptual consistency on footage, by the features of any network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import ceiling, evaluate, features, floor
from temporalkd.metrics import PerceptualConsistency
from temporalkd.models import Segmenter
from tests import tiny

STREETS = [Street(seed, length=length, size=(48, 80)) for seed, length in ((3, 3), (4, 4))]


def test_every_system_by_the_features_of_the_frames() -> None:
    torch.manual_seed(0)
    encoder = nn.Conv2d(3, 6, 8, stride=8)
    flows = {"exact": None}
    found = features(encoder, "conv")
    rows = evaluate(STREETS, {"still": floor()}, len(CLASSES), flows, disturb={"still": ["noise"]}, features=found)
    plain = evaluate(STREETS, {"still": floor()}, len(CLASSES), flows)
    assert {row["perceptual"] for row in plain} == {None} and {row.features for row in rows} == {"conv"}
    answers = {"ceiling": ceiling, "still": floor()}
    for system, answer in answers.items():
        metric = PerceptualConsistency()
        for clip, street in enumerate(STREETS):
            deep = [encoder(frame[None] / 255)[0] for frame in street.frames()]
            maps = [answer(frame).map for frame in street.stream()]
            for t in range(len(street) - 1):
                metric.update(maps[t], maps[t + 1], deep[t], deep[t + 1], clip)
        expected = 100 * metric.compute()["perceptual"].item()
        got = [row["perceptual"] for row in rows if row.system == system]
        assert got == pytest.approx([expected] * len(got), abs=1e-3) and 0 < expected < 100
    assert all(row["perceptual"] == 100 for row in rows if row.system == "constant")


def test_the_layer_whose_stride_is_nearest_to_8() -> None:
    class Pyramid(nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [nn.functional.avg_pool2d(x, side) for side in (2, 4, 8, 16)]

    frame = torch.rand(1, 3, 48, 64)
    assert torch.equal(features(Pyramid(), "").of(frame), nn.functional.avg_pool2d(frame, 8))
    segmenter = tiny.segmenter()
    assert features(segmenter, "").of(frame).shape[-2:] == (12, 16), "its own are at 2 and 4"
    assert segmenter.training, "as it was"
    with pytest.raises(ValueError, match="bare: it is not known"):
        features(Segmenter(nn.Conv2d(3, 4, 1), 4, {}, "none"), "bare").of(frame)
