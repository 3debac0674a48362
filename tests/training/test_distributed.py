"""Two processes on one machine train like one with the whole batch."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.torch import load_file
from torch import Tensor

from temporalkd.config import load, parse
from temporalkd.evaluation import as_json, network
from temporalkd.experiments import run
from temporalkd.experiments.scoring import Scorer
from temporalkd.methods import DistillationContext, LossTerm
from temporalkd.models import load_segmenter
from temporalkd.training import checkpoint
from tests import tiny
from tests.processes import together

ROOT = Path(__file__).parents[2]


def trained(config: Path, folder: Path, *settings: str) -> None:
    """By one of the processes; the first one's output goes into a file beside the folder."""
    with folder.with_suffix(f".{os.environ['RANK']}").open("w") as said, redirect_stdout(said):
        run.train(load(config, settings), folder, say=print)


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
    "stckd": ("loss", "teacher_residual", "adversarial", "adversarial/critic", "adversarial/accuracy"),
    "kd": ("loss", "pixel_kl"),
    "fckd": ("loss", "condensation"),
}


@pytest.mark.parametrize("method", list(WATCHED))
def test_two_processes_equal_one_with_twice_the_batch(method: str, tmp_path: Path) -> None:
    values = config_of(tmp_path, method)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    together(trained, tmp_path / "config.yaml", tmp_path / "two", "training.devices=2", "training.batch=1")
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
    together(trained, tmp_path / "config.yaml", tmp_path / "two", "training.devices=2", "training.batch=1")
    (row,) = (
        r for r in json.loads((tmp_path / "two" / "evaluation.json").read_text())["results"] if r["system"] == "student"
    )
    student, _ = load_segmenter(tmp_path / "two" / "student.safetensors")
    scorer = Scorer(parse(values, "test"), torch.device("cpu"))
    (alone,) = scorer.rows({"student": network(student)}, references=False)
    assert row == json.loads(as_json([alone]))["results"][0]
    assert row["frames"] == 9
    last = list(csv.DictReader((tmp_path / "two" / "metrics.csv").open()))[-1]
    assert float(last["miou"]) == alone["miou"]


def test_two_processes_share_the_labels_that_they_make(tmp_path: Path) -> None:
    values = tiny.config(tmp_path, "selfcorrecting")
    values["method"] |= {"corrector": "conv", "rounds": 2}
    values["training"] |= {"steps": 4, "optimiser": "sgd", "batch": 2}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    together(trained, tmp_path / "c.yaml", tmp_path / "two", "training.devices=2", "training.batch=2")
    one = tmp_path / "one"
    values["training"]["batch"] = 4
    run.train(parse(values, "test"), one, say=lambda line: None)
    alone, both = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [(row["step"], row.get("round")) for row in both] == [(r["step"], r.get("round")) for r in alone]
    for name in ("cross_entropy", "pixel_kl", "collaboration"):
        expected = [row[name] for row in alone if name in row]
        assert [row[name] for row in both if name in row] == pytest.approx(expected, rel=0.05), name
    names = [sorted(p.name for p in (tmp_path / n / "pseudo").rglob("*.png")) for n in ("one", "two")]
    assert names[0] == names[1] and len(names[0]) == 16


