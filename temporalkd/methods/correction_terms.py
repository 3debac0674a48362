"""Terms that learn from frames without labels: weak labels corrected, and students that learn from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd import losses
from temporalkd.data.clip import IGNORE
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.term import LossTerm
from temporalkd.models import Segmenter, Teacher, freeze

Corrector = Literal["none", "linear", "conv"]


class Ancillary(nn.Module):
    """Segments a frame whose weak label it is shown: 3x3 (c + C + 1 -> hidden), ReLU, 3x3 (-> C).

    It reads the frozen teacher's feature in place of the frame, and the weak label as one map a class and one for
    "unknown". Fitted on labelled frames, then frozen.

    Source:
        Ibrahim et al., CVPR 2020: an ancillary network that is conditioned on the weak label, trained on labelled
        frames and then kept fixed [text]; two layers on the teacher's feature [ours].
    """

    def __init__(self, channels: int, classes: int, hidden: int = 128):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            nn.Conv2d(channels + classes + 1, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, classes, 3, padding=1)
        )
        freeze(self)

    def forward(self, feature: Tensor, weak: Tensor) -> Tensor:
        """Feature (B, c, h, w) and weak label (B, h, w), 255 where unknown -> logits (B, C, h, w)."""
        shown = F.one_hot(weak.masked_fill(weak == IGNORE, self.classes), self.classes + 1)
        return self.layers(torch.cat([feature, shown.movedim(-1, 1).to(feature)], 1))


class Correction(LossTerm):
    """Soft cross-entropy with the corrected weak labels of the frames whose own are hidden.

    Each student is corrected by itself: the soft label joins its own prediction, held fixed, with that of the ancillary
    network, which SelfTraining fits.

    Args:
        corrector: "linear", see losses.linear_correction; "conv", see losses.ConvCorrector, which CorrectorEntropy
            trains; "none": cross-entropy with the weak label as it is.
        feature: the teacher's that the ancillary network reads; its layers' size is that of the teacher's logits.
        alpha: of the linear corrector, at the first and the last step.
    Source:
        Wang, IMCEC 2021: a self-correcting module refines weak labels iteratively into pseudo-labels [text]; the
        correctors are those of Ibrahim et al., CVPR 2020 [ours].
    """

    def __init__(
        self, corrector: Corrector = "linear", feature: str = "head", alpha: tuple[float, float] = (30.0, 5.0)
    ):
        super().__init__()
        self.kind, self.feature, self.alpha = corrector, feature, alpha

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        if self.kind == "none":
            return
        if teacher is None:
            raise ValueError(
                "its ancillary network reads the teacher's feature, and there is no teacher: set teacher.weights, or "
                "method.corrector to none"
            )
        if self.feature not in teacher.channels:
            known = ", ".join(teacher.channels)
            raise ValueError(f"the teacher has no feature of role {self.feature!r}, it has: {known}")
        self.ancillary = Ancillary(teacher.channels[self.feature][-1], students[0].classes)
        if self.kind == "conv":
            self.corrector = losses.ConvCorrector(students[0].classes)

    def ancillary_logits(self, context: DistillationContext) -> Tensor:
        """(B, C, h, w), what the ancillary network says, at the size of the teacher's own logits."""
        t = context.clip.anchor
        native = context.teacher.native(t)
        feature = losses.match_size(context.teacher.feature(self.feature, t), native)
        return self.ancillary(feature, losses.resize_labels(context.weak, native.shape[2:]))

    def corrected(self, context: DistillationContext) -> Tensor:
        """(B, C, h, w), logits of the soft label, which reach no student."""
        ancillary = context.memoize((self, "ancillary"), lambda: self.ancillary_logits(context))
        student = losses.match_size(context.student.native(context.clip.anchor), ancillary).detach()
        if self.kind == "conv":
            return self.corrector(student, ancillary)
        alpha = losses.alpha_schedule(context.progress, *self.alpha)
        return losses.linear_correction(student, ancillary, alpha).clamp(min=torch.finfo(torch.float32).tiny).log()

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        bare = ~context.clip.labelled[:, t]
        if self.kind == "none":
            weak = context.weak.masked_fill(~bare[:, None, None], IGNORE)
            return losses.cross_entropy(context.student.logits(t), weak, all_sum=context.all_sum)
        with torch.no_grad():
            target = self.corrected(context).float().softmax(1)
        student = losses.match_size(context.student.native(t), target)
        valid = context.valid(t, target.shape[2:]) & bare[:, None, None, None]
        return losses.soft_cross_entropy(student, target, valid, all_sum=context.all_sum)


class CorrectorEntropy(LossTerm):
    """Cross-entropy of the convolutional corrector with the labels of the frames that have them; no student learns."""

    def __init__(self, correction: Correction):
        super().__init__()
        self._correction = (correction,)  # in a tuple: the module is the other term's

    def forward(self, context: DistillationContext) -> Tensor:
        labels = context.clip.labels[:, context.clip.anchor]
        return losses.cross_entropy(
            upsampled(self._correction[0].corrected(context), labels), labels, all_sum=context.all_sum
        )


class Collaboration(LossTerm):
    """losses.collaboration between students that are trained side by side, on all frames, labelled or not."""

    def connect(self, students: Sequence[Segmenter], teacher: Teacher | None) -> None:
        super().connect(students, teacher)
        if len(students) < 2:
            raise ValueError(f"needs two students or more, there is {len(students)}")

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        logits = [student.native(t) for student in context.students]
        return losses.collaboration(
            logits, context.number, context.valid(t, logits[0].shape[2:]), all_sum=context.all_sum
        )


def upsampled(logits: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(logits.float(), like.shape[-2:], mode="bilinear", align_corners=False)
