"""Footage distillation: labels teach on stills, steadier predictions on video that has no labels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat

from temporalkd.methods.mean_teacher import MeanTeacher
from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL
from temporalkd.methods.temporal_terms import MotionConsistency
from temporalkd.methods.term import Ramp, WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class FootageDistillation(MethodOptions):
    """L = CE on labelled frames + pixel KL(p_T || p_S) + own KL(p_A || p_S) on footage + motion TL

    p_T: the teacher's prediction, best the stored average over several views. p_A: that of the moving average of the
        student's own weights, live, in views. At tau 1 the two KL have the gradient of one to the mixture of both.
    TL, motion consistency: the student's own predictions agree along the motion. It needs clips of two frames.
    The KL are means over the clips without labels alone, whatever their share of the batch; a pixel of a labelled clip
        counts `labelled` times. [ours]

    Args:
        pixel, own, motion: weights; that of `own` rises from 0.1 to 0.3 of the training, that of `motion` from 0.3 to
            0.8, where `ramps` says nothing else.
        labelled: 0: the teacher is not asked about labelled stills, where it repeats the labels.
        neighbours: weight of the KL on each frame of a clip that is not its anchor.
        flip, scales: views of the moving average.
    """

    rows = {
        "recipe": {},
        "without the teacher": {"pixel": 0},
        "without own views": {"own": 0},
        "without motion": {"motion": 0},
        "with labelled stills": {"labelled": 1},
        "labels alone": {"pixel": 0, "own": 0, "motion": 0},
    }

    name: Literal["footage"] = "footage"
    pixel: float = Field(0.5, ge=0)
    own: float = Field(0.5, ge=0)
    motion: float = Field(0.0, ge=0)
    labelled: float = Field(0.0, ge=0)
    neighbours: float = Field(1.0, ge=0)
    tau: float = Field(1.0, gt=0)
    flip: bool = True
    scales: list[PositiveFloat] = Field(default=[1.0], min_length=1)

    def losses(self) -> list[WeightedLoss]:
        own = MeanTeacher(self.tau, self.neighbours, self.labelled, self.flip, self.scales)
        teacher = PixelKL(self.tau, self.neighbours, labelled=self.labelled)
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("pixel_kl", teacher, self.pixel),
            WeightedLoss("mean_teacher", own, self.own, Ramp(0.1, 0.3)),
            WeightedLoss("motion_consistency", MotionConsistency(), self.motion, Ramp(0.3, 0.8)),
        ]


@takes(FootageDistillation)
def footage(student: Segmenter, teacher: Teacher | None = None, flow: Flow = None, **options: Any) -> Method:
    """Cross-entropy on labelled stills; on footage without labels, the teacher's views and the student's own.

    In a loop of one's own, call `after_step` after each step of the optimiser, so that the moving average follows.

    Args:
        student, teacher: the teacher is frozen here, and best seen in views (`tkd.views`); None: pixel=0.
        flow: for `motion`, on clips that carry no motion of their own.
        options: see `FootageDistillation`.
    Raises:
        ValueError: unknown options; the class counts differ.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> method = tkd.methods.footage(student, tkd.views(teacher))
    >>> frames, labels = torch.rand(2, 1, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long)
    >>> labels[1] = 255  # a frame of the footage
    >>> list(method.training_step(frames, labels).terms)
    ['cross_entropy', 'pixel_kl', 'mean_teacher']
    """
    given = options if teacher is not None else {"pixel": 0.0} | options
    return FootageDistillation.given(given).build(student, teacher, flow)
