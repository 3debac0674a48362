"""What the trainer talks to: a student, the terms it is trained with, and the frozen networks they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flow import FlowEstimator
from temporalkd.console import say
from temporalkd.data.clip import Clip, as_clip
from temporalkd.losses import AllSum, local_sum
from temporalkd.methods.adversary import Adversarial, Adversary
from temporalkd.methods.average import DECAY
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.self_training import SelfTraining
from temporalkd.methods.term import LossTerm, TrainableModules, WeightedLoss
from temporalkd.models import Segmenter, Teacher, evaluating, freeze

PREPARE_BATCHES = 8
"""That `Method.prepare` reads."""


class StepResult(NamedTuple):
    """What `Method.training_step` gives.

    loss: the weighted sum, a scalar to call backward on. terms: name -> value, unweighted and without a graph.
    """

    loss: Tensor
    terms: dict[str, Tensor]


class Method:
    """A named list of weighted terms around a student, or around several.

    A published system has options that make the list, see `MethodOptions`. The trainer is the same for all.

    Args:
        peers: students beside the first; each is trained on all terms.
        self_training: rounds, between which frames without labels are labelled.
        flow_averaged_teacher: terms distil from the teacher's predictions averaged along the motion.
    Raises:
        ValueError: no term, two terms of one name, a term that needs more frames than the clips have or what a network
            does not have, or class counts that differ.
    """

    def __init__(
        self,
        student: Segmenter,
        terms: Sequence[WeightedLoss],
        teacher: Teacher | None = None,
        flow: FlowEstimator | None = None,
        frames: int = 2,
        flow_averaged_teacher: bool = False,
        peers: Sequence[Segmenter] = (),
        self_training: SelfTraining | None = None,
    ):
        self.terms = {w.name: w for w in terms if w.weight}
        if len(self.terms) < sum(bool(w.weight) for w in terms):
            raise ValueError(f"two terms of one name among {[w.name for w in terms]}")
        if not self.terms:
            raise ValueError("no term has a weight other than 0: there is nothing to train on")
        if teacher is not None and teacher.classes not in (student.classes, 0):
            raise ValueError(
                f"the teacher has {teacher.classes} classes, the student {student.classes}: say which are the same, "
                "teacher.classes in a config, load_teacher(..., mapping=...) in Python"
            )
        if flow_averaged_teacher and frames < 2:
            raise ValueError(f"flow-averaged targets need clips of 2 frames, data.frames is {frames}")
        self.self_training = self_training
        self.all_sum: AllSum = local_sum
        """Sums over the processes of a training, which sets it; in a loop of one's own with several, set it too."""
        self.student, self.teacher, self.flow, self.flow_averaged_teacher = (
            student,
            teacher,
            flow,
            flow_averaged_teacher,
        )
        for name, weighted in self.terms.items():
            self._connect(name, weighted.term, frames, [student, *peers])
        self._modules = TrainableModules(student, {name: w.term for name, w in self.terms.items()}, peers)
        if any(w.term.needs_average for w in self.terms.values()):
            self._modules.keep_average(DECAY)
        self.adversaries: dict[str, Adversary] = {
            name: w.term.adversary for name, w in self.terms.items() if isinstance(w.term, Adversarial)
        }
        """The critics that the students play against, by the name of the term."""
        critics = {name: adversary.critic for name, adversary in self.adversaries.items()}
        self.trainables: dict[str, nn.Module] = {"students": self._modules, **critics}
        """The students with the terms' own modules, and each term's discriminator, which has its own optimiser."""
        self.frozen: list[nn.Module] = [freeze(m) for m in (teacher, flow) if m is not None]
        self.prepared = not any(w.term.prepares for w in self.terms.values())
        self._last: DistillationContext | None = None
        self._critics: dict[str, torch.optim.Optimizer] = {}

    def _connect(self, name: str, term: LossTerm, frames: int, students: Sequence[Segmenter]) -> None:
        if term.frames > frames:
            raise ValueError(
                f"term {name!r} needs clips of {term.frames} frames, data.frames is {frames}: "
                f"raise it, or set the term's weight to 0"
            )
        try:
            term.connect(students, self.teacher)
        except ValueError as error:
            raise ValueError(f"term {name!r}: {error}") from error

    @property
    def trainable_modules(self) -> nn.Module:
        """The student and the terms' own modules."""
        return self.trainables["students"]

    @property
    def students(self) -> list[Segmenter]:
        """The student and its peers."""
        return self._modules.students

    @property
    def needs_teacher(self) -> bool:
        """Whether any term reads the teacher."""
        return any(w.term.needs_teacher for w in self.terms.values())

    @property
    def teaches_labelled(self) -> bool:
        """Whether any term reads what the teacher says of clips that have labels."""
        return any(w.term.needs_teacher and w.term.reads_labelled for w in self.terms.values())

    @property
    def eval_mode(self) -> bool:
        """Whether the students stay in eval mode while they are trained."""
        return self._modules.eval_mode

    @eval_mode.setter
    def eval_mode(self, wanted: bool) -> None:
        self._modules.eval_mode = wanted

    def context(
        self, clip: Clip, frames: Tensor | None = None, progress: float = 0.0, for_teacher: Tensor | None = None
    ) -> DistillationContext:
        """The context of this clip; `frames` are what the networks see where that is not the clip's own frames, and
        `for_teacher` what the teacher sees where that is something else."""
        return DistillationContext(
            clip,
            self.teacher,
            self.flow,
            frames=frames,
            progress=progress,
            flow_averaged_teacher=self.flow_averaged_teacher,
            all_sum=self.all_sum,
            averages=[self._modules.average(number) for number in range(len(self._modules.averages))],
            for_teacher=for_teacher,
        )

    def keep_average(self, decay: float = DECAY) -> None:
        """Keep a moving average of the student's weights, and give it as the best student; see `MovingAverage`.

        In a loop of one's own, call `after_step` after each step of the optimiser; `best_student` is the average.
        """
        self._modules.keep_average(decay)
        self._modules.average_is_best = True

    def update_averages(self) -> None:
        """Let the moving averages follow, where there are any; after a step of the optimiser."""
        self._modules.update_averages()

    def training_step(
        self, frames: Tensor | Clip, labels: Tensor | None = None, step: int | None = None, total: int | None = None
    ) -> StepResult:
        """The losses of a batch, in a training loop of one's own; `tkd.train` has such a loop.

        Shape:
            frames: (B, T, 3, H, W), RGB in [0, 1], on the student's device, T of 1 to 3; or a Clip, alone.
            labels: (B, H, W) of the anchor frame (the only one of one, the first of two, the middle of three), or
                (B, T, H, W), 255 where there are none; None: no labels.
        Args:
            step, total: steps done and steps in all, for weights that rise (ramps); without them weights are whole.
        Raises:
            ValueError: shapes, a device or a number of frames that the terms cannot use.

        >>> import torch
        >>> import temporalkd as tkd
        >>> student = tkd.Segmenter(torch.nn.Conv2d(3, 4, 3, padding=1), classes=4, normalisation="none")
        >>> teacher = tkd.Segmenter(torch.nn.Conv2d(3, 4, 3, padding=1), classes=4, normalisation="none")
        >>> method = tkd.methods.kd(student, teacher)
        >>> optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
        >>> out = method.training_step(torch.rand(2, 1, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long))
        >>> out.loss.backward()
        >>> optimiser.step()
        >>> list(out.terms)
        ['cross_entropy', 'pixel_kl']
        """
        if len(self.students) > 1 or self.self_training is not None:
            raise ValueError("a method with several students or self-training is run by tkd.train, not step by step")
        if (step is None) != (total is None) or (total is not None and total < 1):
            raise ValueError(f"step: {step}, total: {total}: give both, or neither")
        clip, device = as_clip(frames, labels), self.student.device
        if clip.frames.device != device:
            raise ValueError(f"frames: on {clip.frames.device}, the student on {device}: frames.to({str(device)!r})")
        needing = [name for name, w in self.terms.items() if w.term.frames > clip.frames.shape[1]]
        if needing:
            raise ValueError(
                f"term {needing[0]!r} needs clips of {self.terms[needing[0]].term.frames} frames, these have "
                f"{clip.frames.shape[1]}: give more, or set the term's weight to 0"
            )
        if not self.prepared:
            say("fitted on the first batch alone: method.prepare(loader) before the training fits on more")
            self.prepare([clip])
        progress = 1.0 if step is None or total is None else step / total
        seen = self.context(clip, progress=progress)
        losses = self.losses(seen)
        self._last = seen if self.adversaries else None
        loss = torch.stack(list(self.weighted(losses, progress).values())).sum()
        return StepResult(loss, {name: value.detach() for name, value in losses.items()})

    def after_step(self) -> None:
        """Call it after the optimiser's step: the weights' average follows, the critic is trained on the last batch."""
        self.update_averages()
        if self._last is None:
            return
        for name, loss in self.discriminator_losses(self._last):
            if name not in self._critics:
                self._critics[name] = self.adversaries[name].optimiser()
            loss.backward()
            self._critics[name].step()
            self._critics[name].zero_grad()
        self._last = None

    def parameters(self) -> Iterator[nn.Parameter]:
        """All that the student's optimiser trains: the student and the terms' own modules (adapters)."""
        return (parameter for parameter in self.trainable_modules.parameters() if parameter.requires_grad)

    def to(self, device: torch.device | str) -> Method:
        """Move all networks; before an optimiser is made."""
        for module in (*self.trainables.values(), *self.frozen):
            module.to(device)
        return self

    def train(self, mode: bool = True) -> Method:
        """Training mode, or eval mode, of all that is trained."""
        for module in self.trainables.values():
            module.train(mode)
        return self

    def state_dict(self) -> dict[str, Any]:
        """All that is trained or was fitted: students, adapters, memories, critics."""
        return {name: module.state_dict() for name, module in self.trainables.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; nothing is fitted again."""
        for name, module in self.trainables.items():
            module.load_state_dict(state[name])
        self.prepared = True

    @torch.no_grad()
    def prepare(self, clips: Iterable[Any]) -> None:
        """Fit what is fitted on the teacher before the student is trained, on up to 8 batches.

        Args:
            clips: Clips, or pairs (frames, labels) as in `training_step`; read only if a term wants it.
        """
        wanting = [w.term for w in self.terms.values() if w.term.prepares]
        if wanting:
            batches = (clip if isinstance(clip, Clip) else as_clip(*clip) for clip in islice(clips, PREPARE_BATCHES))
            contexts = [self.context(clip.to(self.student.device)) for clip in batches]
            if not contexts:
                raise ValueError("prepare: the loader gave no batch")
            for term in wanting:
                term.prepare(contexts)
        self.prepared = True

    def losses(self, context: DistillationContext) -> dict[str, Tensor]:
        """Value of each term, unweighted."""
        return self.trainable_modules(context)

    def weighted(self, losses: dict[str, Tensor], progress: float) -> dict[str, Tensor]:
        """Each term times its weight at that share of the training; their sum is what is trained on.

        Over the students it is the sum too, so that each of them learns at the pace at which it would alone.
        """
        students = len(self.students)
        return {name: students * self.terms[name].at(progress) * value for name, value in losses.items()}

    def optimisers(self, make: Callable[[nn.Module], torch.optim.Optimizer]) -> dict[str, torch.optim.Optimizer]:
        """One for each entry of `trainables`."""
        own = {name: adversary.optimiser() for name, adversary in self.adversaries.items()}
        return {"students": make(self.trainable_modules), **own}

    def discriminator_losses(self, context: DistillationContext) -> Iterator[tuple[str, Tensor]]:
        """The loss of each discriminator, which is trained on it after the students' update."""
        for name, adversary in self.adversaries.items():
            yield name, adversary.discriminator_loss(context, self.trainables[name])

    @torch.no_grad()
    def observed(self, context: DistillationContext) -> dict[str, float]:
        """What the terms show in the log without being trained on it, nor leaving a trace in their own modules."""
        terms = self._modules.terms
        with evaluating(terms):
            seen = {name: weighted.term.observed(context) for name, weighted in self.terms.items()}
        return {f"{name}/{key}": float(value) for name, values in seen.items() for key, value in values.items()}

    def best_student(self) -> Segmenter:
        """The network that is saved for use: the student, the best of several, or its average where that is kept."""
        return self._modules.best
