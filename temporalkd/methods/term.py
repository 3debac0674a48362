"""Loss terms: each reads a context and calls one loss; a method is a list of them with weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeVar

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from temporalkd import losses
from temporalkd.methods.context import DistillationContext
from temporalkd.models import Segmenter, Teacher


class Pair(NamedTuple):
    """The student's feature (B, c, h, w) brought to the teacher's size, the teacher's, and the pixels that count."""

    student: Tensor
    teacher: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Ramp:
    """A weight is 0 up to the share `start` of the training, rises linearly, and is whole from the share `end` on.

    Raises:
        ValueError: not 0 <= start <= end <= 1.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    start: Annotated[float, Field(ge=0, le=1)] = 0.0
    end: Annotated[float, Field(ge=0, le=1)] = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise ValueError(f"start is not larger than end, both between 0 and 1: {self.start:g}, {self.end:g}")

    def at(self, progress: float) -> float:
        """Share of the weight at that share of the training."""
        if self.start < progress < self.end:
            return (progress - self.start) / (self.end - self.start)
        return float(progress >= self.end)


RAMP = Ramp()
"""Of terms that would disturb a student that knows nothing yet."""


class LossTerm(nn.Module):
    """One loss inside a method; may own small modules, trained with the student or fitted before and frozen."""

    frames = 1
    """Frames a clip must have for this term."""
    needs_teacher = False
    """Whether it reads the teacher."""
    roles: Sequence[str] = ()
    """Of the features that both networks must have."""
    branch = ""
    """Of a joint teacher, the branch that is read: "first", "second"; "" for what all say together."""
    reads_labelled = True
    """Whether it reads the teacher in clips whose anchor has labels."""
    needs_average = False
    """Whether it reads the moving average of the student."""
    prepares = False
    """Whether `prepare` reads anything."""

    def forward(self, context: DistillationContext) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(context) -> scalar")

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        """Called once, before anything is trained: build what depends on the networks, refuse what does not fit.

        Args:
            students: all that are trained; networks of one kind.

        Raises:
            ValueError: there is no teacher to distil from, a network lacks a role, or the teacher a branch.
        """
        if self.needs_teacher and teacher is None:
            raise ValueError("distils from a teacher, and none is configured: set teacher.weights")
        if self.needs_teacher and not getattr(teacher, "classes", 1) and "logits" in (self.roles or ("logits",)):
            raise ValueError("reads the teacher's logits, and the teacher is an encoder, which has features alone")
        if self.branch not in ("", "first") and self.branch not in getattr(teacher, "branches", ()):
            raise ValueError(f"distils from the teacher's branch {self.branch!r}, there is none: set second_teacher")
        for who, network in (
            (("student", students[0]), ("teacher", teacher)) if teacher is not None and self.roles else ()
        ):
            for role in self.roles:
                if role not in network.channels:
                    known = ", ".join(network.channels)
                    raise ValueError(
                        f"the network has no feature of role {role!r}, it has: {known}; name the {who}'s module: "
                        f"Segmenter(..., roles={{{role!r}: MODULE}}), {who}.roles in a config"
                    )

    def prepare(self, contexts: Sequence[DistillationContext]) -> None:
        """Called once before training with a few contexts of which only the teacher may be read."""

    def observed(self, context: DistillationContext) -> dict[str, Tensor]:
        """Scalars for the log that are not trained on; asked at the steps that are recorded, after the update."""
        return {}


@dataclass
class WeightedLoss:
    """A term under its name in the log, with its weight and, where that rises during the training, its ramp."""

    name: str
    term: LossTerm
    weight: float = 1.0
    ramp: Ramp | None = None

    def at(self, progress: float) -> float:
        """The weight at that share of the training."""
        return self.weight * self.ramp.at(progress) if self.ramp else self.weight


TERMS: dict[str, type[LossTerm]] = {}
"""Loss terms by the name that a config's `method.terms` uses."""
T = TypeVar("T", bound=type[LossTerm])


