"""Rows of counts: kept, compacted, reset, exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.metrics import BoundaryIoU, Consistency, Flips, Persistence, SegmentationScore, WarpError
from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import ratio

from .footage import CLASSES, Video, random_video

Feed = Callable[[Video, Any, int], None]
METRICS: dict[str, tuple[Callable[[], BaseMetric], Feed]] = {
    "consistency": (lambda: Consistency(CLASSES), lambda v, m, clip: v.feed(m, clip=clip)),
    "varghese2020": (lambda: Consistency(CLASSES, "varghese2020"), lambda v, m, clip: v.feed(m, clip=clip)),
    "etc2020": (lambda: Consistency(CLASSES, "etc2020"), lambda v, m, clip: v.feed(m, clip=clip)),
    "flips": (Flips, lambda v, m, clip: v.feed(m, clip=clip)),
    "warp error": (WarpError, lambda v, m, clip: v.feed_probs(m, clip)),
    "boundary": (lambda: BoundaryIoU(CLASSES), lambda v, m, clip: v.feed_frames(m, clip)),
    "accuracy": (lambda: SegmentationScore(CLASSES), lambda v, m, clip: v.feed_frames(m, clip)),
    "persistence": (lambda: Persistence(CLASSES, 3), lambda v, m, clip: v.feed_frames(m, clip)),
}
every_metric = pytest.mark.parametrize("name", METRICS)
pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")


def numbers(metric: BaseMetric) -> dict[str, list[float]]:
    return {key: value.flatten().nan_to_num(-1).tolist() for key, value in metric.compute().items()}


class Shares(BaseMetric):
    """The barest metric: rows as they come."""

    def __init__(self) -> None:
        super().__init__(2, {"share": ratio(0, 1)})

    def update(self, row: Tensor, clip: int = 0) -> None:
        self.append(row, clip)


@every_metric
def test_reset_forgets_everything(name: str) -> None:
    make, feed = METRICS[name]
    used, fresh = make(), make()
    feed(random_video(1), used, 0)
    before = numbers(used)
    used.reset()
    assert all(value.isnan().all() for value in used.compute().values())
    for metric in (used, fresh):
        feed(random_video(2), metric, 0)
    assert numbers(used) == numbers(fresh) != before


@every_metric
def test_nothing_seen_is_not_a_number(name: str) -> None:
    metric = METRICS[name][0]()
    assert all(value.isnan().all() for value in metric.compute().values())
    for measure in metric.measures:
        _, low, high = metric.series(measure).interval()
        assert low.isnan().all() and high.isnan().all() and len(metric.series(measure).each()) == 0


def test_thousands_of_items_are_few_tensors_and_the_same_numbers() -> None:
    parts, clips = torch.randint(0, 100, (1000,)), torch.arange(1000) // 300
    metric = Shares()
    for number, (part, clip) in enumerate(zip(parts, clips)):
        metric.update(torch.stack((part, torch.tensor(100))), int(clip))
        assert len(metric.rows) == len(metric.clips) <= 257
        if number in (255, 256, 257, 999):
            assert metric.series("share").each().tolist() == (parts[: number + 1].double() / 100).tolist()
    one = metric.series("share")
    assert one.clips.tolist() == clips.tolist()
    assert metric.compute()["share"].item() == pytest.approx(parts.double().mean().item() / 100)
    assert one.minus(one).high == 0
    metric.reset()
    assert len(metric.series("share").counts) == 0


def test_counts_are_exact_where_float32_is_not() -> None:
    metric = Shares()
    for _ in range(300):
        metric.update(torch.tensor([2**24 + 1, 2**25 + 2]), 0)
    assert metric.compute()["share"] == 0.5
    assert metric.series("share").counts.sum(0).tolist() == [300 * (2**24 + 1), 300 * (2**25 + 2)]
    metric.update(torch.tensor([1.0, 0.0], dtype=torch.float32), 0)  # any numeric type
    assert metric.series("share").counts.sum(0).tolist()[0] == 300 * (2**24 + 1) + 1
