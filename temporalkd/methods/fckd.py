"""FCKDNet: feature condensation (Yuan et al., Entropy 25(1):125, 2023)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.spatial_terms import Condensation, CrossEntropy
from temporalkd.methods.term import WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class FCKD(MethodOptions):
    """L = CE + condensation x (condensed KL over space + channel_weight x condensed KL over channels).

    The teacher's per-pixel entropy says what is knowledge and what is noise; the resulting matrix condenses the outputs
        of teacher and student, and what the teacher is sure of is enhanced, over space and over channels. [text]
        The enhancement weighs pixels and channels, so that the loss is least at the teacher. [ours]
    The equations: see losses.condensed_kl. [ours]

    Args:
        condense, spatial, channel, mode, enhance: what the ablation rows switch, see ROWS.
        temporal: where the teacher disagrees with itself along the motion, it is noise too. [ours]
    """

    rows = {
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

    name: Literal["fckd"] = "fckd"
    condensation: float = 1.0
    condense: Literal["none", "teacher", "both"] = "both"
    spatial: bool = True
    channel: bool = True
    channel_weight: float = 0.2
    tau: float = Field(4.0, gt=0)
    mode: Literal["entropy", "hard", "control"] = "entropy"
    enhance: Literal["weights", "teacher"] = "weights"
    temporal: bool = False

    def losses(self) -> list[WeightedLoss]:
        term = Condensation(
            self.condense,
            self.spatial,
            self.channel,
            self.channel_weight,
            self.tau,
            self.mode,
            self.enhance,
            self.temporal,
        )
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("condensation", term, self.condensation),
        ]


@takes(FCKD)
def fckd(student: Segmenter, teacher: Teacher, flow: Flow = None, **options: Any) -> Method:
    """Feature condensation: the teacher's entropy tells knowledge from noise.

    Args:
        student, teacher: as for `etc`.
        flow: needed with temporal=True alone.
        options: see `FCKD`.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.fckd(student, teacher).terms)
    ['cross_entropy', 'condensation']
    """
    return FCKD.given(options).build(student, teacher, flow=flow)
