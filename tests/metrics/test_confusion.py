"""Accuracy metrics against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from temporalkd.metrics import SegmentationScore, accuracy, confusion, iou, margins


def loop_confusion(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    matrix = np.zeros((classes, classes), dtype=int)
    for a, b in zip(truth.ravel(), prediction.ravel()):
        if a < classes:
            matrix[a, b] += 1
    return matrix


def test_against_a_loop() -> None:
    truth = torch.randint(0, 5, (2, 7, 9), dtype=torch.uint8)
    truth[0, :2] = 255
    prediction = torch.randint(0, 5, (2, 7, 9), dtype=torch.uint8)
    expected = loop_confusion(truth.numpy(), prediction.numpy(), 5)
    assert np.array_equal(confusion(truth, prediction, 5).numpy(), expected)


def test_by_hand_4x4() -> None:
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 255, 255], [2, 2, 255, 255]])
    prediction = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 2, 2]])
    score = SegmentationScore(4)
    score.update(prediction, truth)
    result = score.compute()
    # class 0: 3 hits, 4 in truth, 5 predicted -> 3/6; class 1: 4, 4, 7 -> 4/7; class 2: 0; class 3: absent
    assert result["iou"][:3].tolist() == pytest.approx([3 / 6, 4 / 7, 0.0])
    assert result["iou"][3].isnan()
    assert result["miou"].item() == pytest.approx((3 / 6 + 4 / 7) / 3)
    assert result["macc"].item() == pytest.approx((3 / 4 + 1 + 0) / 3)


def test_one_confusion_over_all_updates_is_not_the_mean_of_scores() -> None:
    score = SegmentationScore(2)
    score.update(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
    score.update(torch.tensor([1]), torch.tensor([1]))
    matrix = torch.tensor([[3, 0], [1, 1]])
    assert score.compute()["miou"].item() == pytest.approx(iou(margins(matrix)).mean().item()) == (3 / 4 + 1 / 2) / 2
    assert accuracy(margins(matrix)).tolist() == [1.0, 0.5]


def test_a_prediction_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class 7, expected 0\.\.4"):
        confusion(torch.zeros(3), torch.tensor([0, 7, 1]), 5)


def test_nothing_counted_is_nan() -> None:
    score = SegmentationScore(2)
    score.update(torch.zeros(4, dtype=torch.uint8), torch.full((4,), 255))
    assert math.isnan(score.compute()["miou"])
