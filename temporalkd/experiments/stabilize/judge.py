"""Before and after on the same frames: how steady, and how much it still says what the original said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from flow import FlowCache, FlowEstimator
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Predictor, Row, evaluate, network
from temporalkd.metrics import BoundaryIoU
from temporalkd.models import Segmenter, Teacher

SMALL = 64
"""Pixels below which a region of one class is a small one."""


class Recorded:
    """A system that keeps the class maps of what it was asked."""

    def __init__(self, system: Predictor):
        self.system, self.maps = system, list[Tensor]()

    def __call__(self, frame: Frame) -> FramePrediction:
        answer = self.system(frame)
        self.maps.append(answer.map)
        return answer


@dataclass
class Shape:
    """What class maps look like, whatever is right: shares in 0..1, the mean over frames."""

    boundary: float
    small_regions: float
    classes: list[float]

    @staticmethod
    def of(maps: Sequence[Tensor], classes: int) -> Shape:
        """boundary: pixels whose right or lower neighbour has another class; small_regions: number a frame."""
        edges, regions = [], []
        counts = torch.zeros(classes, dtype=torch.float64)
        for map_ in maps:
            edge = torch.zeros(map_.shape, dtype=torch.bool)
            edge[:-1] |= map_[:-1] != map_[1:]
            edge[:, :-1] |= map_[:, :-1] != map_[:, 1:]
            edges.append(float(edge.double().mean()))
            regions.append(_small_regions(map_.numpy()))
            counts += torch.bincount(map_.flatten().long(), minlength=classes)[:classes]
        return Shape(float(np.mean(edges)), float(np.mean(regions)), (counts / counts.sum()).tolist())


def _small_regions(map_: np.ndarray) -> int:
    found = 0
    for value in np.unique(map_):
        _, _, stats, _ = cv2.connectedComponentsWithStats((map_ == value).astype(np.uint8), connectivity=4)
        found += int((stats[1:, cv2.CC_STAT_AREA] < SMALL).sum())
    return found


def agreement(maps: Sequence[Tensor], originals: Sequence[Tensor]) -> float:
    """Share of the pixels that have the class that the original gave them, 0..1."""
    same = sum(int((a == b).sum()) for a, b in zip(maps, originals, strict=True))
    return same / sum(original.numel() for original in originals)


class Judge:
    """Scores networks on frames that do not train, against the original.

    Args:
        original: the network as it came; its single-view maps are what others agree with.
        flows: name -> estimator of the motion that is followed.
        limit: smallest agreement.
    """

    def __init__(
        self,
        original: Teacher,
        sources: Sequence[Source],
        flows: Mapping[str, FlowEstimator | None],
        cache: FlowCache,
        limit: float = 0.95,
    ):
        self.original, self.sources, self.flows, self.cache, self.limit = original, sources, flows, cache, limit
        self._before: dict[str, float] | None = None
        self._maps: list[Tensor] = []

    def rows(self, systems: Mapping[str, Predictor], progress: Any = None) -> tuple[list[Row], dict[str, list[Tensor]]]:
        """A row a system and flow, and each system's class maps."""
        asked = {name: Recorded(system) for name, system in systems.items()}
        classes = self.original.classes
        rows = evaluate(self.sources, asked, classes, self.flows, cache=self.cache, references=False, progress=progress)
        return rows, {name: system.maps for name, system in asked.items()}

    @property
    def before(self) -> dict[str, float]:
        """The original's own numbers, percent."""
        if self._before is None:
            rows, maps = self.rows({"before": network(self.original)})
            self._maps = maps["before"]
            self._before = _steadiness(rows[0]) | {"agreement": 100.0}
        return self._before

    def __call__(self, segmenter: Segmenter) -> dict[str, float | None]:
        """Consistency, flips and agreement, percent; "accepted" is the consistency, None where it is not to be kept."""
        assert self.before  # and with it the maps that it is compared with
        rows, maps = self.rows({"after": network(segmenter)})
        found: dict[str, float | None] = dict(_steadiness(rows[0]))
        found["agreement"] = 100 * agreement(maps["after"], self._maps)
        found["accepted"] = None if self.objection(found) else found["consistency"]
        return found

    def objection(self, found: Mapping[str, float | None]) -> str | None:
        """Why a network with these numbers is not to be kept, if it is not."""
        consistency, same = found["consistency"] or 0.0, found["agreement"] or 0.0
        if consistency <= self.before["consistency"]:
            return f"consistency did not rise: {self.before['consistency']:.2f} before, {consistency:.2f} after"
        if same < 100 * self.limit:
            return f"only {same:.2f} % of the pixels keep the original's class, the limit is {100 * self.limit:g} %"
        return None


def compared(rows: Sequence[Row], maps: Mapping[str, Sequence[Tensor]], classes: int) -> dict[str, dict[str, Any]]:
    """System -> plain numbers of all that is compared, percent; the first system is the original."""
    original = next(iter(maps.values()))
    found: dict[str, dict[str, Any]] = {}
    for name, own in maps.items():
        mine = [row for row in rows if row.system == name]
        boundary = BoundaryIoU(classes, synced=False)
        for map_, reference in zip(own, original, strict=True):
            boundary.update(map_, reference)
        shape = Shape.of(own, classes)
        keys = ("flip_rate", "flip_interior", "flip_boundary", "miou", "boundary_iou", "vc8", "vc16")
        found[name] = {
            **{f"consistency_{row.flow}": row["consistency"] for row in mine},
            **{key: mine[0][key] for key in keys if mine[0][key] is not None},
            "agreement": 100 * agreement(own, original),
            "boundary_iou_with_original": 100 * float(boundary.compute()["boundary_iou"]),
            "boundary_pixels": 100 * shape.boundary,
            "small_regions": shape.small_regions,
            "class_shares": [100 * share for share in shape.classes],
        }
    return found


def _steadiness(row: Row) -> dict[str, float]:
    return {key: row[key] or 0.0 for key in ("consistency", "flip_rate", "flip_interior")}
