"""Scoring systems on footage: which rows there are, what they hold, and what is refused."""

from __future__ import annotations

import pytest
import torch

import flow
from flow import FlowCache
from temporalkd.data.source import Frame
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import FramePrediction, ceiling, evaluate, floor, network
from tests import tiny

from .panning import RIGHT, Panning, Shift, Unsure, by_system, frozen, moving

ALL = range(6)


def test_accuracy_counts_the_labelled_frames_only() -> None:
    rows = evaluate([Panning(labelled=(0, 3))], {"frozen": frozen}, 2, RIGHT)
    assert [r.system for r in rows] == ["frozen"]  # no references where frames lack labels
    truth, guess = Panning().map(3), Panning().map(0)
    hits = [1 + (guess[truth == c] == c).double().mean().item() for c in (0, 1)]
    assert rows[0]["macc"] == pytest.approx(100 * sum(hits) / 4, abs=1e-3)
    assert rows[0]["vc8"] is None and rows[0]["gated"] is None


def test_without_labels_there_is_no_accuracy() -> None:
    (row,) = evaluate([Panning()], {"moving": moving}, 2, RIGHT)
    for key in ("miou", "macc", "boundary_iou", "gated", "right_twice", "vc8", "vec8", "warp_error"):
        assert row[key] is None, key
    assert row.per_class["iou"] == [] and row.intervals["miou"] is None
    assert row["consistency"] is not None and row["flip_interior"] is not None and row["coverage"] is not None


def test_references() -> None:
    source = Panning(labelled=ALL, void=True)
    rows = by_system(evaluate([source], {"frozen": frozen}, 2, RIGHT))
    assert list(rows) == ["frozen", "ceiling", "floor", "constant"]
    assert rows["ceiling"]["consistency"] == 100.0 and rows["ceiling"]["miou"] == 100.0
    assert rows["ceiling"]["right_twice"] == 100.0
    assert rows["constant"]["flip_rate"] == 0 and 20 < rows["constant"]["miou"] < 30  # type: ignore[operator]
    # The labels have a class that the constant does not predict, which counts 0.
    assert rows["constant"]["consistency"] == 50 and rows["constant"].per_class["consistency"] == [100, 0]
    assert torch.equal(floor()(Frame(source, 0, size=(48, 64))).map, ceiling(Frame(source, 3, size=(48, 64))).map)
    assert [r.system for r in evaluate([source], {"frozen": frozen}, 2, RIGHT, references=False)] == ["frozen"]


def test_the_floor_is_the_middle_frame_held() -> None:
    """Edges at columns 6, 22, 38 and 54: class 0 keeps 28 of 32 and 32 pixels, class 1 26 of 30 and 30."""
    row = by_system(evaluate([Panning(labelled=ALL)], {}, 2, RIGHT))["floor"]
    assert row.per_class["consistency"] == pytest.approx([100 * 28 / 36, 100 * 26 / 34], abs=1e-3)


def test_each_source_has_a_floor_of_its_own() -> None:
    sources = [Panning(labelled=ALL), Panning(labelled=ALL, start=4)]
    both = by_system(evaluate(sources, {}, 2, RIGHT))["floor"]
    alone = [by_system(evaluate([source], {}, 2, RIGHT))["floor"]["miou"] for source in sources]
    assert alone[0] == alone[1] == pytest.approx(both["miou"])  # each with its own middle frame


def test_void_takes_the_nearest_labelled_class() -> None:
    source = Panning(labelled=(0,), void=True)
    assert torch.equal(ceiling(Frame(source, 0, size=(48, 64))).map, source.map(0))


def test_per_pair_and_per_class() -> None:
    sources = [Panning(5, range(5)), Panning(7, range(7)), Panning(1, range(1))]
    row = by_system(evaluate(sources, {"frozen": frozen}, 3, RIGHT, references=False))["frozen"]
    for key in ("consistency", "flip_rate", "flip_interior"):
        assert len(row.per_pair[key]) == 4 + 6 + 0
    for key in ("iou", "boundary_iou", "consistency"):
        assert len(row.per_class[key]) == 3 and row.per_class[key][2] is None, "class 2 is nowhere"
    assert row["miou"] == pytest.approx(sum(row.per_class["iou"][:2]) / 2, abs=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["visible", "unmasked", "etc2020", "vspw2021", "varghese2020", "kdssp2025"])
def test_a_single_frame_has_no_consistency(protocol: str) -> None:
    (row,) = evaluate([Panning(1)], {"moving": moving}, 2, RIGHT, [protocol])
    assert row["consistency"] is None and row["flip_rate"] is None and row["coverage"] is None
    assert row.frames == 1 and row.per_pair["consistency"] == []


