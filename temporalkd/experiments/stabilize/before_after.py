"""Before and after on the same frames: the numbers of the report, and those that would show a bad bargain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from flow import FlowCache, FlowEstimator
from temporalkd.console import progress
from temporalkd.data.clip import IGNORE
from temporalkd.data.selection import select
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import Predictor, Row, evaluate, network
from temporalkd.experiments.stabilize.judge import agreement, on_one_list, unlabelled
from temporalkd.experiments.stabilize.recordings import Footage
from temporalkd.metrics import BoundaryIoU, SegmentationScore
from temporalkd.models import Segmenter
from temporalkd.visualization.scored_report import Tape

SMALL = 64
"""Pixels below which a region of one class is a small one."""
MOST_LABELLED = 200
"""Labelled frames that accuracy is taken on, where none of them is among the frames shown."""


class BeforeAfter:
    """Networks on the frames that are shown, the original first.

    Args:
        flows: name -> estimator; the first is that of flips and pictures.
        size: longest side of the frames.
        scratch: an empty folder for class maps.
    """

    def __init__(
        self,
        networks: Mapping[str, Segmenter],
        footage: Footage,
        flows: Mapping[str, FlowEstimator],
        cache: FlowCache,
        size: int,
        scratch: Path,
    ):
        self.networks, self.flows, self.cache, self.scratch = networks, flows, cache, scratch
        self.classes = next(iter(networks.values())).classes
        self.spec = next(iter(networks.values())).spec
        names = self.spec.class_names if self.spec else ()
        self.class_names = list(names) or [f"class {i}" for i in range(self.classes)]
        self.shown = [source if self._fits(source) else unlabelled(source) for source in footage.shown]
        self.tapes = {name: Tape(network(each), scratch / f"{i}") for i, (name, each) in enumerate(networks.items())}
        with progress("compare") as tick:
            self.rows = evaluate(
                self.shown, self.tapes, self.classes, flows, cache=cache, references=False, progress=tick
            )
        for row in self.rows[:: len(networks)]:  # the original's, along each flow
            on_one_list([other for other in self.rows if other.flow == row.flow], row)
        self.maps = {
            name: [tape.map(source, i) for source in self.shown for i in range(len(source))]
            for name, tape in self.tapes.items()
        }
        self.found = compared(self.rows, self.maps, self.classes)
        if not any(source.labelled for source in self.shown):
            self._accuracy_elsewhere(footage.recordings, size)

    def _fits(self, source: Source) -> bool:
        """Whether the labels, if there are any, are of the network's classes."""
        labels = (source.label(index) for index in source.labelled)
        return all(bool((label[label != IGNORE] < self.classes).all()) for label in labels if label is not None)

    def _accuracy_elsewhere(self, recordings: Sequence[Source], size: int) -> None:
        """Add mIoU on the labelled frames of the recordings, whether their pixels were used or not."""
        parts: list[Source] = []
        for source in (each for each in recordings if each.labelled):
            labelled = source.labelled[:: len(source.labelled) // MOST_LABELLED + 1]
            parts += select(source, [(index, index + 1) for index in labelled], size)
        parts = [part for part in parts if self._fits(part)]
        for name, each in self.networks.items() if parts else ():
            self.found[name]["miou_labelled"] = accuracy(network(each), parts, self.classes)


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


def accuracy(system: Predictor, sources: Sequence[Source], classes: int) -> float:
    """mIoU, percent, on the labelled frames of sources."""
    score = SegmentationScore(classes, synced=False)
    for source in sources:
        for index in source.labelled:
            label = source.label(index)
            if label is not None:
                score.update(system(Frame(source, index)).map, label)
    return 100 * float(score.compute()["miou"])


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
