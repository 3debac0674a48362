"""Self-correcting semi-supervised distillation (Wang, IMCEC 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalkd.methods.correction_terms import Collaboration, Correction, Corrector, CorrectorEntropy
from temporalkd.methods.method import RAMP, WeightedLoss
from temporalkd.methods.spatial_terms import CrossEntropy, IntraAffinity, PixelKL


def selfcorrecting(
    class_weight: Sequence[float] | None = None,
    pseudo: float = 1.0,
    collaboration: float = 1.0,
    pixel: float = 1.0,
    intra: float = 10.0,
    corrector: Corrector = "linear",
    students: int = 2,
    rounds: int = 2,
    confidence: float = 0.0,
    fit: int = 200,
    alpha: tuple[float, float] = (30.0, 5.0),
    feature: str = "head",
) -> list[WeightedLoss]:
    """L = CE on labelled frames + corrected weak labels on the others + collaboration + structured distillation.

    Correction: a self-correcting module iteratively refines weak labels into pseudo-labels. [text] A linear or a
        convolutional corrector of what the student and an ancillary network say, refreshed in rounds. [ours]
    Collaboration: several students learn online from each other. [text] The mean KL to the others' predictions. [ours]
    Structured distillation: teacher to student, on labelled and other frames alike. [text] Pixel KL and affinities
        within a frame. [ours]
    The students train on labels and pseudo-labels together, and the best is exported. [text; ours: how it is told]

    Args:
        pseudo, corrector, confidence, fit, alpha: see Correction.
        students: as many as collaborate; where `collaboration` is 0 there is one.
        rounds: the steps in equal parts; after each the pseudo-labels are written, and the next one starts from them.
        feature: role of the features, of the affinities and for the ancillary network.
    """
    correction = Correction(corrector, feature, rounds, confidence, fit, alpha)
    learning = bool(pseudo) and corrector == "conv"
    together = (
        [WeightedLoss("collaboration", Collaboration(students), collaboration, ramp=RAMP)] if collaboration else []
    )
    return [
        WeightedLoss("cross_entropy", CrossEntropy(class_weight)),
        WeightedLoss("correction", correction, pseudo, ramp=RAMP),
        *([WeightedLoss("corrector", CorrectorEntropy(correction))] if learning else []),
        *together,
        WeightedLoss("pixel_kl", PixelKL(), pixel),
        WeightedLoss("intra_affinity", IntraAffinity(feature), intra),
    ]


_ALONE = {"collaboration": 0.0, "pixel": 0.0, "intra": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "labelled only": {"pseudo": 0.0, **_ALONE},
    "+ raw weak": {"corrector": "none", **_ALONE},
    "+ corrected (linear)": {"corrector": "linear", **_ALONE},
    "+ corrected (conv)": {"corrector": "conv", **_ALONE},
    "+ collaboration": {"pixel": 0.0, "intra": 0.0},
    "+ structured distillation": {},
}
"""Ablation rows: what differs from the options given."""
