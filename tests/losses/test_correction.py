"""Self-correction: the corrected target, and what is trained on it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from temporalkd.losses import (
    ConvCorrector,
    alpha_schedule,
    collaboration,
    cross_entropy,
    linear_correction,
    pixel_kl,
    soft_cross_entropy,
)


def logits(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_alpha_falls_geometrically_from_30_to_5() -> None:
    assert [alpha_schedule(p) for p in (0, 0.5, 1)] == pytest.approx([30, math.sqrt(150), 5])
    assert alpha_schedule(0.25) / alpha_schedule(0.5) == pytest.approx(alpha_schedule(0.5) / alpha_schedule(0.75))
    assert [alpha_schedule(p, 4, 1) for p in (-1, 0.5, 2)] == pytest.approx([4, 2, 1])
    with pytest.raises(ValueError, match="end is 0"):
        alpha_schedule(0.5, end=0)


def test_linear_correction_by_hand() -> None:
    # Logits (log 16, 0) and (0, 0) at alpha 1: the geometric mean (4, 1) / 5.
    student = torch.tensor([math.log(16), 0.0]).view(1, 2, 1, 1)
    assert linear_correction(student, torch.zeros_like(student), 1.0).flatten().tolist() == pytest.approx([0.8, 0.2])


def test_linear_correction_goes_from_the_student_to_the_ancillary_network() -> None:
    student, ancillary = logits(2, 4, 3, 5), logits(2, 4, 3, 5)
    torch.testing.assert_close(linear_correction(student, ancillary, 0), student.softmax(1))
    torch.testing.assert_close(linear_correction(student, ancillary, math.inf), ancillary.softmax(1))
    torch.testing.assert_close(linear_correction(student, ancillary, 1e-7), student.softmax(1))
    torch.testing.assert_close(linear_correction(student, ancillary, 1e7), ancillary.softmax(1))
    torch.testing.assert_close(linear_correction(student, student, 3.0), student.softmax(1))


def test_linear_correction_of_half_precision_and_what_it_refuses() -> None:
    halves = [logits(1, 4, 3, 3).bfloat16() for _ in range(2)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = linear_correction(*(h.to(memory_format=torch.channels_last) for h in halves), 2.0)
    assert q.dtype == torch.float32
    torch.testing.assert_close(q, linear_correction(*(h.float() for h in halves), 2.0))
    with pytest.raises(ValueError, match=r"linear_correction.*\(1, 4, 2, 2\) and \(1, 3, 2, 2\)"):
        linear_correction(torch.zeros(1, 4, 2, 2), torch.zeros(1, 3, 2, 2), 1.0)
    with pytest.raises(ValueError, match="alpha is -1"):
        linear_correction(*halves, -1.0)


def test_the_corrector_learns_which_network_to_believe_where() -> None:
    """Two networks, each right in its own half of the classes: neither's prediction, nor their mean, is the label."""
    corrector = ConvCorrector(4, hidden=16)
    optimiser = torch.optim.Adam(corrector.parameters(), 1e-2)
    labels = torch.randint(0, 4, (4, 12, 12))
    right = 4 * torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).float()
    wrong = right.roll(1, 1)
    low = (labels < 2).unsqueeze(1)
    student = torch.where(low, right, wrong).requires_grad_()
    ancillary = torch.where(low, wrong, right).requires_grad_()
    for _ in range(60):
        optimiser.zero_grad()
        cross_entropy(corrector(student, ancillary), labels).backward()
        optimiser.step()
    share = (corrector(student, ancillary).argmax(1) == labels).float().mean()
    assert share > 0.95 > (linear_correction(student, ancillary, 1.0).argmax(1) == labels).float().mean()
    assert student.grad is None and ancillary.grad is None, "the networks that it reads are not moved"
    with pytest.raises(ValueError, match=r"ConvCorrector.*\(1, 4, 2, 2\) and \(1, 4, 2, 3\)"):
        corrector(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 3))


def test_soft_cross_entropy_by_hand_and_against_hard_labels() -> None:
    # p = (1/2, 1/2): whatever q, log 2.
    target = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1)
    assert soft_cross_entropy(torch.zeros(1, 2, 1, 1), target).item() == pytest.approx(math.log(2))
    z, labels = logits(2, 5, 4, 3), torch.randint(0, 5, (2, 4, 3))
    labels[0, 0] = 255
    valid = (labels != 255).unsqueeze(1)
    hot = torch.nn.functional.one_hot(labels.masked_fill(labels == 255, 0), 5).movedim(-1, 1).float()
    assert soft_cross_entropy(z, hot, valid).item() == pytest.approx(cross_entropy(z, labels).item(), rel=1e-6)


def test_soft_cross_entropy_ignores_what_is_not_valid() -> None:
    z, q = logits(1, 3, 4, 4).detach(), logits(1, 3, 4, 4).softmax(1).detach()
    valid = torch.rand(1, 1, 4, 4) > 0.5
    expected = soft_cross_entropy(z, q, valid).item()
    spoiled = torch.where(valid, z, torch.tensor(float("nan"))).requires_grad_()
    value = soft_cross_entropy(spoiled, torch.where(valid, q, torch.tensor(float("inf"))), valid)
    value.backward()
    assert value.item() == expected and spoiled.grad is not None
    assert (spoiled.grad.abs().amax(1, keepdim=True) != 0).equal(valid)
    nothing = soft_cross_entropy(z.requires_grad_(), q, valid & False)
    nothing.backward()
    assert nothing.item() == 0 and z.grad is not None and z.grad.abs().max() == 0


def test_soft_cross_entropy_gradcheck_half_precision_and_shapes() -> None:
    z, q = logits(1, 3, 2, 2, dtype=torch.float64), logits(1, 3, 2, 2, dtype=torch.float64).softmax(1)
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, q), z)
    half = z.bfloat16().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = soft_cross_entropy(half, q.float())
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(soft_cross_entropy(half.float(), q.float()).item(), rel=1e-6)
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 3, 2, 2\)"):
        soft_cross_entropy(torch.zeros(1, 4, 2, 2), torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) and \(1, 4, 2, 2\)"):
        soft_cross_entropy(*torch.zeros(2, 1, 4, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool))


def test_collaboration_is_the_mean_over_the_others() -> None:
    students = [logits(1, 4, 3, 3) for _ in range(3)]
    valid = torch.rand(1, 1, 3, 3) > 0.3
    value = collaboration(students, 1, valid)
    expected = (pixel_kl(students[1], students[0], valid) + pixel_kl(students[1], students[2], valid)) / 2
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    value.backward()
    assert [s.grad is not None for s in students] == [False, True, False]
    assert collaboration([students[0], students[0] + 5], 0).item() == pytest.approx(0, abs=1e-6)


def test_collaboration_gradcheck_and_what_it_refuses() -> None:
    own, other = (logits(1, 3, 2, 2, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(lambda z: collaboration([other, z], 1), own)
    for students, k in (([own], 0), ([], 0), ([own, other], 2), ([own, other], -1)):
        with pytest.raises(ValueError, match=f"student {k} among {len(students)}"):
            collaboration(students, k)
    with pytest.raises(ValueError, match=r"collaboration.*\(1, 3, 2, 2\) and \(1, 3, 2, 1\)"):
        collaboration([own, other[..., :1]], 0)
