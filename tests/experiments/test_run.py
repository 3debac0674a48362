"""Whole trainings in the ways that need more than a street: half precision, live flow, cached flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from temporalkd.config import parse
from temporalkd.experiments import run
from tests import tiny


def train(folder: Path, values: dict[str, Any]) -> list[dict[str, float]]:
    run.train(parse(values, "test"), folder / "run", say=lambda line: None)
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]


def camvid_etc(folder: Path) -> dict[str, Any]:
    """ETC on a clip of frames that know no motion of their own."""
    values = tiny.config(folder, "etc")
    root = tiny.fake_camvid(folder / "camvid", {"val": 5})
    values["data"] = {
        "train": {"dataset": "camvid", "root": str(root), "split": "val"},
        "frames": 3,
        "gaps": [1, 1],
        "flip": False,
    }
    teacher = tiny.save_segmenter(tiny.segmenter(11, seed=7), tiny.spec(11), folder / "camvid_teacher.safetensors", {})
    assert teacher is None
    values["teacher"] = {"weights": str(folder / "camvid_teacher.safetensors")}
    values["training"] |= {"steps": 2, "log_every": 1}
    return values


WATCHED = {
    "etc": ("cross_entropy", "pixel_kl", "intra_affinity", "inter_affinity", "motion_consistency"),
    "stckd": ("intra_affinity_second", "teacher_residual", "adversarial/critic"),
}


@pytest.mark.parametrize("method", list(WATCHED))
def test_bf16_gives_nearly_the_losses_of_fp32(method: str, tmp_path: Path) -> None:
    rows = {}
    for precision in ("32-true", "bf16-mixed"):
        folder = tmp_path / precision
        folder.mkdir()
        values = tiny.config(folder, method)
        values["training"] |= {"steps": 2, "log_every": 1, "precision": precision}
        rows[precision] = train(folder, values)
    for full, half in zip(rows["32-true"], rows["bf16-mixed"]):
        for name in WATCHED[method]:
            assert half[name] == pytest.approx(full[name], rel=0.1, abs=1e-3), name


def test_cached_flow_trains_like_live_flow(tmp_path: Path) -> None:
    losses = {}
    for cached in (False, True):
        folder = tmp_path / str(cached)
        folder.mkdir()
        values = camvid_etc(folder)
        values["flow"] = {"kind": "dis", "cached": cached, "cache": str(folder / "cache")}
        losses[cached] = [row["motion_consistency"] for row in train(folder, values)]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
    assert any((tmp_path / "True" / "cache").rglob("*.flow"))


@pytest.mark.real
def test_raft_trains_live(tmp_path: Path, data_root: Path) -> None:
    values = camvid_etc(tmp_path)
    values["flow"] = {"kind": "raft_small", "weights": str(data_root / "weights" / "raft_small_things.safetensors")}
    assert all(row["motion_consistency"] > 0 for row in train(tmp_path, values))


def test_a_fault_of_the_validation_data_is_found_before_the_training(tmp_path: Path) -> None:
    split = {"dataset": "camvid", "root": str(tiny.fake_camvid(tmp_path / "camvid", {"val": 3})), "split": "val"}
    values = tiny.config(tmp_path, "baseline", data={"train": split, "val": split}, evaluation={"flow": "dis"})
    label = sorted((tmp_path / "camvid" / "valannot").iterdir())[2]
    Image.fromarray(np.full((8, 8), 3, np.uint8)).save(label)
    with pytest.raises(ValueError, match=label.name):
        run.train(parse(values, "test"), tmp_path / "run", say=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_the_student_is_saved_before_it_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("scoring failed")

    monkeypatch.setattr("temporalkd.experiments.scoring.evaluate", broken)
    street = {"dataset": "street", "count": 1, "length": 3, "size": [48, 64]}
    with pytest.raises(RuntimeError, match="scoring failed"):
        config = parse(tiny.config(tmp_path, "baseline", data={"val": street}), "test")
        run.train(config, tmp_path / "run", say=lambda line: None)
    assert (tmp_path / "run" / "student.safetensors").is_file()
