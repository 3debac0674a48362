"""Consistency along the motion, and the recurrent memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import AffinityMemory, motion_consistency, recurrent_dependency


def constant_flow(size: tuple[int, int], dx: float, dy: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor([dx, dy], dtype=dtype).view(1, 2, 1, 1).expand(1, 2, *size).contiguous()


def test_zero_when_the_prediction_moves_with_the_flow() -> None:
    probs = torch.rand(1, 3, 8, 10).softmax(1)
    neighbour = torch.roll(probs, (1, 2), (2, 3))  # content moves by dx = 2, dy = 1
    visible = torch.zeros(1, 1, 8, 10, dtype=torch.bool)
    visible[..., :7, :8] = True
    assert motion_consistency(probs, neighbour, constant_flow((8, 10), 2, 1), visible).item() == pytest.approx(
        0, abs=1e-8
    )
    assert motion_consistency(probs, neighbour, constant_flow((8, 10), 0, 0), visible).item() > 1e-3


def test_by_hand_on_3x3() -> None:
    # The neighbour says class 1 with 0.5 more at one of 4 visible pixels: (0.5^2 + 0.5^2) / 4.
    probs = torch.zeros(1, 2, 3, 3)
    probs[:, 0] = 1
    neighbour = probs.clone()
    neighbour[0, :, 1, 1] = 0.5
    visible = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    visible[..., :2, :2] = True
    assert motion_consistency(probs, neighbour, constant_flow((3, 3), 0, 0), visible).item() == pytest.approx(0.125)


def test_invisible_pixels_do_not_matter() -> None:
    probs, neighbour = torch.rand(2, 1, 3, 6, 6).softmax(2)
    visible = torch.rand(1, 1, 6, 6) > 0.5
    flow = constant_flow((6, 6), 0, 0)
    before = motion_consistency(probs, neighbour, flow, visible)
    spoiled = torch.where(visible, probs, torch.tensor(float("nan")))
    assert motion_consistency(spoiled, neighbour, flow, visible).item() == before.item()


def test_gradient_to_both_frames_and_zero_where_nothing_is_visible() -> None:
    probs, neighbour = (torch.rand(1, 3, 6, 6).requires_grad_() for _ in range(2))
    flow = constant_flow((6, 6), 1, 0)
    motion_consistency(probs, neighbour, flow, torch.ones(1, 1, 6, 6, dtype=torch.bool)).backward()
    assert probs.grad is not None and neighbour.grad is not None
    assert probs.grad.norm() > 0 and neighbour.grad.norm() > 0
    nothing = motion_consistency(probs, neighbour, flow, torch.zeros(1, 1, 6, 6, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0


def test_weight_scales_pixels() -> None:
    probs, neighbour = torch.rand(2, 1, 3, 4, 4)
    flow, visible = constant_flow((4, 4), 0, 0), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., 0] = 1
    expected = (probs - neighbour).square().sum(1)[..., 0].mean()
    assert motion_consistency(probs, neighbour, flow, visible, weight).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_gradcheck() -> None:
    probs, neighbour = (torch.rand(1, 2, 4, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    flow = constant_flow((4, 4), 0.3, 0.6, torch.float64)
    visible = torch.rand(1, 1, 4, 4) > 0.3
    assert torch.autograd.gradcheck(lambda p, q: motion_consistency(p, q, flow, visible), (probs, neighbour))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(dtype: torch.dtype) -> None:
    probs, neighbour = torch.rand(2, 1, 3, 6, 6).to(dtype)
    flow, visible = constant_flow((6, 6), 0.5, 0), torch.ones(1, 1, 6, 6, dtype=torch.bool)
    expected = motion_consistency(probs.float(), neighbour.float(), flow, visible)
    last = [x.to(memory_format=torch.channels_last) for x in (probs, neighbour)]
    value = motion_consistency(*last, flow, visible)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) and \(1, 2, 4, 4\)"):
        motion_consistency(
            torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)
        )


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
    fitted.fit(sequences(8, seed=1))
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
