"""The demo on a small scale: every system is trained, scored and shown as itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporalkd import config
from temporalkd.cli.work import demo

SMALL = [
    "data.train.count=2",
    "data.train.size=[48, 64]",
    "data.val.count=1",
    "data.val.length=3",
    "data.val.size=[48, 64]",
    "training.batch=2",
    "training.workers=0",
]
STEPS = {"baseline": 1, "kd": 2, "etc": 3}


def test_the_demo_compares_and_shows_each_system_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(path: Path, overrides: list[str]) -> Any:
        return config.load(path, [*overrides, *SMALL, f"training.steps={STEPS[path.stem]}"])

    monkeypatch.setattr(demo, "load", small)
    monkeypatch.setattr(demo, "SHOWN_FRAMES", 3)
    said: list[str] = []
    rows = demo.demo(tmp_path / "out", say=said.append)
    assert said[-1].startswith("wrote ")
    assert [row.system for row in rows] == ["teacher", "baseline", "kd", "etc", "ceiling", "floor", "constant"]
    stored = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]
    assert [row["miou"] for row in stored] == [row["miou"] for row in rows]
    with av.open(str(tmp_path / "out" / "flicker.mp4")) as video:
        first = next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    left, right = np.array_split(first[20:150], 2, axis=1)
    assert np.abs(left[:, : right.shape[1]] - right).mean() > 2, "baseline and etc differ, so do their panels"


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "etc").mkdir(parents=True)
    precious = tmp_path / "out" / "etc" / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(FileExistsError, match="is not a demo"):
        demo.demo(tmp_path / "out")
    assert precious.read_text() == "years of work"
