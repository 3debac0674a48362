"""From scored systems to a page: what a system saw on tape, and the time axis."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from temporalkd.data.source import Frame
from temporalkd.evaluation import FramePrediction, Row, evaluate
from temporalkd.metrics import FramePair
from temporalkd.visualization.overlay import default_palette
from temporalkd.visualization.scored_report import COLUMNS, CURVES, MOMENTS, Shown, Tape, entry
from tests.evaluation.panning import RIGHT, Panning, frozen, moving

COLOURS = default_palette(2)


class Wide(Panning):
    """Of another size."""

    def map(self, index: int) -> Tensor:
        return super().map(index).repeat(1, 2)

    def frame(self, index: int) -> Tensor:
        return (100 * self.map(index)).expand(3, 48, 128)


def taped(sources: list[Panning], folder: Path) -> tuple[list[Row], dict[str, Tape], Shown]:
    """A still and a moving system, scored; only the still one flips."""
    tapes = {name: Tape(system, folder / name) for name, system in (("frozen", frozen), ("moving", moving))}
    rows = evaluate(sources, tapes, 2, RIGHT)
    return rows, tapes, Shown.of(sources, tapes["frozen"].sizes)


@pytest.mark.parametrize("order", ["between", "last"])
def test_scenes_of_another_size_are_not_on_the_axis(tmp_path: Path, order: str) -> None:
    sources = [Panning(3), Wide(4), Panning(2)] if order == "between" else [Panning(3), Panning(2), Wide(4)]
    rows, tapes, shown = taped(sources, tmp_path)
    assert [s for s, kept in zip(sources, shown.kept) if not kept] == [s for s in sources if isinstance(s, Wide)]
    assert {id(s) for s, _ in shown.frames()} == {id(s) for s in sources if not isinstance(s, Wide)}
    numbers = [1, 2, 50, 51, 52, 7] if order == "between" else [1, 2, 7, 50, 51, 52]
    assert shown.on_axis(numbers) == [1, 2, None, 7]
    for row in rows:
        found = entry(row, rows[0], shown, tapes[row.system], None, COLOURS)
        assert all(len(found.per_pair[c.key]) == 4 and found.per_pair[c.key][2] is None for c in CURVES)


def test_a_tape_keeps_the_maps_and_what_flips(tmp_path: Path) -> None:
    source = Panning(5)
    rows, tapes, shown = taped([source], tmp_path)
    for name, system in (("frozen", frozen), ("moving", moving)):
        expected = [system(Frame(source, i, source.frame(i))).map for i in range(5)]
        assert all(torch.equal(a, b) for a, b in zip(tapes[name].maps(shown.frames()), expected))
    assert not torch.equal(tapes["frozen"].map(source, 4), tapes["moving"].map(source, 4))
    flow = torch.zeros(2, 48, 64)
    flow[0] = 2
    seen = torch.ones(48, 64, dtype=torch.bool)
    seen[:, -2:] = False
    for index in range(4):
        for tape in tapes.values():
            tape.keep_flips(source, index, FramePair(flow, seen))
    for name, tape in tapes.items():
        *flips, last = tape.all_flips(shown.frames())
        assert last is None, "after the last frame there is none"
        (row,) = (row for row in rows if row.system == name)
        for flipped, rate in zip(flips, row.per_pair["flip_rate"]):
            assert flipped is not None and not flipped[:, -2:].any()
            assert 100 * flipped.sum() / seen.sum() == pytest.approx(rate, abs=1e-3)
    assert rows[0]["flip_rate"] > 0 == rows[1]["flip_rate"]  # type: ignore[operator]


def test_a_tape_asks_its_system_once_for_each_frame(tmp_path: Path) -> None:
    asked: list[int] = []

    def system(frame: Frame) -> FramePrediction:
        asked.append(frame.index)
        return moving(frame)

    source = Panning(6)
    tape = Tape(system, tmp_path / "tape")
    row, *_ = evaluate([source], {"once": tape}, 2, RIGHT, ["visible", "unmasked"])
    shown = Shown.of([source], tape.sizes)
    entry(row, row, shown, tape, None, COLOURS)
    list(tape.maps(shown.frames()))
    assert asked == list(range(6))


def flickering(frame: Frame) -> FramePrediction:
    """Right, but for a block inside a stripe that takes another class, larger from frame to frame."""
    assert isinstance(frame.source, Panning)
    answer = frame.source.map(frame.index)
    if frame.index % 2:
        answer[10 : 12 + 2 * frame.index, :] = 1 - answer[10 : 12 + 2 * frame.index, :]
    return FramePrediction(answer)


def test_the_worst_moments_are_the_most_interior_flips_and_come_first(tmp_path: Path) -> None:
    source = Panning(14)
    tape = Tape(flickering, tmp_path / "tape")
    (row,) = evaluate([source], {"flickering": tape}, 2, RIGHT)
    shown = Shown.of([source], tape.sizes)
    found = entry(row, row, shown, tape, None, COLOURS)
    numbers = row.per_pair["flip_interior"]
    worst = sorted(range(13), key=lambda i: -(numbers[i] or 0))[:MOMENTS]
    assert [m.pair for m in found.moments] == worst and len(worst) == MOMENTS
    values = [m.value for m in found.moments]
    assert values == [numbers[i] for i in worst] and values == sorted(values, reverse=True) and values[-1] > 0
    assert all(m.before != m.after and m.before.startswith(b"\xff\xd8\xff") for m in found.moments)


def test_a_line_of_the_table(tmp_path: Path) -> None:
    rows, tapes, shown = taped([Panning(60, labelled=range(60))], tmp_path)
    still, moved, ceiling, floor, _ = rows
    found = entry(moved, still, shown, tapes["moving"], None, COLOURS)
    assert (found.kind, found.parameters, found.moments) == ("prediction", None, [])
    assert entry(moved, still, shown, tapes["moving"], None, COLOURS, is_average=True).kind == "ema"
    for column in COLUMNS:
        value = found.values[column.key]
        assert (None if value is None else value.value) == moved[column.key]
        if value is not None and moved.intervals.get(column.key):
            assert [value.low, value.high] == moved.intervals[column.key]
        if column.key in found.difference:
            gap = moved[column.key] - still[column.key]  # type: ignore[operator]
            assert found.difference[column.key].value == pytest.approx(gap, abs=1e-3)
    assert {"miou", "consistency", "flip_rate", "flip_interior"} <= found.difference.keys()
    assert found.difference["flip_rate"].high < 0, "it flips less"  # type: ignore[operator]
    assert entry(still, still, shown, tapes["frozen"], None, COLOURS).difference == {}
    assert entry(ceiling, still, shown, None, None, COLOURS).kind == "reference"
    assert "flip_rate" not in entry(floor, still, shown, None, None, COLOURS).difference
