"""Terms on class prototypes: pixels by the mean of their class, and the means themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from temporalkd import losses
from temporalkd.losses.prototypes import Anchor, Part, Scope
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.spatial_terms import Adapter, Pair, adapters, layers_of, match_adapters, pair_of
from temporalkd.methods.term import LossTerm, register_term
from temporalkd.models import Segmenter, Teacher


@register_term("intra_class_variation")
class IntraClassVariation(LossTerm):
    """losses.intra_class_variation (IFVD) on a feature of the labelled frame; any channel counts."""

    needs_teacher = True

    def __init__(self, feature: str = "head"):
        super().__init__()
        self.feature, self.roles = feature, (feature,)

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        student, teacher, _ = pair_of(context, t, self.feature)
        classes = context.student.native(t).shape[1]
        return losses.intra_class_variation(
            student, teacher, context.clip.labels[:, t], classes, all_sum=context.all_sum
        )


@register_term("prototype_triplet")
class PrototypeTriplet(LossTerm):
    """losses.prototype_triplet on features of one or more roles, adapted: the mean over all their layers.

    A batch without two classes has no triplet: it counts nothing here, and is counted in the log.

    Args:
        feature: a role or several.
        clip: prototypes of all frames of the clip together, the labels carried along the motion where visible. [ours]
    """

    needs_teacher = True

    def __init__(
        self,
        feature: str | Sequence[str] = "head",
        margin: float = 0.3,
        scope: Scope = "batch",
        anchor: Anchor = "student",
        part: Part = "both",
        hardest: bool = False,
        clip: bool = False,
    ):
        super().__init__()
        self.roles = (feature,) if isinstance(feature, str) else tuple(feature)
        self.loss = partial(
            losses.prototype_triplet, margin=margin, scope=scope, anchor=anchor, part=part, hardest=hardest
        )
        self.scope, self.clip, self.frames = scope, clip, 2 if clip else 1
        self.adapters = nn.ModuleList()
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))

    skipped: Tensor

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        self.adapters = nn.ModuleList(adapters(students[0], teacher, role) for role in self.roles)
        self.prepares = any(isinstance(module, Adapter) for module in self.adapters.modules())

    def prepare(self, contexts: Sequence[DistillationContext]) -> None:
        for role, made in zip(self.roles, self.adapters):
            assert isinstance(made, nn.ModuleList)
            match_adapters(made, contexts, role)

    def forward(self, context: DistillationContext) -> Tensor:
        layers, classes = self._layers(context), self._classes(context)
        if self.training:
            _, teacher, labels = layers[-1]
            present = losses.class_prototypes(
                teacher, labels, classes, scope=self.scope, all_sum=context.all_sum
            ).present
            self.skipped += present.sum(1).max() < 2
        return torch.stack([self.loss(*layer, classes, all_sum=context.all_sum) for layer in layers]).mean()

    def observed(self, context: DistillationContext) -> dict[str, Tensor]:
        """Distances of prototypes, the mean over layers: what the term is meant to change; and batches skipped."""
        found = [
            torch.stack(
                losses.prototype_distances(
                    student, teacher, labels, self._classes(context), scope=self.scope, all_sum=context.all_sum
                )
            )
            for student, teacher, labels in self._layers(context)
        ]
        intra, student_inter, teacher_inter = torch.stack(found).mean(0)
        return {
            "intra": intra,
            "student_inter": student_inter,
            "teacher_inter": teacher_inter,
            "skipped": self.skipped.double(),
        }

    def _layers(self, context: DistillationContext) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each layer: the features of student and teacher, and the labels, the frames along the batch."""
        frames = range(context.frames.shape[1]) if self.clip else [context.clip.anchor]
        labels = torch.cat([context.labels(t) for t in frames])
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for number, role in enumerate(self.roles):
            adapt: nn.ModuleList | None = self.adapters[number] if len(self.adapters) else None  # type: ignore[assignment]
            of_frames: list[list[Pair]] = [layers_of(context, t, role, adapt) for t in frames]
            for layer in zip(*of_frames):
                found.append((torch.cat([p.student for p in layer]), torch.cat([p.teacher for p in layer]), labels))
        return found

    @staticmethod
    def _classes(context: DistillationContext) -> int:
        return context.student.prediction.native.shape[1]
