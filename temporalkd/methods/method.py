"""What the trainer talks to: a student, the terms it is trained with, and the frozen networks they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flow import FlowEstimator
from temporalkd.data.clip import Clip
from temporalkd.methods.step import Step
from temporalkd.methods.terms import Term
from temporalkd.models import Segmenter, freeze

RAMP = 0.1
"""Share of the steps over which the weights of ramped terms rise from 0."""


@dataclass
class Weighted:
    """A term under its name in the log, with its weight; `ramp`: the weight rises over the first steps."""

    name: str
    term: Term
    weight: float = 1.0
    ramp: bool = False

    def at(self, progress: float) -> float:
        """The weight at that share of the training."""
        return self.weight * min(progress / RAMP, 1.0) if self.ramp else self.weight


class Trainee(nn.Module):
    """All that is trained: the student and the terms' own modules. One forward gives every term's value."""

    def __init__(self, student: Segmenter, terms: dict[str, Term]):
        super().__init__()
        self.student = student
        self.terms = nn.ModuleDict(terms)

    def forward(self, step: Step) -> dict[str, Tensor]:
        step.predict(self.student)
        return {name: term(step) for name, term in self.terms.items()}


class Method:
    """A named list of weighted terms around a student.

    A published system is a function that returns the list; systems that need more (an adversary, pseudo-labels)
    override the hooks. The trainer is the same for all.

    Raises:
        ValueError: no term, two terms of one name, a term that needs more frames than the clips have, or class counts
            that differ.
    """

    def __init__(
        self,
        student: Segmenter,
        terms: Sequence[Weighted],
        teacher: Segmenter | None = None,
        flow: FlowEstimator | None = None,
        frames: int = 2,
    ):
        self.terms = {w.name: w for w in terms if w.weight}
        if len(self.terms) < sum(bool(w.weight) for w in terms):
            raise ValueError(f"two terms of one name among {[w.name for w in terms]}")
        if not self.terms:
            raise ValueError("no term has a weight other than 0: there is nothing to train on")
        for name, weighted in self.terms.items():
            if weighted.term.frames > frames:
                raise ValueError(
                    f"term {name!r} needs clips of {weighted.term.frames} frames, data.frames is {frames}: "
                    f"raise it, or set the term's weight to 0"
                )
        if teacher is not None and teacher.classes != student.classes:
            raise ValueError(f"the teacher has {teacher.classes} classes, the student {student.classes}")
        self.student, self.teacher, self.flow = student, teacher, flow
        self.trainee: nn.Module = Trainee(student, {name: w.term for name, w in self.terms.items()})
        self.frozen: list[nn.Module] = [freeze(m) for m in (teacher, flow) if m is not None]

    def step(self, clip: Clip, frames: Tensor | None = None, progress: float = 0.0) -> Step:
        """A step on this clip; `frames` are what the networks see where that is not the clip's own frames."""
        return Step(clip, self.teacher, self.flow, frames, progress)

    @torch.no_grad()
    def prepare(self, clips: Iterable[Clip]) -> None:
        """Fit what is fitted on the teacher before the student is trained. `clips` is read only if a term wants it."""
        wanting = [w.term for w in self.terms.values() if type(w.term).prepare is not Term.prepare]
        if wanting:
            steps = [self.step(clip) for clip in clips]
            for term in wanting:
                term.prepare(steps)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Value of each term, unweighted."""
        return self.trainee(step)

    def weighted(self, losses: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Each term times its weight at that share of the training; their sum is what is trained on."""
        return {name: self.terms[name].at(progress) * value for name, value in losses.items()}

    def optimisers(self, make: Callable[[nn.Module], torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
        """One optimiser for the trainee; an adversary adds a second."""
        return [make(self.trainee)]

    def after_step(self, step: Step) -> None:
        """After the optimiser's step: a critic's update, a moving average."""

    def rounds(self) -> int:
        """How often the whole training is run; self-correction refreshes its labels in between."""
        return 1

    def best_student(self) -> Segmenter:
        """The network that is saved for use."""
        return self.student
