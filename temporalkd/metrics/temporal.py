"""Temporal consistency of class maps along the motion under six protocols, and flips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from flow import warp
from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import Measure, ratio
from temporalkd.metrics.boundary import near_edge
from temporalkd.metrics.confusion import confusion, count, iou, margins
from temporalkd.metrics.pair import FramePair


@dataclass(frozen=True)
class Protocol:
    """How an evaluator warps, which pixels it counts, and how it averages.

    Args:
        warp: see FramePair.
        visible_only: count visible pixels, without void where there are labels; otherwise all pixels, without labels.
        mean_over: classes that enter the mean: "all", an absent one counts 0; "either", those present in one of the two
            maps; "current", those present in the map of t.
        pooled: one confusion over all pairs; otherwise the mean of the pairs' mIoU.
        by_clip: the mean of the clips' means of the pairs' mIoU.
    """

    warp: str = "nearest"
    visible_only: bool = False
    mean_over: Literal["all", "either", "current"] = "either"
    pooled: bool = True
    by_clip: bool = False


PROTOCOLS = {
    "visible": Protocol(visible_only=True),
    "unmasked": Protocol(),
    "etc2020": Protocol(warp="etc2020", mean_over="all"),
    "vspw2021": Protocol(warp="vspw2021", mean_over="current"),
    "varghese2020": Protocol(pooled=False),
    "kdssp2025": Protocol(warp="vspw2021", pooled=False, by_clip=True),
}
"""`visible` is this project's own. Sources of the others: the evaluators of Liu et al., ECCV 2020 (etc2020), Miao et
al., CVPR 2021 (vspw2021), Varghese et al., CVPR Workshops 2020 (varghese2020) and Vincent et al. (KD-SSP), CVPR 2025
(kdssp2025); `unmasked` is the plain form."""


class Consistency(BaseMetric):
    """Temporal consistency of a video's class maps: mIoU between each map and the next one warped onto it.

    Under `visible` with labels, a class that the labels have and neither map predicts counts 0.
    Computes shares in 0..1: consistency, and per class per_class (NaN where absent).
    """

    def __init__(self, classes: int, protocol: str = "visible", synced: bool = True):
        if protocol not in PROTOCOLS:
            raise ValueError(f"unknown protocol {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        self.protocol = PROTOCOLS[protocol]
        how = self.protocol.pooled, self.protocol.by_clip
        measures = {
            "consistency": Measure(lambda counts: self._per_class(counts).nanmean(-1), *how),
            "per_class": Measure(self._per_class, *how),
        }
        super().__init__(4 * classes, measures, synced)
        self.classes = classes

    def update(self, current: Tensor, following: Tensor, pair: FramePair, clip: int = 0) -> None:
        """Add a pair of frames: (H, W), class maps of t and t + 1."""
        warped = pair.warped(following, self.protocol.warp)
        counted, in_labels = None, torch.zeros(self.classes, dtype=torch.long)
        if self.protocol.visible_only:
            counted = pair.counted
            if pair.labels is not None:
                in_labels = torch.bincount(pair.labels[counted].long(), minlength=self.classes)
        matrix = confusion(current, warped, self.classes, counted)
        self.append(torch.cat((margins(matrix), in_labels)), clip)

    def _per_class(self, counts: Tensor) -> Tensor:
        per_class = iou(counts[..., : 3 * self.classes])
        expected = counts[..., 3 * self.classes :] > 0
        if self.protocol.mean_over == "current":
            per_class = per_class.masked_fill(counts[..., self.classes : 2 * self.classes] == 0, torch.nan)
        if self.protocol.mean_over == "all":
            expected = (counts.sum(-1, keepdim=True) > 0).expand_as(expected)  # of nothing there is no share
        return per_class.masked_fill(per_class.isnan() & expected, 0.0)


class Flips(BaseMetric):
    """What a viewer sees as flicker: visible pixels whose class changes along the motion.

    Computes shares in 0..1: flip_rate; flip_interior and flip_boundary, the same away from and within 4 px of the
    class boundaries of the labels of t (of its class map where there are none); boundary, the share of counted pixels
    that lie there; coverage, the share of all pixels that are visible. With labels, accuracy-gated: gated, of the
    counted pixels right in t, those that are right in t + 1 too; right_twice, of all counted pixels, those right in
    both, which no constant answer can buy.
    """

    def __init__(self, synced: bool = True):
        inside, edge = slice(0, 2), slice(2, 4)
        measures = {
            "flip_rate": Measure(lambda c: c[..., [0, 2]].sum(-1) / c[..., [1, 3]].sum(-1)),
            "flip_interior": Measure(lambda c: _share(c[..., inside])),
            "flip_boundary": Measure(lambda c: _share(c[..., edge])),
            "boundary": Measure(lambda c: c[..., 3] / c[..., [1, 3]].sum(-1)),
            "gated": ratio(4, 5),
            "right_twice": ratio(4, 8),
            "coverage": ratio(6, 7),
        }
        super().__init__(9, measures, synced)

    def update(self, current: Tensor, following: Tensor, pair: FramePair, clip: int = 0) -> None:
        """Add a pair of frames: (H, W), class maps of t and t + 1."""
        warped, edge = pair.warped(following), pair.edge(current)
        flips = (current != warped) & pair.counted
        kept = right = labelled = 0
        if pair.labels is not None:
            labelled = count(pair.counted)
            was_right = (current == pair.labels) & pair.counted
            right, kept = count(was_right), count(was_right & (warped == pair.warped_labels))
        at_edge, counted_at_edge = count(flips & edge), count(pair.counted & edge)
        interior = count(flips) - at_edge, count(pair.counted) - counted_at_edge
        seen = count(pair.seen), pair.seen.numel()
        self.append(torch.tensor((*interior, at_edge, counted_at_edge, kept, right, *seen, labelled)), clip)


class BoundaryJitter(BaseMetric):
    """How far class boundaries move against the motion, from a frame to the next.

    A boundary pixel of class c has class c, and a pixel of another class beside it, in a row, a column or diagonally.
    For each boundary pixel of class c in t: the distance to the nearest boundary pixel of class c in the map of t + 1,
    warped onto t; `limit` where there is none nearer. Mean over the counted boundary pixels of all pairs. Of boundaries
    that keep to the motion it is about 0, up to the rounding of the warp; of those that jump by k pixels it is k. A map
    without boundaries has none.

    Computes boundary_jitter, pixels.

    Args:
        limit: pixels; a boundary that is farther away is not the same one.
    """

    def __init__(self, limit: float = 8.0, synced: bool = True):
        super().__init__(2, {"boundary_jitter": ratio(0, 1)}, synced)
        self.limit = limit
        side = range(-math.ceil(limit), math.ceil(limit) + 1)
        self._steps = sorted((math.hypot(dy, dx), dy, dx) for dy in side for dx in side if math.hypot(dy, dx) < limit)

    def update(self, current: Tensor, following: Tensor, pair: FramePair, clip: int = 0) -> None:
        """Add a pair of frames: (H, W), class maps of t and t + 1."""
        warped, reach = pair.warped(following), math.ceil(self.limit)
        asked = near_edge(current, 1) & pair.counted
        there = F.pad(torch.where(near_edge(warped, 1), warped.int(), -1), [reach] * 4, value=-1)
        y, x = asked.nonzero().T + reach
        place, total = (y * there.shape[1] + x).numpy(), 0.0
        wanted, found = current[asked].int().numpy(), there.flatten().numpy()  # short arrays: NumPy is 15 times as fast
        for way, dy, dx in self._steps:  # from near to far: most pixels are done after a few
            missing = found[place + (dy * there.shape[1] + dx)] != wanted
            total += way * (len(place) - int(missing.sum()))
            place, wanted = place[missing], wanted[missing]
        self.append(torch.tensor((total + self.limit * len(place), count(asked)), dtype=torch.float64), clip)


class WarpError(BaseMetric):
    """E_warp: squared change of the softmax probabilities along the motion, mean over visible pixels; 0..2.

    Source: Lai et al., ECCV 2018 (on colours), on probabilities.
    """

    def __init__(self, synced: bool = True):
        super().__init__(2, {"warp_error": ratio(0, 1)}, synced)

    def update(self, current: Tensor, following: Tensor, pair: FramePair, clip: int = 0) -> None:
        """Add a pair of frames: (C, H, W) probabilities of t and t + 1."""
        change = (current - warp(following[None], pair.flow[None])[0]).square().sum(0)
        total = float(change[pair.seen].double().sum())
        self.append(torch.tensor((total, count(pair.seen)), dtype=torch.float64), clip)


def _share(part_and_whole: Tensor) -> Tensor:
    return part_and_whole[..., 0] / part_and_whole[..., 1]
