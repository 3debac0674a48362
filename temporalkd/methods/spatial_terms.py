"""Terms of distillation within single frames: channels, attention, decoupled classes, prototypes, condensation."""

from __future__ import annotations

from torch import Tensor

from temporalkd import losses
from temporalkd.losses.condensation import Condense, Mode
from temporalkd.methods.step import Step
from temporalkd.methods.terms import Spatial, Term


class ChannelKL(Spatial):
    """losses.channel_kl on native logits, or on a feature of any role where both have the same channels."""

    def __init__(self, feature: str = "logits", tau: float = 4.0, neighbours: float = 0.0):
        super().__init__(neighbours)
        self.feature, self.tau = feature, tau

    def at(self, step: Step, t: int) -> Tensor:
        student, teacher, valid = self.pair(step, t, self.feature)
        return losses.channel_kl(student, teacher, valid, self.tau)


class Attention(Spatial):
    """losses.attention on a feature of any role; any channel counts."""

    def __init__(self, feature: str = "head", neighbours: float = 0.0):
        super().__init__(neighbours)
        self.feature = feature

    def at(self, step: Step, t: int) -> Tensor:
        return losses.attention(*self.pair(step, t, self.feature))


class DKD(Term):
    """losses.dkd on the labelled frame's native logits."""

    def __init__(self, alpha: float = 1.0, beta: float = 1.0, tau: float = 1.0):
        super().__init__()
        self.alpha, self.beta, self.tau = alpha, beta, tau

    def forward(self, step: Step) -> Tensor:
        t = step.clip.anchor
        student, teacher, _ = Spatial.pair(step, t, "logits")
        return losses.dkd(student, teacher, step.clip.labels[:, t], self.alpha, self.beta, self.tau)


class IntraClassVariation(Term):
    """losses.intra_class_variation (IFVD) on a feature of the labelled frame; any channel counts."""

    def __init__(self, feature: str = "head"):
        super().__init__()
        self.feature = feature

    def forward(self, step: Step) -> Tensor:
        t = step.clip.anchor
        student, teacher, _ = Spatial.pair(step, t, self.feature)
        classes = step.student.native(t).shape[1]
        return losses.intra_class_variation(student, teacher, step.clip.labels[:, t], classes)


class Condensation(Spatial):
    """losses.condensed_kl on native logits: both parts, the one over channels with its own weight."""

    def __init__(
        self,
        condense: Condense = "both",
        spatial: bool = True,
        channel: bool = True,
        channel_weight: float = 3.0,
        tau: float = 4.0,
        mode: Mode = "entropy",
        neighbours: float = 0.0,
    ):
        super().__init__(neighbours)
        self.condense, self.mode = condense, mode
        self.spatial, self.channel = spatial, channel
        self.channel_weight, self.tau = channel_weight, tau

    def at(self, step: Step, t: int) -> Tensor:
        student, teacher, valid = self.pair(step, t, "logits")
        return losses.condensed_kl(
            student,
            teacher,
            valid,
            condense=self.condense,
            spatial=self.spatial,
            channel=self.channel,
            weight=self.channel_weight,
            tau=self.tau,
            mode=self.mode,
        ).total
