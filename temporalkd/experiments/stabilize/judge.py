"""The held-out part: how steady a network is there, and how much it still says what the original said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from flow import FlowCache, FlowEstimator
from temporalkd.data.semi import PartlyLabelled
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Predictor, Row, evaluate, network
from temporalkd.models import Segmenter, Teacher


class Recorded:
    """A system that keeps the class maps of what it was asked."""

    def __init__(self, system: Predictor):
        self.system, self.maps = system, list[Tensor]()

    def __call__(self, frame: Frame) -> FramePrediction:
        answer = self.system(frame)
        self.maps.append(answer.map)
        return answer


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


def unlabelled(source: Source) -> Source:
    """The source without its labels."""
    return PartlyLabelled(source, ())


def _steadiness(row: Row) -> dict[str, float]:
    return {key: row[key] or 0.0 for key in ("consistency", "flip_rate", "flip_interior")}
