"""The reference itself, pinned by numbers worked out by hand; most on 4x4 maps whose four rows are alike."""

from math import isnan
from typing import Any

import numpy as np
import pytest

from . import reference as ref
from .reference import VOID, Array, consistency


def rows(*values: int, height: int = 4) -> Array:
    return np.tile(np.array(values), (height, 1))


def shift(dx: float, dy: float = 0.0, size: int = 4) -> Array:
    flow = np.zeros((2, size, size), np.float32)
    flow[0], flow[1] = dx, dy
    return flow


def full(value: int, size: int = 4) -> Array:
    return np.full((size, size), value)


def put(map: Array, y: int, x: int, value: int) -> Array:
    out = map.copy()
    out[y, x] = value
    return out


def approx(values: Any) -> Any:
    if isinstance(values, (tuple, list)):
        return type(values)(approx(v) for v in values)
    return pytest.approx(values, abs=1e-12, nan_ok=True)


STILL, ALL = shift(0), np.ones((4, 4), bool)
NAN = float("nan")


def test_visible_mask():
    # one pixel to the right and back: the last column leaves the frame
    assert (ref.visible_mask(shift(1), shift(-1)) == rows(1, 1, 1, 0)).all()
    assert ref.visible_mask(STILL, STILL).all()
    assert (ref.visible_mask(shift(0, -1), shift(0, 1)) == rows(0, 1, 1, 1).T).all()
    # |1 + 0|^2 = 1 > 0.01 * 1 + 0.5; |1 - 0.4|^2 = 0.36 <= 0.01 * 1.16 + 0.5
    assert not ref.visible_mask(shift(1), STILL).any()
    assert (ref.visible_mask(shift(1), shift(-0.4)) == rows(1, 1, 1, 0)).all()
    # f = 0: 0.71^2 = 0.5041 <= 0.01 * 0.5041 + 0.5 = 0.50504; 0.72^2 = 0.5184 > 0.50518
    assert ref.visible_mask(STILL, shift(0, 0.71)).all() and not ref.visible_mask(STILL, shift(0, 0.72)).any()
    # backward dx 0 -2 0 2 is sampled AT 0.5, 1.5, 2.5: -1, -1, 1; sums with 0.5: -0.5, -0.5, 1.5; 3.5 is out
    backward = shift(0)
    backward[0] = rows(0, -2, 0, 2)
    assert (ref.visible_mask(shift(0.5), backward) == rows(1, 1, 0, 0)).all()


def test_nearest_warp():
    assert (ref.nearest_warp(rows(0, 1, 2, 3), STILL) == rows(0, 1, 2, 3)).all()
    assert (ref.nearest_warp(rows(0, 1, 2, 3), shift(1)) == rows(1, 2, 3, 3)).all()
    assert (ref.nearest_warp(rows(0, 1, 2, 3).T, shift(0, -1)) == rows(0, 0, 1, 2).T).all()
    # halves go up: 0.5, 1.5, 2.5, 3.5 -> 1, 2, 3, 4 (border 3); below a half stays; -0.5 -> 0
    assert (ref.nearest_warp(rows(0, 1, 2, 3), shift(0.5)) == rows(1, 2, 3, 3)).all()
    assert (ref.nearest_warp(rows(0, 1, 2, 3).T, shift(0, 0.5)) == rows(1, 2, 3, 3).T).all()
    assert (ref.nearest_warp(rows(0, 1, 2, 3), shift(0.49)) == rows(0, 1, 2, 3)).all()
    assert (ref.nearest_warp(rows(0, 1, 2, 3), shift(-0.5)) == rows(0, 1, 2, 3)).all()


