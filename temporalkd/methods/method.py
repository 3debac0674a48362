"""What the trainer talks to: a student, the terms it is trained with, and the frozen networks they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flow import FlowEstimator
from temporalkd.data.clip import Clip
from temporalkd.methods.adversarial import Adversarial
from temporalkd.methods.step import Step
from temporalkd.methods.term import Term
from temporalkd.methods.trainee import Trainee
from temporalkd.models import Segmenter, Teacher, freeze


@dataclass(frozen=True)
class Ramp:
    """A weight is 0 up to the share `start` of the training, rises linearly, and is whole from the share `end` on.

    Raises:
        ValueError: not 0 <= start <= end <= 1.
    """

    start: float = 0.0
    end: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise ValueError(f"a ramp from {self.start:g} to {self.end:g}: expected 0 <= start <= end <= 1")

    def at(self, progress: float) -> float:
        """Share of the weight at that share of the training."""
        if self.start < progress < self.end:
            return (progress - self.start) / (self.end - self.start)
        return float(progress >= self.end)


RAMP = Ramp()
"""Of terms that would disturb a student that knows nothing yet."""


@dataclass
class Weighted:
    """A term under its name in the log, with its weight and, where that rises during the training, its ramp."""

    name: str
    term: Term
    weight: float = 1.0
    ramp: Ramp | None = None

    def at(self, progress: float) -> float:
        """The weight at that share of the training."""
        return self.weight * self.ramp.at(progress) if self.ramp else self.weight


class Method:
    """A named list of weighted terms around a student, or around several.

    A published system is a function that returns the list. The trainer is the same for all.

    Args:
        peers: students beside the first, as many as a term asks for; each is trained on all terms.
        steady: terms distil from the teacher's predictions averaged along the motion.
    Raises:
        ValueError: no term, two terms of one name, a term that needs more frames than the clips have or what a network
            does not have, or class counts that differ.
    """

    def __init__(
        self,
        student: Segmenter,
        terms: Sequence[Weighted],
        teacher: Teacher | None = None,
        flow: FlowEstimator | None = None,
        frames: int = 2,
        steady: bool = False,
        peers: Sequence[Segmenter] = (),
    ):
        self.terms = {w.name: w for w in terms if w.weight}
        if len(self.terms) < sum(bool(w.weight) for w in terms):
            raise ValueError(f"two terms of one name among {[w.name for w in terms]}")
        if not self.terms:
            raise ValueError("no term has a weight other than 0: there is nothing to train on")
        if teacher is not None and teacher.classes != student.classes:
            raise ValueError(f"the teacher has {teacher.classes} classes, the student {student.classes}")
        if steady and frames < 2:
            raise ValueError(f"steady targets need clips of 2 frames, data.frames is {frames}")
        self.student, self.teacher, self.flow, self.steady = student, teacher, flow, steady
        for name, weighted in self.terms.items():
            self._connect(name, weighted.term, frames, 1 + len(peers))
        self._trainee = trainee = Trainee(student, {name: w.term for name, w in self.terms.items()}, peers)
        critics = {name: term.critic for name, term in self.adversaries.items()}
        self.players: dict[str, nn.Module] = {"trainee": trainee, **critics}
        """All that is trained: the trainee, and each adversarial term's critic, which has an optimiser of its own."""
        self.frozen: list[nn.Module] = [freeze(m) for m in (teacher, flow) if m is not None]

    def _connect(self, name: str, term: Term, frames: int, students: int) -> None:
        if term.frames > frames:
            raise ValueError(
                f"term {name!r} needs clips of {term.frames} frames, data.frames is {frames}: "
                f"raise it, or set the term's weight to 0"
            )
        if term.students > students:
            raise ValueError(f"term {name!r} needs {term.students} students, there is {students}")
        try:
            term.connect(self.student, self.teacher)
        except ValueError as error:
            raise ValueError(f"term {name!r}: {error}") from error

    @property
    def trainee(self) -> nn.Module:
        """The student and the terms' own modules."""
        return self.players["trainee"]

    @property
    def students(self) -> list[Segmenter]:
        """The student and its peers."""
        return self._trainee.students

    @property
    def eval_mode(self) -> bool:
        """Whether the students stay in eval mode while they are trained."""
        return self._trainee.eval_mode

    @eval_mode.setter
    def eval_mode(self, wanted: bool) -> None:
        self._trainee.eval_mode = wanted

    @property
    def unlabelled(self) -> bool:
        """Whether a term learns from frames without labels."""
        return any(w.term.unlabelled for w in self.terms.values())

    @property
    def rounds(self) -> int:
        """Rounds of training, between which frames without labels are labelled."""
        return max(w.term.rounds for w in self.terms.values())

    @property
    def labeller(self) -> Term | None:
        """The term that labels them."""
        return next((w.term for w in self.terms.values() if type(w.term).pseudo_labels is not Term.pseudo_labels), None)

    @property
    def adversaries(self) -> dict[str, Adversarial]:
        """The terms that play against a critic."""
        return {name: w.term for name, w in self.terms.items() if isinstance(w.term, Adversarial)}

    def step(self, clip: Clip, frames: Tensor | None = None, progress: float = 0.0) -> Step:
        """A step on this clip; `frames` are what the networks see where that is not the clip's own frames."""
        return Step(clip, self.teacher, self.flow, frames, progress, self.steady)

    @torch.no_grad()
    def prepare(self, clips: Iterable[Clip]) -> None:
        """Fit what is fitted on the teacher before the student is trained. `clips` is read only if a term wants it."""
        wanting = [w.term for w in self.terms.values() if w.term.prepares]
        if wanting:
            steps = [self.step(clip) for clip in clips]
            for term in wanting:
                term.prepare(steps)

    @torch.no_grad()
    def fit(self, batches: Callable[[int], Iterable[Clip]]) -> None:
        """Fit what learns on labelled clips before the students do; `batches` gives as many as a term asks for."""
        for weighted in self.terms.values():
            if weighted.term.fitting:
                weighted.term.fit(self.step(clip) for clip in batches(weighted.term.fitting))

    @torch.no_grad()
    def pseudo_labels(self, clip: Clip, progress: float) -> Tensor:
        """(B, H, W) int64, how the best student and the term that labels see the clips at that share of the training.

        Raises:
            ValueError: no term makes labels.
        """
        if self.labeller is None:
            raise ValueError("this method makes no labels")
        step, student = self.step(clip, progress=progress), self.best_student()
        training = student.training
        step.predict(student.eval())
        student.train(training)
        return self.labeller.pseudo_labels(step)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Value of each term, unweighted."""
        return self.trainee(step)

    def weighted(self, losses: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Each term times its weight at that share of the training; their sum is what is trained on.

        Over the students it is the sum too, so that each of them learns at the pace at which it would alone.
        """
        students = len(self.students)
        return {name: students * self.terms[name].at(progress) * value for name, value in losses.items()}

    def optimisers(self, make: Callable[[nn.Module], torch.optim.Optimizer]) -> dict[str, torch.optim.Optimizer]:
        """One a player."""
        own = {name: term.optimiser() for name, term in self.adversaries.items()}
        return {"trainee": make(self.trainee), **own}

    def replies(self, step: Step) -> Iterator[tuple[str, Tensor]]:
        """The loss of each player but the trainee, which is trained on it after the student's step."""
        for name, term in self.adversaries.items():
            yield name, term.reply(step, self.players[name])

    @torch.no_grad()
    def observed(self, step: Step) -> dict[str, float]:
        """What the terms show in the log without being trained on it, nor leaving a trace in their own modules."""
        terms = self._trainee.terms
        training = terms.training
        terms.eval()
        seen = {name: weighted.term.observed(step) for name, weighted in self.terms.items()}
        terms.train(training)
        return {f"{name}/{key}": float(value) for name, values in seen.items() for key, value in values.items()}

    def best_student(self) -> Segmenter:
        """The network that is saved for use."""
        return self._trainee.best
