"""Channel-wise distillation: spatial distributions, and pixels that are not in them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.losses import channel_kl


def maps(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_zero_for_equal_and_unmoved_by_an_offset_of_a_channel() -> None:
    student, teacher = maps(2, 5, 4, 3), maps(2, 5, 4, 3)
    assert channel_kl(student, student).item() == pytest.approx(0, abs=1e-7)
    offset = torch.randn(2, 5, 1, 1)
    expected = channel_kl(student, teacher).item()
    assert channel_kl(student + offset, teacher - 2 * offset).item() == pytest.approx(expected, rel=1e-4)


def test_invalid_pixels_are_outside_the_distribution() -> None:
    student, teacher = maps(2, 4, 6, 6), maps(2, 4, 6, 6)
    valid = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    valid[..., :2, :] = True
    expected = channel_kl(student[:, :, :2], teacher[:, :, :2])
    spoiled = [torch.where(valid, f, bad).detach().requires_grad_() for f, bad in ((student, 1e9), (teacher, -1e9))]
    value = channel_kl(*spoiled, valid)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, spoiled[0])
    assert gradient[:, :, 2:].abs().max() == 0 < gradient[:, :, :2].abs().max()


def test_a_frame_without_a_valid_pixel_counts_nothing() -> None:
    student, teacher = maps(3, 4, 5, 5), maps(3, 4, 5, 5)
    valid = torch.ones(3, 1, 5, 5, dtype=torch.bool)
    valid[1] = False
    expected = channel_kl(student[[0, 2]], teacher[[0, 2]])
    assert channel_kl(student, teacher, valid).item() == pytest.approx(expected.item(), rel=1e-6)
    nothing = channel_kl(student, teacher, valid & False)
    nothing.backward()
    assert nothing.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_gradcheck() -> None:
    student, teacher = (maps(2, 3, 2, 3, dtype=torch.float64) for _ in range(2))
    valid = torch.tensor([[True, True, False], [True, False, True]]).expand(2, 1, 2, 3)
    assert torch.autograd.gradcheck(lambda s: channel_kl(s, teacher, valid, tau=1.5), student)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(dtype: torch.dtype) -> None:
    student, teacher = (maps(2, 4, 5, 6).to(dtype).detach() for _ in range(2))
    expected = channel_kl(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = channel_kl(*(f.to(memory_format=torch.channels_last) for f in (student, teacher)))
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        channel_kl(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 4, 2, 3\)"):
        channel_kl(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 3))


def test_standardised_channels_may_have_any_scale() -> None:
    student, teacher = maps(2, 5, 4, 3), maps(2, 5, 4, 3)
    valid = torch.rand(2, 1, 4, 3) > 0.3
    expected = channel_kl(student, teacher, valid, standardise=True).item()
    scale, offset = 50 * torch.rand(1, 5, 1, 1) + 1, torch.randn(1, 5, 1, 1)
    scaled = channel_kl(scale * student + offset, teacher * 30, valid, standardise=True)
    assert scaled.item() == pytest.approx(expected, rel=1e-3)
    own = [f / f.movedim(1, 0)[:, valid[:, 0]].std(1, correction=0)[None, :, None, None] for f in (student, teacher)]
    assert expected == pytest.approx(channel_kl(*own, valid).item(), rel=1e-4)
