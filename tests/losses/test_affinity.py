"""Affinities: the linear-memory form against the N x N one, and what must not matter."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.losses import inter_affinity, intra_affinity


def full_matrix(s_t: Tensor, s_k: Tensor, t_t: Tensor, t_k: Tensor) -> Tensor:
    """The definition: all pairs of pixels, written with explicit N x N matrices in float64."""

    def cosines(a: Tensor, b: Tensor) -> Tensor:
        a, b = (x.double().flatten(2) for x in (a, b))
        dots = torch.einsum("bci,bcj->bij", a, b)
        return dots / (a.norm(dim=1)[:, :, None] * b.norm(dim=1)[:, None, :])

    return (cosines(s_t, s_k) - cosines(t_t, t_k)).square().mean()


def features(channels: int, size: tuple[int, int] = (9, 11), dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, channels, *size, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("size", [(3, 3), (30, 40)], ids=["matrix form", "Gram form"])
@pytest.mark.parametrize("channels", [(11, 11), (16, 24)])
def test_equals_the_full_matrix(size: tuple[int, int], channels: tuple[int, int]) -> None:
    s, t = channels
    maps = [features(s, size), features(s, size), features(t, size), features(t, size)]
    value, expected = inter_affinity(*maps), full_matrix(*maps)
    assert value.double().item() == pytest.approx(expected.item(), rel=1e-6)
    got = torch.autograd.grad(value, maps[:2])
    wanted = torch.autograd.grad(expected, maps[:2])
    for g, w in zip(got, wanted):
        assert (g - w).norm() <= 2e-6 * w.norm()


def test_no_matrix_of_pixels_by_pixels_is_formed() -> None:
    pixels = 64 * 64
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            largest = max(
                [largest, *(x.numel() for x in (out if isinstance(out, tuple) else (out,)) if isinstance(x, Tensor))]
            )
            return out

    maps = [features(16, (64, 64)) for _ in range(4)]
    with Watch():
        inter_affinity(*maps).backward()
    assert largest < pixels * pixels / 16


def test_zero_for_equal_inputs_and_any_scale() -> None:
    a, b = features(6), features(6)
    assert inter_affinity(a, b, a * 3, b * 0.1).item() == pytest.approx(0, abs=1e-6)
    assert intra_affinity(a, a.detach()).item() == pytest.approx(0, abs=1e-6)


def test_hand_computed() -> None:
    # Two pixels: the student's are orthogonal, the teacher's parallel; affinities differ by 1 in the two mixed entries.
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)
    teacher = torch.ones(1, 2, 1, 2)
    assert intra_affinity(student, teacher).item() == pytest.approx(0.5)


def test_invalid_pixels_do_not_count() -> None:
    s_t, s_k, t_t, t_k = (features(5, (6, 8)).detach() for _ in range(4))
    valid = torch.ones(2, 1, 6, 8, dtype=torch.bool)
    valid[..., 6:] = False
    crop = [x[..., :6].contiguous() for x in (s_t, s_k, t_t, t_k)]
    expected = full_matrix(*crop)
    s_t[..., 6:], t_k[..., 6:] = 1e3, -7.0
    assert inter_affinity(s_t, s_k, t_t, t_k, valid, valid).item() == pytest.approx(expected.item(), rel=1e-5)
    assert inter_affinity(s_t, s_k, t_t, t_k, ~valid & valid, valid).item() == 0


def test_gradient_reaches_the_student_only_as_asked() -> None:
    s_t, s_k, t_t, t_k = (features(4) for _ in range(4))
    inter_affinity(s_t, s_k, t_t, t_k).backward()
    assert s_t.grad is not None and s_t.grad.norm() > 0
    assert s_k.grad is not None and s_k.grad.norm() > 0
    assert all(t.grad is None or not t.grad.any() for t in (t_t, t_k))


@pytest.mark.parametrize("size", [(2, 2), (5, 6)])
def test_gradcheck(size: tuple[int, int]) -> None:
    maps = [features(3, size, torch.float64) for _ in range(2)]
    fixed = [features(2, size, torch.float64).detach() for _ in range(2)]
    valid = torch.rand(2, 1, *size) < 0.8
    assert torch.autograd.gradcheck(lambda a, b: inter_affinity(a, b, *fixed, valid, None), maps)
    assert torch.autograd.gradcheck(lambda a: intra_affinity(a, fixed[0], valid), maps[:1])
    assert torch.autograd.gradcheck(lambda a: inter_affinity(a, maps[1].detach(), *fixed), maps[:1])


def test_half_precision_and_autocast() -> None:
    maps = [features(8, (20, 30)).detach() for _ in range(4)]
    expected = inter_affinity(*(m.bfloat16().float() for m in maps))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert inter_affinity(*(m.bfloat16() for m in maps)).item() == pytest.approx(expected.item(), rel=1e-6)


def test_unequal_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\).*\(2, 3, 4, 5\)"):
        intra_affinity(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 5))


def test_a_pixel_of_zeros_has_a_finite_gradient() -> None:
    student = torch.zeros(1, 3, 20, 20, requires_grad=True)
    intra_affinity(student, F.normalize(torch.randn(1, 3, 20, 20), dim=1)).backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()
