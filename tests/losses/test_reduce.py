"""Means over what counts, in one process and over several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from temporalkd.losses.reduce import masked_mean
from temporalkd.training.distributed import all_sum
from tests.processes import together

WORLD = 2


def share(rank: int) -> tuple[Tensor, dict[str, Tensor | None]]:
    """A process's values, and masks that count unequally many of them in each process."""
    values = torch.randn(5, 6, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)
    mask = (torch.arange(30) < (23, 4)[rank]).view(5, 6)
    return values, {
        "unequal": mask,
        "weighted": mask * 0.5,
        "all": None,
        "one process alone": mask & (rank == 0),
        "nothing": mask & False,
    }


def mean_in_process(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    values, weights = share(rank)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    results = {}
    for name, weight in weights.items():
        loss = masked_mean((scale * values).square(), weight, all_sum)
        (gradient,) = torch.autograd.grad(loss, scale)
        both = torch.stack([loss.detach(), gradient])
        dist.all_reduce(both)
        results[name] = (both / WORLD).tolist()  # what is done to gradients, and to values in the log
    if rank == 0:
        (folder / "results.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def test_over_processes_it_is_the_mean_of_one_gradients_included(tmp_path: Path) -> None:
    together(mean_in_process, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    shares = [share(rank) for rank in range(WORLD)]
    values = torch.stack([v for v, _ in shares])
    for name, pair in results.items():
        parts = [weights[name] for _, weights in shares]
        counted = torch.stack([torch.ones(5, 6) if part is None else part.double() for part in parts])
        mean = (values.square() * counted).sum() / counted.sum() if counted.any() else torch.zeros(())
        assert pair == pytest.approx([mean.item(), 2 * mean.item()], rel=1e-12), name
    own_means = [v.square()[weights["unequal"]].mean().item() for v, weights in shares]  # type: ignore[index]
    assert results["unequal"][0] != pytest.approx(sum(own_means) / WORLD, rel=0.01)


def test_in_one_process() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, float("nan")]], requires_grad=True)
    mask = torch.tensor([[True, False], [True, False]])
    loss = masked_mean(values, mask)
    loss.backward()
    assert loss.item() == 2 and values.grad is not None
    assert values.grad.tolist() == [[0.5, 0], [0.5, 0]], "what does not count has no gradient, not a NaN"
    weighted = masked_mean(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 1.0]))
    assert weighted.item() == pytest.approx(2.0)


def test_a_mask_is_spread_over_channels() -> None:
    values = torch.arange(8.0).view(1, 2, 2, 2)
    mask = torch.tensor([[True, False], [False, True]]).view(1, 1, 2, 2)
    assert masked_mean(values, mask).item() == (0 + 3 + 4 + 7) / 4
