"""Multi-level distillation for continuous images (Ling et al., CIMS 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from temporalkd.methods.method import RAMP, WeightedLoss
from temporalkd.methods.spatial_terms import Attention, ChannelKL, CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import InterAffinity, MotionConsistency, SemanticConsistency


def multilevel(
    class_weight: Sequence[float] | None = None,
    low: float = 2.0,
    middle: float = 1.0,
    pixel: float = 1.0,
    high: float = 1.0,
    consistency: float = 1.0,
    low_loss: Literal["channel", "attention"] = "channel",
    consistency_loss: Literal["semantic", "motion"] = "semantic",
    tau: float = 4.0,
    standardise: bool = True,
) -> list[WeightedLoss]:
    """L = CE + low + middle + pixel KL + high + consistency.

    Low: the activations of intermediate layers, so that the distributions of features come close. [text] Over space,
        channel by channel, standardised, with adapters: the mean over the layers; or their attention maps. [ours]
    Middle: the multi-scale fused feature map, which carries the spatial structure. [text] Its affinities. [ours]
    High: predictions, which carry the dependency between adjacent frames. [text] Pixel KL, as affinities alone carry no
        classes, and affinities between frames. [ours]
    Consistency: against predictions that differ in adjacent frames. [text] See losses.semantic_consistency. [ours]
    """
    layers = ChannelKL("low", tau, standardise) if low_loss == "channel" else Attention("low")
    steady = SemanticConsistency() if consistency_loss == "semantic" else MotionConsistency()
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("low", layers, low),
        WeightedLoss("middle", IntraAffinity("fused"), middle),
        WeightedLoss("pixel_kl", PixelKL(), pixel),
        WeightedLoss("high", InterAffinity("logits"), high, ramp=RAMP),
        WeightedLoss("consistency", steady, consistency, ramp=RAMP),
    ]


ROWS: dict[str, dict[str, Any]] = {
    "student": {"low": 0.0, "middle": 0.0, "pixel": 0.0, "high": 0.0, "consistency": 0.0},
    "+ low": {"middle": 0.0, "pixel": 0.0, "high": 0.0, "consistency": 0.0},
    "+ middle": {"pixel": 0.0, "high": 0.0, "consistency": 0.0},
    "+ high": {"consistency": 0.0},
    "+ consistency": {},
    "consistency alone": {"low": 0.0, "middle": 0.0, "pixel": 0.0, "high": 0.0},
}
"""Ablation rows: what differs from the options given."""
