"""Feature condensation: what the certainty of the teacher multiplies, and what is left without it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from temporalkd.losses import channel_kl, condensation_matrix, condensed_kl, enhancement, pixel_kl
from temporalkd.losses.condensation import Condense, Mode

EVERY_WAY = [("both", "entropy"), ("teacher", "hard"), ("both", "control"), ("none", "entropy")]


def logits(dtype: torch.dtype = torch.float32, scale: float = 2.0) -> Tensor:
    return (scale * torch.randn(2, 5, 4, 6, dtype=dtype)).requires_grad_()


def centred(z: Tensor) -> Tensor:
    return z - z.mean(1, keepdim=True)


def test_matrix_by_hand() -> None:
    # Uniform over four classes; two of four; certain.
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    teacher = p.clamp(min=1e-30).log().T.reshape(1, 4, 1, 3)
    assert condensation_matrix(teacher).flatten().tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)
    assert condensation_matrix(teacher, "control").flatten().tolist() == pytest.approx([1, 0.5, 0], abs=1e-6)
    disagreement = torch.tensor([0.5, 0.25, 1.0]).view(1, 1, 1, 3)
    both = condensation_matrix(teacher, disagreement=disagreement)
    assert both.flatten().tolist() == pytest.approx([0, 0.25, 0], abs=1e-6)


def test_the_hard_matrix_keeps_the_most_certain_of_each_frame() -> None:
    teacher = torch.zeros(2, 3, 2, 10)
    teacher[0, 0] = torch.randperm(20).view(2, 10) * 0.1
    teacher[1, 0] = 10 + torch.randperm(20).view(2, 10) * 0.1
    matrix = condensation_matrix(teacher, "hard")
    assert matrix.flatten(1).sum(1).tolist() == [16, 16]
    assert torch.equal(matrix[0, 0] == 1, teacher[0, 0] > 0.35)
    valid = torch.ones(2, 1, 2, 10, dtype=torch.bool)
    valid[0, :, :, 5:] = False
    matrix = condensation_matrix(teacher, "hard", valid=valid)
    assert matrix.flatten(1).sum(1).tolist() == [8, 16] and matrix[0, :, :, 5:].max() == 0
    assert condensation_matrix(torch.zeros(1, 3, 2, 5), "hard").min() == 1, "all tie"


def test_enhancement_by_hand() -> None:
    # Two pixels, two classes, centred: |z| = (1, 1) and (log 4, log 4) - so softmax over space of (1, 1 + log 3).
    strong = 1 + math.log(3)
    teacher = torch.tensor([[1.0, strong], [-1.0, -strong]]).view(1, 2, 1, 2) + 100
    spatial, channel = enhancement(teacher)
    assert spatial.flatten().tolist() == pytest.approx([1, 2 * 0.75], rel=1e-4), "0.5 is raised to 1: never flattened"
    assert channel.flatten().tolist() == [1, 1]
    assert enhancement(teacher, limit=1.2)[0].flatten().tolist() == pytest.approx([1, 1.2])
    with pytest.raises(ValueError, match=r"1 or more, got 0\.5"):
        enhancement(teacher, limit=0.5)


def test_without_condensation_and_enhancement_it_is_pixel_kl_and_three_channel_kl() -> None:
    student, teacher = logits(torch.float64), logits(torch.float64)
    valid = torch.rand(2, 1, 4, 6) > 0.3
    for mask in (None, valid):
        parts = condensed_kl(student, teacher, mask, condense="none", limit=1, weight=3)
        over_channels = channel_kl(centred(student), centred(teacher), mask)
        assert parts.spatial.item() == pytest.approx(pixel_kl(student, teacher, mask).item(), rel=1e-12)
        assert parts.total.item() == pytest.approx((parts.spatial + 3 * over_channels).item(), rel=1e-12)
    raw = centred(student), centred(teacher)
    expected = pixel_kl(*raw) + 3 * channel_kl(*raw)
    assert condensed_kl(*raw, condense="none", limit=1, weight=3).total.item() == pytest.approx(
        expected.item(), rel=1e-12
    )


def test_rows_of_the_ablation_by_the_definition() -> None:
    student, teacher = logits(torch.float64), logits(torch.float64)
    s, t, matrix = centred(student), centred(teacher), condensation_matrix(teacher)
    a_s, a_c = enhancement(matrix * t)
    assert a_s.max() > 1 and a_c.max() > 1

    def weighted(s: Tensor, t: Tensor, over: Tensor, dim: int, tau: float = 1.0) -> Tensor:
        """The mean over pixels (dim 1) or channels (dim 2), by how much each counts."""
        p, q = (z.flatten(2).div(tau).softmax(dim) for z in (t, s))
        divergence = tau**2 * (p * (p / q).log()).sum(dim)
        return (over.flatten(1) * divergence).sum() / over.sum()

    rows = {
        ("none", False): pixel_kl(s, t),
        ("teacher", False): pixel_kl(s, matrix * t),
        ("both", False): pixel_kl(matrix * s, matrix * t),
        ("both", True): weighted(matrix * s, matrix * t, a_s, 1),
    }
    for (condense, spatial), expected in rows.items():
        parts = condensed_kl(student, teacher, condense=condense, spatial=spatial, channel=False)  # type: ignore[arg-type]
        assert parts.total.item() == pytest.approx(expected.item(), rel=1e-12)
        assert parts.channel.item() == 0
    full = condensed_kl(student, teacher, weight=2, tau=3)
    expected = 2 * weighted(matrix * s, matrix * t, a_c, 2, tau=3)
    assert full.channel.item() == pytest.approx(expected.item(), rel=1e-12)
    first = condensed_kl(student, teacher, weight=2, tau=3, enhance="teacher")
    spatial = pixel_kl(matrix * s, matrix * t * a_s.sqrt(), matrix)
    channel = 2 * channel_kl(matrix * s, matrix * t * a_c.sqrt(), tau=3)
    assert [x.item() for x in first] == pytest.approx([spatial.item(), channel.item()], rel=1e-12)


@pytest.mark.parametrize("mode", ["entropy", "hard", "control"])
@pytest.mark.parametrize("condense", ["both", "none"])
def test_its_optimum_is_the_teacher(condense: Condense, mode: Mode) -> None:
    teacher = logits(torch.float64).detach()
    student = (teacher + 3).requires_grad_()  # an offset over classes is the same prediction
    at_the_teacher = condensed_kl(student, teacher, condense=condense, mode=mode).total
    at_the_teacher.backward()
    assert at_the_teacher.item() == pytest.approx(0, abs=1e-12)
    assert student.grad is not None and student.grad.abs().max() < 1e-12
    for _ in range(5):
        near = teacher + 0.1 * torch.randn_like(teacher)
        assert condensed_kl(near, teacher, condense=condense, mode=mode).total > 1e-6
    assert condensed_kl(teacher, teacher, condense=condense, mode=mode, enhance="teacher").total > 1e-3


@pytest.mark.parametrize(("condense", "mode"), EVERY_WAY)
def test_invalid_pixels_do_not_count(condense: Condense, mode: Mode) -> None:
    student, teacher = logits().detach(), logits().detach()
    crop = [z[..., :4].contiguous() for z in (student, teacher)]
    expected = torch.stack(condensed_kl(*crop, condense=condense, mode=mode))
    student[..., 4:], teacher[..., 4:] = float("nan"), 1e6
    student.requires_grad_()
    valid = torch.ones(2, 1, 4, 6, dtype=torch.bool)
    valid[..., 4:] = False
    parts = condensed_kl(student, teacher, valid, condense, mode=mode)
    torch.testing.assert_close(torch.stack(parts), expected)
    parts.total.backward()
    assert student.grad is not None
    assert student.grad[..., 4:].abs().max() == 0 < student.grad[..., :4].abs().max()


def test_zero_where_nothing_is_valid() -> None:
    student, teacher = logits(), logits()
    nothing = condensed_kl(student, teacher, torch.zeros(2, 1, 4, 6, dtype=torch.bool)).total
    nothing.backward()
    assert nothing.item() == 0 and student.grad is not None and student.grad.abs().max() == 0


def test_gradcheck() -> None:
    teacher, valid = logits(torch.float64), torch.rand(2, 1, 4, 6) > 0.3
    assert torch.autograd.gradcheck(lambda s: condensed_kl(s, teacher, valid).total, logits(torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_channels_last(dtype: torch.dtype) -> None:
    student, teacher = logits().to(dtype).detach(), logits().to(dtype).detach()
    expected = condensed_kl(student.float(), teacher.float()).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = condensed_kl(*(z.to(memory_format=torch.channels_last) for z in (student, teacher))).total
    assert value.dtype == torch.float32 and value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        condensed_kl(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))
    with pytest.raises(ValueError, match="mode must be one of entropy, hard, control, got 'soft'"):
        condensation_matrix(torch.zeros(1, 4, 2, 2), "soft")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="condense must be one of both, teacher, none, got 'all'"):
        condensed_kl(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), condense="all")  # type: ignore[arg-type]
