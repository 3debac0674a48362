"""What the page's template is filled with: numbers as text, the best of a column."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from temporalkd.visualization.report.contents import Column, Report, System, Value, hues
from temporalkd.visualization.report.script import script_data
from temporalkd.visualization.report.settings import differing_settings

KINDS = {
    "student": "",
    "teacher": "the network that the students learn from",
    "prediction": "class maps made by another tool",
    "ema": "running average of the student's probabilities over past frames: steadier, but it lags",
    "reference": "not a system: what bounds the numbers of the others",
}
_RANKED = ("student", "prediction")


@dataclass(frozen=True)
class Cell:
    """A number of the table: what it is sorted by, and what is written."""

    value: float | None
    text: str
    interval: str = ""
    difference: str = ""
    difference_interval: str = ""
    verdict: str = ""  # better, worse, other: the difference's interval leaves out zero
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A system's row of the table."""

    system: System
    about: str
    cells: list[Cell]


def view(report: Report) -> dict[str, Any]:
    """The template's variables."""
    systems = report.systems
    columns = [c for c in report.columns if any(s.values.get(c.key) for s in systems)]
    costs = [(c, of) for c, of in _COSTS if any(of(s) is not None for s in systems)]
    best = {column.key: _best(column, systems) for column in columns}
    rows = []
    for system in systems:
        numbers = [_cell(system, column, best[column.key]) for column in columns]
        rows.append(Row(system, KINDS[system.kind], [*numbers, *(_cost(of(system)) for _, of in costs)]))
    cells = [cell for row in rows for cell in row.cells]
    return {
        "report": report,
        "hues": hues(systems),
        "columns": [*columns, *(column for column, _ in costs)],
        "rows": rows,
        "ranked": any(cell.best for cell in cells),
        "compared": any(cell.difference for cell in cells),
        "intervals": any(cell.interval for cell in cells),
        "classes": _classes(report),
        "scenes": _scenes(report),
        "moments": [(index, _moments(system)) for index, system in enumerate(systems) if system.moments],
        "configured": [system.name for system in systems if system.config],
        "differing": differing_settings(systems),
        "video": "" if report.video is None else base64.b64encode(report.video.data).decode(),
        "data": script_data(report),
    }


def _millions(system: System) -> float | None:
    return None if system.parameters is None else system.parameters / 1e6


_COSTS: tuple[tuple[Column, Callable[[System], float | None]], ...] = (
    (Column("parameters", "Parameters", None, "Weights of the network, in millions.", "M"), _millions),
    (Column("gmacs", "GMACs", None, "Billions of multiply-adds that one frame costs.", ""), lambda s: s.gmacs),
    (Column("fps", "Frames/s", None, "Speed of the network alone where this page was made.", ""), lambda s: s.fps),
)


def _cost(number: float | None) -> Cell:
    return Cell(number, "–" if number is None else _short(number))


def _cell(system: System, column: Column, best: float | None) -> Cell:
    value = system.values.get(column.key)
    if value is None:
        return Cell(None, "–")
    known = system.difference.get(column.key)
    return Cell(
        value=value.value,
        text=_minus(f"{value.value:.2f}"),
        interval=_interval(value, signed=False),
        difference="" if known is None else _signed(known.value),
        difference_interval="" if known is None else _interval(known, signed=True),
        verdict="" if known is None else _verdict(known, column),
        best=best is not None and value.value == best and system.kind in _RANKED,
    )


def _best(column: Column, systems: Sequence[System]) -> float | None:
    """The best number of the systems that compete; None where there is nobody to compete with."""
    values = [system.values.get(column.key) for system in systems if system.kind in _RANKED]
    known = [value.value for value in values if value is not None]
    if column.higher_is_better is None or len(known) < 2:
        return None
    return max(known) if column.higher_is_better else min(known)


def _verdict(difference: Value, column: Column) -> str:
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return ""
    if column.higher_is_better is None:
        return "other"
    return "better" if (difference.value > 0) == column.higher_is_better else "worse"


def _interval(value: Value, *, signed: bool) -> str:
    if value.low is None or value.high is None:
        return ""
    return _minus(f"{value.low:+.2f} to {value.high:+.2f}" if signed else f"{value.low:.2f} to {value.high:.2f}")


def _signed(number: float) -> str:
    return _minus(f"{number:+.2f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _short(number: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def _classes(report: Report) -> list[dict[str, Any]]:
    """Per class: name, colour, and of every metric one number a system; classes that nobody has are left out."""
    metrics = [("IoU", "iou"), ("Consistency", "consistency")]
    metrics = [(heading, key) for heading, key in metrics if any(getattr(s, key) for s in report.systems)]
    rows = []
    for index, (name, colour) in enumerate(zip(report.class_names, report.class_colours)):
        bars = {
            heading: [getattr(s, key)[index] if getattr(s, key) else None for s in report.systems]
            for heading, key in metrics
        }
        known = [number for numbers in bars.values() for number in numbers if number is not None]
        if not known:
            continue
        first = [n for n in next(iter(bars.values())) if n is not None]
        rows.append(
            {
                "name": name,
                "colour": "rgb({} {} {})".format(*(int(part) for part in colour)),
                "bars": bars,
                "mean": sum(first) / len(first) if first else 101.0,
                "spread": max((_spread(numbers) for numbers in bars.values()), default=0.0),
            }
        )
    return rows


def _scenes(report: Report) -> list[dict[str, Any]]:
    """Per scene: name, and of every metric one number a system."""
    shown = [c for c in report.columns if any(c.key in n for s in report.systems for n in s.scenes.values())]
    return [
        {
            "name": name,
            "bars": {c.heading: [s.scenes.get(name, {}).get(c.key) for s in report.systems] for c in shown},
        }
        for name in dict.fromkeys(name for system in report.systems for name in system.scenes)
    ]


def _spread(numbers: Sequence[float | None]) -> float:
    known = [number for number in numbers if number is not None]
    return max(known) - min(known) if known else 0.0


def _moments(system: System) -> list[dict[str, Any]]:
    return [
        {
            "pair": moment.pair,
            "value": f"{moment.value:.2f}",
            "before": _picture(moment.before),
            "after": _picture(moment.after),
        }
        for moment in sorted(system.moments, key=lambda moment: -moment.value)
    ]


def _picture(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
