"""Intervals: when they are zero, wide, absent; that they cover the truth; and differences of two systems."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.metrics import Measure, Series, iou
from temporalkd.metrics.bootstrap import BLOCK, MIN_BLOCKS, Interval, ratio

HIT_RATE = ratio(0, 1)


def series(hits: Tensor, wholes: Tensor | float = 100.0, clips: Tensor | None = None, pooled: bool = True) -> Series:
    counts = torch.stack((hits.double(), torch.as_tensor(wholes).double().expand(len(hits))), 1)
    return Series(counts, torch.zeros(len(hits)) if clips is None else clips, Measure(HIT_RATE.share, pooled))


def width(interval: Interval) -> float:
    return float(interval.high - interval.low)


def test_the_value_is_of_the_sums_and_each_of_the_item() -> None:
    one = series(torch.tensor([1, 3]), torch.tensor([1, 9]))
    assert one.value() == 0.4 and one.each().tolist() == [1, 1 / 3]
    mean = series(torch.tensor([1, 3]), torch.tensor([1, 9]), pooled=False)
    assert mean.value().item() == pytest.approx(2 / 3)


def test_the_interval_widens_with_the_variance_and_narrows_with_the_length() -> None:
    deviation = torch.randn(200).repeat_interleave(BLOCK)
    widths = [width(series(50 + scale * deviation).interval()) for scale in (1, 3, 9)]
    assert widths[1] == pytest.approx(3 * widths[0]) and widths[2] == pytest.approx(9 * widths[0])
    # Of 200 blocks: 2 * 1.96 * sigma / sqrt(200), in hundredths.
    assert widths[0] == pytest.approx(2 * 1.96 * deviation.std().item() / 200**0.5 / 100, rel=0.05)
    assert width(series(50 + deviation[: 50 * BLOCK]).interval()) > 1.5 * widths[0]


def test_too_few_blocks_give_no_interval() -> None:
    hits = torch.randint(0, 100, (BLOCK * MIN_BLOCKS,))
    for length in (0, 1, BLOCK * (MIN_BLOCKS - 1)):
        _, low, high = series(hits[:length]).interval()
        assert low.isnan() and high.isnan()
        difference = series(hits[:length]).minus(series(hits[:length]))
        assert difference.low.isnan() and difference.high.isnan()
    # One item more, and there is a fifth block, which is short.
    assert width(series(hits[: BLOCK * (MIN_BLOCKS - 1) + 1]).interval()) > 0


def test_blocks_never_cross_clips() -> None:
    hits = torch.tensor([0, 100] * 5).repeat_interleave(3)
    ten_clips = torch.arange(10).repeat_interleave(3)
    assert width(series(hits, clips=ten_clips).interval()) > 0, "ten blocks of 3, not three of 10"
    assert series(hits).interval().low.isnan()
    # 20 clips of 15: each gives a block of 10 and one of 5; the two kinds differ, the clips do not.
    hits, clips = torch.tensor([10] * 10 + [90] * 5).repeat(20), torch.arange(20).repeat_interleave(15)
    per_block = torch.tensor([[100.0, 1000.0], [450.0, 500.0]]).repeat(20, 1)
    alone = Series(per_block, torch.arange(40), HIT_RATE)
    assert series(hits, clips=clips).interval() == alone.interval(block=1)
    # The order in which clips are fed does not matter, as long as each is in order.
    shuffled = torch.randperm(len(hits)).sort().values.view(20, 15).T.flatten()  # frame by frame of all clips
    assert series(hits[shuffled], clips=clips[shuffled]).interval() == alone.interval(block=1)


def test_a_system_minus_itself_is_exactly_zero() -> None:
    one = series(torch.randint(0, 100, (95,)))
    assert [float(x) for x in one.minus(one)] == [0, 0, 0]
    unpooled = series(torch.randint(0, 100, (95,)), pooled=False)
    assert [float(x) for x in unpooled.minus(unpooled)] == [0, 0, 0]


def test_a_difference_has_its_sign_and_is_paired() -> None:
    hard = torch.randint(0, 90, (15,)).repeat_interleave(BLOCK)
    worse, better = hard + torch.randint(0, 2, (150,)), hard + torch.randint(3, 8, (150,))
    plus, minus = series(better).minus(series(worse)), series(worse).minus(series(better))
    assert 0 < plus.low < plus.value < plus.high < 0.08
    assert [-float(x) for x in minus] == pytest.approx([float(plus[i]) for i in (0, 2, 1)])
    # Neighbouring intervals overlap by far: the footage varies more than the systems differ.
    assert series(worse).interval().high > series(better).interval().low
    # With equal wholes the difference is a measure too: its own interval is the paired one.
    direct = series(better - worse).interval()
    assert [float(x) for x in plus] == pytest.approx([float(x) for x in direct])


def test_it_covers_the_truth() -> None:
    """Frames of a block are alike: with blocks the interval is honest, frame by frame it is far too narrow."""
    truth, covered, covered_by_frames = 0.6, 0, 0
    for _ in range(200):
        of_block = torch.distributions.Beta(6, 4).sample((25,))
        hits = torch.binomial(torch.full((250,), 100.0), of_block.repeat_interleave(BLOCK))
        _, low, high = series(hits).interval(draws=400)
        covered += int(low <= truth <= high)
        _, low, high = series(hits).interval(block=1, draws=400)
        covered_by_frames += int(low <= truth <= high)
    assert 0.85 <= covered / 200 <= 0.99
    assert covered_by_frames / 200 < 0.65


def test_what_is_not_pooled_is_bootstrapped_as_a_mean() -> None:
    hits, wholes = torch.randint(0, 50, (90,)), torch.randint(50, 500, (90,))
    mean = series(hits, wholes, pooled=False)
    of_shares = series(hits / wholes, 1.0)
    assert [float(x) for x in mean.interval()] == pytest.approx([float(x) for x in of_shares.interval()])
    assert float(mean.interval().low) != pytest.approx(float(series(hits, wholes).interval().low))
    # An item without a share is left out, wherever it stands.
    more = series(torch.cat((hits[:40], torch.zeros(1), hits[40:])), torch.cat((wholes[:40], torch.zeros(1), wholes[40:])), pooled=False)  # fmt: skip  # noqa: E501
    assert more.value().item() == pytest.approx(mean.value().item()) and more.each()[40].isnan()
    assert not more.interval().low.isnan()


def test_per_class_intervals() -> None:
    """An absent class has none, the others have the interval that they have alone."""
    hits = torch.randint(1, 50, (80, 1))
    margins = torch.cat((hits, torch.zeros(80, 1), 2 * hits, torch.zeros(80, 1), hits + 30, torch.zeros(80, 1)), 1)
    both = Series(margins, torch.zeros(80), Measure(iou)).interval()
    assert all(bound.shape == (2,) and bound[1].isnan() for bound in both)
    alone = series(hits[:, 0], (2 * hits + 30)[:, 0]).interval()
    assert [float(bound[0]) for bound in both] == pytest.approx([float(x) for x in alone])
