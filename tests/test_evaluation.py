"""Scoring systems on footage: what the rows say, and that references are what they claim."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flow
from temporalkd.data.source import Source
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import ceiling, evaluate, floor

STREET = Street(3, length=12, size=(96, 160))


class Panning(Source):
    """A map that moves right by two pixels a frame; only some frames have labels."""

    def __init__(self, length: int = 6, labelled: tuple[int, ...] = (), void: bool = False) -> None:
        self.name, self.length, self._labelled, self.void = "panning", length, labelled, void

    def __len__(self) -> int:
        return self.length

    def map(self, index: int) -> Tensor:
        columns = torch.arange(64) - 2 * index
        return ((columns // 16) % 2).to(torch.uint8).expand(48, 64).clone()

    def frame(self, index: int) -> Tensor:
        return (100 * self.map(index)).expand(3, 48, 64)

    def label(self, index: int) -> Tensor | None:
        if index not in self._labelled:
            return None
        label = self.map(index)
        if self.void:
            label[:8, :8] = 255
        return label

    @property
    def labelled(self) -> list[int]:
        return list(self._labelled)


class ConstantFlow(flow.FlowEstimator):
    """Everything moves right by two pixels."""

    def __init__(self) -> None:
        super().__init__("constant")
        self.freeze({})

    def encode(self, frames: Tensor) -> Tensor:
        return frames

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("video is overridden")

    def video(self, frames):  # type: ignore[no-untyped-def]
        images = iter(frames)
        next(images)
        for image in images:
            field = torch.zeros(1, 2, *image.shape[-2:])
            field[:, 0] = 2
            yield field, -field


def moving(source: Source, index: int, frame: Tensor) -> Tensor:
    return source.map(index)  # type: ignore[attr-defined,no-any-return]


def frozen(source: Source, index: int, frame: Tensor) -> Tensor:
    return source.map(0)  # type: ignore[attr-defined,no-any-return]


def test_a_map_that_moves_with_the_flow_is_consistent_and_a_frozen_one_is_not() -> None:
    rows = {r.system: r for r in evaluate([Panning()], {"moving": moving, "frozen": frozen}, 2, ConstantFlow())}
    assert rows["moving"].consistency == 100.0 and rows["moving"].flip_rate == 0.0
    # Of 62 columns in frame, two beside each of the three edges flip.
    assert rows["frozen"].flip_rate == pytest.approx(100 * 6 / 62, abs=0.01)
    assert rows["frozen"].consistency is not None and rows["frozen"].consistency < 90
    assert rows["moving"].coverage == pytest.approx(100 * 62 / 64, abs=0.01)
    assert rows["moving"].miou is None and "ceiling" not in rows


def test_accuracy_counts_the_labelled_frames_only() -> None:
    rows = evaluate([Panning(labelled=(0, 3))], {"frozen": frozen}, 2, ConstantFlow())
    assert [r.system for r in rows] == ["frozen"]  # no ceiling where frames lack labels
    truth, guess = Panning().map(3), Panning().map(0)
    agree = 1 + (truth == guess).double().mean().item()
    assert rows[0].macc == pytest.approx(100 * agree / 2, abs=0.5)


def test_ceiling_and_floor() -> None:
    source = Panning(labelled=tuple(range(6)), void=True)
    rows = {r.system: r for r in evaluate([source], {"frozen": frozen}, 2, ConstantFlow())}
    assert rows["ceiling"].consistency == 100.0 and rows["ceiling"].miou == 100.0
    assert rows["floor"].flip_rate is None and rows["floor"].consistency < 90  # type: ignore[operator]
    assert torch.equal(floor(source, 0, source.frame(0)), ceiling(source, 3, source.frame(3)))


def test_void_takes_the_nearest_labelled_class() -> None:
    source = Panning(labelled=(0,), void=True)
    assert torch.equal(ceiling(source, 0, source.frame(0)), source.map(0))


def test_the_motion_of_a_street_is_its_own() -> None:
    def truth(source: Source, index: int, frame: Tensor) -> Tensor:
        label = source.label(index)
        assert label is not None
        return label

    rows = {r.system: r for r in evaluate([STREET], {"truth": truth}, len(CLASSES), None)}
    assert rows["truth"].flow == "exact" and rows["truth"].consistency == rows["ceiling"].consistency
    assert 60 < rows["ceiling"].consistency < 100  # type: ignore[operator]
    assert rows["floor"].consistency < rows["ceiling"].consistency  # type: ignore[operator]


def test_several_sources_are_one_confusion() -> None:
    rows = evaluate([Panning(), Panning(3)], {"frozen": frozen}, 2, ConstantFlow())
    assert rows[0].frames == 9 and rows[0].flip_rate == pytest.approx(100 * 6 / 62, abs=0.01)


def test_no_exact_motion_asks_for_an_estimator() -> None:
    with pytest.raises(ValueError, match="panning knows no exact motion: name a flow estimator"):
        evaluate([Panning()], {"moving": moving}, 2, None)


def test_a_prediction_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"small, panning, frame 0: the prediction is 8x8, expected 64x48"):
        evaluate([Panning()], {"small": lambda s, i, f: torch.zeros(8, 8, dtype=torch.uint8)}, 2, ConstantFlow())


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    evaluate(
        [Panning(4)], {"moving": moving}, 2, ConstantFlow(), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
