"""What a report holds: systems, their numbers, curves, moments and video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from temporalkd.visualization.report.mosaic import Tile

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
    """A pair of frames in which a system flickers: pictures of t and t + 1, JPEG, of the same size.

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
    """The mosaic of `report.mosaic`, of all frames of the report.

    Args:
        tiles: system name -> view -> where it is in the picture.
    """

    data: bytes
    tiles: Mapping[str, Mapping[str, Tile]]


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


def hues(systems: Sequence[System]) -> list[int]:
    """Number of each system's colour in the page; references are grey and differ by their dashes alone."""
    numbers = count()
    return [GREY if system.kind == "reference" else next(numbers) % GREY for system in systems]
