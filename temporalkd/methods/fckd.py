"""FCKDNet: feature condensation (Yuan et al., Entropy 25(1):125, 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalkd.losses.condensation import Condense, Enhance, Mode
from temporalkd.methods.method import WeightedLoss
from temporalkd.methods.spatial_terms import Condensation, CrossEntropy


def fckd(
    class_weight: Sequence[float] | None = None,
    condensation: float = 1.0,
    condense: Condense = "both",
    spatial: bool = True,
    channel: bool = True,
    channel_weight: float = 0.2,
    tau: float = 4.0,
    mode: Mode = "entropy",
    enhance: Enhance = "weights",
    temporal: bool = False,
) -> list[WeightedLoss]:
    """L = CE + condensation x (condensed KL over space + channel_weight x condensed KL over channels).

    The teacher's per-pixel entropy says what is knowledge and what is noise; the resulting matrix condenses the outputs
        of teacher and student, and what the teacher is sure of is enhanced, over space and over channels. [text]
        The enhancement weighs pixels and channels, so that the loss is least at the teacher. [ours]
    The equations: see losses.condensed_kl. [ours]

    Args:
        condense, spatial, channel, mode, enhance: what the ablation rows switch, see ROWS.
        temporal: where the teacher disagrees with itself along the motion, it is noise too. [ours]
    """
    term = Condensation(condense, spatial, channel, channel_weight, tau, mode, enhance, temporal)
    return [WeightedLoss("cross_entropy", CrossEntropy(class_weight)), WeightedLoss("condensation", term, condensation)]


ROWS: dict[str, dict[str, Any]] = {
    "KD": {"condense": "none", "spatial": False, "channel": False},
    "condense teacher": {"condense": "teacher", "spatial": False, "channel": False},
    "condense both": {"condense": "both", "spatial": False, "channel": False},
    "+ spatial": {"condense": "both", "spatial": True, "channel": False},
    "+ channel": {"condense": "both", "spatial": True, "channel": True},
    "control M = E": {"condense": "both", "spatial": True, "channel": True, "mode": "control"},
    "enhanced teacher": {"condense": "both", "spatial": True, "channel": True, "enhance": "teacher"},
}
"""Ablation rows: what differs from the options given.

The control trusts what the others call noise. The last row enhances the teacher's logits instead of weighing by the
enhancement; its optimum is not the teacher.
"""
