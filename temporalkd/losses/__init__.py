"""Losses: pure functions on tensors, student first, teacher second, each the mean over the entries that count."""

from temporalkd.losses.affinity import inter_affinity, intra_affinity
from temporalkd.losses.pixelwise import pixel_kl
from temporalkd.losses.recurrent import AffinityMemory, recurrent_dependency
from temporalkd.losses.reduce import masked_mean, match_size
from temporalkd.losses.supervised import cross_entropy
from temporalkd.losses.temporal import motion_consistency

__all__ = [
    "AffinityMemory",
    "cross_entropy",
    "inter_affinity",
    "intra_affinity",
    "masked_mean",
    "match_size",
    "motion_consistency",
    "pixel_kl",
    "recurrent_dependency",
]
