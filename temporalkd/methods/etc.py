"""ETC: efficient temporal consistency (Liu, Shen, Yu, Wang, ECCV 2020)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import InterAffinity, MotionConsistency, RecurrentDependency
from temporalkd.methods.term import RAMP, WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class ETC(MethodOptions):
    """L = CE + SF + PF + MF + TL.

    SF, single-frame dependency: pixel KL and intra-frame affinity, on the labelled frame and `neighbours` times on
        each of the others. [text; code]
    PF, pair-wise frame dependency: affinity between the pixels of two frames, exact and in linear memory. [text] On
        logits centred over classes. [ours]
    MF, multi-frame dependency: a recurrent memory over three frames, fitted on the teacher and frozen. [text; ours]
    TL, temporal loss: consistency of the student's own predictions along the motion. [text]
    """

    rows = {
        "plain CE": {"pixel": 0, "intra": 0, "inter": 0, "recurrent": 0, "motion": 0},
        "TL": {"pixel": 0, "intra": 0, "inter": 0, "recurrent": 0},
        "SF": {"inter": 0, "recurrent": 0, "motion": 0},
        "SF + PF": {"recurrent": 0, "motion": 0},
        "SF + PF + MF": {"motion": 0},
        "full": {},
    }

    name: Literal["etc"] = "etc"
    pixel: float = 1.0
    intra: float = 10.0
    inter: float = 1.0
    recurrent: float = 2.0
    motion: float = 1.0
    neighbours: float = 0.4
    feature: str = "head"
    inter_feature: str = "logits"
    photometric: float = Field(0.0, ge=0)
    stop_gradient: bool = False

    def losses(self) -> list[WeightedLoss]:
        motion = MotionConsistency(self.photometric, self.stop_gradient)
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("pixel_kl", PixelKL(neighbours=self.neighbours), self.pixel),
            WeightedLoss("intra_affinity", IntraAffinity(self.feature, self.neighbours), self.intra),
            WeightedLoss("inter_affinity", InterAffinity(self.inter_feature), self.inter, ramp=RAMP),
            WeightedLoss("recurrent_dependency", RecurrentDependency(self.feature), self.recurrent, ramp=RAMP),
            WeightedLoss("motion_consistency", motion, self.motion, ramp=RAMP),
        ]


@takes(ETC)
def etc(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """ETC: single-frame, pair-wise and multi-frame dependency, and consistency along the motion.

    Args:
        student, teacher: the teacher is frozen here.
        flow: needed for clips that carry no motion of their own.
        options: see `ETC`.
    Raises:
        ValueError: unknown options; the class counts differ; a network lacks the feature ("head"; "logits" always is).
        FileNotFoundError: no weights of the flow network; it says where they were looked for.
    Source:
        Liu, Shen, Yu, Wang, ECCV 2020.

    >>> import torch
    >>> import temporalkd as tkd
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), classes=4, normalisation="none") for _ in range(2))
    >>> method = tkd.methods.etc(student, teacher, flow="dis")
    >>> frames, labels = torch.rand(1, 3, 3, 32, 48), torch.zeros(1, 32, 48, dtype=torch.long)
    >>> method.prepare([(frames, labels)])
    >>> out = method.training_step(frames, labels)
    >>> out.loss.backward()
    >>> list(out.terms)[3:]
    ['inter_affinity', 'recurrent_dependency', 'motion_consistency']
    """
    return ETC.given(options).build(student, teacher, flow=flow)