def register_term(name: str) -> Callable[[T], T]:
    """Class decorator: offer a loss term under a name."""

    def registered(term: T) -> T:
        TERMS[name] = term
        return term

    return registered


class Spatial(LossTerm):
    """A distillation within single frames: of the labelled one, and `neighbours` times that of each other one."""

    needs_teacher = True

    def __init__(self, neighbours: float = 0.0):
        super().__init__()
        self.neighbours = neighbours

    def at(self, context: DistillationContext, t: int) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define at(context, t) -> scalar")

    @staticmethod
    def pair(context: DistillationContext, t: int, role: str, branch: str = "") -> Pair:
        """The single feature of a role in frame t."""
        teacher = context.teacher.branch(branch).feature(role, t)
        student = losses.match_size(context.student.feature(role, t), teacher)
        valid = context.valid(t, teacher.shape[-2:])
        return Pair(student, teacher, valid & says_something(teacher) if role == "logits" else valid)

    @staticmethod
    def layers(context: DistillationContext, t: int, role: str, adapters: nn.ModuleList | None = None) -> list[Pair]:
        """Each layer's features in frame t, the student's through its adapter where there are any.

        Layers are matched from the deep end, where one network has more of them.
        """
        pairs = zip(*(reversed(side.features(role, t)) for side in (context.student, context.teacher)))
        found = []
        for number, (student, teacher) in enumerate(pairs, start=1):
            adapted = adapters[-number](student) if adapters else student
            valid = context.valid(t, teacher.shape[-2:])
            valid = valid & says_something(teacher) if role == "logits" else valid
            found.append(Pair(losses.match_size(adapted, teacher), teacher, valid))
        return found[::-1]

    def forward(self, context: DistillationContext) -> Tensor:
        loss = self.at(context, context.clip.anchor)
        if self.neighbours:
            for t in context.neighbours:
                loss = loss + self.neighbours * self.at(context, t)
        return loss


def says_something(logits: Tensor) -> Tensor:
    """(B, 1, h, w) bool, where logits (B, C, h, w) differ between classes: where they do not, nothing is said."""
    return logits.amax(1, keepdim=True) > logits.amin(1, keepdim=True)


class Adapter(nn.Sequential):
    """From the student's channels to the teacher's: a 1x1 convolution with batch normalisation.

    Its output starts with the mean and the deviation that the teacher's channels have: see `match`.
    """

    def __init__(self, student: int, teacher: int):
        super().__init__(nn.Conv2d(student, teacher, 1, bias=False), nn.BatchNorm2d(teacher))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, student, h, w) of any precision -> (B, teacher, h, w)."""
        return super().forward(feature.to(next(self.parameters()).dtype))

    @torch.no_grad()
    def match(self, teacher: Sequence[Tensor]) -> None:
        """Start at the statistics of the teacher's features, each (B, teacher, h, w)."""
        pixels = torch.cat([feature.float().movedim(1, 0).flatten(1) for feature in teacher], 1)
        norm: nn.BatchNorm2d = self[1]  # type: ignore[assignment]
        norm.weight.copy_(pixels.std(1))
        norm.bias.copy_(pixels.mean(1))


def match_adapters(made: nn.ModuleList, contexts: Sequence[DistillationContext], role: str) -> None:
    """Start each adapter of a role at the statistics of the teacher's feature in all frames of the contexts."""
    features = [context.teacher.features(role, t) for context in contexts for t in range(context.frames.shape[1])]
    for number, adapter in enumerate(reversed(made), start=1):
        if isinstance(adapter, Adapter):
            adapter.match([layers[-number] for layers in features])


def adapters(student: Segmenter, teacher: Teacher | None, role: str) -> nn.ModuleList:
    """One a layer of the role, trained with the student and no part of it; nothing where the channels agree."""
    if teacher is None:
        return nn.ModuleList()
    pairs = zip(reversed(student.channels[role]), reversed(teacher.channels[role]))
    return nn.ModuleList([nn.Identity() if a == b else Adapter(a, b) for a, b in pairs][::-1])
