"""STCKD: spatial-temporal consistency distillation (Wang, Yuan, Zhou, Wang, 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from temporalkd.methods.adversarial import Adversarial, Game, View
from temporalkd.methods.method import RAMP, WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import MotionConsistency, TeacherResidual

Branches = Literal["both", "cnn", "transformer"]


def stckd(
    class_weight: Sequence[float] | None = None,
    pixel: float = 1.0,
    intra: float = 10.0,
    motion: float = 0.0,
    residual: float = 1.0,
    adversarial: float = 0.035,
    critic: float = 0.1,
    branches: Branches = "both",
    view: View = "tuple",
    game: Game = "hinge",
    width: int = 64,
    feature: str = "head",
) -> list[WeightedLoss]:
    """L = CE + spatial consistency + temporal consistency + coupled adversary.

    Spatial: a teacher of a CNN and a transformer branch, used jointly. [text] Pixel KL to their fused prediction and
        the affinities of each, each branch weighted as in the fusion. [ours]
    Temporal: the inter-frame relation from flow and segmentation over continuous time. [text] The residual of the
        teacher averaged along the flow; the student's own consistency along the motion, which would pull the same
        residual to 0, is an option. [ours]
    Adversary: both are coupled in a GAN-structured framework. [text] A critic sees frame, warped neighbour, visibility
        and image together. [ours]

    Args:
        branches: the teacher's to distil from; `teacher` is the CNN, `second_teacher` the transformer.
        adversarial: at 0.035 its gradient at the logits is about 5 % of cross-entropy's on the street; the 0.001 of SKD
            would be 0.1 %.
        view, game, critic, width: of the critic, see methods.adversarial.
    """
    branch = {"both": "", "cnn": "first", "transformer": "second"}[branches]
    each = {"both": ("first", "second")}.get(branches, (branch,))
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("pixel_kl", PixelKL(branch=branch), pixel),
        *(WeightedLoss(f"intra_affinity_{name}", IntraAffinity(feature, branch=name), intra) for name in each),
        WeightedLoss("motion_consistency", MotionConsistency(), motion, ramp=RAMP),
        WeightedLoss("teacher_residual", TeacherResidual(branch), residual, ramp=RAMP),
        WeightedLoss("adversarial", Adversarial(view, game, critic, width, branch), adversarial, ramp=RAMP),
    ]


_SPATIAL = {"motion": 0.0, "residual": 0.0, "adversarial": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "cnn": {"branches": "cnn", **_SPATIAL},
    "transformer": {"branches": "transformer", **_SPATIAL},
    "both": _SPATIAL,
    "+ temporal": {"adversarial": 0.0},
    "+ adversary on frames": {"view": "frame"},
    "+ adversary on residuals": {"view": "residual"},
    "+ adversary on tuples": {},
}
"""Ablation rows: what differs from the options given."""
