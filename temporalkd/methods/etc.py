"""ETC: efficient temporal consistency (Liu, Shen, Yu, Wang, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalkd.methods.method import RAMP, WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import InterAffinity, MotionConsistency, RecurrentDependency


def etc(
    class_weight: Sequence[float] | None = None,
    pixel: float = 1.0,
    intra: float = 10.0,
    inter: float = 1.0,
    recurrent: float = 2.0,
    motion: float = 1.0,
    neighbours: float = 0.4,
    feature: str = "head",
    inter_feature: str = "logits",
    photometric: float = 0.0,
    stop_gradient: bool = False,
) -> list[WeightedLoss]:
    """L = CE + SF + PF + MF + TL.

    SF, single-frame dependency: pixel KL and intra-frame affinity, on the labelled frame and `neighbours` times on
        each of the others. [text; code]
    PF, pair-wise frame dependency: affinity between the pixels of two frames, exact and in linear memory. [text] On
        logits centred over classes. [ours]
    MF, multi-frame dependency: a recurrent memory over three frames, fitted on the teacher and frozen. [text; ours]
    TL, temporal loss: consistency of the student's own predictions along the motion. [text]
    """
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("pixel_kl", PixelKL(neighbours=neighbours), pixel),
        WeightedLoss("intra_affinity", IntraAffinity(feature, neighbours), intra),
        WeightedLoss("inter_affinity", InterAffinity(inter_feature), inter, ramp=RAMP),
        WeightedLoss("recurrent_dependency", RecurrentDependency(feature), recurrent, ramp=RAMP),
        WeightedLoss("motion_consistency", MotionConsistency(photometric, stop_gradient), motion, ramp=RAMP),
    ]


ROWS: dict[str, dict[str, Any]] = {
    "plain CE": {"pixel": 0, "intra": 0, "inter": 0, "recurrent": 0, "motion": 0},
    "TL": {"pixel": 0, "intra": 0, "inter": 0, "recurrent": 0},
    "SF": {"inter": 0, "recurrent": 0, "motion": 0},
    "SF + PF": {"recurrent": 0, "motion": 0},
    "SF + PF + MF": {"motion": 0},
    "full": {},
}
"""Ablation rows: what differs from the options given."""
