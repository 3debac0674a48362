"""FCKDNet: feature condensation (Yuan et al., Entropy 25(1):125, 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from temporalkd.losses.condensation import Condense, Mode
from temporalkd.methods.method import Weighted
from temporalkd.methods.spatial_terms import Condensation, CrossEntropy


def fckd(
    class_weight: Sequence[float] | None = None,
    condensation: float = 1.0,
    condense: Condense = "both",
    spatial: bool = True,
    channel: bool = True,
    channel_weight: float = 3.0,
    tau: float = 4.0,
    mode: Mode = "entropy",
    temporal: bool = False,
) -> list[Weighted]:
    """L = CE + condensed distillation over space + channel_weight x the same over channels.

    The teacher's per-pixel entropy says what is knowledge and what is noise; the resulting matrix condenses the outputs
        of teacher and student, and what the teacher is sure of is enhanced, over space and over channels. [text]
    The equations: see losses.condensed_kl. [ours]

    Args:
        condense, spatial, channel, mode: the ablation rows. Pixel KL alone is condense "none", spatial and channel off;
            then condense "teacher", "both", + spatial, + channel; the control is mode "control", which trusts noise.
        temporal: where the teacher disagrees with itself along the motion, it is noise too. [ours]
    """
    term = Condensation(condense, spatial, channel, channel_weight, tau, mode, temporal)
    return [Weighted("cross_entropy", CrossEntropy(class_weight)), Weighted("condensation", term, condensation)]
