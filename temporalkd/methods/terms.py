"""Loss terms: each reads a step and calls one loss. A method is a list of them with weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flow import photometric_weight
from temporalkd import losses
from temporalkd.methods.step import Step


class Term(nn.Module):
    """One loss inside a method; may own small modules, trained with the student or fitted before and frozen."""

    frames = 1
    """Frames a clip must have for this term."""

    def forward(self, step: Step) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(step) -> scalar")

    def prepare(self, steps: Sequence[Step]) -> None:
        """Called once before training with a few steps of which only the teacher may be read."""


class CrossEntropy(Term):
    """Cross-entropy with the labels, + 0.4 x the same for an auxiliary head."""

    def __init__(self, class_weight: Sequence[float] | None = None, aux: float = 0.4):
        super().__init__()
        self.aux = aux
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)

    class_weight: Tensor | None

    def forward(self, step: Step) -> Tensor:
        t = step.clip.anchor
        labels = step.clip.labels[:, t]
        loss = losses.cross_entropy(step.student.logits(t), labels, self.class_weight)
        aux = step.student.aux(t)
        if aux is not None and self.aux:
            loss = loss + self.aux * losses.cross_entropy(aux, labels, self.class_weight)
        return loss


class Spatial(Term):
    """A loss within single frames: on the labelled frame, and `neighbours` times the same on each of the others."""

    def __init__(self, neighbours: float = 0.0):
        super().__init__()
        self.neighbours = neighbours

    def at(self, step: Step, t: int) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define at(step, t) -> scalar")

    @staticmethod
    def pair(step: Step, t: int, feature: str) -> tuple[Tensor, Tensor, Tensor]:
        """The student's feature brought to the teacher's size, the teacher's, and the pixels that count."""
        teacher = step.teacher.feature(feature, t)
        student = losses.match_size(step.student.feature(feature, t), teacher)
        return student, teacher, step.valid(t, teacher.shape[-2:])

    def forward(self, step: Step) -> Tensor:
        loss = self.at(step, step.clip.anchor)
        if self.neighbours and step.neighbours:
            others = torch.stack([self.at(step, t) for t in step.neighbours])
            loss = loss + self.neighbours * others.mean()
        return loss


class PixelKL(Spatial):
    """losses.pixel_kl on native logits."""

    def __init__(self, tau: float = 1.0, neighbours: float = 0.0):
        super().__init__(neighbours)
        self.tau = tau

    def at(self, step: Step, t: int) -> Tensor:
        return losses.pixel_kl(*self.pair(step, t, "logits"), self.tau)


class IntraAffinity(Spatial):
    """losses.intra_affinity on a feature of any role."""

    def __init__(self, feature: str = "head", neighbours: float = 0.0):
        super().__init__(neighbours)
        self.feature = feature

    def at(self, step: Step, t: int) -> Tensor:
        return losses.intra_affinity(*self.pair(step, t, self.feature))


class InterAffinity(Term):
    """losses.inter_affinity between the labelled frame and each neighbour."""

    frames = 2

    def __init__(self, feature: str = "logits"):
        super().__init__()
        self.feature = feature

    def forward(self, step: Step) -> Tensor:
        student_t, teacher_t, valid_t = Spatial.pair(step, step.clip.anchor, self.feature)
        values = []
        for k in step.neighbours:
            student_k, teacher_k, valid_k = Spatial.pair(step, k, self.feature)
            values.append(losses.inter_affinity(student_t, student_k, teacher_t, teacher_k, valid_t, valid_k))
        return torch.stack(values).mean()


class RecurrentDependency(Term):
    """losses.recurrent_dependency over all frames of the clip, in temporal order."""

    frames = 3

    def __init__(self, feature: str = "head", grid: tuple[int, int] = (8, 10)):
        super().__init__()
        self.feature = feature
        self.memory = losses.AffinityMemory((grid[0], grid[1]))

    def prepare(self, steps: Sequence[Step]) -> None:
        length = steps[0].frames.shape[1]
        self.memory.fit([[s.teacher.feature(self.feature, t) for t in range(length)] for s in steps])

    def forward(self, step: Step) -> Tensor:
        frames = range(step.frames.shape[1])
        student = [step.student.feature(self.feature, t) for t in frames]
        teacher = [step.teacher.feature(self.feature, t) for t in frames]
        return losses.recurrent_dependency(student, teacher, self.memory)


class MotionConsistency(Term):
    """losses.motion_consistency between the labelled frame and each neighbour, at the native stride.

    Args:
        photometric: weight by exp(-photometric * mean absolute colour difference along the motion); 0: do not.
        stop_gradient: hold the neighbour's prediction fixed.
    """

    frames = 2

    def __init__(self, photometric: float = 0.0, stop_gradient: bool = False):
        super().__init__()
        self.photometric, self.stop_gradient = photometric, stop_gradient

    def forward(self, step: Step) -> Tensor:
        values = []
        for p, (t, k) in enumerate(step.clip.pairs):
            probs, neighbour = step.student.probs(t), step.student.probs(k)
            size = (probs.shape[2], probs.shape[3])
            flow, visible = step.motion(p, size)
            weight = None
            if self.photometric:
                image, other = (nn.functional.adaptive_avg_pool2d(step.clip.frames[:, i], size) for i in (t, k))
                weight = photometric_weight(image, other, flow, self.photometric)
            neighbour = neighbour.detach() if self.stop_gradient else neighbour
            values.append(losses.motion_consistency(probs, neighbour, flow, visible, weight))
        return torch.stack(values).mean()
