"""Decoupled distillation: the identity it comes from, and logits far apart."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses import decoupled_maps, dkd, nckd, pixel_kl, tckd

CLASSES = 5


def logits(dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(2, CLASSES, 4, 3, dtype=dtype)).requires_grad_()


def some_labels() -> Tensor:
    labels = torch.randint(0, CLASSES, (2, 4, 3))
    labels[0, :2] = 255
    return labels


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_kl_is_the_target_part_and_the_rest_weighted(tau: float, scale: float) -> None:
    student, teacher = logits(torch.float64, scale), logits(torch.float64, scale)
    labels = torch.randint(0, CLASSES, (2, 4, 3))
    maps = decoupled_maps(student, teacher, labels, tau)
    p_target = (teacher / tau).softmax(1).gather(1, labels[:, None])[:, 0]
    recombined = (maps.tckd + (1 - p_target) * maps.nckd).mean()
    assert recombined.item() == pytest.approx(pixel_kl(student, teacher, tau=tau).item(), rel=1e-12)


@pytest.mark.parametrize("gap", [28.0, 100.0, 1000.0])
def test_right_where_the_rest_of_the_probability_underflows(gap: float) -> None:
    # The teacher is sure of the target, the student as sure of another class: TCKD -> log(1 / p_S,target) = gap.
    label = torch.zeros(1, 1, 1, dtype=torch.long)
    teacher = torch.tensor([gap, 0.0, 1.0]).view(1, 3, 1, 1)
    student = torch.tensor([0.0, gap, 0.5]).view(1, 3, 1, 1).requires_grad_()
    assert tckd(student, teacher, label).item() == pytest.approx(gap, rel=1e-6)
    sure = F.softmax(torch.tensor([0.0, 1.0]), 0)
    expected = (sure * (sure.log() - torch.tensor([0.0, 0.5 - gap]))).sum()
    assert nckd(student, teacher, label).item() == pytest.approx(expected.item(), rel=1e-6)
    # And the other way round: the term of the rest, gap * (1 - p_T,target), has a student that rules the rest out.
    swapped = tckd(teacher, student.detach(), label)
    assert swapped.item() == pytest.approx(gap - math.log(1 + math.e), rel=1e-5)
    dkd(student, teacher, label).backward()
    assert student.grad is not None
    assert student.grad.flatten()[:2].tolist() == pytest.approx([-1, 1 + 1 - sure[0].item()], rel=1e-5)


def test_unlabelled_pixels_do_not_count() -> None:
    student, teacher, labels = logits().detach(), logits().detach(), some_labels()
    expected = (
        3 * 2 * dkd(student[:1, :, 2:], teacher[:1, :, 2:], labels[:1, 2:])
        + 12 * dkd(student[1:], teacher[1:], labels[1:])
    ) / 18
    student[0, :, :2], teacher[0, :, :2] = float("nan"), float("inf")
    student.requires_grad_()
    value = dkd(student, teacher, labels)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert student.grad is not None and student.grad[0, :, :2].abs().max() == 0 < student.grad[0, :, 2:].abs().min()


def test_nothing_labelled_gives_zero_with_a_graph() -> None:
    student = logits()
    loss = dkd(student, logits(), torch.full((2, 4, 3), 255))
    loss.backward()
    assert loss.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_gradcheck() -> None:
    teacher, labels = logits(torch.float64), some_labels()
    assert torch.autograd.gradcheck(lambda s: dkd(s, teacher, labels, 1, 3, 2.0), logits(torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(dtype: torch.dtype) -> None:
    student, teacher, labels = logits().to(dtype).detach(), logits().to(dtype).detach(), some_labels()
    expected = dkd(student.float(), teacher.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = dkd(*(z.to(memory_format=torch.channels_last) for z in (student, teacher)), labels)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_shapes_are_named() -> None:
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        dkd(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2), labels)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) for \(3, 4, 2, 2\)"):
        dkd(torch.zeros(3, 4, 2, 2), torch.zeros(3, 4, 2, 2), labels)
    with pytest.raises(ValueError, match=r"two classes.*\(1, 1, 2, 2\)"):
        dkd(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), labels)
