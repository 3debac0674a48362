"""The plain student, trained with cross-entropy alone: what every gain is measured against."""

from __future__ import annotations

from typing import Any, Literal

from temporalkd.methods.method import Method
from temporalkd.methods.options import MethodOptions, register, takes
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.methods.term import WeightedLoss
from temporalkd.models import Segmenter


@register
class Baseline(MethodOptions):
    """L = CE."""

    name: Literal["baseline"] = "baseline"

    def losses(self) -> list[WeightedLoss]:
        return [WeightedLoss("cross_entropy", CrossEntropy(self.class_weight))]


@takes(Baseline)
def baseline(student: Segmenter, **options: Any) -> Method:
    """Cross-entropy alone: what every gain is measured against.

    Args:
        student: the network to train.
        options: see `Baseline`.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student = tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), classes=4, normalisation="none")
    >>> method = tkd.methods.baseline(student)
    >>> method.training_step(torch.rand(1, 1, 3, 8, 8), torch.full((1, 8, 8), 255)).loss.item()
    0.0
    """
    return Baseline.given(options).build(student)
