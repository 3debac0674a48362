"""DIST and plain feature distillation, against independent formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses import dist, feature_cosine, feature_l2

LOSSES: list[Callable[..., Tensor]] = [dist, feature_l2, feature_cosine]


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def test_dist_is_pearsons_correlation() -> None:
    student, teacher = random(2, 5, 4, 3, dtype=torch.float64), random(2, 5, 4, 3, dtype=torch.float64)
    valid = torch.rand(2, 1, 4, 3) > 0.3
    valid[0, 0, 0, 0] = True
    p, q = ((z / 2).softmax(1).detach().numpy() for z in (student, teacher))
    mask = valid[:, 0].numpy()
    pixels = [np.corrcoef(p[b, :, y, x], q[b, :, y, x])[0, 1] for b, y, x in zip(*np.nonzero(mask))]
    classes = [np.corrcoef(p[b, c][mask[b]], q[b, c][mask[b]])[0, 1] for b in range(2) for c in range(5)]
    expected = 4 * ((1 - np.mean(pixels)) * 0.5 + (1 - np.mean(classes)) * 3)
    assert dist(student, teacher, valid, inter=0.5, intra=3.0, tau=2.0).item() == pytest.approx(expected, rel=1e-9)


def test_dist_by_hand() -> None:
    # One pixel, three classes: centred (0.4, -0.2, -0.2) and (-0.2, 0.4, -0.2) have the correlation -0.5.
    teacher, student = (torch.tensor(p).log().view(1, 3, 1, 1) for p in ([0.6, 0.2, 0.2], [0.2, 0.6, 0.2]))
    lone = torch.zeros(1, 3, 1, 1)
    assert dist(student, teacher, intra=0).item() == pytest.approx(1.5, rel=1e-5)
    assert dist(lone, teacher, inter=1, intra=0).item() == pytest.approx(1), "a constant has no correlation"


def test_dist_does_not_see_scale_and_offset_of_the_probabilities() -> None:
    teacher = random(1, 4, 5, 5).detach()
    flat = (0.25 + 0.3 * (teacher.softmax(1) - 0.25)).log()
    assert abs(dist(flat, teacher).item()) < 1e-5


def test_features_against_torch() -> None:
    student, teacher = random(2, 6, 4, 5), random(2, 6, 4, 5)
    deviation = teacher.transpose(0, 1).flatten(1).std(1, correction=0).view(1, -1, 1, 1)
    expected = F.mse_loss(student / deviation, teacher / deviation)
    assert feature_l2(student, teacher).item() == pytest.approx(expected.item(), rel=1e-4)
    means = teacher.mean((0, 2, 3), keepdim=True).expand_as(teacher)
    assert feature_l2(means, teacher).item() == pytest.approx(1, rel=1e-4)
    cosine = 1 - F.cosine_similarity(student, teacher, 1).mean()
    assert feature_cosine(student, teacher).item() == pytest.approx(cosine.item(), rel=1e-5)
    scale = torch.rand(2, 1, 4, 5) + 0.5
    assert feature_cosine(scale * student, teacher).item() == pytest.approx(cosine.item(), rel=1e-5)
    small = 1e-3 * student, 1e-3 * teacher
    assert feature_l2(*(100 * f for f in small)).item() == pytest.approx(feature_l2(student, teacher).item(), rel=1e-3)


def test_features_by_hand() -> None:
    teacher = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)  # mean 2, deviation 1
    assert feature_l2(torch.tensor([2.0, 3.0]).view(1, 1, 1, 2), teacher).item() == pytest.approx(0.5, rel=1e-5)
    one, other = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([1.0, 1.0]).view(1, 2, 1, 1)
    assert feature_cosine(one, other).item() == pytest.approx(1 - 0.5**0.5, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_contract(loss: Callable[..., Tensor]) -> None:
    same = random(2, 4, 4, 5)
    assert abs(loss(same, same).item()) < 1e-5
    student, teacher = random(2, 4, 4, 5), random(2, 4, 4, 5)
    valid = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    valid[0, :, :2] = True
    value = loss(student, teacher, valid)
    alone = loss(student[:1, :, :2], teacher[:1, :, :2])
    assert value.item() == pytest.approx(alone.item(), rel=1e-5), "what is under an invalid pixel does not count"
    value.backward()
    assert teacher.grad is None and student.grad is not None
    assert student.grad[0, :, 2:].abs().max() == 0 == student.grad[1].abs().max() < student.grad.abs().max()
    student.grad = None
    nothing = loss(student, teacher, torch.zeros_like(valid))
    nothing.backward()
    assert nothing.item() == 0 and student.grad is not None and student.grad.abs().max() == 0
    for dtype in (torch.float16, torch.bfloat16):
        low = student.detach().to(dtype), teacher.detach().to(dtype)
        assert loss(*low).dtype == torch.float32
        assert loss(*low).item() == pytest.approx(loss(*(x.float() for x in low)).item(), rel=1e-6)
    fixed = random(1, 3, 2, 3, dtype=torch.float64).detach()
    assert torch.autograd.gradcheck(lambda s: loss(s, fixed), random(1, 3, 2, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=rf"{loss.__name__}.*\(1, 4, 2, 2\) and \(1, 5, 2, 2\)"):
        loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))
    zeros = torch.zeros(1, 4, 3, 3, requires_grad=True)
    loss(zeros, random(1, 4, 3, 3)).backward()
    assert zeros.grad is not None and zeros.grad.isfinite().all()
