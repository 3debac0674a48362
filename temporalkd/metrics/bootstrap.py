"""Counts per frame or pair, kept, so that a number comes with its course over time and with an honest interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 10
MIN_BLOCKS = 5
_DRAWS = 2000


@dataclass(frozen=True)
class Measure:
    """A share as a function of counts.

    Args:
        share: counts (..., K) -> share (...) or shares per class (..., C); NaN where not defined.
        pooled: of the counts summed over all items; otherwise the mean of the items' shares, where they are defined.
        by_clip: the mean of the clips' means, however long each is; of items that are not pooled.
    """

    share: Callable[[Tensor], Tensor]
    pooled: bool = True
    by_clip: bool = False


class Interval(NamedTuple):
    """A value and the bounds of its confidence interval; NaN bounds where there are too few blocks for one."""

    value: Tensor
    low: Tensor
    high: Tensor


def ratio(part: int, whole: int) -> Measure:
    """The share counts[part] / counts[whole]."""
    return Measure(lambda counts: counts[..., part] / counts[..., whole])


class Series:
    """A measure over the items (frames, pairs, windows) of one or more clips.

    Shape:
        counts: (N, K), one row an item, in temporal order within a clip.
        clips: (N,), the clip of each item; blocks never cross clips.
    """

    def __init__(self, counts: Tensor, clips: Tensor, measure: Measure):
        self.counts, self.clips, self.measure = counts.double(), clips, measure

    def each(self) -> Tensor:
        """The measure of each item alone: (N,) or (N, C)."""
        return self.measure.share(self.counts)

    def value(self) -> Tensor:
        """The measure of all items: a scalar or (C,)."""
        counts, share = self._additive()
        return share(counts.sum(0))

    def of_clip(self, clip: int) -> Series:
        """The measure over the items of one clip."""
        inside = self.clips == clip
        return Series(self.counts[inside], self.clips[inside], self.measure)

    def interval(self, level: float = 0.95, block: int = BLOCK, draws: int = _DRAWS, seed: int = 0) -> Interval:
        """Percentile bootstrap over blocks of consecutive items, which neighbouring frames' likeness demands.

        NaN bounds below 5 blocks.
        """
        return _bounds(self.value(), self._drawn(block, draws, seed), level)

    def minus(
        self, other: Series, level: float = 0.95, block: int = BLOCK, draws: int = _DRAWS, seed: int = 0
    ) -> Interval:
        """This measure minus that of another system on the same items, bootstrapped on the same blocks (paired).

        Raises:
            ValueError: the items are not the same.
        """
        return mean_difference([self], [other], level, block, draws, seed)

    def _drawn(self, block: int, draws: int, seed: int) -> Tensor:
        """The measure of blocks drawn with replacement, the same ones for equal clips: (draws,) or (draws, C)."""
        counts, share = self._additive()
        return share(_resampled(self._blocks(counts, block), draws, seed))

    def _additive(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Counts and a share such that the value is the share of the summed counts."""
        if self.measure.pooled:
            return self.counts, self.measure.share
        each = self.each()
        weights = (~each.isnan()).double()
        for clip in self.clips.unique() if self.measure.by_clip else ():
            weights[self.clips == clip] /= weights[self.clips == clip].sum(0).clamp(min=1)
        counts = torch.stack((weights * each.nan_to_num(0.0), weights), -1)
        return counts, lambda sums: sums[..., 0] / sums[..., 1]

    def _blocks(self, counts: Tensor, block: int) -> Tensor:
        """(blocks, ...): sums over `block` consecutive items; the last block of a clip may be shorter."""
        parts = [
            part.sum(0) for clip in self.clips.unique() for part in counts[self.clips == clip].split(block) if len(part)
        ]
        return torch.stack(parts) if parts else counts.new_zeros(0, *counts.shape[1:])


def mean_difference(
    ours: Sequence[Series],
    theirs: Sequence[Series],
    level: float = 0.95,
    block: int = BLOCK,
    draws: int = _DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean over trainings of the paired difference of two systems, with its interval.

    Every draw takes blocks of items, and trainings where there are several, with replacement and the same for both
    systems. The blocks of a draw are the same for all trainings: they are scored on one clip, which does not get longer
    with their number. Two or three trainings say little about how others would differ: then the interval is too narrow.

    Args:
        ours, theirs: one series a training, in the same order.
    Raises:
        ValueError: other items, or not the same number of trainings.
    Source:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007.
    """
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"a paired difference needs the same trainings: {len(ours)} and {len(theirs)}")
    for one in (*ours, *theirs):
        if not torch.equal(ours[0].clips, one.clips):
            raise ValueError(f"a paired difference needs the same items: {len(ours[0].clips)} and {len(one.clips)}")
    number = len(ours)
    value = torch.stack([a.value() - b.value() for a, b in zip(ours, theirs)]).mean(0)
    drawn = torch.stack([a._drawn(block, draws, seed) - b._drawn(block, draws, seed) for a, b in zip(ours, theirs)])
    picks = torch.randint(number, (number, draws), generator=torch.Generator().manual_seed(seed + 1))
    return _bounds(value, drawn[picks, torch.arange(draws)].mean(0), level)


def _resampled(blocks: Tensor, draws: int, seed: int) -> Tensor:
    """Sums of as many blocks as there are, drawn with replacement: (draws, ...)."""
    number = len(blocks)
    if number < MIN_BLOCKS:
        return blocks.new_full((draws, *blocks.shape[1:]), torch.nan)
    picks = torch.randint(number, (draws, number), generator=torch.Generator().manual_seed(seed))
    times = torch.zeros(draws, number, dtype=torch.float64).scatter_add_(1, picks, torch.ones(draws, number).double())
    return (times @ blocks.flatten(1)).view(draws, *blocks.shape[1:])


def _bounds(value: Tensor, drawn: Tensor, level: float) -> Interval:
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.nanquantile(drawn, tails, dim=0)
    return Interval(value, low, high)
