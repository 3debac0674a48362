"""A small report, with a video that carries its frame number in every tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from temporalkd.visualization.report import Column, Moment, Report, System, Value, Video, mosaic
from temporalkd.visualization.report.mosaic import VIEWS

FRAMES = 30
FPS = 10
SIZE = (48, 96)  # rows, columns
BITS = 6
BAR = SIZE[1] // BITS
STRIP = 12  # rows at the bottom that tell the systems apart
NAMES = ("first", "second", "third")
CLASSES = ("road", "car", "sky")
COLOURS = ((40, 60, 230), (30, 200, 60), (230, 210, 40))
COLUMNS = (
    Column("miou", "mIoU", True, "How right."),
    Column("consistency", "Consistency", True, "How steady."),
    Column("interior", "Interior flips", False, "How much it flickers."),
)
SYSTEMS = (
    System(
        "first",
        values={"miou": Value(61.25, 60.5, 62.75), "consistency": Value(81.5, 80.25, 82.5), "interior": Value(2.75)},
        parameters=3_430_000,
        gmacs=4.211,
        fps=31.44,
        iou=(90.0, 33.25, None),
        consistency=(95.0, 60.0, 70.0),
        config="seed: 1\nmethod:\n  weight: 0.1\n",
        environment={"torch": "2.11", "cuda": None},
    ),
    System(
        "second",
        values={"miou": Value(60.75, 59.5, 61.5), "consistency": Value(85.25, 84.5, 86.75), "interior": Value(1.125)},
        difference={
            "miou": Value(-0.5, -1.25, 0.25),
            "consistency": Value(3.75, 2.5, 4.5),
            "interior": Value(-1.625, -2, -1),
        },
        parameters=3_430_000,
        iou=(91.0, 30.5, None),
        consistency=(96.0, 75.0, 71.0),
        config="seed: 1\nmethod:\n  weight: 2.0\n",
    ),
    System("third", "reference", values={"miou": Value(100.0), "consistency": None}, iou=(100.0, 100.0, None)),
)


def report(systems: Sequence[System] = SYSTEMS, video: Video | None = None, **changes: object) -> Report:
    base = Report(
        title="A comparison",
        caption="Of systems.",
        facts={"Protocol": "visible", "Flow": "dis 12ab"},
        class_names=CLASSES,
        class_colours=COLOURS,
        fps=FPS,
        frame_names=[f"frame_{i:03d}" for i in range(FRAMES)],
        systems=systems,
        columns=COLUMNS,
        curves=(
            Column("consistency", "Consistency", True, "Of the pair."),
            Column("interior", "Interior flips", False),
        ),
        video=video,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def with_curves_and_moments() -> list[System]:
    """The systems with a curve each (the second one's has a gap), and moments of the first two."""
    systems = []
    for index, system in enumerate(SYSTEMS):
        flips: list[float | None] = [((7 * i + index) % 10) / 2 for i in range(FRAMES - 1)]
        if index == 1:
            flips[10:13] = [None] * 3
        steady = [None if f is None else 100 - f for f in flips]
        both = [Moment(3, 1.5, jpeg(10), jpeg(200)), Moment(7 + index, 4.5, jpeg(60), jpeg(220))]
        moments = both if index < 2 else []
        systems.append(replace(system, per_pair={"consistency": steady, "interior": flips}, moments=moments))
    return systems


def frame(index: int) -> Tensor:
    """(3, H, W): the frame's number as bars, bright for 1, the lowest bit at the left."""
    image = torch.full((3, *SIZE), 30, dtype=torch.uint8)
    for bit in range(BITS):
        if index >> bit & 1:
            image[:, :, bit * BAR : (bit + 1) * BAR] = 220
    return image


def numbered_mosaic(path: Path, names: Sequence[str] = NAMES, frames: int = FRAMES) -> Video:
    """Bars in every tile; the strip at the bottom has the system's own class, and its flips at frames 0, 3, 6..."""

    def maps(system: int) -> list[Tensor]:
        map_ = torch.full(SIZE, 255, dtype=torch.uint8)
        map_[-STRIP:] = system % len(CLASSES)
        return [map_] * frames

    def flips(system: int) -> list[Tensor | None]:
        flipped = torch.zeros(SIZE, dtype=torch.bool)
        flipped[-STRIP:] = True
        return [flipped if i % 3 == system % 3 and i < frames - 1 else None for i in range(frames)]

    layout = mosaic(
        (frame(i) for i in range(frames)),
        {name: maps(i) for i, name in enumerate(names)},
        {name: flips(i) for i, name in enumerate(names)},
        COLOURS,
        path,
        FPS,
    )
    return Video(path.read_bytes(), layout.tiles)


def number_in(picture: np.ndarray, view: str) -> int:
    """The frame number in an (H, W, 3) picture of a tile of any size."""
    rows, columns = picture.shape[:2]
    upper = picture[: rows * (SIZE[0] - STRIP) // SIZE[0] - 2].mean((0, 2))
    bar = columns / BITS
    levels = [upper[int((bit + 0.25) * bar) : int((bit + 0.75) * bar)].mean() for bit in range(BITS)]
    bright, dark = (220, 30) if view == VIEWS[0] else (220 * 0.45 + 18, 30 * 0.45 + 18)
    assert all(min(abs(level - bright), abs(level - dark)) < 12 for level in levels), levels
    return sum(int(level > (bright + dark) / 2) << bit for bit, level in enumerate(levels))


def strip_of(picture: np.ndarray) -> np.ndarray:
    """(3,) mean colour of the strip at the bottom, under dark bars' part only (the highest bit is never set)."""
    rows, columns = picture.shape[:2]
    return picture[-rows * STRIP // SIZE[0] + 6 :, -columns // BITS + 6 :].mean((0, 1))


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", np.full((24, 48, 3), level, np.uint8))[1].tobytes()
