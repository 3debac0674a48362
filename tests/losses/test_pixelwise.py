"""Pixel KL and cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from temporalkd.losses import cross_entropy, pixel_kl, pixel_kl_to_probs


def logits(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_pixel_kl_by_hand() -> None:
    # p_T = (3/4, 1/4), p_S = (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2)
    teacher = torch.tensor([3.0, 1.0]).log().view(1, 2, 1, 1)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert pixel_kl(torch.zeros(1, 2, 1, 1), teacher).item() == pytest.approx(expected, rel=1e-6)


def test_pixel_kl_with_temperature_against_torch() -> None:
    student, teacher = logits(2, 5, 4, 3), logits(2, 5, 4, 3)
    tau = 3.0
    reference = F.kl_div(
        F.log_softmax(student / tau, 1), F.log_softmax(teacher / tau, 1), reduction="sum", log_target=True
    )
    assert pixel_kl(student, teacher, tau=tau).item() == pytest.approx(
        (tau**2 * reference / (2 * 4 * 3)).item(), rel=1e-5
    )


def test_pixel_kl_is_zero_for_equal_and_unmoved_by_an_offset() -> None:
    student = logits(2, 5, 4, 3)
    assert pixel_kl(student, student).item() == pytest.approx(0, abs=1e-7)
    teacher = logits(2, 5, 4, 3)
    assert pixel_kl(student + 7, teacher - 3).item() == pytest.approx(pixel_kl(student, teacher).item(), rel=1e-4)


def test_pixel_kl_counts_valid_pixels_only() -> None:
    student, teacher = logits(1, 4, 6, 6), logits(1, 4, 6, 6)
    valid = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    valid[..., :2, :] = True
    expected = pixel_kl(student[:, :, :2], teacher[:, :, :2])
    assert pixel_kl(student, teacher, valid).item() == pytest.approx(expected.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(pixel_kl(student, teacher, valid), student)
    assert gradient[:, :, 2:].abs().max() == 0 < gradient[:, :, :2].abs().max()


def test_nothing_valid_gives_zero_with_a_graph() -> None:
    student, teacher = logits(1, 4, 2, 2), logits(1, 4, 2, 2)
    loss = pixel_kl(student, teacher, torch.zeros(1, 1, 2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert student.grad is not None and student.grad.abs().max() == 0


def test_standardised_logits_against_their_formula() -> None:
    student, teacher = logits(2, 5, 4, 3), logits(2, 5, 4, 3)

    def standard(z: torch.Tensor) -> torch.Tensor:
        return (z - z.mean(1, keepdim=True)) / z.std(1, correction=0, keepdim=True)

    expected = pixel_kl(standard(student), standard(teacher), tau=2.0)
    value = pixel_kl(student, teacher, tau=2.0, standardise=True)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    moved = pixel_kl(3 * student + 7, 0.5 * teacher - 2, tau=2.0, standardise=True)
    assert moved.item() == pytest.approx(expected.item(), rel=1e-4), "neither range nor offset counts"
    flat = torch.zeros(1, 3, 2, 2, requires_grad=True)
    pixel_kl(flat, logits(1, 3, 2, 2), standardise=True).backward()
    assert flat.grad is not None and flat.grad.isfinite().all()
    double = logits(1, 3, 2, 2, dtype=torch.float64)
    fixed = logits(1, 3, 2, 2, dtype=torch.float64).detach()
    assert torch.autograd.gradcheck(lambda s: pixel_kl(s, fixed, standardise=True), double)


def test_pixel_kl_gradcheck() -> None:
    teacher = logits(1, 3, 2, 2, dtype=torch.float64).detach()
    assert torch.autograd.gradcheck(lambda s: pixel_kl(s, teacher, tau=2.0), logits(1, 3, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pixel_kl_raises_half_precision(dtype: torch.dtype) -> None:
    student, teacher = logits(1, 4, 5, 5).to(dtype), logits(1, 4, 5, 5).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = pixel_kl(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(pixel_kl(student.float(), teacher.float()).item(), rel=1e-6)


def test_pixel_kl_names_the_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        pixel_kl(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_pixel_kl_to_probs_is_pixel_kl_to_their_logits(tau: float) -> None:
    student, teacher = logits(2, 5, 4, 3), logits(2, 5, 4, 3)
    valid = torch.rand(2, 1, 4, 3) > 0.4
    expected = pixel_kl(student, teacher, valid, tau)
    value = pixel_kl_to_probs(student, teacher.softmax(1), valid, tau)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = [torch.autograd.grad(v, student, retain_graph=True)[0] for v in (value, expected)]
    torch.testing.assert_close(*gradients)


def test_pixel_kl_to_probs_gradcheck_half_precision_and_shapes() -> None:
    target = logits(1, 3, 2, 2, dtype=torch.float64).softmax(1)
    student = logits(1, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: pixel_kl_to_probs(s, target, tau=2.0), student)
    half = target.detach().to(torch.bfloat16)
    value = pixel_kl_to_probs(student.float(), half)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(pixel_kl_to_probs(student.float(), half.float()).item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"pixel_kl_to_probs.*\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        pixel_kl_to_probs(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))


def test_cross_entropy_against_torch() -> None:
    z = logits(2, 5, 4, 3)
    labels = torch.randint(0, 5, (2, 4, 3))
    labels[0, :2] = 255
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0])
    assert cross_entropy(z, labels).item() == pytest.approx(
        F.cross_entropy(z, labels, ignore_index=255).item(), rel=1e-6
    )
    expected = F.cross_entropy(z, labels, weight, ignore_index=255)
    assert cross_entropy(z, labels, weight).item() == pytest.approx(expected.item(), rel=1e-6)


def test_cross_entropy_without_labels_is_zero() -> None:
    z = logits(2, 5, 4, 3)
    loss = cross_entropy(z, torch.full((2, 4, 3), 255))
    loss.backward()
    assert loss.item() == 0 and z.grad is not None and z.grad.abs().max() == 0
