"""Losses along the motion, and the steady target."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from flow import warp
from temporalkd.losses import (
    disagreement,
    flow_averaged_teacher,
    motion_consistency,
    semantic_consistency,
    teacher_residual,
)


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


def test_weight_scales_pixels() -> None:
    probs, neighbour = torch.rand(2, 1, 3, 4, 4)
    flow, visible = constant_flow((4, 4), 0, 0), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., 0] = 1
    expected = (probs - neighbour).square().sum(1)[..., 0].mean()
    assert motion_consistency(probs, neighbour, flow, visible, weight).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def maps(count: int, size: tuple[int, int] = (6, 7), dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [(3 * torch.randn(1, 3, *size, dtype=dtype)).softmax(1).requires_grad_() for _ in range(count)]


def everywhere(size: tuple[int, int]) -> Tensor:
    return torch.ones(1, 1, *size, dtype=torch.bool)


def column(*values: float) -> Tensor:
    """One image of one row, a column of class probabilities a pixel: (1, C, 1, pixels) from class 0's of two."""
    first = torch.tensor(values).view(1, 1, 1, -1)
    return torch.cat([first, 1 - first], 1)


# All losses of two frames under one signature, student_t and student_k first.
TEACHER = torch.rand(2, 1, 3, 6, 7, generator=torch.Generator().manual_seed(1)).softmax(2)
FIXED = {dtype: tuple(TEACHER) for dtype in (torch.float16, torch.bfloat16, torch.float32)}
FIXED[torch.float64] = tuple(TEACHER.double())
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "motion_consistency": motion_consistency,
    "semantic_consistency": semantic_consistency,
    "teacher_residual": lambda s, k, flow, seen: teacher_residual(s, k, *FIXED[s.dtype], flow, seen),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@each_loss
def test_what_is_not_visible_reaches_neither_value_nor_gradient(loss: Loss) -> None:
    # One pixel to the right: column x of frame t is column x + 1 of k, so k's column 0 is never looked at.
    student, other = (p.detach() for p in maps(2))
    flow, visible = constant_flow((6, 7), 1, 0), everywhere((6, 7))
    visible[..., 4:] = False
    expected = loss(student, other, flow, visible).item()
    student[..., 4:], other[..., 5:], other[..., 0] = float("nan"), 1e3, -7.0
    student.requires_grad_(), other.requires_grad_()
    value = loss(student, other, flow, visible)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-6) and expected > 0
    assert student.grad is not None and other.grad is not None
    assert student.grad[..., 4:].abs().max() == 0 < student.grad[..., :4].abs().max()
    assert other.grad[..., 5:].abs().max() == 0 == other.grad[..., 0].abs().max() < other.grad[..., 1:5].abs().max()


@each_loss
def test_nothing_visible_is_zero_with_a_graph(loss: Loss) -> None:
    student, other = maps(2)
    value = loss(student, other, constant_flow((6, 7), 1, 0), ~everywhere((6, 7)))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None and student.grad.abs().max() == 0
    assert other.grad is not None and other.grad.abs().max() == 0


@each_loss
def test_gradcheck_of_both_frames(loss: Loss) -> None:
    pair = maps(2, dtype=torch.float64)
    flow = constant_flow((6, 7), 0.3, -0.6, torch.float64)
    visible = torch.rand(1, 1, 6, 7) > 0.3
    assert loss(*pair, flow, visible) > 0
    assert torch.autograd.gradcheck(lambda p, q: loss(p, q, flow, visible), pair)


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_under_autocast_and_channels_last(loss: Loss, dtype: torch.dtype) -> None:
    pair = [p.detach().to(dtype) for p in maps(2)]
    flow, visible = constant_flow((6, 7), 0.5, 0.25), torch.rand(1, 1, 6, 7) > 0.2
    expected = loss(*(p.float() for p in pair), flow, visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*(p.to(memory_format=torch.channels_last) for p in pair), flow, visible)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


@each_loss
def test_shapes_that_differ_are_named(loss: Loss) -> None:
    student, other = maps(2)
    flow = constant_flow((6, 7), 0, 0)
    with pytest.raises(ValueError, match=r"\(1, 3, 6, 7\) and \(1, 3, 6, 6\)"):
        loss(student, other[..., :6], flow, everywhere((6, 7)))
    with pytest.raises(ValueError, match=r"\(1, 1, 6, 6\) and \(1, 3, 6, 7\)"):
        loss(student, other, flow, everywhere((6, 6)))
    with pytest.raises(ValueError, match=r"\(1, 2, 6, 6\)"):
        loss(student, other, flow[..., :6], everywhere((6, 7)))


