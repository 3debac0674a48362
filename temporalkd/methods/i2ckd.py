"""I2CKD: intra- and inter-class knowledge distillation (Karine, Napoleon, Jridi, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalkd.losses.prototypes import Anchor, Part, Scope
from temporalkd.methods.method import WeightedLoss
from temporalkd.methods.prototype_terms import PrototypeTriplet
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL


def i2ckd(
    class_weight: Sequence[float] | None = None,
    pixel: float = 1.0,
    triplet: float = 1.0,
    feature: str | list[str] = "head",
    margin: float = 0.3,
    scope: Scope = "batch",
    anchor: Anchor = "student",
    part: Part = "both",
    hardest: bool = False,
    clip: bool = False,
) -> list[WeightedLoss]:
    """L = CE + pixel KL + triplet.

    Prototypes of the classes from intermediate feature maps of teacher and student; a triplet loss brings those of one
        class together and drives those of different classes apart. [text] The equations: losses.prototype_triplet;
        beside pixel KL. [ours]

    Args:
        feature: role or roles of the features.
        clip: prototypes over all frames of the clip, with labels carried along the motion. [ours]
    """
    term = PrototypeTriplet(feature, margin, scope, anchor, part, hardest, clip)
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("pixel_kl", PixelKL(), pixel),
        WeightedLoss("prototype_triplet", term, triplet),
    ]


ROWS: dict[str, dict[str, Any]] = {
    "kd": {"triplet": 0.0},
    "intra": {"part": "intra"},
    "inter": {"part": "inter"},
    "both": {},
}
"""Ablation rows: what differs from the options given."""
