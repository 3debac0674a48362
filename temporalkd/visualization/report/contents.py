"""What a report holds: systems, their numbers, curves, moments and video; and whether these fit each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from temporalkd.visualization.report.mosaic import VIEWS, Tile

GREY = 6
"""The colour of references, which no system has."""
Kind = Literal["student", "teacher", "prediction", "ema", "reference"]


@dataclass(frozen=True)
class Value:
    """A number, and where it is known the 95 % interval of its block bootstrap."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Column:
    """A metric: a column of the table, or a curve over the pairs of frames.

    Args:
        key: under which systems hold it in `values`, `difference` or `per_pair`.
        higher_is_better: None where neither direction is better.
        explanation: one or two sentences, shown as a tooltip.
    """

    key: str
    heading: str
    higher_is_better: bool | None = True
    explanation: str = ""
    unit: str = "%"


@dataclass(frozen=True)
class Moment:
    """A pair of frames in which a system flickers: pictures of t and t + 1, PNG or JPEG, of the same size.

    Args:
        pair: index t of the pair (t, t + 1).
        value: interior flips of the pair, percent.
    """

    pair: int
    value: float
    before: bytes
    after: bytes


@dataclass(frozen=True)
class System:
    """A row of the table.

    Args:
        values: column key -> number; None or absent where not defined.
        difference: column key -> this system minus the first one, paired, in the column's unit.
        parameters: number of them.
        fps: frames per second of the network alone.
        iou: per class, percent, None where the class is absent; empty without labels.
        consistency: per class, percent.
        scenes: scene -> column key -> percent, where there are several.
        per_pair: curve key -> one number a pair of consecutive frames, None where there is none.
        moments: in any order; the page shows the largest value first.
        config: the run's config.yaml.
        environment: what the run was made with.
    """

    name: str
    kind: Kind = "student"
    values: Mapping[str, Value | None] = field(default_factory=dict)
    difference: Mapping[str, Value] = field(default_factory=dict)
    parameters: int | None = None
    gmacs: float | None = None
    fps: float | None = None
    iou: Sequence[float | None] = ()
    consistency: Sequence[float | None] = ()
    scenes: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    per_pair: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    moments: Sequence[Moment] = ()
    config: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Video:
    """The mosaic of `report.mosaic`.

    Args:
        tiles: system name -> view -> where it is in the picture.
        frames: how many it shows.
        first: index of its first frame among the report's, where it shows a part of them.
    """

    data: bytes
    tiles: Mapping[str, Mapping[str, Tile]]
    frames: int
    first: int = 0


@dataclass(frozen=True)
class Report:
    """All that the page shows; shares in percent.

    Args:
        caption: a sentence or two under the title.
        facts: how the numbers were measured: protocol, flow and its fingerprint, size, coverage, frames, version.
        class_colours: RGB, 0 to 255.
        fps: frames per second of the footage.
        frame_names: one a frame.
        systems: differences are to the first one.
        columns: of the table; one that no system has a value for is left out.
        curves: choices of the plot over time.
        scatter: columns that systems are plotted in, right and up: accuracy and steadiness.
        notes: remarks that a reader should see before the numbers.
    """

    title: str
    caption: str
    facts: Mapping[str, str]
    class_names: Sequence[str]
    class_colours: Sequence[Sequence[int]]
    fps: float
    frame_names: Sequence[str]
    systems: Sequence[System]
    columns: Sequence[Column]
    curves: Sequence[Column] = ()
    video: Video | None = None
    scatter: tuple[str, str] | None = None
    notes: Sequence[str] = ()


def check(report: Report) -> None:
    """Refuse a report whose parts do not fit each other.

    Raises:
        ValueError: names the part, how many it has and how many were expected.
    """
    names = [system.name for system in report.systems]
    if not names:
        raise ValueError("a report needs a system")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"systems need names of their own: {doubled[0]!r} comes twice")
    if not (math.isfinite(report.fps) and report.fps > 0):
        raise ValueError(f"fps must be more than 0, got {report.fps}")
    _fits("class colours", report.class_colours, len(report.class_names), "class names")
    for key in report.scatter or ():
        if key not in [column.key for column in report.columns]:
            raise ValueError(f"scatter names {key!r}, which is no column")
    pairs = max(0, len(report.frame_names) - 1)
    for system in report.systems:
        for what, per_class in (("iou", system.iou), ("consistency", system.consistency)):
            if per_class:
                _fits(f"'{system.name}': {what}", per_class, len(report.class_names), "class names")
        for key, numbers in system.per_pair.items():
            _fits(f"'{system.name}': per_pair {key!r}", numbers, pairs, "pairs of frames")
        _inside(f"'{system.name}': moment", (moment.pair for moment in system.moments), pairs)
    if report.video is not None:
        _check_video(report.video, names, len(report.frame_names))


def _check_video(video: Video, names: Sequence[str], frames: int) -> None:
    if video.frames < 1 or not 0 <= video.first <= frames - video.frames:
        raise ValueError(
            f"the video shows frames {video.first} to {video.first + video.frames - 1} of {frames}: no such frames"
        )
    for name, tiles in video.tiles.items():
        if name not in names:
            raise ValueError(f"the video shows {name!r}, which is not among the systems")
        if missing := [what for what in VIEWS if what not in tiles]:
            raise ValueError(f"the video has no tile {missing[0]!r} of {name!r}")


def _fits(what: str, numbers: Sequence[object], expected: int, like: str) -> None:
    if len(numbers) != expected:
        raise ValueError(f"{what}: {len(numbers)}, expected {expected} like the {like}")


def _inside(what: str, pairs: Iterable[int], count: int) -> None:
    for pair in pairs:
        if not 0 <= pair < count:
            raise ValueError(f"{what} at pair {pair}, but there are {count} pairs of frames")


def finite(number: float | None) -> float | None:
    """The number as a float, or None where there is none or it is not finite."""
    return None if number is None or not math.isfinite(number) else float(number)


def hues(systems: Sequence[System]) -> list[int]:
    """Number of each system's colour in the page; references are grey and differ by their dashes alone."""
    numbers = count()
    return [GREY if system.kind == "reference" else next(numbers) % GREY for system in systems]
