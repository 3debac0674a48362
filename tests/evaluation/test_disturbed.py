"""Systems scored on disturbed frames, along the motion of the frames as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor

from temporalkd.data.disturbance import Disturbance
from temporalkd.data.source import Frame
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import FramePrediction, evaluate
from temporalkd.evaluation.evaluate import STRENGTHS

from .panning import Panning, Shift

STREET = Street(3, length=5, size=(48, 80))


def bright(pixels: Tensor) -> Tensor:
    return (pixels.float().mean(0) > 110).to(torch.uint8)


def network(frame: Frame) -> FramePrediction:
    """A system that looks at its frame."""
    return FramePrediction(bright(frame.pixels))


class Watched(Shift):
    """Keeps the frames that it is given."""

    def video(self, frames: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        self.given: list[Tensor] = []
        for frame in frames:
            self.given.append(frame)
            if len(self.given) > 1:
                yield from super().video(self.given[-2:])


@pytest.mark.parametrize("kind", ["noise", "jpeg", "blur", "motion", "exposure", "gamma"])
def test_the_numbers_are_those_of_maps_made_of_disturbed_frames(kind: str) -> None:
    rows = evaluate([STREET], {"net": network}, len(CLASSES), {"exact": None}, disturb={"net": [kind]})  # type: ignore[list-item]
    for row, strength in zip((row for row in rows if row.disturbance), STRENGTHS, strict=True):
        camera = Disturbance({kind: strength})  # type: ignore[dict-item]
        seen = [camera(frame[None, None] / 255, i)[0, 0].mul(255).round() for i, frame in enumerate(STREET.frames())]
        maps = [bright(frame) for frame in seen]

        def made(frame: Frame, maps: list[Tensor] = maps) -> FramePrediction:
            return FramePrediction(maps[frame.index])

        (expected,) = evaluate([STREET], {"net": made}, len(CLASSES), {"exact": None}, references=False)
        assert row.as_dict() == expected.as_dict() | {"disturbance": kind, "strength": strength}


def test_the_motion_and_the_other_rows_are_those_of_the_frames_as_they_are() -> None:
    source, flow = Panning(5, labelled=range(5)), Watched()
    plain = evaluate([source], {"net": network, "maps": network}, 2, {"right": flow})
    rows = evaluate([source], {"net": network, "maps": network}, 2, {"right": flow}, disturb={"net": ["gamma", "blur"]})
    assert [row.as_dict() for row in rows if not row.disturbance] == [row.as_dict() for row in plain]
    found = [(row.system, row.disturbance, row.strength) for row in rows if row.disturbance]
    assert found == [("net", kind, strength) for kind in ("gamma", "blur") for strength in STRENGTHS]
    clean = [frame[None].float() / 255 for frame in source.frames()]
    assert len(flow.given) == 5 and all(map(torch.equal, flow.given, clean))


def test_more_noise_makes_more_flips() -> None:
    rows = evaluate([STREET], {"net": network}, len(CLASSES), {"exact": None}, disturb={"net": ["noise"]})
    flips = [row["flip_rate"] or 0.0 for row in rows if row.system == "net"]
    assert len(flips) == 4 and flips == sorted(flips) and flips[0] < flips[-1]
