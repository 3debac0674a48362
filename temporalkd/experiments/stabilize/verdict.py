"""Which mean of the weights before and after is the result, and whether it is to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from temporalkd.experiments.stabilize.judge import Judge
from temporalkd.models import Segmenter, freeze

HALF = 0.5
SHARES = (0.25, HALF, 0.75, 1.0)
"""Shares of the trained weights that are looked at, where none is given."""


@dataclass
class Verdict:
    """What training led to.

    Args:
        candidate: the mean of the weights before and after.
        share: of the trained weights in it.
        kept: whether it is the result; else the original is.
        reason: a sentence.
        seen: share -> consistency, flips and agreement on the held-out part, percent; empty where there is none.
    """

    candidate: Segmenter
    share: float
    kept: bool
    reason: str
    seen: Mapping[float, Mapping[str, float | None]]


@torch.no_grad()
def mixed(before: Segmenter, after: Segmenter, share: float) -> Segmenter:
    """The network with the weighted mean of two states: (1 - share) before + share after; integers are before's.

    Source:
        Wortsman et al., CVPR 2022 (WiSE-FT).
    """
    result = before.clone()
    trained = after.network.state_dict()

    def mean(old: Tensor, new: Tensor) -> Tensor:
        return torch.lerp(old, new.to(old), share) if old.is_floating_point() else old

    result.network.load_state_dict({key: mean(old, trained[key]) for key, old in before.network.state_dict().items()})
    return freeze(result)  # type: ignore[return-value]


def decide(original: Segmenter, trained: Segmenter, share: float | None, judge: Judge | None, ended: str) -> Verdict:
    """The share that is asked for; else half, or where the held-out part refuses half, the steadiest that it accepts.

    A larger share is steadier on this camera nearly always, and the held-out part cannot show what the network forgets
    of other scenes. So half is not left for a gain in consistency alone.

    Args:
        judge: None where nothing is held out.
        ended: how training ended, for the sentence.
    """
    if judge is None:
        share = HALF if share is None else share
        reason = f"Kept {ended}, {share:g} of the new weights; there was no held-out part to judge it by."
        return Verdict(mixed(original, trained, share), share, True, reason, {})
    looked = SHARES if share is None else (share,)
    seen = {each: judge(mixed(original, trained, each)) for each in looked}
    accepted = [each for each in looked if seen[each]["accepted"] is not None]
    taken = HALF if share is None else share
    if accepted and taken not in accepted:
        taken = max(accepted, key=lambda each: seen[each]["consistency"] or 0.0)
    found, before = seen[taken], judge.before
    objection = judge.objection(found)
    if objection:
        reason = f"The original comes back: {ended}, on the held-out part {objection}."
    else:
        reason = (
            f"Kept {ended}, {taken:g} of the new weights: on the held-out part consistency went from "
            f"{before['consistency']:.2f} to {found['consistency']:.2f}, and {found['agreement']:.2f} % of the pixels "
            "keep the original's class."
        )
    return Verdict(mixed(original, trained, taken), taken, objection is None, reason, {0.0: before, **seen})
