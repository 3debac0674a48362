"""Plain distillation of the prediction of every pixel: the second baseline."""

from __future__ import annotations

from collections.abc import Sequence

from temporalkd.methods.method import WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL


def kd(class_weight: Sequence[float] | None = None, pixel: float = 1.0, tau: float = 1.0) -> list[WeightedLoss]:
    """L = CE + pixel KL. Source: Hinton et al., 2015."""
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("pixel_kl", PixelKL(tau), pixel),
    ]
