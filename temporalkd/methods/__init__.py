"""Published systems, one file each: a function that returns its weighted terms."""

from collections.abc import Callable

from temporalkd.methods.baseline import baseline
from temporalkd.methods.etc import etc
from temporalkd.methods.fckd import fckd
from temporalkd.methods.kd import kd
from temporalkd.methods.method import Method, Trainee, Weighted
from temporalkd.methods.spatial_terms import DKD, Attention, ChannelKL, Condensation, IntraClassVariation
from temporalkd.methods.step import ClipPrediction, Step
from temporalkd.methods.temporal_terms import SemanticConsistency, TeacherResidual
from temporalkd.methods.terms import (
    CrossEntropy,
    InterAffinity,
    IntraAffinity,
    MotionConsistency,
    PixelKL,
    RecurrentDependency,
    Term,
)

METHODS: dict[str, Callable[..., list[Weighted]]] = {"baseline": baseline, "kd": kd, "etc": etc, "fckd": fckd}

TERMS: dict[str, type[Term]] = {
    "cross_entropy": CrossEntropy,
    "pixel_kl": PixelKL,
    "intra_affinity": IntraAffinity,
    "inter_affinity": InterAffinity,
    "recurrent_dependency": RecurrentDependency,
    "motion_consistency": MotionConsistency,
    "channel_kl": ChannelKL,
    "attention": Attention,
    "dkd": DKD,
    "intra_class_variation": IntraClassVariation,
    "condensation": Condensation,
    "teacher_residual": TeacherResidual,
    "semantic_consistency": SemanticConsistency,
}

__all__ = ["METHODS", "TERMS", "ClipPrediction", "Method", "Step", "Term", "Trainee", "Weighted"]
