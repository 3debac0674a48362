"""Published systems, one file each: a function that returns its weighted terms."""

from collections.abc import Callable

from temporalkd.methods.baseline import baseline
from temporalkd.methods.etc import etc
from temporalkd.methods.kd import kd
from temporalkd.methods.method import Method, Trainee, Weighted
from temporalkd.methods.step import ClipPrediction, Step
from temporalkd.methods.terms import (
    CrossEntropy,
    InterAffinity,
    IntraAffinity,
    MotionConsistency,
    PixelKL,
    RecurrentDependency,
    Term,
)

METHODS: dict[str, Callable[..., list[Weighted]]] = {"baseline": baseline, "kd": kd, "etc": etc}

TERMS: dict[str, type[Term]] = {
    "cross_entropy": CrossEntropy,
    "pixel_kl": PixelKL,
    "intra_affinity": IntraAffinity,
    "inter_affinity": InterAffinity,
    "recurrent_dependency": RecurrentDependency,
    "motion_consistency": MotionConsistency,
}

__all__ = ["METHODS", "TERMS", "ClipPrediction", "Method", "Step", "Term", "Trainee", "Weighted"]
