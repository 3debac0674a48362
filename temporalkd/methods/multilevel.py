"""Multi-level distillation for continuous images (Ling et al., CIMS 2023)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.spatial_terms import Attention, ChannelKL, CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import InterAffinity, MotionConsistency, SemanticConsistency
from temporalkd.methods.term import RAMP, WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class Multilevel(MethodOptions):
    """L = CE + low + middle + pixel KL + high + consistency.

    Low: the activations of intermediate layers, so that the distributions of features come close. [text] Over space,
        channel by channel, standardised, with adapters: the mean over the layers; or their attention maps. [ours]
    Middle: the multi-scale fused feature map, which carries the spatial structure. [text] Its affinities. [ours]
    High: predictions, which carry the dependency between adjacent frames. [text] Pixel KL, as affinities alone carry no
        classes, and affinities between frames. [ours]
    Consistency: against predictions that differ in adjacent frames. [text] See losses.semantic_consistency. [ours]
    """

    rows = {
        "student": {"low": 0.0, "middle": 0.0, "pixel": 0.0, "high": 0.0, "consistency": 0.0},
        "+ low": {"middle": 0.0, "pixel": 0.0, "high": 0.0, "consistency": 0.0},
        "+ middle": {"pixel": 0.0, "high": 0.0, "consistency": 0.0},
        "+ high": {"consistency": 0.0},
        "+ consistency": {},
        "consistency alone": {"low": 0.0, "middle": 0.0, "pixel": 0.0, "high": 0.0},
    }

    name: Literal["multilevel"] = "multilevel"
    low: float = 2.0
    middle: float = 1.0
    pixel: float = 1.0
    high: float = 1.0
    consistency: float = 1.0
    low_loss: Literal["channel", "attention"] = "channel"
    consistency_loss: Literal["semantic", "motion"] = "semantic"
    tau: float = Field(4.0, gt=0)
    standardise: bool = True

    def losses(self) -> list[WeightedLoss]:
        layers = ChannelKL("low", self.tau, self.standardise) if self.low_loss == "channel" else Attention("low")
        consistency = SemanticConsistency() if self.consistency_loss == "semantic" else MotionConsistency()
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("low", layers, self.low),
            WeightedLoss("middle", IntraAffinity("fused"), self.middle),
            WeightedLoss("pixel_kl", PixelKL(), self.pixel),
            WeightedLoss("high", InterAffinity("logits"), self.high, ramp=RAMP),
            WeightedLoss("consistency", consistency, self.consistency, ramp=RAMP),
        ]


@takes(Multilevel)
def multilevel(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """Low, middle and high level knowledge, and consistency along the motion.

    Needs the features "low" and "fused", which networks of segmentation_models_pytorch and torchvision have by name.

    Args:
        student, teacher, flow: as for `etc`.
        options: see `Multilevel`.
    Source:
        Ling et al., CIMS 2023.

    >>> import torch
    >>> import temporalkd as tkd
    >>> roles = {"low": ["0", "1"], "fused": "1"}
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), 4, roles, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.multilevel(student, teacher, flow="dis").terms)
    ['cross_entropy', 'low', 'middle', 'pixel_kl', 'high', 'consistency']
    """
    return Multilevel.given(options).build(student, teacher, flow=flow)
