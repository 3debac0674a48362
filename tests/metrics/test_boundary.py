"""Class boundaries, by hand."""

from __future__ import annotations

import pytest
import torch

from temporalkd.metrics import BoundaryIoU, near_edge

from .by_hand import NAN, VOID, approx, full, put, rows


def boundary_iou(prediction: torch.Tensor, labels: torch.Tensor, classes: int, d: int) -> tuple[float, list[float]]:
    metric = BoundaryIoU(classes, d)
    metric.update(prediction, labels)
    return metric.compute()["boundary_iou"].item(), metric.compute()["per_class"].tolist()


def test_by_hand_4x4() -> None:
    # d = 1, labels all 0: their band is the ring of 12. Prediction 0 0 1 1: column 0 at the image border, column 1
    # beside class 1: 8 pixels, of which (1, 1) and (2, 1) are off the ring: 6 of 12 + 8 - 6. Class 1: 0 of 8.
    value, per_class = boundary_iou(rows(0, 0, 1, 1), full(0), 3, 1)
    assert value == approx(3 / 14) and per_class == approx([6 / 14, 0, NAN])
    # Void where class 1 was predicted: it has no mask left, and class 0 is right.
    value, per_class = boundary_iou(rows(0, 0, 1, 1), rows(0, 0, VOID, VOID), 2, 1)
    assert value == 1 and per_class == approx([1, NAN])


def test_the_band_is_inside_the_mask_and_the_frame_ends_it() -> None:
    # 12x12 of one class: all but the 4x4 in the middle. A wrong pixel there is none of it, and takes a 9x9 around it.
    labels = full(0, 12)
    assert int(near_edge(labels, 4, frame_is_edge=True).sum()) == 144 - 16
    assert not near_edge(labels, 4).any()
    _, per_class = boundary_iou(put(labels, 5, 5, 1), labels, 2, 4)
    assert per_class == approx([128 / (144 - 1), 0])


def test_frames_are_summed_not_averaged() -> None:
    metric = BoundaryIoU(1, 1)
    metric.update(rows(0, 0, VOID, VOID), full(0))  # 6 of 14
    metric.update(full(0), full(0))  # 12 of 12
    assert metric.compute()["boundary_iou"].item() == approx(18 / 26)
    assert metric.series("boundary_iou").each().tolist() == approx([6 / 14, 1])


@pytest.mark.parametrize("distance", [1, 2, 4])
def test_near_is_a_square_around_another_class(distance: int) -> None:
    edge = near_edge(put(full(3, 20), 10, 7, 4), distance)
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[10 - distance : 11 + distance, 7 - distance : 8 + distance] = True
    assert torch.equal(edge, expected)
    assert torch.equal(near_edge(put(full(3, 20), 10, 7, VOID), distance), expected), "void is a class of its own"
