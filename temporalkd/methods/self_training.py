"""Self-training: a network that reads weak labels is fitted first, and labels are made anew after each round."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from temporalkd import losses
from temporalkd.data.clip import IGNORE, Clip
from temporalkd.methods.correction_terms import Correction, upsampled
from temporalkd.models import evaluating, freeze

if TYPE_CHECKING:
    from temporalkd.methods.method import Method


class SelfTraining:
    """Rounds of training, after each of which the best student and the corrector label the frames without labels.

    Args:
        correction: the term that learns from the weak labels; with its corrector "none" there is a single round.
        rounds: the steps are divided into equal parts.
        confidence: least probability of a label that is made after a round; below it the label is 255.
        fit: batches that the ancillary network is fitted on.
    """

    def __init__(self, correction: Correction, rounds: int = 2, confidence: float = 0.0, fit: int = 200):
        self.correction, self.confidence = correction, confidence
        plain = correction.kind == "none"
        self.rounds, self.batches = (1, 0) if plain else (rounds, fit)

    def fit(self, method: Method, batches: Callable[[int], Iterable[Clip]]) -> None:
        """Cross-entropy of the ancillary network with the labels; Adam at 1e-3, falling to nothing. [ours]

        Args:
            batches: gives so many batches of half of the labelled clips.
        """
        if not self.batches:
            return
        ancillary = self.correction.ancillary
        ancillary.requires_grad_(True)
        optimiser = torch.optim.Adam(ancillary.parameters(), lr=1e-3)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=self.batches)
        for clip in batches(self.batches):
            labels = clip.labels[:, clip.anchor]
            optimiser.zero_grad()
            logits = self.correction.ancillary_logits(method.context(clip))
            losses.cross_entropy(upsampled(logits, labels), labels).backward()
            optimiser.step()
            falling.step()
        optimiser.zero_grad()
        freeze(ancillary)

    @torch.no_grad()
    def pseudo_labels(self, method: Method, clip: Clip, progress: float) -> Tensor:
        """(B, H, W) int64, the likeliest class of the corrected label, 255 where it is not sure.

        Without corrector it is the weak label, and elsewhere the student's class.
        """
        context, student = method.context(clip, progress=progress), method.best_student()
        with evaluating(student):
            context.predict(student)
        correction, t = self.correction, clip.anchor
        plain = correction.kind == "none"
        logits = context.student.logits(t) if plain else upsampled(correction.corrected(context), context.frames)
        confidence, labels = logits.float().softmax(1).max(1)
        labels = labels.masked_fill(confidence < self.confidence, IGNORE)
        return torch.where(context.weak == IGNORE, labels, context.weak) if plain else labels
