"""VC and VEC, by hand."""

from __future__ import annotations

from math import isnan

import pytest
import torch
from torch import Tensor

from temporalkd.metrics import Persistence

from .by_hand import VOID, approx, full, put, rows


def windows(maps: list[Tensor], labels: list[Tensor], length: int, classes: int = 4) -> tuple[float, float, float]:
    metric = Persistence(classes, length)
    for map, label in zip(maps, labels):
        metric.update(map, label)
    got = metric.compute()
    return got["vc"].item(), got["vc_correct"].item(), got["vec"].item()


LABELS = [full(0)] * 4 + [put(full(0), 0, 0, 1)]


def test_a_pixel_that_flickers_once() -> None:
    # Labels 0 but (0, 0) is 1 in frame 4; predictions 0 but (1, 1) is 1 in frame 2, and all of frame 4 is 1.
    maps = [full(0), full(0), put(full(0), 1, 1, 1), full(0), full(1)]
    vc, correct, _ = windows(maps, LABELS, 3)
    # As published: windows 0..2 and 1..3, 15 of 16 in each. Correct: also 2..4, where none is 0 throughout.
    assert vc == approx(15 / 16) and correct == approx((15 / 16 + 15 / 16 + 0) / 3)


def test_steadily_wrong_is_what_the_published_form_does_not_mind() -> None:
    assert windows([full(1)] * 5, LABELS, 3) == (1, 0, 0)
    vc, correct, _ = windows([full(1)] * 5, LABELS, 5)
    assert isnan(vc) and correct == 0, "five frames are one window, which the published form leaves out"
    assert all(isnan(value) for value in windows([full(1)] * 5, LABELS, 6))


def test_void_is_a_label_like_others_as_published_and_none_otherwise() -> None:
    void = [put(full(0), 2, 2, VOID)] * 3
    maps = [full(0), put(full(0), 2, 2, 1), full(0)]
    assert windows(maps, void, 2) == approx((15 / 16, 1, 1))


def test_vec() -> None:
    # Labels 0 0 1 1 twice; predictions 0 1 1 1, then 0 0 1 1. Lasting: labels 8 of 0, 8 of 1; predictions column 0 of
    # 0, columns 2 and 3 of 1: 4/8 and 8/8.
    labels, maps = [rows(0, 0, 1, 1)] * 2, [rows(0, 1, 1, 1), rows(0, 0, 1, 1)]
    assert windows(maps, labels, 2)[2] == approx(3 / 4)
    # Void in one frame takes (0, 0) and (0, 2) out of both: 3/7 and 7/7.
    labels = [labels[0], put(put(labels[1], 0, 0, VOID), 0, 2, VOID)]
    assert windows(maps, labels, 2)[2] == approx((3 / 7 + 1) / 2)
    # Three windows, counted together.
    labels = [rows(0, 0, 1, 1)] * 2 + [full(0)] * 2
    maps = [rows(0, 0, 2, 3), rows(0, 1, 3, 2), full(0), full(0)]
    assert windows(maps, labels, 2)[2] == approx(((4 + 4 + 16) / (8 + 8 + 16) + 0) / 2)


@pytest.mark.parametrize("length", [2, 8])
def test_what_the_labels_do_is_perfect(length: int) -> None:
    moving = [rows(*[0] * t, *[1] * (12 - t), height=12) for t in range(12)]
    assert windows(moving, moving, length) == (1, 1, 1)


def test_a_frame_alone_is_refused() -> None:
    frame = torch.zeros(4, 4, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"call update\(\) for each frame"):
        Persistence(2, 2)(frame, frame)
