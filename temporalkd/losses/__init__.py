"""Losses: pure functions on tensors, student first, teacher second, each the mean over the entries that count."""

from temporalkd.losses.adversary import (
    LEAST_SIZE,
    Critic,
    coupled_input,
    critic_channels,
    gradient_penalty,
    held,
    hinge_critic,
    hinge_generator,
    wasserstein_critic,
)
from temporalkd.losses.affinity import inter_affinity, intra_affinity
from temporalkd.losses.attention import attention
from temporalkd.losses.channelwise import channel_kl
from temporalkd.losses.condensation import CondensedKL, condensation_matrix, condensed_kl, enhancement
from temporalkd.losses.correction import (
    ConvCorrector,
    alpha_schedule,
    collaboration,
    linear_correction,
    soft_cross_entropy,
)
from temporalkd.losses.decoupled import DecoupledMaps, decoupled_maps, dkd, nckd, tckd
from temporalkd.losses.fusion import branch_weights, fused_target
from temporalkd.losses.pixelwise import pixel_kl, pixel_kl_to_probs
from temporalkd.losses.prototypes import (
    PrototypeDistances,
    Prototypes,
    class_prototypes,
    intra_class_variation,
    prototype_distances,
    prototype_triplet,
)
from temporalkd.losses.recurrent import AffinityMemory, recurrent_dependency
from temporalkd.losses.reduce import masked_mean, match_size
from temporalkd.losses.supervised import cross_entropy, resize_labels
from temporalkd.losses.temporal import (
    disagreement,
    motion_consistency,
    semantic_consistency,
    steady_teacher,
    teacher_residual,
)

__all__ = [
    "LEAST_SIZE",
    "AffinityMemory",
    "CondensedKL",
    "ConvCorrector",
    "Critic",
    "DecoupledMaps",
    "PrototypeDistances",
    "Prototypes",
    "alpha_schedule",
    "attention",
    "branch_weights",
    "channel_kl",
    "class_prototypes",
    "collaboration",
    "condensation_matrix",
    "condensed_kl",
    "coupled_input",
    "critic_channels",
    "cross_entropy",
    "decoupled_maps",
    "disagreement",
    "dkd",
    "enhancement",
    "fused_target",
    "gradient_penalty",
    "held",
    "hinge_critic",
    "hinge_generator",
    "inter_affinity",
    "intra_affinity",
    "intra_class_variation",
    "linear_correction",
    "masked_mean",
    "match_size",
    "motion_consistency",
    "nckd",
    "pixel_kl",
    "pixel_kl_to_probs",
    "prototype_distances",
    "prototype_triplet",
    "recurrent_dependency",
    "resize_labels",
    "semantic_consistency",
    "soft_cross_entropy",
    "steady_teacher",
    "tckd",
    "teacher_residual",
    "wasserstein_critic",
]
