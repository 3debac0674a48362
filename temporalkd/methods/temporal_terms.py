"""Terms between frames: affinities, recurrent memory, and what changes along the motion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flow import photometric_weight
from temporalkd import losses
from temporalkd.methods.context import DistillationContext
from temporalkd.methods.spatial_terms import pair_of
from temporalkd.methods.term import LossTerm, register_term


@register_term("inter_affinity")
class InterAffinity(LossTerm):
    """losses.inter_affinity between the labelled frame and each neighbour."""

    needs_teacher = True
    frames = 2

    def __init__(self, feature: str = "logits"):
        super().__init__()
        self.feature, self.roles = feature, (feature,)

    def forward(self, context: DistillationContext) -> Tensor:
        student_t, teacher_t, valid_t = pair_of(context, context.clip.anchor, self.feature)
        values = []
        for k in context.neighbours:
            student_k, teacher_k, valid_k = pair_of(context, k, self.feature)
            pair = student_t, student_k, teacher_t, teacher_k, valid_t, valid_k
            values.append(losses.inter_affinity(*pair, centre=self.feature == "logits", all_sum=context.all_sum))
        return torch.stack(values).mean()


@register_term("recurrent_dependency")
class RecurrentDependency(LossTerm):
    """losses.recurrent_dependency over all frames of the clip, in temporal order."""

    needs_teacher = True
    frames = 3
    prepares = True

    def __init__(self, feature: str = "head", grid: tuple[int, int] = (8, 10)):
        super().__init__()
        self.feature, self.roles = feature, (feature,)
        self.memory = losses.AffinityMemory((grid[0], grid[1]))

    def prepare(self, contexts: Sequence[DistillationContext]) -> None:
        length = contexts[0].frames.shape[1]
        self.memory.fit([[s.teacher.feature(self.feature, t) for t in range(length)] for s in contexts])

    def forward(self, context: DistillationContext) -> Tensor:
        frames = range(context.frames.shape[1])
        student = [context.student.feature(self.feature, t) for t in frames]
        teacher = [context.teacher.feature(self.feature, t) for t in frames]
        return losses.recurrent_dependency(student, teacher, self.memory)


@register_term("motion_consistency")
class MotionConsistency(LossTerm):
    """losses.motion_consistency between the labelled frame and each neighbour, at the native stride.

    Args:
        photometric: weight by exp(-photometric * mean absolute colour difference along the motion); 0: do not.
        stop_gradient: hold the neighbour's prediction fixed.
    """

    frames = 2

    def __init__(self, photometric: float = 0.0, stop_gradient: bool = False):
        super().__init__()
        self.photometric, self.stop_gradient = photometric, stop_gradient

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        probs = context.student.probs(t)
        size = (probs.shape[2], probs.shape[3])
        values = []
        for k, (flow, visible) in context.along(t, size):
            neighbour, weight = context.student.probs(k), None
            if self.photometric:
                image, other = (nn.functional.adaptive_avg_pool2d(context.clip.frames[:, i], size) for i in (t, k))
                weight = photometric_weight(image, other, flow, self.photometric)
            neighbour = neighbour.detach() if self.stop_gradient else neighbour
            values.append(losses.motion_consistency(probs, neighbour, flow, visible, weight, all_sum=context.all_sum))
        return torch.stack(values).mean()


@register_term("teacher_residual")
class TeacherResidual(LossTerm):
    """losses.teacher_residual between the labelled frame and each neighbour, at the teacher's native stride.

    Args:
        flow_averaged: the residual is that of the teacher averaged along the motion, which does not flicker where the
            motion is known; otherwise the student is taught the teacher's flicker, too.
    """

    needs_teacher = True
    frames = 2

    def __init__(self, branch: str = "", flow_averaged: bool = True):
        super().__init__()
        self.branch, self.flow_averaged = branch, flow_averaged

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        teacher = context.flow_averaged(self.branch) if self.flow_averaged else context.teacher.branch(self.branch)
        target = teacher.probs(t)
        student = losses.match_size(context.student.probs(t), target)
        values = []
        for k, motion in context.along(t, (target.shape[2], target.shape[3])):
            student_k = losses.match_size(context.student.probs(k), target)
            values.append(
                losses.teacher_residual(student, student_k, target, teacher.probs(k), *motion, all_sum=context.all_sum)
            )
        return torch.stack(values).mean()


@register_term("semantic_consistency")
class SemanticConsistency(LossTerm):
    """losses.semantic_consistency between the labelled frame and each neighbour, at the native stride."""

    frames = 2

    def forward(self, context: DistillationContext) -> Tensor:
        t = context.clip.anchor
        probs = context.student.probs(t)
        pairs = context.along(t, (probs.shape[2], probs.shape[3]))
        values = [
            losses.semantic_consistency(probs, context.student.probs(k), *motion, all_sum=context.all_sum)
            for k, motion in pairs
        ]
        return torch.stack(values).mean()
