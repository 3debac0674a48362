"""Self-correcting semi-supervised distillation (Wang, IMCEC 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from temporalkd.methods.correction_terms import Collaboration, Correction, Corrector, CorrectorEntropy
from temporalkd.methods.method import Method
from temporalkd.methods.options import Flow, MethodOptions, Recipe, register, takes
from temporalkd.methods.self_training import SelfTraining
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL
from temporalkd.methods.term import RAMP, WeightedLoss
from temporalkd.models import Segmenter, Teacher

_ALONE = {"collaboration": 0.0, "pixel": 0.0, "intra": 0.0}


@register
class SelfCorrecting(MethodOptions):
    """L = CE on labelled frames + corrected weak labels on the others + collaboration + structured distillation.

    Correction: a self-correcting module iteratively refines weak labels into pseudo-labels. [text] A linear or a
        convolutional corrector of what the student and an ancillary network say, refreshed in rounds. [ours]
    Collaboration: several students learn online from each other. [text] The mean KL to the others' predictions. [ours]
    Structured distillation: teacher to student, on labelled and other frames alike. [text] Pixel KL and affinities
        within a frame. [ours]
    The students train on labels and pseudo-labels together, and the best is exported. [text; ours: how it is told]

    Args:
        pseudo, corrector, confidence, fit, alpha: see Correction and SelfTraining.
        students: as many as collaborate; where `collaboration` is 0 there is one.
        rounds: the steps in equal parts; after each the pseudo-labels are written, and the next one starts from them.
        feature: role of the features, of the affinities and for the ancillary network.
    """

    rows = {
        "labelled only": {"pseudo": 0.0, **_ALONE},
        "+ raw weak": {"corrector": "none", **_ALONE},
        "+ corrected (linear)": {"corrector": "linear", **_ALONE},
        "+ corrected (conv)": {"corrector": "conv", **_ALONE},
        "+ collaboration": {"pixel": 0.0, "intra": 0.0},
        "+ structured distillation": {},
    }

    name: Literal["selfcorrecting"] = "selfcorrecting"
    pseudo: float = 1.0
    collaboration: float = 1.0
    pixel: float = 1.0
    intra: float = 10.0
    corrector: Corrector = "linear"
    students: PositiveInt = 2
    rounds: int = Field(2, ge=1, le=3)
    confidence: float = Field(0.0, ge=0, lt=1)
    fit: PositiveInt = 200
    alpha: tuple[PositiveFloat, PositiveFloat] = (30.0, 5.0)
    feature: str = "head"

    def recipe(self) -> Recipe:
        if self.collaboration and self.students < 2:
            raise ValueError(
                f"method.students is {self.students}, and collaboration needs two or more: raise it, or set "
                "method.collaboration to 0"
            )
        correction = Correction(self.corrector, self.feature, self.alpha)
        learning = bool(self.pseudo) and self.corrector == "conv"
        losses = [
            WeightedLoss("cross_entropy", CrossEntropy(self.class_weight)),
            WeightedLoss("correction", correction, self.pseudo, ramp=RAMP),
            WeightedLoss("corrector", CorrectorEntropy(correction), float(learning)),
            WeightedLoss("collaboration", Collaboration(), self.collaboration, ramp=RAMP),
            WeightedLoss("pixel_kl", PixelKL(), self.pixel),
            WeightedLoss("intra_affinity", IntraAffinity(self.feature), self.intra),
        ]
        rounds = SelfTraining(correction, self.rounds, self.confidence, self.fit) if self.pseudo else None
        return Recipe(losses, self.students if self.collaboration else 1, rounds)


@takes(SelfCorrecting)
def selfcorrecting(
    student: Segmenter, teacher: Teacher, peers: Sequence[Segmenter] = (), flow: Flow = None, **options: Any
) -> Method:
    """Self-training on weak labels, with students that learn from each other; `tkd.train` runs it.

    Args:
        student, teacher: the teacher is frozen here.
        peers: the other students, networks of the same kind with a start of their own; none: collaboration=0.
        flow: needed for clips of several frames without motion of their own.
        options: see `SelfCorrecting`; `students` is the number of networks given.
    Raises:
        ValueError: unknown options; networks that do not fit.
    Source:
        Wang, IMCEC 2021.

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> from temporalkd.data.semi import hide_labels
    >>> network = lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 9, 1))
    >>> student, peer, teacher = (tkd.Segmenter(network(), classes=9, normalisation="none") for _ in range(3))
    >>> method = tkd.methods.selfcorrecting(student, teacher, peers=[peer], feature="logits", fit=1)
    >>> streets = tkd.data.Streets(count=1, length=4, size=(32, 48)).sources
    >>> clips = tkd.data.ClipSampler(hide_labels(streets, labelled=0.5), frames=1, weak=1 / 3)
    >>> run = tkd.train(method, clips, steps=2, out=tempfile.mkdtemp(), accelerator="cpu", batch=2)
    >>> sorted(path.name for path in (run.folder / "pseudo").glob("*.json"))
    ['round1.json', 'round2.json']
    """
    given = options | {"students": 1 + len(peers)} | ({} if peers else {"collaboration": 0.0})
    return SelfCorrecting.given(given).build(student, teacher, flow, make_peer=lambda number: peers[number - 1])
