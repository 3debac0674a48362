"""The reference numbers on CamVid: its ground truth scored as a prediction, void as Building, along RAFT-small's flow.

They were measured with other programs. Flow is kept in the user's cache: only the first run takes minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import flow
from temporalkd.config.build import default_cache
from temporalkd.data.camvid import CLASSES, VOID
from temporalkd.data.image_folder import FrameFolder, MapFolder
from temporalkd.evaluation import Row, evaluate, folder_of_maps
from temporalkd.metrics import PROTOCOLS

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def rows(data_root: Path) -> dict[tuple[str, bool], Row]:
    """(protocol, with labels) -> row."""
    camvid = data_root / "data" / "camvid"
    raft = flow.build("raft_small", data_root / "weights" / "raft_small_things.safetensors")
    mapping = {VOID: CLASSES.index("Building")}
    truth = {"truth": folder_of_maps(MapFolder(camvid / "valannot", classes=11, void=None, mapping=mapping))}
    found = {}
    for labels in (None, camvid / "valannot"):
        protocols = ["visible"] if labels else list(PROTOCOLS)
        source = FrameFolder(camvid / "val", labels, classes=11, void=VOID)
        for row in evaluate([source], truth, 11, {"raft": raft}, protocols, default_cache(), references=False):
            found[row.protocol, labels is not None] = row
    return found


@pytest.mark.parametrize(
    ("protocol", "labelled", "expected", "within"),
    [
        ("visible", False, 86.89, 0.15),
        ("visible", True, 88.48, 0.15),
        ("unmasked", False, 85.58, 0.15),
        ("etc2020", False, 79.25, 0.5),
        ("vspw2021", False, 77.35, 0.15),
        ("kdssp2025", False, 77.42, 0.15),
    ],
)
def test_consistency(
    rows: dict[tuple[str, bool], Row], protocol: str, labelled: bool, expected: float, within: float
) -> None:
    assert rows[protocol, labelled]["consistency"] == pytest.approx(expected, abs=within)


def test_coverage_and_flips(rows: dict[tuple[str, bool], Row]) -> None:
    row = rows["visible", False]
    assert row["coverage"] == pytest.approx(90.3, abs=0.15)
    assert row["flip_rate"] == pytest.approx(3.26, abs=0.15)
    assert row.intervals["consistency"] == pytest.approx([85.4, 88.1], abs=0.4)
    # Nine flips in ten lie in the bands along the class boundaries, which are less than a fifth of the area.
    inside, counted_inside, edge, counted_edge = row.series["flip_rate"].counts.sum(0)[:4].tolist()
    assert edge / (inside + edge) == pytest.approx(0.9, abs=0.03)
    assert counted_edge / (counted_inside + counted_edge) == pytest.approx(0.18, abs=0.015)
