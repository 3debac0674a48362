"""The exponential moving average that stands beside each system."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from temporalkd.data.source import Frame, Source
from temporalkd.evaluation import FramePrediction, Predictor, evaluate, network
from temporalkd.evaluation.predictors import averaged
from tests import tiny

from .panning import RIGHT, Panning, Unsure, by_system


def probabilities(system: Predictor, source: Source) -> list[Tensor]:
    answers = [system(frame) for frame in source.stream()]
    assert all(answer.probs is not None for answer in answers)
    return [answer.probs for answer in answers if answer.probs is not None]


def by_hand(probs: list[Tensor], decay: float) -> list[Tensor]:
    """The weights written out: decay^t of the first, (1 - decay) decay^(t - k) of the k-th after it."""
    averages = []
    for t in range(len(probs)):
        weights = [decay**t] + [(1 - decay) * decay ** (t - k) for k in range(1, t + 1)]
        assert sum(weights) == pytest.approx(1)
        averages.append(sum(w * p for w, p in zip(weights, probs)))
    return averages  # type: ignore[return-value]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.8])
def test_it_is_the_average_of_what_came_before(decay: float) -> None:
    source = Panning()
    plain = probabilities(Unsure(3), source)
    average = averaged(Unsure(3), decay)
    for index, (expected, frame) in enumerate(zip(by_hand(plain, decay), source.stream())):
        answer = average(frame)
        torch.testing.assert_close(answer.probs, expected)
        assert torch.equal(answer.map, answer.probs.argmax(0).to(torch.uint8))  # type: ignore[union-attr]
        if index == 0 or decay == 0:
            torch.testing.assert_close(answer.probs, plain[index], rtol=0, atol=0)


def test_it_begins_anew_with_each_clip() -> None:
    first, second = Panning(4), Panning(5)
    average = averaged(Unsure(), 0.9)
    probabilities(average, first)
    for got, expected in zip(probabilities(average, second), by_hand(probabilities(Unsure(), second), 0.9)):
        torch.testing.assert_close(got, expected)


def test_it_is_a_row_beside_each_system() -> None:
    source = Panning(labelled=range(6))
    rows = evaluate([source], {"a": Unsure(2), "b": Unsure(2)}, 2, RIGHT, ema=0.8)
    names = ["a", "b", "a EMA 0.8", "b EMA 0.8", "ceiling", "floor", "constant"]
    assert [row.system for row in rows] == names, "references have none"
    got = by_system(rows)
    averages = by_hand(probabilities(Unsure(), source), 0.8)

    def given(frame: Frame) -> FramePrediction:
        return FramePrediction(averages[frame.index].argmax(0).to(torch.uint8), averages[frame.index])

    expected = by_system(evaluate([source], {"given": given}, 2, RIGHT))["given"]
    for key in ("consistency", "flip_rate", "miou", "boundary_iou", "right_twice", "warp_error"):
        assert got["a EMA 0.8"][key] == pytest.approx(expected[key], abs=0.01), key
    assert got["a"].as_dict() == evaluate([source], {"a": Unsure(2)}, 2, RIGHT)[0].as_dict()


def test_the_network_is_asked_once_a_frame() -> None:
    counting = tiny.Counting(tiny.segmenter(2))
    counting.device = counting.inner.device
    unsure = Unsure()
    evaluate([Panning(4), Panning(3)], {"net": network(counting), "u": unsure}, 2, RIGHT, ema=0.8)  # type: ignore[arg-type]
    assert counting.calls == 7 and unsure.asked == 7


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=f"from 0 to below 1, got {decay}"):
        evaluate([Panning()], {"unsure": Unsure()}, 2, RIGHT, ema=decay)
