"""The student taught by the moving average of its own weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from temporalkd import losses
from temporalkd.methods.context import ClipPrediction, DistillationContext
from temporalkd.methods.spatial_terms import Spatial
from temporalkd.methods.term import register_term
from temporalkd.models import MultiView


@register_term("mean_teacher")
class MeanTeacher(Spatial):
    """losses.pixel_kl to the moving average of the student's weights, which sees the frames live and follows each step.

    The average sees the frames before jitter and disturbance, in the student's crop, if wanted in several views whose
    probabilities are averaged. It needs no teacher. Its decay is `training.ema`, 0.999 where that is 0.

    Args:
        tau: temperature.
        neighbours: weight of each frame that is not the labelled one.
        labelled: how much a pixel counts in clips whose labelled frame has labels; 0: they cost no forward either.
        flip, scales: the views, see MultiView; none by default.
    Source:
        Tarvainen, Valpola, NeurIPS 2017; in views [ours].
    """

    needs_teacher = False
    needs_average = True

    def __init__(
        self,
        tau: float = 1.0,
        neighbours: float = 1.0,
        labelled: float = 1.0,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
    ):
        super().__init__(neighbours)
        self.tau, self.labelled = tau, labelled
        self.flip, self.scales = flip, tuple(scales)
        if 1.0 not in self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales: {list(scales)}, expected numbers more than 0, 1 among them")

    def at(self, context: DistillationContext, t: int) -> Tensor:
        rows, said = context.memoize((self, context.number), lambda: self._ask(context))
        student = context.student.native(t)[rows]
        teacher = student if said is None else said.native(t)
        student = losses.match_size(student, teacher)
        counted = context.counted(t, teacher.shape[-2:], self.labelled)[rows]
        return losses.pixel_kl(student, teacher, counted, self.tau, all_sum=context.all_sum)

    @torch.no_grad()
    def _ask(self, context: DistillationContext) -> tuple[Tensor, ClipPrediction | None]:
        """The clips of the batch that count, and what the average says of them; None where there are none."""
        rows = (context.has_labels * (self.labelled == 0) == 0).nonzero()[:, 0]
        if rows.numel() == 0:
            return rows, None
        average = context.averages[context.number]
        return rows, context.ask(MultiView(average, self.flip, self.scales), context.clip.frames[rows])
