"""Records of a run that was cut off: whatever a killed process left of its last lines, they go on as if it had not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from temporalkd.training.log import RunLog


def record(folder: Path, first: int, last: int, evaluated: int = 0, start: int = 0) -> None:
    """Steps first..last, each evaluated, of a run that goes on at `start`."""
    log = RunLog(folder, 9, "run").open(start, evaluated)
    for step in range(first, last + 1):
        log.step(step, {"loss": 1 / step, "seconds": 0.1 * step})
        log.evaluation(step, {"miou": 100 / 3 * step, "consistency": None})
        if step == 3:
            log.round(step, 1, {"pseudo/miou": 3.5})
    log.close()


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "log.jsonl").read_bytes(), (folder / "metrics.csv").read_bytes()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    folder = tmp_path / "whole"
    folder.mkdir()
    record(folder, 1, 5)
    return folder


@pytest.mark.parametrize("name", ["log.jsonl", "metrics.csv"])
@pytest.mark.parametrize("cut", [0, 1, 2, 9, 40])
def test_a_line_that_was_cut_off_is_dropped(name: str, cut: int, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    record(folder, 1, 5)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) - cut])
    record(folder, 3, 5, evaluated=2, start=2)
    assert contents(folder) == contents(whole)


def test_a_step_that_was_saved_before_its_evaluation_keeps_its_record_and_not_the_scores(tmp_path: Path) -> None:
    record(tmp_path, 1, 4)
    RunLog(tmp_path, 9, "run").open(4, 2).close()
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2, 3, 3, 4]
    assert [line.split(",")[0] for line in (tmp_path / "metrics.csv").read_text().splitlines()] == ["step", "1", "2"]


def test_events_are_those_of_the_records(tmp_path: Path) -> None:
    """Though a killed process had written none of its own, and each is there once."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    record(tmp_path, 1, 4)
    for path in tmp_path.glob("events.out.*"):
        path.write_bytes(path.read_bytes()[:100])
    record(tmp_path, 4, 5, evaluated=3, start=3)
    board = events.EventAccumulator(str(tmp_path))
    board.Reload()
    assert len(list(tmp_path.glob("events.out.*"))) == 1
    losses = [(e.step, e.value) for e in board.Scalars("train/loss")]
    assert losses == [(step, pytest.approx(1 / step)) for step in range(1, 6)]
    assert [e.step for e in board.Scalars("val/miou")] == [1, 2, 3, 4, 5]
    assert "val/consistency" not in board.Tags()["scalars"]
