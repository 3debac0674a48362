"""All metrics of one system, fed frame by frame and pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from temporalkd.evaluation.predictors import FramePrediction
from temporalkd.evaluation.results import PER_PAIR, WITH_INTERVAL, Row, percent, percents, shown
from temporalkd.metrics import (
    BoundaryIoU,
    BoundaryJitter,
    Consistency,
    Flips,
    FramePair,
    Measure,
    PerceptualConsistency,
    Persistence,
    SegmentationScore,
    Series,
    WarpError,
)
from temporalkd.metrics.base import BaseMetric

WINDOWS = (8, 16)
Counts = list[tuple[Tensor, Tensor]]
"""Of each metric: a row an item, and the clip of each."""


class MetricSuite:
    """One system's numbers on labels, alone, and along the motion that each flow sees.

    Args:
        flows: keys of the flow estimators.
        persistence: measure VC and VEC, for which every frame must have a label.
    """

    def __init__(self, classes: int, protocols: Sequence[str], flows: Sequence[str], persistence: bool):
        self.protocols, self.flows = protocols, flows
        self.score = SegmentationScore(classes, synced=False)
        self.boundary = BoundaryIoU(classes, synced=False)
        self.persistence = {n: Persistence(classes, n, synced=False) for n in WINDOWS if persistence}
        self.consistency = {(f, p): Consistency(classes, p, synced=False) for f in flows for p in protocols}
        self.perceptual = PerceptualConsistency(synced=False)
        self.flips = {f: Flips(synced=False) for f in flows}
        self.jitter = {f: BoundaryJitter(synced=False) for f in flows}
        self.warp_error = {f: WarpError(synced=False) for f in flows}

    def frame(self, answer: FramePrediction, label: Tensor | None, clip: int) -> None:
        """The system's answer to the next frame of a clip."""
        if label is None:
            return
        self.score.update(answer.map, label, clip)
        self.boundary.update(answer.map, label, clip)
        for metric in self.persistence.values():
            metric.update(answer.map, label, clip)

    def pair(self, flow: str, before: FramePrediction, now: FramePrediction, pair: FramePair, clip: int) -> None:
        """The answers to two consecutive frames, and what is known of these."""
        for protocol in self.protocols:
            self.consistency[flow, protocol].update(before.map, now.map, pair, clip)
        self.flips[flow].update(before.map, now.map, pair, clip)
        self.jitter[flow].update(before.map, now.map, pair, clip)
        if before.probs is not None and now.probs is not None:
            self.warp_error[flow].update(before.probs, now.probs, pair, clip)

    def matched(
        self, before: FramePrediction, now: FramePrediction, features: tuple[Tensor, Tensor], clip: int
    ) -> None:
        """The answers to two consecutive frames, and deep features of both, (c, h, w)."""
        self.perceptual.update(before.map, now.map, *features, clip)

    def counts(self) -> Counts:
        """All that was counted, for `join`."""
        return [metric.items() for metric in self._metrics()]

    def join(self, parts: Sequence[Counts]) -> None:
        """Take what was counted in several parts of an evaluation in place of one's own."""
        for number, metric in enumerate(self._metrics()):
            metric.replace([part[number] for part in parts])

    def _metrics(self) -> list[BaseMetric]:
        along = [*self.consistency.values(), *self.flips.values(), *self.jitter.values(), *self.warp_error.values()]
        return [self.score, self.boundary, self.perceptual, *self.persistence.values(), *along]

    def row(
        self,
        system: str,
        flow: str,
        fingerprint: str,
        protocol: str,
        size: str,
        frames: int,
        scenes: Sequence[str] = (),
    ) -> Row:
        """The numbers under one protocol with one flow; `scenes` names the clips."""
        series = self._series(flow, protocol)
        per_class = {
            "iou": self.score.series("iou"),
            "boundary_iou": self.boundary.series("per_class"),
            "consistency": self.consistency[flow, protocol].series("per_class"),
        }
        labelled = bool(len(self.score.series("miou").counts))
        return Row(
            system=system,
            protocol=protocol,
            flow=flow,
            fingerprint=fingerprint,
            size=size,
            frames=frames,
            shares={key: shown(key, s.value()) for key, s in series.items()},
            intervals={key: _bounds(series[key]) for key in WITH_INTERVAL},
            per_class={
                key: percents(s.value()) if labelled or key == "consistency" else [] for key, s in per_class.items()
            },
            per_pair={key: percents(series[key].each()) for key in PER_PAIR},
            series=series,
            scenes=scenes,
        )

    def _series(self, flow: str, protocol: str) -> Mapping[str, Series]:
        flips = ("flip_rate", "flip_interior", "flip_boundary", "gated", "right_twice", "coverage")
        series = {"miou": self.score.series("miou"), "macc": self.score.series("macc")}
        series["boundary_iou"] = self.boundary.series("boundary_iou")
        series["consistency"] = self.consistency[flow, protocol].series("consistency")
        series |= {key: self.flips[flow].series(key) for key in flips}
        series["boundary_jitter"] = self.jitter[flow].series("boundary_jitter")
        series["perceptual"] = self.perceptual.series("perceptual")
        for n, metric in self.persistence.items():
            series |= {f"vc{n}": metric.series("vc"), f"vc{n}_correct": metric.series("vc_correct")}
            series[f"vec{n}"] = metric.series("vec")
        return series | {"warp_error": self.warp_error[flow].series("warp_error")}


def measures(classes: int, protocol: str) -> dict[str, Measure]:
    """Key of a row's series -> what its counts mean: with it, counts that were kept are a series again."""
    suite = MetricSuite(classes, [protocol], ["any"], persistence=True)
    return {key: series.measure for key, series in suite._series("any", protocol).items()}


def _bounds(series: Series) -> list[float] | None:
    _, low, high = series.interval()
    bounds = percent(low), percent(high)
    return None if bounds[0] is None or bounds[1] is None else [bounds[0], bounds[1]]
