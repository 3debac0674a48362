"""I2CKD: intra- and inter-class knowledge distillation (Karine, Napoleon, Jridi, 2024)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.prototype_terms import PrototypeTriplet
from temporalkd.methods.spatial_terms import CrossEntropy, PixelKL
from temporalkd.methods.term import WeightedLoss
from temporalkd.models import Segmenter, Teacher


@register
class I2CKD(MethodOptions):
    """L = CE + pixel KL + triplet.

    Prototypes of the classes from intermediate feature maps of teacher and student; a triplet loss brings those of one
        class together and drives those of different classes apart. [text] The equations: losses.prototype_triplet;
        beside pixel KL. [ours]

    Args:
        feature: role or roles of the features.
        clip: prototypes over all frames of the clip, with labels carried along the motion. [ours]
    """

    rows = {
        "kd": {"triplet": 0.0},
        "intra": {"part": "intra"},
        "inter": {"part": "inter"},
        "both": {},
    }

    name: Literal["i2ckd"] = "i2ckd"
    pixel: float = 1.0
    triplet: float = 1.0
    feature: str | list[str] = "head"
    margin: float = Field(0.3, ge=0)
    scope: Literal["batch", "image"] = "batch"
    anchor: Literal["student", "teacher"] = "student"
    part: Literal["both", "intra", "inter"] = "both"
    hardest: bool = False
    clip: bool = False

    def losses(self) -> list[WeightedLoss]:
        term = PrototypeTriplet(self.feature, self.margin, self.scope, self.anchor, self.part, self.hardest, self.clip)
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("pixel_kl", PixelKL(), self.pixel),
            WeightedLoss("prototype_triplet", term, self.triplet),
        ]


@takes(I2CKD)
def i2ckd(student: Segmenter, teacher: Teacher, flow: Flow = None, **options: Any) -> Method:
    """Intra- and inter-class distillation by the classes' prototypes.

    Args:
        student, teacher: as for `etc`.
        flow: needed with clip=True alone.
        options: see `I2CKD`.
    Source:
        Karine, Napoleon, Jridi, 2024.

    >>> import torch
    >>> import temporalkd as tkd
    >>> student, teacher = (tkd.Segmenter(torch.nn.Conv2d(3, 4, 1), 4, normalisation="none") for _ in range(2))
    >>> list(tkd.methods.i2ckd(student, teacher, feature="logits").terms)
    ['cross_entropy', 'pixel_kl', 'prototype_triplet']
    """
    return I2CKD.given(options).build(student, teacher, flow=flow)
