"""Two processes on one machine train like one with the whole batch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from temporalkd import run
from temporalkd.config import parse
from temporalkd.evaluation import as_json, network
from temporalkd.models import load_segmenter
from temporalkd.scoring import Scorer
from tests import tiny

ROOT = Path(__file__).parents[2]


def train_by_command(config: Path, folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(config), "-o", str(folder)]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=120)


def config_of(folder: Path, method: str) -> dict[str, Any]:
    values = tiny.config(folder, method)
    values["data"] |= {
        "crop": [64, 60],
        "val": {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8},
    }  # padded, so that valid counts differ
    if method == "etc":
        values["method"] |= {"recurrent": 0}  # its memory is fitted on the first process's clips
    values["training"] |= {"steps": 4, "optimiser": "sgd", "checkpoint_every": 2, "evaluate_every": 2}
    return values


WATCHED = {
    "etc": ("loss", "cross_entropy", "motion_consistency", "inter_affinity"),
    "stckd": ("loss", "teacher_residual", "adversarial", "adversarial/critic", "adversarial/accuracy"),
}


@pytest.mark.parametrize("method", list(WATCHED))
def test_two_processes_equal_one_with_twice_the_batch(method: str, tmp_path: Path) -> None:
    values = config_of(tmp_path, method)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(tmp_path / "config.yaml", tmp_path / "two", "training.devices=2", "training.batch=1")
    assert done.returncode == 0, done.stderr
    values["training"]["batch"] = 2
    run.train(parse(values, "test"), tmp_path / "one", say=lambda line: None)
    one, two = (load_file(tmp_path / name / "student.safetensors") for name in ("one", "two"))
    start = tiny.segmenter(seed=3).network.state_dict()
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=1e-3, atol=1e-5)
        assert (tensor - start[key]).abs().max() > 1e-4, "it was trained"
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [row["step"] for row in logs[1]] == [1, 2, 3, 4], "one process writes the log"
    for name in WATCHED[method]:
        assert [row[name] for row in logs[1]] == pytest.approx([row[name] for row in logs[0]], rel=1e-3)
    metrics = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("one", "two")]
    assert len(metrics[0]) == len(metrics[1]) == 3
    assert (tmp_path / "two" / "checkpoints" / "best.pt").is_file()


def test_two_processes_score_the_student_as_one_would(tmp_path: Path) -> None:
    """To the last digit, though each has statistics of its own for BatchNorm; three clips, so that one scores two."""
    values = config_of(tmp_path, "baseline")
    network_of = {"architecture": "tests.training.fifty_steps:Normalised", "arguments": {"frozen": False}}
    values["student"] |= network_of
    values["data"]["val"] |= {"count": 3}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(tmp_path / "config.yaml", tmp_path / "two", "training.devices=2", "training.batch=1")
    assert done.returncode == 0, done.stderr
    (row,) = (
        r for r in json.loads((tmp_path / "two" / "evaluation.json").read_text())["results"] if r["system"] == "student"
    )
    student, _ = load_segmenter(tmp_path / "two" / "student.safetensors")
    scorer = Scorer(parse(values, "test"), torch.device("cpu"))
    (alone,) = scorer.rows({"student": network(student)}, references=False)
    assert row == json.loads(as_json([alone]))["results"][0]
    assert row["frames"] == 9 and done.stdout.count("ceiling") == 1, "one process shows the scores"
    last = list(csv.DictReader((tmp_path / "two" / "metrics.csv").open()))[-1]
    assert float(last["miou"]) == alone["miou"]


def test_a_failure_in_all_processes_ends_them_with_one_line(tmp_path: Path) -> None:
    values = config_of(tmp_path, "etc")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(
        tmp_path / "config.yaml", tmp_path / "two", "training.devices=2", "training.batch=1", "training.lr=1e38"
    )
    assert done.returncode == 1
    assert "at step" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "two" / "student.safetensors").exists()


def test_two_processes_share_the_labels_that_they_make(tmp_path: Path) -> None:
    values = tiny.config(tmp_path, "selfcorrecting")
    values["method"] |= {"corrector": "conv", "rounds": 2}
    values["training"] |= {"steps": 4, "optimiser": "sgd", "batch": 2}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(tmp_path / "c.yaml", tmp_path / "two", "training.devices=2", "training.batch=2")
    assert done.returncode == 0, done.stderr
    one = tmp_path / "one"
    values["training"]["batch"] = 4
    run.train(parse(values, "test"), one, say=lambda line: None)
    alone, together = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [(row["step"], row.get("round")) for row in together] == [(r["step"], r.get("round")) for r in alone]
    for name in ("cross_entropy", "pixel_kl", "collaboration"):
        expected = [row[name] for row in alone if name in row]
        assert [row[name] for row in together if name in row] == pytest.approx(expected, rel=0.05), name
    names = [sorted(p.name for p in (tmp_path / n / "pseudo").rglob("*.png")) for n in ("one", "two")]
    assert names[0] == names[1] and len(names[0]) == 16
