"""Plain distillation of the prediction of every pixel: the second baseline."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.method import Method
from temporalkd.methods.options import MethodOptions, register, takes
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL
from temporalkd.methods.term import WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class KD(MethodOptions):
    """L = CE + pixel KL. Source: Hinton et al., 2015."""

    name: Literal["kd"] = "kd"
    pixel: float = 1.0
    tau: float = Field(1.0, gt=0)

    def losses(self) -> list[WeightedLoss]:
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("pixel_kl", PixelKL(self.tau), self.pixel),
        ]


@takes(KD)
def kd(student: Segmenter, teacher: Teacher, **options: Any) -> Method:
    """Cross-entropy and the teacher's prediction of every pixel. Source: Hinton et al., 2015.

    Args:
        student, teacher: the teacher is frozen here.
        options: see `KD`.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.kd(student, teacher, tau=2.0).terms)
    ['cross_entropy', 'pixel_kl']
    """
    return KD.given(options).build(student, teacher)
