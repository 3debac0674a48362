"""Attention transfer: energy maps of any channel count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import attention


def features(channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, channels, 4, 5, dtype=dtype, requires_grad=True)


def test_by_hand() -> None:
    # Energies (mean over channels of squares): student (4, 3) -> (0.8, 0.6); teacher (0, 5) -> (0, 1).
    student = torch.tensor([[2.0, 1.0], [2.0, 5.0**0.5]]).view(1, 2, 1, 2)
    teacher = torch.tensor([0.0, 5.0**0.5]).view(1, 1, 1, 2)
    assert attention(student, teacher).item() == pytest.approx(0.8**2 + 0.4**2, rel=1e-6)


def test_between_zero_and_two() -> None:
    student, teacher = features(3), features(7)
    assert attention(student, student * 5).item() == pytest.approx(0, abs=1e-9)
    assert 0 < attention(student, teacher).item() < 2
    apart = torch.zeros(1, 1, 8, 8), torch.zeros(1, 4, 8, 8)
    apart[0][..., :4], apart[1][..., 4:] = 1, 3
    assert attention(*apart).item() == pytest.approx(2, rel=1e-6)


def test_size_does_not_change_the_weight() -> None:
    student, teacher = features(3), features(3)
    finer = [f.repeat_interleave(4, 2).repeat_interleave(4, 3) for f in (student, teacher)]
    assert attention(*finer).item() == pytest.approx(attention(student, teacher).item(), rel=1e-5)


def test_order_of_channels_and_pixels_and_sign_do_not_matter() -> None:
    student, teacher = features(6), features(4)
    expected = attention(student, teacher).item()
    rows = torch.randperm(4)
    value = attention(-student[:, torch.randperm(6)][:, :, rows], teacher[:, :, rows])
    assert value.item() == pytest.approx(expected, rel=1e-5)


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


def test_gradient_reaches_the_student_only() -> None:
    student, teacher = features(3), features(4)
    attention(student, teacher).backward()
    assert teacher.grad is None and student.grad is not None and student.grad.norm() > 0


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
