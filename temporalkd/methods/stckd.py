"""STCKD: spatial-temporal consistency distillation (Wang, Yuan, Zhou, Wang, 2022)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from temporalkd.methods.adversary import Adversarial, Game, View
from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, register, takes
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.temporal_terms import MotionConsistency, TeacherResidual
from temporalkd.methods.term import RAMP, WeightedLoss
from temporalkd.models import Segmenter, Teacher

_SPATIAL = {"motion": 0.0, "residual": 0.0, "adversarial": 0.0}


@register
class STCKD(MethodOptions):
    """L = CE + spatial consistency + temporal consistency + coupled adversary.

    Spatial: a teacher of a CNN and a transformer branch, used jointly. [text] Pixel KL to their fused prediction and
        the affinities of each, each branch weighted as in the fusion. [ours]
    Temporal: the inter-frame relation from flow and segmentation over continuous time. [text] The residual of the
        teacher averaged along the flow; the student's own consistency along the motion, which would pull the same
        residual to 0, is an option. [ours]
    Adversary: both are coupled in a GAN-structured framework. [text] A critic sees frame, warped neighbour, visibility
        and image together. [ours]

    Args:
        branches: the teacher's to distil from; `teacher` is the CNN, `second_teacher` the transformer.
        adversarial: at 0.035 its gradient at the logits is about 5 % of cross-entropy's on the street; the 0.001 of SKD
            would be 0.1 %.
        view, game, critic, width: of the critic, see `Adversary`.
    """

    rows = {
        "cnn": {"branches": "cnn", **_SPATIAL},
        "transformer": {"branches": "transformer", **_SPATIAL},
        "both": _SPATIAL,
        "+ temporal": {"adversarial": 0.0},
        "+ adversary on frames": {"view": "frame"},
        "+ adversary on residuals": {"view": "residual"},
        "+ adversary on tuples": {},
    }

    name: Literal["stckd"] = "stckd"
    pixel: float = 1.0
    intra: float = 10.0
    motion: float = 0.0
    residual: float = 1.0
    adversarial: float = 0.035
    critic: float = Field(0.1, gt=0)
    branches: Literal["both", "cnn", "transformer"] = "both"
    view: View = "tuple"
    game: Game = "hinge"
    width: PositiveInt = 64
    feature: str = "head"

    def losses(self) -> list[WeightedLoss]:
        branch = {"both": "", "cnn": "first", "transformer": "second"}[self.branches]
        each = {"both": ("first", "second")}.get(self.branches, (branch,))
        game = Adversarial(self.view, self.game, self.critic, self.width, branch)
        return [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("pixel_kl", PixelKL(branch=branch), self.pixel),
            *(WeightedLoss(f"intra_affinity_{n}", IntraAffinity(self.feature, branch=n), self.intra) for n in each),
            WeightedLoss("motion_consistency", MotionConsistency(), self.motion, ramp=RAMP),
            WeightedLoss("teacher_residual", TeacherResidual(branch), self.residual, ramp=RAMP),
            WeightedLoss("adversarial", game, self.adversarial, ramp=RAMP),
        ]


@takes(STCKD)
def stckd(student: Segmenter, teacher: Teacher, flow: Flow = "raft_small", **options: Any) -> Method:
    """Spatial and temporal consistency coupled by a critic; call `method.after_step()` after the optimiser's step.

    Args:
        student, teacher, flow: as for `etc`; the teacher may be a JointTeacher of two networks. With one network,
            branches="cnn".
        options: see `STCKD`.
    Source:
        Wang, Yuan, Zhou, Wang, 2022.

    >>> import torch
    >>> import temporalkd as tkd
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 4, 1))
    >>> student, teacher = (tkd.Segmenter(network(), classes=4, normalisation="none") for _ in range(2))
    >>> method = tkd.methods.stckd(student, teacher, flow="dis", branches="cnn", width=4)
    >>> method.training_step(torch.rand(1, 2, 3, 32, 48), torch.zeros(1, 32, 48, dtype=torch.long)).loss.backward()
    >>> method.after_step()
    """
    return STCKD.given(options).build(student, teacher, flow=flow)
