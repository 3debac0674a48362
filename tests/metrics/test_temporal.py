"""Metrics along the motion, worked out by hand; most on 4x4 maps whose four rows are alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.metrics import BoundaryJitter, Consistency, Flips, FramePair, WarpError

from .by_hand import NAN, VOID, approx, full, put, rows


def moved(
    dx: float, seen: Tensor | None = None, labels: tuple[Tensor, Tensor] | None = None, size: int = 4
) -> FramePair:
    flow = torch.zeros(2, size, size)
    flow[0] = dx
    return FramePair(flow, torch.ones(size, size) > 0 if seen is None else seen > 0, *(labels or ()))


def consistency(
    protocol: str, maps: list[Tensor], pairs: list[FramePair], classes: int
) -> tuple[float, list[float], list[float]]:
    metric = Consistency(classes, protocol)
    for t, pair in enumerate(pairs):
        metric.update(maps[t], maps[t + 1], pair)
    got = metric.compute()
    return got["consistency"].item(), got["per_class"].tolist(), metric.series("consistency").each().tolist()


def check(got: tuple[Any, ...], *expected: Any) -> None:
    for value, wanted in zip(got, expected):
        assert value == approx(wanted)


def test_a_map_that_moves_by_a_pixel_and_one_that_does_not() -> None:
    # All moves right by one: the last column leaves the frame.
    now, then, right = rows(0, 0, 1, 1), rows(0, 0, 0, 1), moved(1, rows(1, 1, 1, 0))
    check(consistency("visible", [now, then], [right], 2), 1, [1, 1], [1])
    # Standing still, the kept columns are (0, 0) (0, 1) (1, 1): each class has 1 of 2.
    check(consistency("visible", [now, now], [right], 2), 1 / 2, [1 / 2, 1 / 2])
    # Unmasked, the last column reads itself: class 1 has 2 of 3.
    check(consistency("unmasked", [now, now], [right], 2), (1 / 2 + 2 / 3) / 2, [1 / 2, 2 / 3])


def test_void_does_not_count_and_a_labelled_class_that_nobody_predicts_is_zero() -> None:
    # Void at (0, 0) in t and (0, 3) in t + 1: 14 count. Class 1 is (1..3, 3), then (1..2, 3): 2/3; class 0: 11/12.
    # The label 2 at (1, 1) counts, is never predicted: 0. The label 3 lies on (0, 3), which does not count.
    maps = [rows(0, 0, 0, 1), put(rows(0, 0, 0, 1), 3, 3, 0)]
    labels = put(put(put(maps[0], 0, 0, VOID), 1, 1, 2), 0, 3, 3), put(maps[0], 0, 3, VOID)
    check(consistency("visible", maps, [moved(0, None, labels)], 4), 19 / 36, [11 / 12, 2 / 3, 0, NAN], [19 / 36])
    check(consistency("visible", maps, [moved(0)], 4), (12 / 13 + 3 / 4) / 2, [12 / 13, 3 / 4, NAN, NAN])
    # The other protocols do not look at labels.
    check(consistency("unmasked", maps, [moved(0, None, labels)], 4), (12 / 13 + 3 / 4) / 2)
    metric = Flips()
    metric.update(maps[0], maps[1], moved(0, None, labels))
    got = metric.compute()
    # Of 14 one flips, (3, 3). 13 are right in t (not the label 2), of which 12 in t + 1 too.
    assert got["flip_rate"].item() == approx(1 / 14)
    assert (got["gated"].item(), got["right_twice"].item()) == approx((12 / 13, 12 / 14))
    assert got["coverage"].item() == 1, "void pixels are seen"


def test_etc2020_reads_a_class_between_two_others() -> None:
    # At 0.5, 1.5, 2.5, 3.5 between 0 3 3 3: 1.5 -> class 1, then 3. Class 3: 12 of 12; 0 and 1: none; 2, absent, is 0.
    maps = [rows(0, 3, 3, 3)] * 2
    check(consistency("etc2020", maps, [moved(0.5)], 4), 1 / 4, [0, 0, 0, 1], [1 / 4])


def test_vspw2021_reads_class_0_beyond_a_border_that_is_too_near() -> None:
    # W = 4: x = 3 is read at 3.5, rounded to 4, outside. So 7 of 16 are class 0, which the map of t does not have and
    # which therefore does not enter the mean; class 1: 9 of 16.
    check(consistency("vspw2021", [full(1)] * 2, [moved(0)], 3), 9 / 16, [NAN, 9 / 16, NAN])
    check(consistency("vspw2021", [full(1, 8)] * 2, [moved(2, size=8)], 2), 35 / 64, [NAN, 35 / 64], [35 / 64])


def test_varghese2020_is_a_mean_of_pairs() -> None:
    # Pair 1: equal, 1. Pair 2: all turn 0: class 0 4/16, class 1 0/12: 1/8. Pooled: (8/20 + 12/24) / 2.
    maps = [rows(0, 1, 1, 1), rows(0, 1, 1, 1), full(0)]
    check(consistency("varghese2020", maps, [moved(0)] * 2, 2), 9 / 16, [5 / 8, 1 / 2], [1, 1 / 8])
    check(consistency("unmasked", maps, [moved(0)] * 2, 2), 9 / 20, [2 / 5, 1 / 2], [1, 1 / 8])


def test_kdssp2025_is_a_mean_of_clips_of_pairs_as_vspw2021_warps_them() -> None:
    # Still 4x4 maps lose row 3 and column 3 to class 0, as in vspw2021: of class 1, 9 of 16 stay. Class 0, which only
    # the warped map has, enters the mean here: 0 of 7. Of class 0 all stay.
    metric = Consistency(2, "kdssp2025")
    metric.update(full(1), full(1), moved(0), clip=0)
    for _ in range(3):
        metric.update(full(0), full(0), moved(0), clip=1)
    assert metric.series("consistency").each().tolist() == approx([9 / 32, 1, 1, 1])
    # The clip of one pair weighs as much as that of three. Class 1 is in the first clip alone.
    assert metric.compute()["consistency"].item() == approx((9 / 32 + 1) / 2)
    assert metric.compute()["per_class"].tolist() == approx([(0 + 1) / 2, 9 / 16])


def flips(*fed: tuple[Tensor, Tensor, FramePair]) -> dict[str, float]:
    metric = Flips()
    for now, then, pair in fed:
        metric.update(now, then, pair)
    return {name: value.item() for name, value in metric.compute().items()}


def test_flips_at_the_boundary_and_away_from_it() -> None:
    # 12x12, classes meet between columns 5 and 6: columns 2..9 are near (96 pixels), 48 are interior. Column 6 turns 0,
    # 12 flips near; the corner (0, 0) turns 1, one in the interior: the image border is no boundary.
    now = rows(*[0] * 6, *[1] * 6, height=12)
    then = put(now, 0, 0, 1)
    then[:, 6] = 0
    got = flips((now, then, moved(0, size=12)))
    assert (got["flip_rate"], got["flip_interior"], got["flip_boundary"]) == approx((13 / 144, 1 / 48, 12 / 96))
    assert got["boundary"] == approx(96 / 144) and got["coverage"] == 1
    hidden = put(full(1, 12), 0, 0, 0)
    got = flips((now, then, moved(0, hidden, size=12)))
    assert (got["flip_rate"], got["flip_interior"], got["coverage"]) == approx((12 / 143, 0, 143 / 144))
    # With labels the boundaries are theirs. All 0, but void at (11, 11): its corner of 24 pixels is near, 119 are not.
    labels = put(full(0, 12), 11, 11, VOID), full(0, 12)
    got = flips((now, then, moved(0, None, labels, 12)))
    assert (got["flip_rate"], got["flip_interior"], got["flip_boundary"]) == approx((13 / 143, 13 / 119, 0))
    assert got["boundary"] == approx(24 / 143)


def test_right_twice_is_of_labelled_pixels_and_zero_where_nothing_is_right() -> None:
    labels = full(1), full(1)
    right, wrong = full(1), full(0)
    got = flips((wrong, right, moved(0, None, labels)))
    assert got["right_twice"] == 0 and got["gated"] != got["gated"], "none was right in t: gated is of nothing"
    got = flips((right, wrong, moved(0, None, labels)))
    assert (got["right_twice"], got["gated"]) == (0, 0)
    assert flips((right, right, moved(0)))["right_twice"] != 1, "without labels nobody knows"
    # A pair without labels does not dilute the others.
    got = flips((right, right, moved(0, None, labels)), (right, right, moved(0)))
    assert (got["right_twice"], got["gated"], got["flip_rate"]) == (1, 1, 0)


def test_a_class_that_changes_as_the_labels_do_stays_right() -> None:
    # A thing turns from 0 to 1, labels and prediction alike: a flip, and right all the same.
    got = flips((full(0), full(1), moved(0, None, (full(0), full(1)))))
    assert (got["flip_rate"], got["gated"], got["right_twice"]) == (1, 1, 1)


def jitter(now: Tensor, then: Tensor, pair: FramePair, limit: float = 8.0) -> float:
    metric = BoundaryJitter(limit)
    metric.update(now, then, pair)
    return metric.compute()["boundary_jitter"].item()


def test_a_boundary_that_jumps_by_k_pixels_has_a_jitter_of_k() -> None:
    now = rows(*[0] * 8, *[1] * 12, height=20)
    for k in (-4, -1, 0, 2, 3):
        then = rows(*[0] * (8 + k), *[1] * (12 - k), height=20)
        assert jitter(now, then, moved(0, size=20)) == abs(k)
        assert jitter(now, then, moved(k, size=20)) == 0, "along the motion it stays"
        assert jitter(now, then, moved(0, size=20), limit=2) == min(abs(k), 2)
    # A square of class 0 in columns 14 and 15 is gone. Class 0 still ends in column 7: its pixels are 7 and 8 away, two
    # each. Class 1, around it in columns 13 to 16 (4, 2, 2 and 4 pixels), begins in column 8. 40 more pixels stay.
    patch = now.clone()
    patch[4:6, 14:16] = 0
    gone = 2 * (7 + 8) + 4 * 5 + 2 * 6 + 2 * 7 + 4 * 8
    assert jitter(patch, now, moved(0, size=20)) == approx(gone / 56)
    seen = torch.ones(20, 20)
    seen[:, 10:] = 0
    assert jitter(patch, now, moved(0, seen, size=20)) == 0, "what is not seen does not count"
    # A class that is nowhere in t + 1 is as far away as can be; a map without boundaries has no jitter.
    assert jitter(now, full(1, 20), moved(0, size=20)) == 8
    assert jitter(full(1, 20), now, moved(0, size=20)) == approx(NAN)


def test_warp_error() -> None:
    # Class 0 is 1/2, then 0 1 1 1: at 0.5, 1.5, 2.5, 3.5 (clamped to 3) 1/2 1 1 1; two classes: 0 1/2 1/2 1/2.
    then = rows(0, 1, 1, 1).float()
    probs = torch.full((2, 4, 4), 0.5), torch.stack((then, 1 - then))
    metric = WarpError()
    metric.update(*probs, moved(0.5))
    assert metric.compute()["warp_error"].item() == approx(3 / 8)
    metric.reset()
    metric.update(*probs, moved(0.5, rows(1, 1, 1, 0)))
    assert metric.compute()["warp_error"].item() == approx(1 / 3)
    # With a second pair, equal and all visible, the pixels pool: (8 * 1/2) / (12 + 16).
    metric.update(probs[1], probs[1], moved(0))
    assert metric.compute()["warp_error"].item() == approx(1 / 7)


def test_a_prediction_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class 4, expected 0\.\.3"):
        Consistency(4).update(full(0), full(4), moved(0))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"flow is \(2, 4, 4\), the maps are \[\(5, 4\)\]"):
        FramePair(torch.zeros(2, 4, 4), torch.ones(5, 4) > 0)
    with pytest.raises(ValueError, match=r"flow is \(1, 2, 4, 4\)"):
        FramePair(torch.zeros(1, 2, 4, 4), torch.ones(4, 4) > 0)
    with pytest.raises(ValueError, match=r"the map is \(6, 4\), the motion \(4, 4\)"):
        moved(0).warped(rows(0, 1, 2, 3, height=6))
    with pytest.raises(ValueError, match="unknown warp 'bilinear', expected one of nearest, etc2020, vspw2021"):
        moved(0).warped(full(0), "bilinear")


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -1e30])
def test_motion_that_is_no_number_reads_as_out_of_frame(broken: float) -> None:
    for how in ("nearest", "etc2020", "vspw2021"):
        warped = moved(broken).warped(rows(1, 2, 3, 4), how)
        assert set(warped.unique().tolist()) <= ({0} if how == "vspw2021" else {1, 4})
