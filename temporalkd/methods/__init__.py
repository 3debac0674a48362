"""Published systems, one file each: options, weighted losses, ablation rows and a function of networks.

METHODS has the options by name; the functions (`etc(student, teacher)`) build a Method around networks. Methods of
installed packages are found by their entry points in the group `temporalkd.methods`.
"""

from temporalkd.methods.adversary import Adversarial, Adversary
from temporalkd.methods.baseline import Baseline, baseline
from temporalkd.methods.context import ClipPrediction, DistillationContext
from temporalkd.methods.etc import ETC, etc
from temporalkd.methods.fckd import FCKD, fckd
from temporalkd.methods.footage import FootageDistillation, footage
from temporalkd.methods.i2ckd import I2CKD, i2ckd
from temporalkd.methods.imported import ImportedMethod
from temporalkd.methods.kd import KD, kd
from temporalkd.methods.method import Method, StepResult
from temporalkd.methods.multilevel import Multilevel, multilevel
from temporalkd.methods.options import METHODS, MethodOptions, Recipe, register, takes
from temporalkd.methods.self_training import SelfTraining
from temporalkd.methods.selfcorrecting import SelfCorrecting, selfcorrecting
from temporalkd.methods.stckd import STCKD, stckd
from temporalkd.methods.term import RAMP, TERMS, LossTerm, Ramp, TrainableModules, WeightedLoss, register_term
from temporalkd.plugins import load_entry_points

load_entry_points("temporalkd.methods")

__all__ = [
    "ETC",
    "FCKD",
    "I2CKD",
    "KD",
    "METHODS",
    "RAMP",
    "STCKD",
    "TERMS",
    "Adversarial",
    "Adversary",
    "Baseline",
    "ClipPrediction",
    "DistillationContext",
    "FootageDistillation",
    "ImportedMethod",
    "LossTerm",
    "Method",
    "MethodOptions",
    "Multilevel",
    "Ramp",
    "Recipe",
    "SelfCorrecting",
    "SelfTraining",
    "StepResult",
    "TrainableModules",
    "WeightedLoss",
    "baseline",
    "etc",
    "fckd",
    "footage",
    "i2ckd",
    "kd",
    "multilevel",
    "register",
    "register_term",
    "selfcorrecting",
    "stckd",
    "takes",
]
