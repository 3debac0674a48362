"""Two processes that see a clip each say what one says that sees both; one that sees nothing holds nobody up."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from temporalkd.metrics import PROTOCOLS, BoundaryIoU, Consistency, Flips, Persistence, SegmentationScore, WarpError
from temporalkd.metrics.base import BaseMetric
from tests.processes import together

from .footage import CLASSES, Video, random_video

Numbers = dict[str, dict[str, torch.Tensor]]


def videos() -> list[Video]:
    return [random_video(1, length=5), random_video(2, length=3)]


class All:
    """Every metric there is."""

    def __init__(self, synced: bool = True):
        self.along: dict[str, BaseMetric] = {p: Consistency(CLASSES, p, synced) for p in PROTOCOLS}
        self.along["flips"] = Flips(synced)
        self.warp_error = WarpError(synced)
        self.frames: dict[str, BaseMetric] = {
            "boundary": BoundaryIoU(CLASSES, synced=synced),
            "accuracy": SegmentationScore(CLASSES, synced),
            "persistence": Persistence(CLASSES, 2, synced),
        }

    def feed(self, *clips: int) -> All:
        for clip in clips:
            video = videos()[clip]
            for metric in self.along.values():
                video.feed(metric, clip=clip)
            for metric in self.frames.values():
                video.feed_frames(metric, clip)
            video.feed_probs(self.warp_error, clip)
        return self

    def compute(self) -> Numbers:
        return {name: m.compute() for name, m in {**self.along, **self.frames, "warp": self.warp_error}.items()}


def work(folder: Path) -> None:
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    said: dict[str, Any] = {
        "a clip each": All().feed(rank).compute(),
        "rank 1 sees nothing": All().feed(*([0, 1] if rank == 0 else [])).compute(),
        "nobody sees anything": All().compute(),
        "not synced": All(synced=False).feed(rank).compute(),
    }
    growing = All().feed(0) if rank == 0 else All()
    growing.compute()
    said["series stay local"] = len(growing.along["flips"].series("flip_rate").counts)
    said["later clip"] = (growing if rank == 0 else growing.feed(1)).compute()
    torch.save(said, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gloo")
    together(work, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def same(got: Numbers, expected: Numbers) -> None:
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        for measure, value in values.items():
            assert torch.equal(got[name][measure].nan_to_num(-1), value.nan_to_num(-1)), f"{name} {measure}"


@pytest.mark.parametrize("case", ["a clip each", "rank 1 sees nothing", "later clip"])
def test_both_processes_say_what_one_would(said: list[dict[str, Any]], case: str) -> None:
    expected = All().feed(0, 1).compute()
    for rank in (0, 1):
        same(said[rank][case], expected)


def test_a_metric_that_is_not_synced_speaks_for_its_own_process(said: list[dict[str, Any]]) -> None:
    for rank in (0, 1):
        same(said[rank]["not synced"], All().feed(rank).compute())
    assert not torch.equal(said[0]["not synced"]["flips"]["flip_rate"], said[1]["not synced"]["flips"]["flip_rate"])