def start(config: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A training of two processes, in a session of its own."""
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(config), "-o", str(folder), "--devices", "2", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder.parent, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    path, deadline = folder / "log.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.is_file() and path.read_text().count("\n") >= step:
            return
        time.sleep(0.01)
    pytest.fail(f"no step {step}: {process.communicate()[1]}")


def test_a_signal_stops_two_processes_at_the_same_step_and_dropout_goes_on(tmp_path: Path) -> None:
    values = config_of(tmp_path, "baseline")
    values["student"]["arguments"] = {"dropout": 0.3}
    values["training"] |= {"steps": 40, "batch": 1, "evaluate_every": 0, "checkpoint_every": 1000, "log_every": 1}
    values["training"]["workers"] = 1
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    process = start(tmp_path / "config.yaml", tmp_path / "cut", "--no-score")
    wait_for_step(process, tmp_path / "cut", 3)
    os.killpg(process.pid, signal.SIGTERM)  # as a cluster ends a job: loader workers get it too
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    step = checkpoint.load(tmp_path / "cut" / "checkpoints" / "last.pt")["step"]
    assert 3 <= step < 40, err
    assert err.rstrip().endswith(f"error: tiny: interrupted at step {step}; --resume goes on from step {step}"), err
    _, err = start(tmp_path / "config.yaml", tmp_path / "cut", "--resume").communicate(timeout=120)
    assert "error" not in err, err
    scored = json.loads((tmp_path / "cut" / "evaluation.json").read_text())["results"]
    assert [row["system"] for row in scored] == ["student", "ceiling", "floor", "constant"]
    together(trained, tmp_path / "config.yaml", tmp_path / "whole", "training.devices=2")
    one, two = (load_file(tmp_path / name / "student.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_where_one_process_dies_the_other_ends_too(tmp_path: Path) -> None:
    values = config_of(tmp_path, "baseline")
    values["training"] |= {"steps": 100_000, "batch": 1, "evaluate_every": 0, "log_every": 1, "checkpoint_every": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    process = start(tmp_path / "config.yaml", tmp_path / "two", "--no-score")
    wait_for_step(process, tmp_path / "two", 3)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (other,) = (int(c) for c in children if b"temporalkd" in Path(f"/proc/{c}/cmdline").read_bytes())
    os.kill(other, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "another process of the training" in err.rstrip().splitlines()[-1], err
    assert checkpoint.latest(tmp_path / "two" / "checkpoints") is not None


class OneSided(LossTerm):
    """NaN in the second process's second step, with a gradient that is finite: the first one sees nothing of it."""

    calls = 0

    def forward(self, context: DistillationContext) -> Tensor:
        self.calls += 1
        zero = context.student.native(0).mean() * 0
        return zero + math.nan if dist.get_rank() == 1 and self.calls == 2 else zero


def nonfinite(config: Path, folder: Path) -> None:
    """Skip a step, then stop at one; what each process says, in a file beside the folder."""
    with folder.with_suffix(f".{os.environ['RANK']}").open("w") as said, redirect_stderr(said):
        run.train(load(config, ["training.on_nonfinite=skip"]), folder / "skip", say=print, score=False)
        with pytest.raises(FloatingPointError) as told:
            run.train(load(config, ["training.on_nonfinite=stop"]), folder / "stop", say=print, score=False)
        print(told.value, file=said)


def test_all_processes_skip_or_stop_where_one_is_not_finite(tmp_path: Path) -> None:
    values = config_of(tmp_path, "baseline")
    values["method"]["terms"] = [{"import": "tests.training.test_distributed:OneSided"}]
    values["training"] |= {"devices": 2, "batch": 1, "gradient_norms_every": 0, "evaluate_every": 0}
    values["training"] |= {"checkpoint_every": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    together(nonfinite, tmp_path / "config.yaml", tmp_path / "two")
    first, second = (tmp_path / f"two.{rank}" for rank in (0, 1))
    of_another = "a term or gradient of another process is not finite at step 2"
    assert f"{of_another}: skipped, 1 in a row, 1 in all" in first.read_text()
    assert (
        of_another in first.read_text().splitlines()[-1] and "is nan at step 2" in second.read_text().splitlines()[-1]
    )
    rows = [json.loads(line) for line in (tmp_path / "two" / "skip" / "log.jsonl").read_text().splitlines()]
    assert [row.get("skipped") for row in rows] == [None, 1, None, None]
    assert checkpoint.load(tmp_path / "two" / "stop" / "checkpoints" / "last.pt")["step"] == 1
