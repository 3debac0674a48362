"""The recurrent memory that reads how consecutive frames depend on each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import AffinityMemory, recurrent_dependency


def sequences(count: int, seed: int) -> list[list[Tensor]]:
    """Smooth random features that drift from frame to frame, as a teacher's do."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        base = torch.nn.functional.interpolate(torch.randn(2, 6, 4, 5, generator=generator), (16, 20), mode="bilinear")
        drift = 0.3 * torch.randn(2, 6, 16, 20, generator=generator)
        made.append([base, base + drift, base + 2 * drift])
    return made


@pytest.fixture(scope="module")
def memory() -> AffinityMemory:
    torch.manual_seed(0)
    fitted = AffinityMemory(grid=(4, 5))
    fitted.fit(sequences(8, seed=1), passes=40)
    return fitted


def test_the_fitted_memory_does_not_collapse(memory: AffinityMemory) -> None:
    cells = torch.stack([memory(frames)[1][0] for frames in sequences(8, seed=2)])
    assert cells.std(0).mean() > 0.05


def test_the_memory_predicts_better_than_the_mean_map(memory: AffinityMemory) -> None:
    maps = [[memory.read(f) for f in frames] for frames in sequences(8, seed=3)]
    mean = torch.cat([m[-1] for m in maps]).mean(0, keepdim=True)
    state, own, constant = None, 0.0, 0.0
    for first, second, third in maps:
        state = memory.cell(second, memory.cell(first, None))
        own += (memory.next_map(state[0]) - third).square().mean().item()
        constant += (mean - third).square().mean().item()
    assert own < 0.7 * constant


def test_the_memory_is_frozen_but_passes_gradients(memory: AffinityMemory) -> None:
    assert not any(p.requires_grad for p in memory.parameters())
    student = [f.clone().requires_grad_() for f in sequences(1, seed=4)[0]]
    teacher = sequences(1, seed=5)[0]
    recurrent_dependency(student, teacher, memory).backward()
    assert all(f.grad is not None and f.grad.norm() > 0 for f in student)
    assert recurrent_dependency(teacher, teacher, memory).item() == 0


def test_other_channels_and_sizes_of_the_teacher(memory: AffinityMemory) -> None:
    student = [torch.randn(2, 3, 16, 20) for _ in range(3)]
    teacher = [torch.randn(2, 9, 8, 10) for _ in range(3)]
    assert recurrent_dependency(student, teacher, memory).item() > 0
    with pytest.raises(ValueError, match="3 student frames, 2 teacher frames"):
        recurrent_dependency(student, teacher[:2], memory)
