"""Published systems, one file each: a function that returns its weighted terms; METHODS has them by name.

The functions of this package (`etc(student, teacher)`) build a Method of these terms around networks.
"""

from collections.abc import Callable
from typing import Any

from temporalkd.methods.adversarial import Adversarial
from temporalkd.methods.baseline import baseline as baseline_terms
from temporalkd.methods.context import ClipPrediction, DistillationContext
from temporalkd.methods.etc import ROWS as ETC_ROWS
from temporalkd.methods.etc import etc as etc_terms
from temporalkd.methods.fckd import ROWS as FCKD_ROWS
from temporalkd.methods.fckd import fckd as fckd_terms
from temporalkd.methods.front import baseline, etc, fckd, i2ckd, kd, multilevel, stckd
from temporalkd.methods.i2ckd import ROWS as I2CKD_ROWS
from temporalkd.methods.i2ckd import i2ckd as i2ckd_terms
from temporalkd.methods.kd import kd as kd_terms
from temporalkd.methods.method import RAMP, Method, Ramp, StepResult, WeightedLoss
from temporalkd.methods.multilevel import ROWS as MULTILEVEL_ROWS
from temporalkd.methods.multilevel import multilevel as multilevel_terms
from temporalkd.methods.prototype_terms import IntraClassVariation, PrototypeTriplet
from temporalkd.methods.selfcorrecting import ROWS as SELFCORRECTING_ROWS
from temporalkd.methods.selfcorrecting import selfcorrecting as selfcorrecting_terms
from temporalkd.methods.spatial_terms import (
    DKD,
    Attention,
    ChannelKL,
    Condensation,
    CrossEntropy,
    IntraAffinity,
    PixelKL,
)
from temporalkd.methods.stckd import ROWS as STCKD_ROWS
from temporalkd.methods.stckd import stckd as stckd_terms
from temporalkd.methods.temporal_terms import (
    InterAffinity,
    MotionConsistency,
    RecurrentDependency,
    SemanticConsistency,
    TeacherResidual,
)
from temporalkd.methods.term import LossTerm
from temporalkd.methods.trainable import TrainableModules

METHODS: dict[str, Callable[..., list[WeightedLoss]]] = {
    "baseline": baseline_terms,
    "kd": kd_terms,
    "etc": etc_terms,
    "multilevel": multilevel_terms,
    "stckd": stckd_terms,
    "fckd": fckd_terms,
    "i2ckd": i2ckd_terms,
    "selfcorrecting": selfcorrecting_terms,
}

ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "etc": ETC_ROWS,
    "multilevel": MULTILEVEL_ROWS,
    "stckd": STCKD_ROWS,
    "fckd": FCKD_ROWS,
    "i2ckd": I2CKD_ROWS,
    "selfcorrecting": SELFCORRECTING_ROWS,
}
"""Method -> its ablation, where it has one: row -> options of the method section that differ from the config's."""

TERMS: dict[str, type[LossTerm]] = {
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
    "prototype_triplet": PrototypeTriplet,
    "condensation": Condensation,
    "teacher_residual": TeacherResidual,
    "semantic_consistency": SemanticConsistency,
    "adversarial": Adversarial,
}

__all__ = [
    "METHODS",
    "RAMP",
    "ROWS",
    "TERMS",
    "ClipPrediction",
    "DistillationContext",
    "LossTerm",
    "Method",
    "Ramp",
    "StepResult",
    "TrainableModules",
    "WeightedLoss",
    "baseline",
    "etc",
    "fckd",
    "i2ckd",
    "kd",
    "multilevel",
    "stckd",
]