def test_teacher_residual_by_hand() -> None:
    # The student moves by 0.4 at the first pixel where the teacher moves by 0.1: 0.3 in each class, of 2 visible.
    student, student_k = column(0.9, 0.5, 0.0), column(0.5, 0.5, 1.0)
    teacher, teacher_k = column(0.8, 0.2, 0.5), column(0.7, 0.2, 0.5)
    visible = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    value = teacher_residual(student, student_k, teacher, teacher_k, constant_flow((1, 3), 0, 0), visible)
    assert value.item() == pytest.approx(2 * 0.3**2 / 2, rel=1e-5)


def test_teacher_residual_compares_the_two_residuals_and_moves_the_student_alone() -> None:
    networks = maps(4)
    flow, visible = constant_flow((6, 7), 0.7, -0.4), torch.rand(1, 1, 6, 7) > 0.3
    student, student_k, teacher, teacher_k = networks
    residuals = (student - warp(student_k, flow)) - (teacher - warp(teacher_k, flow))
    expected = (residuals.square().sum(1, keepdim=True) * visible).sum() / visible.sum()
    value = teacher_residual(*networks, flow, visible)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert student.grad is not None and student_k.grad is not None and teacher.grad is None and teacher_k.grad is None
    assert teacher_residual(teacher, teacher_k, teacher, teacher_k, flow, visible).item() == 0


def test_flow_averaged_teacher_is_a_distribution_between_the_two_frames() -> None:
    teacher, teacher_k = maps(2)
    flow, visible = constant_flow((6, 7), 0.7, -0.4), torch.rand(1, 1, 6, 7) > 0.5
    target = flow_averaged_teacher(teacher, teacher_k, flow, visible)
    torch.testing.assert_close(target.sum(1), torch.ones(1, 6, 7))
    assert target.min() >= 0 and not target.requires_grad
    seen, own = visible.expand_as(target), teacher.detach()
    assert torch.equal(target[~seen], own[~seen]), "the teacher's own where the neighbour is not visible"
    torch.testing.assert_close(target[seen], ((own + warp(teacher_k.detach(), flow)) / 2)[seen])
    unseen = flow_averaged_teacher(
        teacher.bfloat16(), torch.full_like(teacher, float("nan")), flow, ~everywhere((6, 7))
    )
    assert torch.equal(unseen, own.bfloat16().float())


def test_semantic_consistency_by_hand() -> None:
    # Of 4 visible pixels one flips, 3/4 to 1/4: J = (3/4 - 1/4) log 3. The second changes and does not flip.
    student, student_k = column(0.75, 0.9, 0.2, 0.6, 1.0), column(0.25, 0.6, 0.2, 0.6, 0.0)
    visible = torch.tensor([True, True, True, True, False]).view(1, 1, 1, 5)
    value = semantic_consistency(student, student_k, constant_flow((1, 5), 0, 0), visible)
    assert value.item() == pytest.approx(0.5 * math.log(3) / 4, rel=1e-5)


def test_semantic_consistency_is_zero_along_the_motion_and_acts_on_flips_alone() -> None:
    (student,) = maps(1)
    moved, visible = torch.roll(student, 2, 3).detach(), everywhere((6, 7))
    visible[..., 5:] = False
    assert semantic_consistency(student, moved, constant_flow((6, 7), 2, 0), visible).item() == 0
    still = constant_flow((6, 7), 0, 0)
    (gradient,) = torch.autograd.grad(semantic_consistency(student, moved, still, visible), student)
    flips = (student.argmax(1, keepdim=True) != moved.argmax(1, keepdim=True)) & visible
    acts = gradient.abs().amax(1, keepdim=True) > 0
    assert torch.equal(acts, flips) and flips.any() and not flips[visible].all()


def test_disagreement_is_total_variation_where_visible() -> None:
    probs = torch.zeros(1, 2, 3, 3)
    probs[:, 0] = 1
    neighbour = probs.clone()
    neighbour[0, :, 1, 1] = torch.tensor([0.25, 0.75])
    neighbour[0, :, 0, 0] = torch.tensor([0.0, 1.0])
    neighbour[0, :, 2, 2] = torch.tensor([0.5, 0.5])
    visible = everywhere((3, 3))
    visible[..., 2, 2] = visible[..., 0, 0] = False
    found = disagreement(probs.requires_grad_(), neighbour, constant_flow((3, 3), 0, 0), visible)
    expected = torch.zeros(1, 1, 3, 3)
    expected[..., 1, 1] = 0.75
    assert torch.equal(found, expected) and not found.requires_grad
    moved = torch.roll(probs, 1, 3)
    assert disagreement(probs, moved, constant_flow((3, 3), 1, 0), everywhere((3, 3)))[..., :2].max() == 0
    with pytest.raises(ValueError, match="disagreement"):
        disagreement(probs, neighbour[:, :1], constant_flow((3, 3), 0, 0), visible)
