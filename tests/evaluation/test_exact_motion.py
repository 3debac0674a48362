"""Where motion is exact, the right numbers are known in closed form, or can be told from the geometry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.data.source import Frame
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import FramePrediction, evaluate
from temporalkd.metrics import PROTOCOLS, Flips, FramePair, near_edge

from .panning import RIGHT, Panning, by_system, frozen, moving

EXACT = ["visible", "unmasked", "etc2020", "varghese2020"]
"""All but vspw2021, which reads half a pixel beside the place that is asked for."""


@pytest.mark.parametrize("protocol", EXACT)
def test_a_map_that_moves_with_the_flow(protocol: str) -> None:
    (row,) = evaluate([Panning(8)], {"moving": moving}, 2, RIGHT, [protocol])
    assert row["consistency"] == 100 and row["flip_rate"] == 0 and row["flip_interior"] == 0
    assert row["coverage"] == pytest.approx(100 * 62 / 64)
    assert row.per_pair["consistency"] == [100.0] * 7 and row.per_class["consistency"] == [100.0] * 2


def test_what_leaves_the_frame_counts_unless_it_is_masked() -> None:
    """A stripe is just leaving in the eighth pair: its last two columns read the other class."""
    rows = evaluate([Panning(9)], {"moving": moving}, 2, RIGHT, list(PROTOCOLS))
    got = {row.protocol: row["consistency"] for row in rows}
    # 32 columns a class; in one pair of 8, 2 of class 1 turn 0.
    pooled = (256 / 258 + 254 / 256) / 2
    assert got["visible"] == 100
    assert got["unmasked"] == got["etc2020"] == pytest.approx(100 * pooled, abs=1e-4)
    assert got["varghese2020"] == pytest.approx(100 * (7 + (32 / 34 + 30 / 32) / 2) / 8, abs=1e-4)
    assert 85 < got["vspw2021"] < 99  # type: ignore[operator]


def test_a_frozen_map() -> None:
    """Columns 0..61 read two to the right: two change at each of the three edges.

    Of class 0, 32 are counted and 28 stay; of class 1, 30 and 28: each 28 of 34. The bands of 4 pixels on both sides
    of the three edges are 24 columns.
    """
    (row,) = evaluate([Panning()], {"frozen": frozen}, 2, RIGHT)
    assert row["consistency"] == pytest.approx(100 * 28 / 34, abs=1e-4)
    assert row["flip_rate"] == pytest.approx(100 * 6 / 62, abs=1e-4)
    assert (row["flip_interior"], row["flip_boundary"]) == (0, pytest.approx(100 * 6 / 24))


def test_warp_error_of_sure_probabilities() -> None:
    """Each flip of a sure answer is a change of 1 in two classes; an unsure one of p = 3/4, 1/4 half of that each."""

    def probs(map: Tensor, top: float) -> FramePrediction:
        return FramePrediction(map, torch.where(torch.stack((map == 0, map == 1)), top, 1 - top))

    systems: dict[str, Any] = {
        "moving": lambda frame: probs(frame.source.map(frame.index), 1.0),
        "frozen": lambda frame: probs(frame.source.map(0), 1.0),
        "unsure": lambda frame: probs(frame.source.map(0), 0.75),
    }
    rows = by_system(evaluate([Panning()], systems, 2, RIGHT))
    flips = rows["frozen"]["flip_rate"]
    assert rows["moving"]["warp_error"] == 0 and flips is not None and flips > 9
    assert rows["frozen"]["warp_error"] == pytest.approx(2 * flips, abs=1e-3)
    assert rows["unsure"]["warp_error"] == pytest.approx(2 * flips / 4, abs=1e-3)


def test_a_frozen_map_under_labels() -> None:
    """The labels move away from it: its 6 flips are counted where the labels have their boundaries."""
    source = Panning(9, labelled=range(9))
    row = by_system(evaluate([source], {"frozen": frozen}, 2, RIGHT))["frozen"]
    # The map's flips are at columns 14 and 15 of 16; the labels' bands begin at 12 + 2 t, 8 columns long: from t = 2 on
    # all flips are inside, from t = 6 on in the band that comes after.
    inside = [share is not None and share > 0 for share in row.per_pair["flip_interior"]]
    assert inside == [False] * 2 + [True] * 4 + [False] * 2
    assert row.per_pair["flip_rate"] == [pytest.approx(100 * 6 / 62, abs=1e-4)] * 8
    # The motion carries a label along, 16 columns a stripe, of which the frozen map has lost 2 t + 2 by frame t + 1.
    assert row.series["right_twice"].each().tolist() == pytest.approx([(64 - 8 * (t + 1)) / 62 for t in range(8)])
    # In frame 0 all is right: what stays right is what does not flip.
    assert row.series["gated"].each()[0].item() == pytest.approx(56 / 62)


def test_windows_of_a_panning_map() -> None:
    """Over 8 frames an edge sweeps 14 of the 16 columns of a stripe, over 16 frames all of them."""
    source = Panning(20, labelled=range(20))
    rows = by_system(evaluate([source], {"moving": moving, "frozen": frozen}, 2, RIGHT))
    for key in ("vc8", "vc8_correct", "vec8"):
        assert rows["moving"][key] == 100
    assert rows["frozen"]["vc8"] == 100, "right or wrong"
    assert rows["frozen"]["vc8_correct"] < 60 and rows["frozen"]["vec8"] < 60  # type: ignore[operator]
    assert rows["moving"]["vc16"] is None and rows["moving"]["vec16"] is None, "no column keeps its class"
    assert rows["frozen"]["vc16"] is None and rows["frozen"]["vec16"] == 0, "but those of the frozen map"


def test_a_constant_map_is_perfectly_consistent_under_any_protocol_but_one() -> None:
    """vspw2021 reads class 0 outside, which the constant is: were it another class, it would lose there."""
    source = Street(3, length=4, size=(48, 80))

    def one(frame: Frame) -> FramePrediction:
        return FramePrediction(torch.ones(frame.size, dtype=torch.uint8))

    rows = evaluate([source], {"one": one}, len(CLASSES), {"exact": None}, ["unmasked", "varghese2020", "vspw2021"])
    got = {(row.system, row.protocol): row["consistency"] for row in rows}
    for protocol in ("unmasked", "varghese2020", "vspw2021"):
        assert got["constant", protocol] == 100
    assert got["one", "unmasked"] == got["one", "varghese2020"] == 100 > got["one", "vspw2021"]  # type: ignore[operator]
    constant = next(row for row in rows if row.system == "constant")
    assert constant["flip_rate"] == 0 and constant["miou"] < 10, "and useless"  # type: ignore[operator]


def test_the_labels_of_a_street_flip_at_boundaries_only() -> None:
    """A visible point has the same class in both frames; what is read is its nearest pixel, half a pixel beside it.

    So the labels flip where another surface begins within that half pixel, in t + 1: one flip in twenty of the band
    along the boundaries, and hardly any away from it, where something that is near and fast comes up within one frame
    from more than 4 pixels away. Even these lie beside a boundary of t + 1.
    """
    totals = torch.zeros(4)
    for seed in (1, 2, 3):
        street, metric = Street(seed, length=6, size=(96, 160)), Flips()
        for t in range(5):
            motion, now, then = street.motion(t, t + 1), street.label(t), street.label(t + 1)
            pair = FramePair(motion.flow, motion.visible[0], now, then)
            metric.update(now, then, pair)
            flips = (now != pair.warped(then)) & pair.seen
            beside = [pair.warped(near_edge(then, d)) for d in (1, 2)]
            inside = flips & ~pair.edge(now)
            totals += torch.stack([(flips & ~beside[1]).sum(), flips.sum(), (inside & ~beside[0]).sum(), inside.sum()])
        got = {name: 100 * value.item() for name, value in metric.compute().items()}
        assert got["flip_interior"] < 0.03 < 3 < got["flip_boundary"] < 8
        assert (got["gated"], got["right_twice"]) == (100, 100), "and yet the labels are never wrong"
    far, flips, far_inside, _ = totals.tolist()
    assert far < 0.005 * flips, "all but slivers narrower than a pixel"
    assert far_inside == 0


def test_the_ceiling_and_the_floor_of_a_street() -> None:
    def truth(frame: Frame) -> FramePrediction:
        assert frame.label is not None
        return FramePrediction(frame.label)

    street = Street(3, length=12, size=(96, 160))
    rows = by_system(evaluate([street], {"truth": truth}, len(CLASSES), {"exact": None}))
    assert rows["truth"].flow == "exact" and rows["truth"].fingerprint == ""
    assert rows["truth"].as_dict() == rows["ceiling"].as_dict() | {"system": "truth"}
    assert 60 < rows["floor"]["consistency"] < rows["ceiling"]["consistency"] < 100  # type: ignore[operator]
    assert rows["ceiling"]["vc8"] == rows["ceiling"]["vec8"] == rows["ceiling"]["boundary_iou"] == 100
