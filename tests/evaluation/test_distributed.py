"""Processes that share an evaluation: each clip is scored once, and all of them know what one alone would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from temporalkd.data.source import Frame
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import FramePrediction, Row, as_json, evaluate, network
from tests import tiny
from tests.processes import together

CLIPS = 3  # of different lengths; the first process gets two


def streets(count: int = CLIPS) -> list[Street]:
    return [Street(seed, 3 + seed, tiny.SIZE) for seed in range(count)]


def rows(asked: list[str], together: bool, count: int = CLIPS) -> list[Row]:
    """Of a network; `asked` gets the names of the frames that it was asked about."""
    student = network(tiny.segmenter(seed=4))

    def counted(frame: Frame) -> FramePrediction:
        asked.append(str(frame))
        return student(frame)

    protocols = ("visible", "vspw2021")
    return evaluate(streets(count), {"student": counted}, len(CLASSES), {"exact": None}, protocols, together=together)


def failing(frame: Frame) -> FramePrediction:
    if frame.source.name == "street-1":
        raise ValueError(f"{frame}: no answer")
    return FramePrediction(torch.zeros(frame.size, dtype=torch.uint8))


def work(folder: Path) -> None:
    dist.init_process_group("gloo")
    asked: list[str] = []
    numbers = as_json(rows(asked, together=True))
    fewer = as_json(rows([], together=True, count=1))
    with pytest.raises(ValueError, match="street-1, frame 0: no answer") as caught:
        evaluate(streets(), {"s": failing}, len(CLASSES), {"exact": None}, references=False, together=True)
    told = {"asked": asked, "numbers": numbers, "fewer": fewer, "failure": str(caught.value)}
    (folder / f"{dist.get_rank()}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


def test_two_processes_know_what_one_would(tmp_path: Path) -> None:
    together(work, tmp_path)
    said = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    asked: list[str] = []
    alone = as_json(rows(asked, together=False))
    assert sorted(said[0]["asked"] + said[1]["asked"]) == sorted(asked), "every frame once"
    assert {name.split(",")[0] for name in said[1]["asked"]} == {"street-1"}
    assert said[0]["numbers"] == said[1]["numbers"] == alone, "to the last digit"
    few = as_json(rows([], together=False, count=1))
    assert said[0]["fewer"] == said[1]["fewer"] == few, "also where a process has no clip"
    assert said[0]["failure"] == said[1]["failure"], "no process waits for one that failed"


def test_one_process_is_not_asked_to_share() -> None:
    asked: list[str] = []
    rows(asked, together=True)
    assert len(asked) == sum(len(street) for street in streets())
