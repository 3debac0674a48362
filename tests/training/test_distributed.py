"""Two processes on one machine train like one with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import yaml
from safetensors.torch import load_file

from temporalkd import run
from temporalkd.config import parse
from temporalkd.losses.reduce import masked_mean
from tests import tiny

ROOT = Path(__file__).parents[2]


def share(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and mask of a process: 23 valid entries in the first, 4 in the second, none in the third."""
    generator = torch.Generator().manual_seed(rank)
    mask = torch.zeros(5, 6, dtype=torch.bool)
    mask.view(-1)[: (23, 4, 0)[rank]] = True
    return torch.randn(5, 6, generator=generator, dtype=torch.float64), mask


def mean_in_process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    values, mask = share(rank)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    results = {}
    for name, weight in (("mask", mask), ("weight", mask * 0.5), ("none", None), ("nothing", mask & ~mask)):
        loss = masked_mean((scale * values).square(), weight)
        (gradient,) = torch.autograd.grad(loss, scale)
        both = torch.stack([loss.detach(), gradient])
        dist.all_reduce(both)
        results[name] = (both / world).tolist()  # what DDP does to gradients
    if rank == 0:
        (Path(folder) / "results.json").write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_the_mean_is_the_global_one_gradients_included(world: int, tmp_path: Path) -> None:
    mp.spawn(mean_in_process, args=(world, str(tmp_path)), nprocs=world)
    results = json.loads((tmp_path / "results.json").read_text())
    values, mask = (torch.stack(parts) for parts in zip(*(share(rank) for rank in range(world))))
    for name, weight in (("mask", mask), ("weight", mask * 0.5), ("none", None), ("nothing", mask & ~mask)):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        loss = masked_mean((scale * values).square(), weight)
        (gradient,) = torch.autograd.grad(loss, scale)
        assert results[name] == pytest.approx([loss.item(), gradient.item()], rel=1e-12), name
    local = torch.stack([v.square()[m].mean() for v, m in zip(values[:2], mask[:2])]).mean()
    assert results["mask"][0] != pytest.approx(local.item(), rel=0.01), "not the mean of the processes' means"


def train_by_command(config: Path, folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(config), "-o", str(folder)]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=120)


def etc_config(folder: Path) -> dict[str, Any]:
    values = tiny.config(folder, "etc")
    values["data"] |= {
        "crop": [64, 60],
        "val": {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8},
    }  # padded, so that valid counts differ
    values["method"] |= {"recurrent": 0}  # its memory is fitted on the first process's clips
    values["training"] |= {"steps": 4, "optimiser": "sgd", "checkpoint_every": 2, "evaluate_every": 2}
    return values


def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    values = etc_config(tmp_path)
    (tmp_path / "etc.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(tmp_path / "etc.yaml", tmp_path / "two", "training.devices=2", "training.batch=1")
    assert done.returncode == 0, done.stderr
    values["training"]["batch"] = 2
    run.train(parse(values, "test"), tmp_path / "one", say=lambda line: None)
    one, two = (load_file(tmp_path / name / "student.safetensors") for name in ("one", "two"))
    start = {k: v for k, v in tiny.segmenter(seed=3).network.state_dict().items()}
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=1e-3, atol=1e-5)
        assert (tensor - start[key]).abs().max() > 1e-4, "it was trained"
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [row["step"] for row in logs[1]] == [1, 2, 3, 4], "one process writes the log"
    for name in ("loss", "cross_entropy", "motion_consistency", "inter_affinity"):
        assert [row[name] for row in logs[1]] == pytest.approx([row[name] for row in logs[0]], rel=1e-3)
    metrics = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("one", "two")]
    assert len(metrics[0]) == len(metrics[1]) == 3
    assert (tmp_path / "two" / "checkpoints" / "best.pt").is_file()


def test_a_failure_in_all_processes_ends_them_with_one_line(tmp_path: Path) -> None:
    values = etc_config(tmp_path)
    (tmp_path / "etc.yaml").write_text(yaml.safe_dump(values))
    done = train_by_command(
        tmp_path / "etc.yaml", tmp_path / "two", "training.devices=2", "training.batch=1", "training.lr=1e38"
    )
    assert done.returncode == 1
    assert "at step" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "two" / "student.safetensors").exists()