def test_etc2020_truncates_to_an_in_between_class():
    # 0.5, 1.5, 2.5, 3.5 between 0 3 3 3: 1.5 -> class 1, then 3; at 3.5 both corners are the last column
    assert (ref.etc2020_warp(rows(0, 3, 3, 3), shift(0.5)) == rows(1, 3, 3, 3)).all()
    # 0.25 of the way down: 0.25 * 3 = 0.75 -> 0; at -0.5 both corners are the first row
    assert (ref.etc2020_warp(rows(0, 3, 3, 3).T, shift(0, 0.25)) == rows(0, 3, 3, 3).T).all()
    assert (ref.etc2020_warp(rows(0, 3, 3, 3).T, shift(0, -0.5)) == rows(0, 1, 3, 3).T).all()
    # all four corners: 0.75 * 0.25 * 4 (right, top) + 0.25 * 0.75 * 8 (left, bottom) = 0.75 + 1.5 -> 2
    assert ref.etc2020_warp(np.array([[0, 4], [8, 0]]), shift(0.75, 0.75, 2))[0, 0] == 2
    # class 3: 12 of 12; class 0: 0 of 4; class 1: 0 of 4; class 2 is in neither map and counts 0
    value, per_class, per_pair = consistency([rows(0, 3, 3, 3)] * 2, [shift(0.5)], [ALL], 4, "etc2020")
    assert (value, per_class, per_pair) == (0.25, [0, 0, 0, 1], [0.25])


def test_etc2020_rounds_as_the_kernel_does():
    # The top left pixel at (0.7, 0.4), class 3: the first three products are 9059697, 21139292 and 6039798 / 2^24. In
    # single the first two make 30198988 / 2^24 (tie to even), with the third 9059696 / 2^22 (again). The last product
    # is 14092861.5 / 2^24: fused, the sum is 12582911.375 / 2^22 -> 12582911 / 2^22, one step under 3: class 2. Rounded
    # before the addition it would be 12582911.5 / 2^22 -> 3.
    assert ref.etc2020_warp(rows(3, 3, 3, 3), shift(0.7, 0.4))[0, 0] == 2
    assert ref.etc2020_warp(rows(4, 4, 4, 4), shift(0.7, 0.4))[0, 0] == 4
    # Without a vertical part nothing is lost: 2.7 + 0.3 rounds to 3.
    assert ref.etc2020_warp(rows(3, 3, 3, 3), shift(0.1))[0, 0] == 3


def test_vspw2021_at_the_border():
    # W = 4: x = 0 1 2 3 is grid -1 -1/3 1/3 1, back ((g + 1) * 4 - 1) / 2 = -0.5 0.83 2.17 3.5 -> 0 1 2 4: 4 is outside
    expected = rows(1, 2, 3, 0)
    expected[3] = 0  # and the last row likewise
    assert (ref.vspw2021_warp(rows(1, 2, 3, 4), STILL) == expected).all()
    # W = 5: the last is ((1 + 1) * 5 - 1) / 2 = 4.5 -> 4 (even): inside
    assert (ref.vspw2021_warp(rows(1, 2, 3, 4, 5, height=5), shift(0, 0, 5)) == rows(1, 2, 3, 4, 5, height=5)).all()
    # one to the left: xf = -1: grid -5/3, back -1.83 -> -2, outside
    assert (ref.vspw2021_warp(rows(1, 2, 3, 4), shift(-1))[0] == [0, 1, 2, 3]).all()
    # by 0.75: xf = 0.75: grid -0.5, back 0.5 -> 0 (even); 1.75: 11/6 -> 2; 2.75: 19/6 -> 3; 3.75: 4.5 -> outside
    assert (ref.vspw2021_warp(rows(1, 2, 3, 4), shift(0.75))[0] == [1, 3, 4, 0]).all()
    # all of class 1, still: 7 of 16 warped pixels are class 0, which is not in the map of t; class 1 is 9 of 16
    value, per_class, _ = consistency([full(1)] * 2, [STILL], [ALL], 3, "vspw2021")
    assert (value, per_class) == approx((9 / 16, [NAN, 9 / 16, NAN]))
    # 8x8 of class 1, two to the right: of 64 pixels the 7 rows and 5 columns that are inside stay
    value, _, _ = consistency([full(1, 8)] * 2, [shift(2, size=8)], [np.ones((8, 8), bool)], 2, "vspw2021")
    assert value == approx(35 / 64)


def test_identity_flow():
    # class 0: 8 pixels, then 12, 8 in both: 8/12; class 1: 8, then 4, 4 in both: 4/8; class 2 in neither
    maps = [rows(0, 0, 1, 1), rows(0, 0, 0, 1)]
    for protocol in ("visible", "unmasked", "varghese2020"):
        value, per_class, per_pair = consistency(maps, [STILL], [ALL], 3, protocol)
        assert (value, per_class, per_pair) == approx((7 / 12, [2 / 3, 1 / 2, NAN], [7 / 12]))
    assert consistency(maps, [STILL], [ALL], 3, "etc2020")[0] == approx(7 / 18)
    for protocol in ("visible", "unmasked", "varghese2020", "etc2020"):
        assert consistency(maps[:1] * 2, [STILL], [ALL], 2, protocol)[0] == 1


