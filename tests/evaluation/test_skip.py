"""Frames t and t + k compared: what a source of every k-th frame would give, k times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import flow
from flow import FlowCache
from temporalkd.data.clip import Motion
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import ceiling, evaluate

from .panning import RIGHT, Panning, Shift, frozen, moving

STREET = Street(3, length=7, size=(48, 80))


class Every(Street):
    """Every k-th frame of the street."""

    def __init__(self, first: int, k: int) -> None:
        super().__init__(3, length=7, size=(48, 80))
        self.numbers = range(first, 7, k)

    def __len__(self) -> int:
        return len(self.numbers)

    def frame(self, index: int) -> torch.Tensor:
        return super().frame(self.numbers[index])

    def label(self, index: int) -> torch.Tensor:
        return super().label(self.numbers[index])

    def motion(self, source: int, target: int) -> Motion:
        return super().motion(self.numbers[source], self.numbers[target])


@pytest.mark.parametrize("kind", ["exact", "dis", "cached"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_it_is_every_kth_frame(k: int, kind: str, tmp_path: Path) -> None:
    flows = {kind: None if kind == "exact" else flow.build("dis")}
    caches = [FlowCache(tmp_path / name) if kind == "cached" else None for name in ("one", "other")]
    (row,) = evaluate([STREET], {"truth": ceiling}, len(CLASSES), flows, cache=caches[0], references=False, skip=k)
    parts = [Every(first, k) for first in range(k)]
    (apart,) = evaluate(parts, {"truth": ceiling}, len(CLASSES), flows, cache=caches[1], references=False)
    assert (row.skip, row.frames, len(row.per_pair["consistency"])) == (k, 7, 7 - k)
    for key in ("consistency", "flip_rate", "flip_interior", "coverage", "boundary_jitter"):
        assert row[key] == apart[key] != None, key  # noqa: E711
    assert sorted(row.per_pair["flip_rate"]) == sorted(apart.per_pair["flip_rate"])
    assert row["miou"] == 100


def test_what_moves_is_still_along_the_longer_motion() -> None:
    rows = evaluate([Panning(8)], {"moving": moving, "frozen": frozen}, 2, {"right": Shift(6)}, skip=3)
    assert rows[0]["consistency"] == 100 and rows[0]["flip_rate"] == 0 < (rows[1]["flip_rate"] or 0)
    (short,) = evaluate([Panning(3)], {"moving": moving}, 2, RIGHT, skip=3)
    assert short["consistency"] is None and short.per_pair["consistency"] == []
    with pytest.raises(ValueError, match="skip: 0"):
        evaluate([Panning(3)], {"moving": moving}, 2, RIGHT, skip=0)
