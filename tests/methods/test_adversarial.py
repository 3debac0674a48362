"""The game against the critic: who is trained on what, that it can be won, and that it stops when it breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd import losses
from temporalkd.methods import DistillationContext, Method, WeightedLoss
from temporalkd.methods.adversary import Adversarial, Adversary
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.training import checkpoint
from tests.tiny import clip, segmenter
from tests.training.test_trainer import rows, trainer

VIEWS = ["frame", "residual", "tuple"]


def game(**options: Any) -> Method:
    term = Adversarial(width=8, **options)
    terms = [WeightedLoss("cross_entropy", CrossEntropy()), WeightedLoss("game", term)]
    return Method(segmenter(seed=1), terms, teacher=segmenter(seed=0), frames=3)


def played(method: Method) -> DistillationContext:
    context = method.context(clip(3, 2), progress=1.0)
    context.predict(method.student)
    return context


def test_the_critic_is_not_the_students_to_train() -> None:
    method = game()
    critic = {p.data_ptr() for p in method.trainables["game"].parameters()}
    assert critic and not critic & {p.data_ptr() for p in method.trainable_modules.parameters()}
    optimisers = method.optimisers(lambda m: torch.optim.SGD(m.parameters(), 0.1))
    assert list(optimisers) == ["students", "game"]
    assert optimisers["game"].defaults["lr"] == 4e-4 and optimisers["game"].defaults["betas"] == (0.9, 0.99)


@pytest.mark.parametrize("view", VIEWS)
def test_each_side_has_its_own_gradient(view: str) -> None:
    method = game(view=view)
    context = method.context(clip(3, 2), progress=1.0)
    method.losses(context)["game"].backward()
    assert all(p.grad is None for p in method.trainables["game"].parameters())
    before = [p.grad.clone() for p in method.student.parameters() if p.grad is not None]
    assert before and any(g.norm() > 0 for g in before)
    ((name, loss),) = method.discriminator_losses(context)
    loss.backward()
    assert name == "game" and all(
        p.grad is not None for n, p in method.trainables["game"].named_parameters() if "gain" not in n
    )
    after = [p.grad for p in method.student.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after)), "the critic's loss does not reach the student"


def test_the_student_is_shown_as_the_losses_define_it() -> None:
    method = game(view="tuple")
    context, term = played(method), method.adversaries["game"]
    t, size = context.clip.anchor, (16, 16)

    def resized(x: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)

    views = []
    for p, (_, k) in enumerate(context.clip.pairs):
        flow, visible = context.motion(p, size)
        from flow import warp

        warped = warp(resized(context.student.probs(k)), flow)
        image = resized(context.frames[:, t])
        views.append(losses.coupled_input(resized(context.student.probs(t)), warped, visible, image))
    with losses.frozen(term.critic):
        expected = losses.hinge_generator(term.critic(torch.cat(views)))
        assert method.terms["game"].term(context).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("mode", ["hinge", "wasserstein"])
def test_a_critic_that_is_trained_tells_them_apart(mode: str) -> None:
    method = game(game=mode, critic=1.0)
    term, context = method.adversaries["game"], played(method)
    optimiser = term.optimiser()
    first = None
    for _ in range(60):
        ((_, loss),) = method.discriminator_losses(context)
        first = loss.item() if first is None else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < first  # type: ignore[operator]
    assert method.observed(context)["game/accuracy"] > 0.9


@pytest.mark.parametrize("mode", ["hinge", "wasserstein"])
def test_of_several_students_the_critic_sees_each(mode: str) -> None:
    torch.manual_seed(0)
    method = game(game=mode)
    apart, students = [], [segmenter(seed=1), segmenter(seed=2)]
    for number in (0, 1):
        context = method.context(clip(3, 2), progress=1.0)
        context.predict(students[number])
        apart.append(method.adversaries["game"].seen(context, context.student))
    context.predict(*students)
    real, fake = method.adversaries["game"]._sides(context)
    assert len(real) == len(fake) and torch.equal(fake, torch.cat(apart))
    ((_, loss),) = method.discriminator_losses(context)
    assert loss.isfinite() and 0 <= method.observed(context)["game/accuracy"] <= 1


def test_the_log_tells_the_critics_loss_and_accuracy(tmp_path: Path) -> None:
    trainer(tmp_path, game(), frames=3, steps=2).fit()
    for row in rows(tmp_path):
        assert 0 <= row["game/accuracy"] <= 1 and row["game/critic"] > 0 and "game" in row
    state = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert set(state["trainables"]) == set(state["optimisers"]) == {"students", "game"}
    assert state["optimisers"]["game"]["state"]


def test_a_critic_that_breaks_stops_the_training_and_spares_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = game()
    losses_, original = iter(range(1, 9)), Adversary.discriminator_loss

    def breaks(self: Adversary, context: DistillationContext, critic: torch.nn.Module) -> Tensor:
        return original(self, context, critic) * (float("nan") if next(losses_) == 4 else 1.0)

    monkeypatch.setattr(Adversary, "discriminator_loss", breaks)
    with pytest.raises(
        FloatingPointError, match=r"'game/critic' is nan at step 4: stopped, checkpoints/last.pt is of step 2"
    ):
        trainer(tmp_path, method, frames=3, checkpoint_every=2).fit()
    state = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert state["step"] == 2
    for module in state["trainables"].values():
        assert all(torch.isfinite(tensor).all() for tensor in module.values())
