"""tools/study_protocols.py: labels are spoilt as it says, the same each time."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import study_protocols as study

from temporalkd.data.street import Street
from temporalkd.metrics import near_edge

STREET = Street(3, length=6, size=(96, 160))
TRUTH = [study.true_map(STREET, t) for t in range(6)]


def spoilt(name: str) -> list[study.Map]:
    system = study.system(study.SPOILT[name], 1)
    maps = [system(frame).map.numpy() for frame in STREET.stream()]
    again = [system(frame).map.numpy() for frame in STREET.stream()]
    assert all(map(np.array_equal, maps, again)) and all(map.dtype == np.uint8 for map in maps)
    return maps


def changed(maps: list[study.Map]) -> list[float]:
    return [float((map != truth).mean()) for map, truth in zip(maps, TRUTH)]


def test_patches_lie_away_from_boundaries_and_flicker() -> None:
    maps = spoilt("patches, 4%")
    inside = [~near_edge(torch.from_numpy(truth), 4).numpy() for truth in TRUTH]
    assert all((map == truth)[~mask].all() for map, truth, mask in zip(maps, TRUTH, inside))
    assert 0 < np.mean(changed(spoilt("patches, 1%"))) < np.mean(changed(maps)) < 0.04
    assert all((a != b).any() for a, b in pairwise(maps))


def test_boundaries_move_as_far_as_they_are_said_to() -> None:
    for k, name in ((1, "boundaries by 1 px"), (4, "boundaries by 4 px")):
        maps = spoilt(name)
        near = [near_edge(torch.from_numpy(truth), k).numpy() for truth in TRUTH]
        assert (
            all((map == truth)[~mask].all() for map, truth, mask in zip(maps, TRUTH, near)) and min(changed(maps)) > 0
        )


def test_what_stands_still_lags_or_is_blurred() -> None:
    assert all(map(np.array_equal, spoilt("labels"), TRUTH))
    assert all(map(np.array_equal, spoilt("lag of 2"), [TRUTH[0]] * 3 + TRUTH[1:4]))
    assert all(np.array_equal(map, TRUTH[3]) for map in spoilt("frozen in the middle"))
    assert {len(np.unique(map)) for map in spoilt("constant")} == {1}
    assert 0 < max(changed(spoilt("blur of 2 px"))) < max(changed(spoilt("blur of 8 px"))) < 0.2
    assert 0 < max(changed(spoilt("small regions swapped, 10%"))) < max(changed(spoilt("small regions swapped, 50%")))


def test_the_moving_average_is_the_recursion() -> None:
    one_hot = [np.stack([truth == c for c in range(9)]).astype(float) for truth in TRUTH]
    state = one_hot[0]
    for t, map in enumerate(spoilt("moving average 0.8")):
        state = state if t == 0 else 0.8 * state + 0.2 * one_hot[t]
        first, second = np.sort(state, 0)[:-3:-1]
        clear = first - second > 1e-9
        assert np.array_equal(map[clear], state.argmax(0)[clear])


def test_the_table_marks_what_scores_as_well_as_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "COLUMNS", ("unmasked", "flip_rate"))
    found = {"labels": {"unmasked": 80.0, "flip_rate": 2.0}, "frozen": {"unmasked": 80.04, "flip_rate": 2.5}}
    found["constant"] = {"unmasked": None, "flip_rate": 0.0}
    lines = study.table(found).splitlines()
    assert lines[0] == "| | unmasked | flip rate |"
    assert lines[2:] == ["| labels | 80.0 | 2.0 |", "| frozen | **80.0** | 2.5 |", "| constant | - | **0.0** |"]
