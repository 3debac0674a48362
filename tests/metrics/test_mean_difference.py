"""Differences over several trainings: by hand, paired, and honest about trainings that disagree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.metrics import Series, mean_difference
from temporalkd.metrics.bootstrap import BLOCK, ratio


def series(hits: Tensor, clips: Tensor | None = None) -> Series:
    counts = torch.stack((hits.double(), torch.full((len(hits),), 100.0).double()), 1)
    return Series(counts, torch.zeros(len(hits)) if clips is None else clips, ratio(0, 1))


def numbers(ours: list[Series], theirs: list[Series]) -> list[float]:
    return [float(x) for x in mean_difference(ours, theirs)]


def test_one_training_is_the_paired_difference_on_the_clip() -> None:
    one, other = series(torch.randint(0, 100, (120,))), series(torch.randint(0, 100, (120,)))
    assert mean_difference([one], [other]) == one.minus(other)


def test_trainings_that_disagree_give_an_interval_over_both() -> None:
    """By hand: of two trainings one is 10 points better, one 6 worse; a draw has both twice, or one of each."""
    hits = torch.randint(10, 80, (100,))
    found = numbers([series(hits + 10), series(hits - 6)], [series(hits), series(hits)])
    assert found == pytest.approx([0.02, -0.06, 0.10])
    alone = numbers([series(hits + 10)], [series(hits)])
    assert alone == pytest.approx([0.10, 0.10, 0.10]), "the clip's interval alone knows nothing of it"


def test_the_clip_does_not_get_longer_with_the_trainings() -> None:
    """Three trainings that differ from the others in the same frames: as wide as one alone."""
    hits, gain = torch.randint(10, 50, (200,)), torch.randint(0, 40, (20,)).repeat_interleave(BLOCK)
    one, other = series(hits + gain), series(hits)
    assert numbers([one] * 3, [other] * 3) == pytest.approx(numbers([one], [other]))


def test_it_covers_a_true_difference_over_trainings() -> None:
    """Eight trainings that spread around a true gain, on blocks that spread, too."""
    covered = covered_by_clip = 0
    for _ in range(200):
        of_block = torch.distributions.Beta(6, 4).sample((25,)).repeat_interleave(BLOCK) * 0.5 + 0.2
        gains = 0.05 + 0.03 * torch.randn(8)
        ours = [series(torch.binomial(torch.full((250,), 100.0), of_block + gain)) for gain in gains]
        theirs = [series(torch.binomial(torch.full((250,), 100.0), of_block)) for _ in gains]
        _, low, high = mean_difference(ours, theirs, draws=400)
        covered += int(low <= 0.05 <= high)
        _, low, high = ours[0].minus(theirs[0], draws=400)
        covered_by_clip += int(low <= 0.05 <= high)
    assert 0.85 <= covered / 200 <= 0.99
    assert covered_by_clip / 200 < 0.6


def test_it_needs_the_same_trainings_and_items() -> None:
    one, shorter = series(torch.randint(0, 100, (90,))), series(torch.randint(0, 100, (80,)))
    with pytest.raises(ValueError, match="the same trainings: 2 and 1"):
        mean_difference([one, one], [one])
    with pytest.raises(ValueError, match="the same trainings: 0 and 0"):
        mean_difference([], [])
    with pytest.raises(ValueError, match="the same items: 90 and 80"):
        mean_difference([one, one], [one, shorter])