def test_flows_side_by_side() -> None:
    source = Panning(labelled=ALL)
    flows = {"right": Shift(), "still": flow.build("zero")}
    rows = evaluate([source], {"moving": moving, "frozen": frozen}, 2, flows, ["visible", "unmasked"])
    systems = ["moving", "frozen", "ceiling", "floor", "constant"]
    order = [(f, p, s) for f in flows for p in ("visible", "unmasked") for s in systems]
    assert [(row.flow, row.protocol, row.system) for row in rows] == order
    assert {(row.flow, row.fingerprint) for row in rows} == {(name, f.fingerprint) for name, f in flows.items()}
    assert len({row.fingerprint for row in rows}) == 2
    got = {(row.system, row.flow): row["flip_rate"] for row in rows if row.protocol == "visible"}
    # What moves is still under its own motion, what stands under none.
    assert got["moving", "right"] == 0 < got["moving", "still"]  # type: ignore[operator]
    assert got["frozen", "still"] == 0 < got["frozen", "right"]  # type: ignore[operator]
    for name, estimator in flows.items():
        alone = evaluate([source], {"moving": moving, "frozen": frozen}, 2, {name: estimator}, ["visible", "unmasked"])
        assert [row.as_dict() for row in alone] == [row.as_dict() for row in rows if row.flow == name]


def test_exact_motion_beside_an_estimate() -> None:
    street = Street(3, length=4, size=(48, 80))
    rows = evaluate([street], {}, len(CLASSES), {"exact": None, "still": flow.build("zero")})
    ceilings = {row.flow: row for row in rows if row.system == "ceiling"}
    assert ceilings["exact"].fingerprint == "" != ceilings["still"].fingerprint
    assert ceilings["exact"]["consistency"] > ceilings["still"]["consistency"]  # type: ignore[operator]
    assert ceilings["exact"]["miou"] == ceilings["still"]["miou"] == 100


def test_a_cache_changes_no_number(tmp_path: object) -> None:
    street, estimator = Street(3, length=4, size=(48, 80)), flow.build("dis")
    cache = FlowCache(f"{tmp_path}/flow")
    first, second = (
        [row.as_dict() for row in evaluate([street], {}, len(CLASSES), {"dis": estimator}, cache=cache)]
        for _ in range(2)
    )
    assert first == second and (cache.hits, cache.misses) == (3, 6), (
        "what is visible is kept too: no backward flow is read"
    )


def test_protocols_share_all_but_the_consistency() -> None:
    source = Panning(9, labelled=range(9))
    rows = evaluate([source], {"frozen": frozen}, 2, RIGHT, ["visible", "unmasked"], references=False)
    one, other = (row.as_dict() for row in rows)
    for key, value in one.items():
        if key not in ("protocol", "consistency", "intervals", "per_class", "per_pair"):
            assert other[key] == value, key
    assert one["consistency"] != other["consistency"]


def test_intervals_and_paired_differences() -> None:
    source = Panning(52, labelled=range(52))
    rows = by_system(evaluate([source], {"moving": moving, "frozen": frozen, "unsure": Unsure()}, 2, RIGHT))
    assert rows["moving"].intervals["consistency"] == [100, 100]
    low, high = rows["unsure"].intervals["flip_rate"]  # type: ignore[misc]
    assert low < rows["unsure"]["flip_rate"] < high  # type: ignore[operator]
    gain = rows["moving"].series["consistency"].minus(rows["frozen"].series["consistency"])
    expected = (rows["moving"]["consistency"] - rows["frozen"]["consistency"]) / 100  # type: ignore[operator]
    assert gain.value.item() == pytest.approx(expected, abs=1e-5) and 0 < gain.low <= gain.value <= gain.high
    assert rows["moving"].intervals["warp_error"] is None and rows["unsure"].intervals["warp_error"] is not None
    short = by_system(evaluate([Panning(41)], {"unsure": Unsure()}, 2, RIGHT))["unsure"]
    assert short.intervals["flip_rate"] is None, "40 pairs are 4 blocks"


def test_a_network_gives_probabilities_and_their_arg_max() -> None:
    segmenter = tiny.segmenter(2)
    segmenter.train()
    answer = network(segmenter)(Frame(Panning(), 0, Panning().frame(0)))
    assert segmenter.training, "left as it was"
    with torch.no_grad():
        logits = segmenter.eval()(Panning().frame(0)[None].float() / 255).logits[0]
    assert torch.equal(answer.map.long(), logits.argmax(0)) and answer.probs is not None
    torch.testing.assert_close(answer.probs, logits.softmax(0))
    (row,) = evaluate([Panning()], {"net": network(segmenter)}, 2, RIGHT)
    assert row["warp_error"] is not None and row["warp_error"] >= 0


def test_a_prediction_of_another_size_is_named() -> None:
    def small(frame: Frame) -> FramePrediction:
        return FramePrediction(torch.zeros(8, 8, dtype=torch.uint8))

    with pytest.raises(ValueError, match="small, panning, frame 0: the prediction is 8x8, expected 64x48 like"):
        evaluate([Panning()], {"small": small}, 2, RIGHT)