def test_shift_by_one_pixel():
    # P_t = 0 0 1 2 moves right to 0 0 0 1; back along the flow: 0 0 1 and, clamped, 1
    maps, flow = [rows(0, 0, 1, 2), rows(0, 0, 0, 1)], shift(1)
    mask = ref.visible_mask(flow, shift(-1))
    assert consistency(maps, [flow], [mask], 3, "visible") == approx((1, [1, 1, NAN], [1]))
    # unmasked: class 0 8/8, class 1 4 of 8, class 2 0 of 4; labels are not looked at
    for labels in (None, [full(VOID)] * 2):
        value, per_class, _ = consistency(maps, [flow], [mask], 3, "unmasked", labels)
        assert (value, per_class) == approx((1 / 2, [1, 1 / 2, 0]))
    assert consistency(maps, [flow], [~ALL], 3, "visible") == approx((NAN, [NAN] * 3, [NAN]))


def test_void_pixels():
    # void at (0, 0) in t and (0, 3) in t+1: 14 count. Class 1 is (1..3, 3), then (1..2, 3): 2/3; class 0: 11/12.
    # The label 2 at (1, 1) counts, is never predicted: 0. The label 3 lies on (0, 3), which does not count.
    maps = [rows(0, 0, 0, 1), put(rows(0, 0, 0, 1), 3, 3, 0)]
    labels = [put(put(put(maps[0], 0, 0, VOID), 1, 1, 2), 0, 3, 3), put(maps[0], 0, 3, VOID)]
    value, per_class, per_pair = consistency(maps, [STILL], [ALL], 4, "visible", labels)
    assert (value, per_class, per_pair) == approx((19 / 36, [11 / 12, 2 / 3, 0, NAN], [19 / 36]))
    # without labels class 1 is 4, then 3: 3/4; class 0 is 12, then 13: 12/13
    assert consistency(maps, [STILL], [ALL], 4, "visible")[1] == approx([12 / 13, 3 / 4, NAN, NAN])
    # of these 14 all but (1, 1) are right in t, and right in t+1 but (3, 3): 12 of 13
    assert ref.gated(maps, [STILL], [ALL], labels) == approx(12 / 13)
    # right is right, changed or not: labels 0 1 2 2, then (at x + 1, clamped) 0 0 2 2; all 16 are right in t, and in
    # t+1 all but what reads the one wrong pixel, (0, 3): that is (0, 2) and (0, 3)
    maps = [rows(0, 1, 2, 2), put(rows(0, 0, 0, 2), 0, 3, 0)]
    assert ref.gated(maps, [shift(1)], [ALL], [maps[0], rows(0, 0, 0, 2)]) == approx(14 / 16)
    # void moves along the flow: (0, 2) in t+1 is (0, 1) in t
    counted = ref.counted_pixels(ALL, shift(1), [full(0), put(full(0), 0, 2, VOID)])
    assert (counted == put(full(1), 0, 1, 0)).all()


def test_labelled_class_per_pair():
    # label 1 in the first pair only, predictions all 0: pairs (1 + 0) / 2 and 1; pooled (1 + 0) / 2
    labels = [put(full(0), 2, 2, 1), full(0), full(0)]
    assert consistency([full(0)] * 3, [STILL] * 2, [ALL] * 2, 2, "visible", labels) == (0.5, [1, 0], [0.5, 1])


