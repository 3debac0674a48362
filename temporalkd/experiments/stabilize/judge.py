"""The held-out part: how steady a network is there, and how much it still says what the original said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from flow import FlowCache, FlowEstimator
from temporalkd.data.semi import PartlyLabelled
from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Row, evaluate, network
from temporalkd.models import Teacher


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
    Attributes:
        before: the original's own numbers, percent.
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
        self._row, self._maps = self._scored(original)
        self.before = _steadiness(self._row) | {"agreement": 100.0}

    def _scored(self, segmenter: Teacher) -> tuple[Row, list[Tensor]]:
        """Its numbers along the first flow, and its class maps."""
        system, maps = network(segmenter), list[Tensor]()

        def recorded(frame: Frame) -> FramePrediction:
            answer = system(frame)
            maps.append(answer.map)
            return answer

        classes = self.original.classes
        rows = evaluate(self.sources, {"network": recorded}, classes, self.flows, cache=self.cache, references=False)
        return rows[0], maps

    def __call__(self, segmenter: Teacher) -> dict[str, float | None]:
        """Consistency, flips and agreement, percent; "accepted" is the consistency, None where it is not to be kept."""
        row, maps = self._scored(segmenter)
        on_one_list([row], self._row)
        found: dict[str, float | None] = dict(_steadiness(row))
        found["agreement"] = 100 * agreement(maps, self._maps)
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


def on_one_list(rows: Sequence[Row], original: Row) -> None:
    """Average the consistency of rows over the classes that the original predicts, so that none pays by vanishing.

    A class that is predicted no more counts 0. Intervals and paired differences, which are over a row's own classes,
    are dropped where that changes the number.
    """
    listed = [number for number, value in enumerate(original.per_class["consistency"]) if value is not None]
    for row in rows if listed else ():
        own = row.per_class["consistency"]
        value = sum(own[number] or 0.0 for number in listed) / len(listed)
        if abs(value - (row["consistency"] or 0.0)) > 1e-3:  # shares are rounded
            row.intervals["consistency"] = None
            row.series = {key: series for key, series in row.series.items() if key != "consistency"}
        row.shares["consistency"] = value


def unlabelled(source: Source) -> Source:
    """The source without its labels."""
    return PartlyLabelled(source, ())


def _steadiness(row: Row) -> dict[str, float]:
    return {key: row[key] or 0.0 for key in ("consistency", "flip_rate", "flip_interior")}
