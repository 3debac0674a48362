"""The plain student, trained with cross-entropy alone: what every gain is measured against."""

from __future__ import annotations

from collections.abc import Sequence

from temporalkd.methods.method import WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy


def baseline(class_weight: Sequence[float] | None = None) -> list[WeightedLoss]:
    """L = CE."""
    return [WeightedLoss("cross_entropy", CrossEntropy(class_weight))]