def test_varghese_is_a_mean_of_pairs():
    # pair 1: equal, 1. Pair 2: all turn 0: class 0 4/16, class 1 0/12: 1/8. Mean of pairs 9/16.
    # Pooled: class 0 (4 + 4) / (4 + 16) = 2/5, class 1 12 / (12 + 12) = 1/2: 9/20.
    maps = [rows(0, 1, 1, 1), rows(0, 1, 1, 1), full(0)]
    value, per_class, per_pair = consistency(maps, [STILL] * 2, [ALL] * 2, 2, "varghese2020")
    assert (value, per_class, per_pair) == approx((9 / 16, [5 / 8, 1 / 2], [1, 1 / 8]))
    assert consistency(maps, [STILL] * 2, [ALL] * 2, 2, "unmasked") == approx((9 / 20, [2 / 5, 1 / 2], [1, 1 / 8]))
    # a third pair has class 0 only, 1: (1 + 1/8 + 1) / 3 = 17/24; class 1 is still a mean of two pairs
    value, per_class, per_pair = consistency([*maps, full(0)], [STILL] * 3, [ALL] * 3, 2, "varghese2020")
    assert (value, per_class, per_pair) == approx((17 / 24, [(1 + 1 / 4 + 1) / 3, 1 / 2], [1, 1 / 8, 1]))


def test_flips_interior_and_boundary():
    # 12x12, classes meet between columns 5 and 6: columns 2..9 are near (96 pixels), 48 are interior.
    # Column 6 turns 0: 12 flips near. The corner (0, 0) turns 1: one in the interior; the image border is no boundary.
    now, still, mask = rows(*[0] * 6, *[1] * 6, height=12), shift(0, 0, 12), np.ones((12, 12), bool)
    then = put(now, 0, 0, 1)
    then[:, 6] = 0
    assert ref.flip_rates([now, then], [still], [mask]) == approx((13 / 144, 1 / 48, 12 / 96))
    hidden = put(mask, 0, 0, 0)
    assert ref.flip_rates([now, then], [still], [hidden]) == approx((12 / 143, 0, 12 / 96))
    # labels all 0 but void at (11, 11): its 5x5 corner less itself, 24 pixels, is near; 143 - 24 = 119 interior
    labels = [put(full(0, 12), 11, 11, VOID), full(0, 12)]
    assert ref.flip_rates([now, then], [still], [mask], labels) == approx((13 / 143, 13 / 119, 0))
    # along a flow of one to the left, then[x - 1] against now[x] (column 0 clamped): 6 is 0 not 1, 7 is then[6] = 0
    # not 1, and then[0, 0] = 1 twice, at columns 0 and 1: 24 flips near, 2 in the interior
    assert ref.flip_rates([now, then], [shift(-1, 0, 12)], [mask]) == approx((26 / 144, 2 / 48, 24 / 96))


def test_boundary_iou():
    # d = 1, label all 0: its band is the ring of 12. Prediction 0 0 1 1: column 0 at the image border, column 1 beside
    # class 1: 8 pixels, of which (1, 1) and (2, 1) are off the ring: 6 of 12 + 8 - 6 = 14. Class 1: 0 of 8.
    predicted = rows(0, 0, 1, 1)
    assert ref.boundary_iou([predicted], [full(0)], 3, d=1) == approx((3 / 14, [6 / 14, 0, NAN]))
    # void where class 1 was predicted: it has no mask left, and class 0 is right
    assert ref.boundary_iou([predicted], [rows(0, 0, VOID, VOID)], 2, d=1) == approx((1, [1, NAN]))
    # summed over the data set: (6 + 12) / (14 + 12)
    assert ref.boundary_iou([predicted, full(0)], [full(0)] * 2, 1, d=1)[0] == approx(18 / 26)
    # d = 4 on 12x12: all but the 4x4 in the middle
    assert ref.inner_band(np.ones((12, 12), bool), 4).sum() == 128


def test_vc_windows():
    # labels 0 but (0, 0) is 1 in frame 4; predictions 0 but (1, 1) is 1 in frame 2, and all of frame 4 is 1
    labels = [full(0)] * 4 + [put(full(0), 0, 0, 1)]
    maps = [full(0), full(0), put(full(0), 1, 1, 1), full(0), full(1)]
    # published: windows 0..2 and 1..3, 15 of 16 in each
    assert ref.vc_published(maps, labels, 3) == approx(15 / 16)
    # correct: also 2..4, where 15 have one label; none is predicted 0 throughout: (15/16 + 15/16 + 0) / 3
    assert ref.vc_correct(maps, labels, 3) == approx(5 / 8)
    # steadily wrong: published does not mind; five frames are one window, which published skips
    assert (ref.vc_published([full(1)] * 5, labels, 3), ref.vc_correct([full(1)] * 5, labels, 3)) == (1, 0)
    assert isnan(ref.vc_published(maps, labels, 5)) and ref.vc_correct(maps, labels, 5) == 0
    # void is a label like others as published (16 pixels, 15 keep), none for `correct` (15 pixels, 15 right)
    void = [put(full(0), 2, 2, VOID)] * 3
    maps = [full(0), put(full(0), 2, 2, 1), full(0)]
    assert (ref.vc_published(maps, void, 2), ref.vc_correct(maps, void, 2)) == approx((15 / 16, 1))
    # a window without a steady label is skipped: 0 and 1 alternate, then 1 stays; only window 2..3 speaks
    labels = [full(0), full(1), full(0), full(0)]
    assert ref.vc_correct([full(0)] * 4, labels, 2) == 1


