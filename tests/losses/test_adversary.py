"""The critic, its losses, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.losses import (
    Critic,
    coupled_input,
    critic_channels,
    frozen,
    gradient_penalty,
    hinge_critic,
    hinge_generator,
    wasserstein_critic,
)

SIZE = (20, 24)


def teacher_like(count: int = 8) -> Tensor:
    """Smooth maps: regions of one class."""
    return (4 * F.interpolate(torch.randn(count, 3, 5, 6), SIZE, mode="bilinear")).softmax(1)


def student_like(count: int = 8) -> Tensor:
    """As certain and as often of each class, without regions."""
    return (4 * torch.randn(count, 3, *SIZE)).softmax(1)


def scores(critic: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    both = critic(torch.cat([real, fake]))
    return both[: len(real)], both[len(real) :]


def train(critic: nn.Module, steps: int, loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    optimiser, value = torch.optim.Adam(critic.parameters(), 2e-3, (0.9, 0.99)), torch.zeros(())
    for _ in range(steps):
        value = loss(teacher_like(), student_like())
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return value.item()


def hinge_trained(seed: int = 0, steps: int = 120) -> tuple[Critic, float]:
    torch.manual_seed(seed)
    critic = Critic(3, width=8)
    return critic, train(critic, steps, lambda real, fake: hinge_critic(*scores(critic, real, fake)))


@pytest.fixture(scope="module")
def trained() -> Critic:
    return hinge_trained()[0]


def test_the_generators_gradient_moves_fakes_towards_reals() -> None:
    """Reals are mostly of class 0, fakes begin at class 2: in the game their shares of classes meet."""
    critic, lean, goal = Critic(3, width=8), torch.tensor([0.0, 0.0, 2.0]).requires_grad_(), torch.tensor([2.0, 0, 0])

    def maps(logits: Tensor) -> Tensor:
        return (torch.randn(8, 3, *SIZE) + logits.view(3, 1, 1)).softmax(1)

    def distance() -> float:
        return (maps(lean) - maps(goal)).mean((0, 2, 3)).norm().item()

    before = distance()
    critic_steps, own_steps = torch.optim.Adam(critic.parameters(), 2e-3, (0.0, 0.99)), torch.optim.Adam([lean], 0.05)
    for _ in range(80):
        fake = maps(lean)
        with frozen(critic):
            loss = hinge_generator(critic(fake))
        own_steps.zero_grad()
        loss.backward()
        own_steps.step()
        critic_steps.zero_grad()
        hinge_critic(*scores(critic, maps(goal), fake.detach())).backward()
        critic_steps.step()
    assert before > 0.7 and distance() < 0.5 * before


def test_held_the_critic_gathers_nothing_and_stays_as_it_is(trained: Critic) -> None:
    trained.zero_grad(set_to_none=True)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    fake = student_like().requires_grad_()
    with frozen(trained):
        loss = hinge_generator(trained(fake))
    loss.backward()
    assert fake.grad is not None and fake.grad.norm() > 0
    assert all(p.grad is None and p.requires_grad for p in trained.parameters()) and trained.training
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())


def test_the_critics_step_gives_the_student_no_gradient() -> None:
    critic, student = Critic(10, width=8), nn.Conv2d(3, 3, 1)
    image, visible = torch.rand(2, 3, *SIZE), torch.rand(2, 1, *SIZE) > 0.2
    probs = student(image).softmax(1)
    fake = coupled_input(probs, probs.roll(1, 3), visible, image)
    real = coupled_input(*teacher_like(4).chunk(2), visible, image)
    loss = hinge_critic(*scores(critic, real, fake.detach())) + gradient_penalty(real, fake, critic)
    loss.backward()
    assert all(p.grad is None for p in student.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in critic.parameters())


def test_spectral_normalisation_holds_every_convolution() -> None:
    critic = Critic(3, width=8)
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 9
    for _ in range(30):
        critic(teacher_like(1))
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    assert not any("parametrizations" in name for name in Critic(3, width=8, spectral=False).state_dict())


def test_the_critic_keeps_full_precision_under_autocast_and_takes_channels_last(trained: Critic) -> None:
    x = teacher_like(2).bfloat16()
    with frozen(trained):
        expected = trained(x.float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = trained(x.to(memory_format=torch.channels_last))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]).requires_grad_(), torch.tensor([-3.0, 0.0]).requires_grad_()
    assert hinge_critic(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)
    assert hinge_generator(fake).item() == pytest.approx(1.5)
    assert wasserstein_critic(real, fake).item() == pytest.approx(-1.5 - 1.25)
    hinge_critic(real, fake).backward()
    assert real.grad is not None and real.grad.tolist() == [0, -0.5]
    assert fake.grad is not None and fake.grad.tolist() == [0, 0.5]


def test_penalty_by_hand() -> None:
    # D = s * sum x over 3 x 2 x 2 entries: its gradient is s everywhere, of norm s sqrt(12).
    real, fake, slope = torch.rand(4, 3, 2, 2), torch.rand(4, 3, 2, 2), torch.tensor(0.5, requires_grad=True)
    value = gradient_penalty(real, fake, lambda x: slope * x.sum((1, 2, 3), keepdim=True))
    norm = 0.5 * 12**0.5
    assert value.item() == pytest.approx(10 * (norm - 1) ** 2, rel=1e-5)
    value.backward()
    assert slope.grad is not None and slope.grad.item() == pytest.approx(20 * (norm - 1) * 12**0.5, rel=1e-5)


def test_penalty_lies_between_is_seeded_and_survives_a_flat_critic() -> None:
    real, fake, seen, flat = torch.ones(6, 3, 16, 16), torch.zeros(6, 3, 16, 16), [], Critic(3, width=4, spectral=False)
    for p in flat.parameters():
        nn.init.zeros_(p)

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return flat(x)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = [gradient_penalty(real, fake, watched, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    shares = [x.flatten(1) for x in seen]
    assert all(torch.equal(s.amin(1), s.amax(1)) and s.min() >= 0 and s.max() <= 1 for s in shares)
    assert torch.equal(shares[0], shares[1]) and not torch.equal(shares[0], shares[2]) and shares[0].dtype.itemsize == 4
    values[0].backward()
    assert values[0].item() == pytest.approx(10)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in flat.parameters())


def test_what_the_critic_sees() -> None:
    probs, warped = teacher_like(2).requires_grad_(), student_like(2)
    image, visible = torch.rand(2, 3, *SIZE), torch.rand(2, 1, *SIZE) > 0.3
    views = {v: coupled_input(probs, warped, visible, image, v) for v in ("tuple", "residual", "frame")}
    assert {v: x.shape[1] for v, x in views.items()} == {v: critic_channels(v, 3) for v in views}
    parts = views["tuple"].split([3, 3, 1, 3], 1)
    for part, wanted in zip(parts, (probs, warped * visible, visible.float(), image)):
        assert torch.equal(part, wanted)
    assert torch.equal(views["frame"], probs) and torch.equal(views["residual"], (probs - warped) * visible)
    spoiled = torch.where(visible, warped, torch.tensor(float("nan"))).requires_grad_()
    for view, x in views.items():
        again = coupled_input(probs.bfloat16().float(), spoiled, visible, image.bfloat16(), view)
        assert again.dtype == torch.float32 and torch.allclose(again, x, atol=1e-2)
        gradient = torch.autograd.grad(again.sum(), spoiled, allow_unused=True)[0]
        assert gradient is None if view == "frame" else torch.equal(gradient != 0, visible.expand_as(gradient))


def test_what_does_not_fit_is_refused() -> None:
    probs, image, visible = teacher_like(1), torch.rand(1, 3, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(1, 3, 20, 24\) and \(1, 2, 20, 24\)"):
        coupled_input(probs, probs[:, :2], visible, image)
    with pytest.raises(ValueError, match=r"image is \(1, 3, 20, 20\).*\(1, 3, 20, 24\)"):
        coupled_input(probs, probs, visible, image[..., :20])
    with pytest.raises(ValueError, match=r"\(1, 1, 20, 20\) and \(1, 3, 20, 24\)"):
        coupled_input(probs, probs, visible[..., :20], image)
    with pytest.raises(ValueError, match="view is 'pair', expected one of frame, residual, tuple"):
        coupled_input(probs, probs, visible, image, "pair")
    for x in (torch.zeros(1, 4, 16, 16), torch.zeros(1, 3, 16, 15)):
        with pytest.raises(ValueError, match=r"Critic: got \(1, . ?, 16, 1[56]\), expected \(B, 3, H, W\)"):
            Critic(3, width=4)(x)
