"""Temporal consistency against plain loops, and the reference numbers on CamVid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import flow
from temporalkd.data.camvid import CLASSES, VOID
from temporalkd.data.frames import ImageFolder, MapFolder
from temporalkd.evaluation import evaluate, folder_of_maps
from temporalkd.metrics import Consistency


def loop_consistency(
    maps: list[np.ndarray],
    flows: list[np.ndarray],
    seen: list[np.ndarray],
    classes: int,
    protocol: str,
    labels: list[np.ndarray] | None = None,
) -> tuple[float, float, float]:
    """Consistency, flip rate and coverage from the definition, pixel by pixel."""
    intersection, union = np.zeros(classes), np.zeros(classes)
    flips = counted = visible_pixels = pixels = 0
    present = np.zeros(classes, dtype=bool)
    for t in range(len(maps) - 1):
        height, width = maps[t].shape
        for y in range(height):
            for x in range(width):
                tx = int(np.floor(x + flows[t][0, y, x] + 0.5))
                ty = int(np.floor(y + flows[t][1, y, x] + 0.5))
                tx, ty = min(max(tx, 0), width - 1), min(max(ty, 0), height - 1)
                a, b = maps[t][y, x], maps[t + 1][ty, tx]
                pixels += 1
                visible_pixels += seen[t][y, x]
                void = labels is not None and 255 in (labels[t][y, x], labels[t + 1][ty, tx])
                if seen[t][y, x] and not void:
                    counted += 1
                    flips += a != b
                    if labels is not None:
                        present[labels[t][y, x]] = True
                if protocol == "unmasked" or (seen[t][y, x] and not void):
                    if a == b:
                        intersection[a] += 1
                        union[a] += 1
                    else:
                        union[a] += 1
                        union[b] += 1
    scored = (union > 0) | (present if protocol == "visible" else False)
    ious = [intersection[c] / union[c] if union[c] else 0.0 for c in range(classes) if scored[c]]
    return float(np.mean(ious)), flips / counted, visible_pixels / pixels


def random_video(classes: int = 4, length: int = 4, size: tuple[int, int] = (7, 9)):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, classes - 1, size) for _ in range(length)]  # the last class is never predicted
    labels = [rng.choice([0, 1, 2, classes - 1, 255], size) for _ in range(length)]
    flows = [rng.normal(0, 2, (2, *size)).astype(np.float32) for _ in range(length - 1)]
    seen = [rng.random(size) > 0.3 for _ in range(length - 1)]
    return maps, labels, flows, seen


@pytest.mark.parametrize("protocol", ["visible", "unmasked"])
@pytest.mark.parametrize("with_labels", [False, True])
def test_against_the_definition(protocol: str, with_labels: bool) -> None:
    maps, labels, flows, seen = random_video()
    metric = Consistency(4, protocol)
    for t in range(3):
        extra = [torch.tensor(labels[i])[None] for i in (t, t + 1)] if with_labels else []
        metric.update(
            *(torch.tensor(maps[i])[None] for i in (t, t + 1)),
            torch.tensor(flows[t])[None],
            torch.tensor(seen[t])[None, None],
            *extra,
        )
    got = metric.compute()
    expected = loop_consistency(maps, flows, seen, 4, protocol, labels if with_labels else None)
    assert [got[k].item() for k in ("consistency", "flip_rate", "coverage")] == pytest.approx(expected, abs=1e-9)


def test_by_hand_4x4() -> None:
    # The left half is class 0, the right half class 1; all moves right by one, so the last column leaves the frame.
    now = torch.tensor([[0, 0, 1, 1]] * 4)
    following = torch.tensor([[0, 0, 0, 1]] * 4)
    motion = torch.zeros(1, 2, 4, 4)
    motion[:, 0] = 1
    visible = flow.in_frame(motion)
    metric = Consistency(2)
    metric.update(now[None], following[None], motion, visible)
    assert metric.compute()["consistency"].item() == 1.0
    assert metric.compute()["coverage"].item() == 0.75
    still = Consistency(2)
    still.update(now[None], now[None], motion, visible)  # a map that ignores the motion
    # kept columns: (0,0) (0,1) (1,1): class 0 hits 1 of 2, class 1 hits 1 of 2
    assert still.compute()["consistency"].item() == 0.5
    assert still.compute()["flip_rate"].item() == pytest.approx(1 / 3)


def test_a_constant_map_is_perfectly_consistent() -> None:
    _, _, flows, seen = random_video()
    metric = Consistency(4)
    constant = torch.zeros(1, 7, 9, dtype=torch.long)
    for t in range(3):
        metric.update(constant, constant, torch.tensor(flows[t])[None], torch.tensor(seen[t])[None, None])
    assert metric.compute()["consistency"].item() == 1.0 and metric.compute()["flip_rate"].item() == 0.0


def test_unknown_protocol_lists_the_known() -> None:
    with pytest.raises(ValueError, match="visible, unmasked"):
        Consistency(4, "visibel")


@pytest.mark.real
def test_reference_numbers_on_camvid(data_root: Path, flow_cache: flow.FlowCache) -> None:
    """The ground truth scored as a prediction, void as Building; the published values of this data and flow."""
    camvid = data_root / "data" / "camvid"
    raft = flow.build("raft_small", data_root / "weights" / "raft_small_things.safetensors")
    maps = folder_of_maps(
        MapFolder(camvid / "valannot", classes=11, void=None, mapping={VOID: CLASSES.index("Building")})
    )
    results = {}
    for name, labels in (("without", None), ("with", camvid / "valannot")):
        source = ImageFolder(camvid / "val", labels, classes=11, void=VOID)
        rows = evaluate([source], {"truth": maps}, 11, raft, ["visible", "unmasked"], flow_cache, references=False)
        results |= {(row.protocol, name): row for row in rows}
    assert results["visible", "without"].consistency == pytest.approx(86.89, abs=0.15)
    assert results["visible", "with"].consistency == pytest.approx(88.48, abs=0.15)
    assert results["unmasked", "without"].consistency == pytest.approx(85.58, abs=0.15)
    assert results["visible", "without"].coverage == pytest.approx(90.3, abs=0.15)
    assert results["visible", "without"].flip_rate == pytest.approx(3.26, abs=0.15)