def test_vec():
    # n = 2. Labels: columns 0 0 1 1 twice; predictions 0 1 1 1, then 0 0 1 1. Lasting: labels 8 of 0, 8 of 1;
    # predictions column 0 of 0, columns 2, 3 of 1. IoU 4/8 and 8/8.
    labels, maps = [rows(0, 0, 1, 1)] * 2, [rows(0, 1, 1, 1), rows(0, 0, 1, 1)]
    assert ref.vec(maps, labels, 2) == approx(3 / 4)
    # void in one frame takes (0, 0) and (0, 2) out of both: 3/7 and 7/7
    labels = [labels[0], put(put(labels[1], 0, 0, VOID), 0, 2, VOID)]
    assert ref.vec(maps, labels, 2) == approx((3 / 7 + 1) / 2)
    # three windows, counted together. The first: class 0 4 of 8, class 1 0 of 8 (2 and 3 swap there)
    labels = [rows(0, 0, 1, 1)] * 2 + [full(0)] * 2
    maps = [rows(0, 0, 2, 3), rows(0, 1, 3, 2), full(0), full(0)]
    # the second: labels keep 0 in columns 0 1, predictions in column 0: 4 of 8; the third: class 0 16 of 16
    assert ref.vec(maps, labels, 2) == approx(((4 + 4 + 16) / (8 + 8 + 16) + 0) / 2)


def test_warp_error():
    # class 0 is 1/2, then 0 1 1 1: at 0.5, 1.5, 2.5, 3.5 (clamped to 3) 1/2 1 1 1; two classes: 0 1/2 1/2 1/2
    then = rows(0, 1, 1, 1).astype(np.float32)
    probs = [np.full((2, 4, 4), 0.5, np.float32), np.stack([then, 1 - then])]
    assert ref.warp_error(probs, [shift(0.5)], [ALL]) == approx(3 / 8)
    # at -0.75 (clamped to 0), 0.25, 1.25, 2.25: 0 1/4 1 1; squares 1/4 1/16 1/4 1/4, twice: mean 13/32; so downwards
    assert ref.warp_error(probs, [shift(-0.75)], [ALL]) == approx(13 / 32)
    turned = [p.transpose(0, 2, 1) for p in probs]
    assert ref.warp_error(turned, [shift(0, -0.75)], [ALL]) == approx(13 / 32)
    seen = rows(1, 1, 1, 0).astype(bool)
    assert ref.warp_error(probs, [shift(0.5)], [seen]) == approx(1 / 3)
    # with a second pair, equal and all visible, the pixels pool: (8 * 1/2) / (12 + 16)
    assert ref.warp_error([*probs, probs[1]], [shift(0.5), STILL], [seen, ALL]) == approx(1 / 7)


def test_block_bootstrap():
    good, bad = [[2], [2], [2]], [[0], [2], [2]]
    # blocks good+bad and bad+good weigh the same: 2 / (4 + 4 - 2) in every draw; blocks that overlap would not
    assert ref.block_bootstrap(np.array([good, bad, bad, good]), 2, 50, 0) == approx((1 / 3, 1 / 3))
    # blocks good and bad: a quarter of the draws is all bad, a quarter all good
    assert ref.block_bootstrap(np.array([good, good, bad, bad]), 2, 200, 0) == approx((0, 1))
    # one block, the short last one, a class that never occurs
    assert ref.block_bootstrap(np.array([good, good, bad]), 10, 5, 0) == approx((4 / 8, 4 / 8))
    absent = np.array([[[2, 0], [2, 0], [2, 0]]] * 3)
    assert ref.block_bootstrap(absent, 2, 20, 0) == (1, 1)
