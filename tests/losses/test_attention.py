"""Attention transfer: energy maps of any channel count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import attention


def features(channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, channels, 4, 5, dtype=dtype, requires_grad=True)


def test_invalid_pixels_and_frames_do_not_count() -> None:
    student, teacher = features(3).detach(), features(4).detach()
    valid = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    valid[0, :, :2] = True
    expected = attention(student[:1, :, :2], teacher[:1, :, :2])
    student[0, :, 2:], teacher[1] = float("nan"), 1e3
    student.requires_grad_()
    value = attention(student, teacher, valid)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert student.grad is not None
    assert student.grad[0, :, 2:].abs().max() == 0 == student.grad[1].abs().max() < student.grad.abs().max()


def test_nothing_valid_gives_zero_with_a_graph() -> None:
    student = features(3)
    loss = attention(student, features(3), torch.zeros(2, 1, 4, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_a_frame_of_zeros_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss = attention(student, torch.randn(1, 3, 4, 4))
    loss.backward()
    assert loss.item() == pytest.approx(1, rel=1e-5), "no attention anywhere"
    assert student.grad is not None and torch.isfinite(student.grad).all()


def test_gradcheck() -> None:
    teacher, valid = features(2, torch.float64), torch.rand(2, 1, 4, 5) > 0.3
    assert torch.autograd.gradcheck(lambda s: attention(s, teacher, valid), features(3, torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(dtype: torch.dtype) -> None:
    student, teacher = (300 * features(c).detach() for c in (3, 5))  # squares beyond the range of float16
    expected = attention(student.to(dtype).float(), teacher.to(dtype).float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = attention(*(f.to(dtype).to(memory_format=torch.channels_last) for f in (student, teacher)))
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_unequal_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\).*\(2, 3, 4, 5\)"):
        attention(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 5))
