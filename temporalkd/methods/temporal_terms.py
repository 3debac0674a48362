"""Terms along the motion beside motion consistency: the teacher's own residual, and classes that would flicker."""

from __future__ import annotations

import torch
from torch import Tensor

from temporalkd import losses
from temporalkd.methods.step import Step
from temporalkd.methods.terms import Term


class TeacherResidual(Term):
    """losses.teacher_residual between the labelled frame and each neighbour, at the teacher's native stride."""

    frames = 2

    def forward(self, step: Step) -> Tensor:
        values = []
        for p, (t, k) in enumerate(step.clip.pairs):
            teacher, teacher_k = step.teacher.probs(t), step.teacher.probs(k)
            student, student_k = (losses.match_size(step.student.probs(i), teacher) for i in (t, k))
            flow, visible = step.motion(p, (teacher.shape[2], teacher.shape[3]))
            values.append(losses.teacher_residual(student, student_k, teacher, teacher_k, flow, visible))
        return torch.stack(values).mean()


class SemanticConsistency(Term):
    """losses.semantic_consistency between the labelled frame and each neighbour, at the native stride."""

    frames = 2

    def forward(self, step: Step) -> Tensor:
        values = []
        for p, (t, k) in enumerate(step.clip.pairs):
            probs = step.student.probs(t)
            flow, visible = step.motion(p, (probs.shape[2], probs.shape[3]))
            values.append(losses.semantic_consistency(probs, step.student.probs(k), flow, visible))
        return torch.stack(values).mean()
