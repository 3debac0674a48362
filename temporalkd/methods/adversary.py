"""A critic that is trained against the student, with an optimiser of its own, and the student's side of the game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flow import warp
from flow.ordered import resized
from temporalkd import losses
from temporalkd.methods.context import ClipPrediction, DistillationContext
from temporalkd.methods.term import LossTerm, register_term
from temporalkd.models import Segmenter, Teacher

View = Literal["frame", "residual", "tuple"]
Game = Literal["hinge", "wasserstein"]


class Adversary:
    """A critic that learns to tell the students' predictions from the teacher's.

    The students' optimiser does not train it: `discriminator_loss` gives its own loss, after the students' update.

    Args:
        view: what the critic sees, see losses.coupled_input: the coupled tuple, the residual, or one frame alone.
        game: "hinge" with spectral normalisation, or "wasserstein" with a gradient penalty of 10.
        weight: of the critic's loss.
        width: of the critic.
        branch: of a joint teacher, the one that is shown; "" for what all say together.
    Source:
        Wang et al., 2022 (STCKD): a GAN-structured framework coupled over space and time [text]; SAGAN's critic, hinge
        and rates as in Liu et al., CVPR 2019 (SKD) [code]; the tuple [ours].
    """

    critic: losses.Critic
    """Built by `connect`."""

    def __init__(self, view: View, game: Game, weight: float, width: int, branch: str):
        self.view, self.game, self.weight, self.width, self.branch = view, game, weight, width, branch

    def connect(self, classes: int) -> None:
        """Build the critic for that number of classes."""
        channels = losses.critic_channels(self.view, classes)
        self.critic = losses.Critic(channels, self.width, spectral=self.game == "hinge")

    def optimiser(self) -> torch.optim.Optimizer:
        """The critic's own."""
        return torch.optim.Adam(self.critic.parameters(), lr=4e-4, betas=(0.9, 0.99))

    def discriminator_loss(self, context: DistillationContext, critic: nn.Module) -> Tensor:
        """The critic's loss on detached predictions; `critic`: the one that is wrapped for several processes."""
        with torch.no_grad():
            real, fake = self._sides(context)
        of_real, of_fake = critic(torch.cat([real, fake])).chunk(2)
        if self.game == "hinge":
            return self.weight * losses.hinge_critic(of_real, of_fake, all_sum=context.all_sum)
        penalty = losses.gradient_penalty(real, fake, self.critic, all_sum=context.all_sum)
        return self.weight * (losses.wasserstein_critic(of_real, of_fake, all_sum=context.all_sum) + penalty)

    def accuracy(self, context: DistillationContext) -> Tensor:
        """Share of the patches that the critic puts on the right side: of 0, or of the other's mean."""
        with losses.frozen(self.critic):
            real, fake = (self.critic(seen) for seen in self._sides(context))
        between = 0.0 if self.game == "hinge" else (real.mean() + fake.mean()) / 2
        right = torch.cat([(real > between).flatten(), (fake < between).flatten()])
        return right.double().mean()

    def _sides(self, context: DistillationContext) -> tuple[Tensor, Tensor]:
        """What the critic sees of the teacher, and as often of the students, one after the other."""
        real = self.seen(context, self._teacher(context))
        fake = torch.cat([self.seen(context, student) for student in context.students])
        return real.repeat(len(context.students), 1, 1, 1), fake

    def _teacher(self, context: DistillationContext) -> ClipPrediction:
        return context.teacher.branch(self.branch)

    def seen(self, context: DistillationContext, side: ClipPrediction) -> Tensor:
        """What the critic sees of all pairs, at the size of the teacher's predictions or the least it can work on."""
        t = context.clip.anchor
        height, width = (max(pixels, losses.LEAST_SIZE) for pixels in self._teacher(context).native(t).shape[2:])

        def to_size(x: Tensor) -> Tensor:
            return x if x.shape[2:] == (height, width) else resized(x, (height, width), _smooth)

        image, probs = to_size(context.frames[:, t]), to_size(side.probs(t))
        views = []
        for k, (flow, visible) in context.along(t, (height, width)):
            warped = warp(to_size(side.probs(k)), flow)
            views.append(losses.coupled_input(probs, warped, visible, image, self.view))
        return torch.cat(views)


@register_term("adversarial")
class Adversarial(LossTerm):
    """The students' side of the game against an Adversary.

    Args:
        view, game, width, branch: see Adversary.
        critic: weight of the critic's loss.
    """

    needs_teacher = True
    frames = 2

    def __init__(
        self, view: View = "tuple", game: Game = "hinge", critic: float = 0.1, width: int = 64, branch: str = ""
    ):
        super().__init__()
        self.branch = branch
        self.adversary = Adversary(view, game, critic, width, branch)

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        self.adversary.connect(students[0].classes)

    def forward(self, context: DistillationContext) -> Tensor:
        critic = self.adversary.critic
        with losses.frozen(critic):
            return losses.hinge_generator(
                critic(self.adversary.seen(context, context.student)), all_sum=context.all_sum
            )

    @torch.no_grad()
    def observed(self, context: DistillationContext) -> dict[str, Tensor]:
        return {"accuracy": self.adversary.accuracy(context)}


def _smooth(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", antialias=True)
