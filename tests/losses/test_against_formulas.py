"""Each loss with public code against its formula, written out in NumPy; and no gradient for the teacher."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import floor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd import losses

Array = NDArray[Any]
B, C, H, W = 2, 4, 3, 5


def made(channels: int = C, seed: int = 0) -> Tensor:
    return 2 * torch.randn(B, channels, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def softmax(values: Array) -> Array:
    e = np.exp(values - values.max())
    return e / e.sum()


def kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q) if a > 0))


def cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def pixels() -> list[tuple[int, int, int]]:
    return list(product(range(B), range(H), range(W)))


STUDENT, TEACHER, LABELS = made(seed=1), made(seed=2), torch.randint(C, (B, H, W), generator=torch.manual_seed(3))
s, t, y = STUDENT.numpy(), TEACHER.numpy(), LABELS.numpy()


@pytest.mark.parametrize("tau", [1.0, 2.0, 4.0])
def test_pixel_kl(tau: float) -> None:
    """Hinton et al., 2015, as in SKD: the mean over pixels of KL(p_T || p_S)."""
    each = [kl(softmax(t[b, :, i, j] / tau), softmax(s[b, :, i, j] / tau)) for b, i, j in pixels()]
    assert losses.pixel_kl(STUDENT, TEACHER, tau=tau).item() == pytest.approx(tau**2 * np.mean(each), rel=1e-10)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_channel_kl(tau: float) -> None:
    """Shu et al., ICCV 2021: each channel a distribution over space; tau^2 / C times the sum over channels."""
    each = [kl(softmax(t[b, c].ravel() / tau), softmax(s[b, c].ravel() / tau)) for b in range(B) for c in range(C)]
    assert losses.channel_kl(STUDENT, TEACHER, tau=tau).item() == pytest.approx(tau**2 * np.mean(each), rel=1e-10)


@pytest.mark.parametrize("centre", [False, True])
def test_pair_wise_affinity(centre: bool) -> None:
    """Liu et al., CVPR 2019: squared differences of the cosines between all pairs of pixels of a frame."""
    a, b = (x - x.mean(1, keepdims=True) if centre else x for x in (s, t))
    each = []
    for n in range(B):
        for (i, j), (k, m) in product(product(range(H), range(W)), repeat=2):
            each.append((cosine(a[n, :, i, j], a[n, :, k, m]) - cosine(b[n, :, i, j], b[n, :, k, m])) ** 2)
    value = losses.intra_affinity(STUDENT, TEACHER, centre=centre)
    assert value.item() == pytest.approx(np.mean(each), rel=1e-9)


@pytest.mark.parametrize("centre", [False, True])
def test_pair_wise_frame_dependency(centre: bool) -> None:
    """Liu et al., ECCV 2020 (PF): the same between the pixels of two frames, other channel counts included."""
    student_k, teacher_t, teacher_k = made(seed=4), made(6, seed=5), made(6, seed=6)
    four = [x.numpy() for x in (STUDENT, student_k, teacher_t, teacher_k)]
    a, b, c, d = (x - x.mean(1, keepdims=True) if centre else x for x in four)
    each = []
    for n in range(B):
        for (i, j), (k, m) in product(product(range(H), range(W)), repeat=2):
            each.append((cosine(a[n, :, i, j], b[n, :, k, m]) - cosine(c[n, :, i, j], d[n, :, k, m])) ** 2)
    value = losses.inter_affinity(STUDENT, student_k, teacher_t, teacher_k, centre=centre)
    assert value.item() == pytest.approx(np.mean(each), rel=1e-9)


def test_an_offset_of_all_logits_changes_nothing_once_centred() -> None:
    four = [STUDENT, made(seed=4), TEACHER, made(seed=5)]
    expected = losses.inter_affinity(*four, centre=True)
    moved = losses.inter_affinity(four[0] + 3, four[1] - 2, four[2] + 1, four[3] + 5, centre=True)
    assert moved.item() == pytest.approx(expected.item(), rel=1e-9)
    assert losses.inter_affinity(four[0] + 3, *four[1:]).item() != pytest.approx(expected.item(), rel=0.01)


def test_multi_frame_dependency() -> None:
    """Liu et al., ECCV 2020 (MF): self-affinity maps through a ConvLSTM; MSE of its last hidden and cell states."""
    memory = losses.AffinityMemory((H, W), hidden=2).double()
    students, teachers = [made(seed=n) for n in (1, 2, 3)], [made(6, seed=n) for n in (4, 5, 6)]
    weight, bias = (memory.cell.gates.weight.numpy(), memory.cell.gates.bias.numpy())

    def sigmoid(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def state_of(frames: list[Tensor]) -> Array:
        n = H * W
        hidden, cell = np.zeros((2, B, 2, n, n))
        for frame in frames:
            columns = frame.numpy().reshape(B, -1, n)
            maps = np.array([[[cosine(x[:, i], x[:, j]) for j in range(n)] for i in range(n)] for x in columns])[
                :, None
            ]
            inputs = np.pad(np.concatenate([maps, hidden], 1), ((0, 0), (0, 0), (1, 1), (1, 1)))
            gates = np.zeros((B, 8, n, n)) + bias[:, None, None]
            for dy, dx in product(range(3), repeat=2):
                gates += np.einsum("bchw,oc->bohw", inputs[:, :, dy : dy + n, dx : dx + n], weight[:, :, dy, dx])
            i, f, o, g = np.split(gates, 4, axis=1)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(cell)
        return np.stack([hidden, cell])

    expected = ((state_of(students) - state_of(teachers)) ** 2).mean(axis=(1, 2, 3, 4)).sum()
    assert losses.recurrent_dependency(students, teachers, memory).item() == pytest.approx(expected, rel=1e-8)


def test_temporal_loss() -> None:
    """Liu et al., ECCV 2020 (TL), on probabilities: squared change along the flow, mean over what is visible."""
    generator = torch.manual_seed(7)
    flow = 1.5 * torch.randn(B, 2, H, W, dtype=torch.float64, generator=generator)
    visible = torch.rand(B, 1, H, W, generator=generator) > 0.4
    p, q = STUDENT.softmax(1), made(seed=8).softmax(1)
    each = []
    for b, i, j in pixels():
        x = min(max(j + float(flow[b, 0, i, j]), 0), W - 1)
        yy = min(max(i + float(flow[b, 1, i, j]), 0), H - 1)
        x0, y0 = min(floor(x), W - 2), min(floor(yy), H - 2)
        u, v = x - x0, yy - y0
        corners = (q[b, :, y0, x0], q[b, :, y0, x0 + 1], q[b, :, y0 + 1, x0], q[b, :, y0 + 1, x0 + 1])
        weights = ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)
        warped = sum(w * c for w, c in zip(weights, corners))
        if visible[b, 0, i, j]:
            each.append(float(((p[b, :, i, j] - warped) ** 2).sum()))
    assert losses.motion_consistency(p, q, flow, visible).item() == pytest.approx(np.mean(each), rel=1e-9)


def test_intra_class_feature_variation() -> None:
    """Wang et al., ECCV 2020 (IFVD): cosine of each pixel with the mean of its class in its image."""

    def variation(f: Array, b: int, i: int, j: int) -> float:
        of_class = [f[b, :, k, m] for k, m in product(range(H), range(W)) if y[b, k, m] == y[b, i, j]]
        return cosine(f[b, :, i, j], np.mean(of_class, axis=0))

    each = [(variation(s, *at) - variation(t, *at)) ** 2 for at in pixels()]
    assert losses.intra_class_variation(STUDENT, TEACHER, LABELS, C).item() == pytest.approx(np.mean(each), rel=1e-9)


def test_attention_transfer() -> None:
    """Zagoruyko and Komodakis, ICLR 2017 (AT): distance of the normalised energy maps, summed over pixels."""

    def q(f: Array, b: int) -> Array:
        energy = (f[b] ** 2).mean(0).ravel()
        return energy / np.sqrt((energy**2).sum())

    each = [((q(s, b) - q(t, b)) ** 2).sum() for b in range(B)]
    assert losses.attention(STUDENT, TEACHER).item() == pytest.approx(np.mean(each), rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta", "tau"), [(1.0, 1.0, 1.0), (1.0, 8.0, 4.0)])
def test_decoupled_distillation(alpha: float, beta: float, tau: float) -> None:
    """Zhao et al., CVPR 2022 (DKD): the binary KL of the target class, and the KL among the others."""
    each = []
    for b, i, j in pixels():
        p, q = softmax(t[b, :, i, j] / tau), softmax(s[b, :, i, j] / tau)
        k = y[b, i, j]
        others_p, others_q = np.delete(p, k), np.delete(q, k)
        target = kl(np.array([p[k], 1 - p[k]]), np.array([q[k], 1 - q[k]]))
        each.append(alpha * target + beta * kl(others_p / others_p.sum(), others_q / others_q.sum()))
    value = losses.dkd(STUDENT, TEACHER, LABELS, alpha, beta, tau)
    assert value.item() == pytest.approx(tau**2 * np.mean(each), rel=1e-9)


def test_hinge_losses() -> None:
    """Lim and Ye, 2017: the critic's scores, and the generator's."""
    real, fake = made(1, seed=1), made(1, seed=2)
    expected = np.mean([max(0.0, 1 - x) for x in real.flatten().tolist()])
    expected += np.mean([max(0.0, 1 + x) for x in fake.flatten().tolist()])
    assert losses.hinge_critic(real, fake).item() == pytest.approx(expected, rel=1e-12)
    assert losses.hinge_generator(fake).item() == pytest.approx(-np.mean(fake.flatten().tolist()), rel=1e-12)


FLOW, VISIBLE = torch.zeros(B, 2, H, W, dtype=torch.float64), torch.ones(B, 1, H, W, dtype=torch.bool)
TO_A_TEACHER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pixel_kl": losses.pixel_kl,
    "pixel_kl_to_probs": lambda s, t: losses.pixel_kl_to_probs(s, t.softmax(1)),
    "channel_kl": losses.channel_kl,
    "channel_kl, standardised": lambda s, t: losses.channel_kl(s, t, standardise=True),
    "attention": losses.attention,
    "intra_affinity": losses.intra_affinity,
    "intra_affinity, Gram": lambda s, t: losses.intra_affinity(s[:, :1], t[:, :1]),
    "inter_affinity": lambda s, t: losses.inter_affinity(s, s.flip(0), t, t.flip(0)),
    "inter_affinity, Gram": lambda s, t: losses.inter_affinity(s[:, :1], s[:, 1:2], t[:, :1], t[:, 1:2], centre=False),
    "recurrent_dependency": lambda s, t: losses.recurrent_dependency(
        [s, s.flip(0)], [t, t.flip(0)], losses.AffinityMemory((H, W)).double()
    ),
    "intra_class_variation": lambda s, t: losses.intra_class_variation(s, t, LABELS, C),
    "prototype_triplet": lambda s, t: losses.prototype_triplet(s, t, LABELS, C, minimum=1),
    "dkd": lambda s, t: losses.dkd(s, t, LABELS),
    "condensed_kl": lambda s, t: losses.condensed_kl(s, t).total,
    "condensed_kl, enhanced teacher": lambda s, t: losses.condensed_kl(s, t, enhance="teacher").total,
    "teacher_residual": lambda s, t: losses.teacher_residual(
        s.softmax(1), s.flip(0).softmax(1), t.softmax(1), t.flip(0).softmax(1), FLOW, VISIBLE
    ),
    "flow_averaged_teacher": lambda s, t: losses.pixel_kl_to_probs(
        s, losses.flow_averaged_teacher(t.softmax(1), t.flip(0).softmax(1), FLOW, VISIBLE)
    ),
    "fused_target": lambda s, t: losses.pixel_kl_to_probs(
        s, losses.fused_target([t.softmax(1), t.flip(0).softmax(1)], losses.branch_weights([t.softmax(1)] * 2))
    ),
    "soft_cross_entropy": lambda s, t: losses.soft_cross_entropy(s, t.softmax(1)),
    "linear_correction": lambda s, t: losses.soft_cross_entropy(s, losses.linear_correction(s.detach(), t, 5.0)),
    "collaboration": lambda s, t: losses.collaboration([s, t], 0),
}


@pytest.mark.parametrize("name", TO_A_TEACHER)
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    """Even where the student's side is computed from the same tensor."""
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    TO_A_TEACHER[name](student, teacher).backward()
    assert teacher.grad is None and student.grad is not None and student.grad.norm() > 0


def test_a_prediction_may_be_its_own_teacher() -> None:
    z = TEACHER.clone().requires_grad_()
    losses.pixel_kl(STUDENT.clone().requires_grad_(), z).backward()
    assert z.grad is None
    losses.pixel_kl(z.flip(0), z).backward()
    assert z.grad is not None
    expected = (z.detach().flip(0).softmax(1) - z.detach().softmax(1)).flip(0) / (B * H * W)
    torch.testing.assert_close(z.grad, expected)
