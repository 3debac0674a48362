"""All that is trained, in one module: the one that is wrapped for several processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from temporalkd.methods.average import MovingAverage
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.term import LossTerm
from temporalkd.models import Segmenter

JUDGE = "cross_entropy"
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
        if self.training and JUDGE in stacked and bool(context.clip.labelled[:, context.clip.anchor].any()):
            self.judgements += 1
            self.judged += (stacked[JUDGE].detach() - self.judged) / self.judgements.clamp(max=100)
        return {name: value.mean() for name, value in stacked.items()}
