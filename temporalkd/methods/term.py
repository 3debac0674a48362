"""Loss terms: each reads a context and calls one loss. With weights they make a method; one module runs them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from temporalkd.methods.average import MovingAverage
from temporalkd.methods.context import DistillationContext
from temporalkd.models import Segmenter, Teacher


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


RANKING_TERM = "cross_entropy"
"""The term by which the best of several students is told."""


class TrainableModules(nn.Module):
    """All that is trained: the students and the terms' own modules. One forward gives every term's value.

    Beside the students are the moving averages of their weights, where such are kept.

    Of several students a term's value is the mean, and the one whose cross-entropy with the labels has been the lowest
    of late, over some hundred steps, is the best.
    """

    def __init__(self, student: Segmenter, terms: dict[str, LossTerm], peers: Sequence[Segmenter] = ()):
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(terms)
        if peers:
            self.peers = nn.ModuleList(peers)
            self.register_buffer("judged", torch.zeros(1 + len(peers), dtype=torch.float64))
            self.register_buffer("judgements", torch.zeros((), dtype=torch.long))
        self.averages = nn.ModuleList()

    judged: Tensor
    judgements: Tensor
    averages: nn.ModuleList
    """Of each student the moving average of its weights; nothing where none is kept."""
    average_is_best = False
    """Whether the best student's average is what is evaluated and saved."""
    eval_mode = False
    """Whether the students keep their BatchNorm statistics and drop nothing while they are trained."""

    @property
    def students(self) -> list[Segmenter]:
        """All of them."""
        return [self.student, *getattr(self, "peers", ())]

    @property
    def best(self) -> Segmenter:
        """The best student so far, see above."""
        students = self.students
        number = int(self.judged.argmin()) if len(students) > 1 else 0
        return self.average(number) if self.average_is_best else students[number]

    def average(self, number: int) -> Segmenter:
        """The moving average of a student."""
        return self.averages[number].student  # type: ignore[return-value]

    def keep_average(self, decay: float) -> None:
        """Start the moving averages from the students as they are now."""
        self.averages = nn.ModuleList([MovingAverage(student, decay) for student in self.students])

    def update_averages(self) -> None:
        """After a step of the optimiser."""
        for average, student in zip(self.averages, self.students):
            average.update(student)  # type: ignore[operator]

    def train(self, mode: bool = True) -> TrainableModules:
        """Training mode; the students stay in eval mode where they are only fine-tuned, see `eval_mode`."""
        super().train(mode)
        if self.eval_mode:
            for student in self.students:
                student.eval()
        return self

    def forward(self, context: DistillationContext) -> dict[str, Tensor]:
        if any(term.needs_teacher for term in self.terms.values()):
            context.ask_teacher()
        context.predict(*self.students)
        values = [{name: term(view) for name, term in self.terms.items()} for view in context.views()]
        if len(values) == 1:
            return values[0]
        stacked = {name: torch.stack([value[name] for value in values]) for name in self.terms}
        if self.training and RANKING_TERM in stacked and bool(context.clip.labelled[:, context.clip.anchor].any()):
            self.judgements += 1
            self.judged += (stacked[RANKING_TERM].detach() - self.judged) / self.judgements.clamp(max=100)
        return {name: value.mean() for name, value in stacked.items()}
