"""Results as tables on the screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from temporalkd.evaluation import SHARES, Row
from temporalkd.evaluation.evaluate import REFERENCES
from temporalkd.evaluation.results import PER_SCENE

ACCURACY = ("miou", "macc", "boundary_iou")
STEADINESS = ("flip_rate", "flip_interior", "gated")
OTHERS = (
    "right_twice",
    "boundary_jitter",
    "warp_error",
    "perceptual",
    "vc8",
    "vc16",
    "vc8_correct",
    "vc16_correct",
    "vec8",
    "vec16",
)
_LEFT_OUT_FIRST = tuple(SHARES[key] for key in ("macc", "boundary_iou", "gated", "flip_interior"))
_INTERVALS = "95 % intervals"
SCENES = 12  # that are shown on their own
_LOG_WIDTH = 160
_NAME = 16  # characters of a name that are kept on one line

Cell = Callable[[dict[str, Row], bool], str]


def screen() -> Console:
    """As wide as the terminal; where there is none, a log say, 160 columns unless COLUMNS says otherwise."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_LOG_WIDTH)


def table(rows: Sequence[Row], title: str, console: Console | None = None, *, published: bool = False) -> None:
    """Print one line a system and flow, in percent; several protocols, and disturbed frames, get tables of their own.

    Args:
        published: add a second table of measures for comparison with other work.
    """
    console = console or screen()
    rows, disturbed = ([row for row in rows if bool(row.disturbance) is there] for there in (False, True))
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    consistency = {p: _of_protocol(p) for p in protocols}
    steadiness = _known(rows, STEADINESS)
    if len(protocols) == 1:
        steadiness = {"consistency": consistency[protocols[0]]} | steadiness
    _print(console, rows, escape(title), _known(rows, ACCURACY) | steadiness)
    if len(protocols) > 1:
        _print(console, rows, "Consistency, by protocol", consistency)
    if disturbed:
        seen = {row.system for row in disturbed}
        lines = [row for row in rows if row.system in seen] + [
            replace(row, system=f"{row.system}, {row.disturbance} {row.strength:g}") for row in disturbed
        ]
        columns = _known(lines, ACCURACY[:1]) | consistency | _known(lines, STEADINESS[:2])
        _print(console, lines, "Under disturbance, along the motion of the frames as they are", columns)
    if not published:
        return
    if others := _known(rows, OTHERS):
        _print(console, rows, "For comparison with other work", others)
    if scenes := list(_by_scene([row for row in rows if row.protocol == protocols[0]])):
        steady = {"consistency": consistency[protocols[0]]} | _known(scenes, PER_SCENE[2:])
        _print(console, scenes, _scenes_title(rows[0]), _known(scenes, PER_SCENE[:1]) | steady)


def _by_scene(rows: Sequence[Row]) -> Iterator[Row]:
    """A row a scene and system; of many scenes, those where the first system is least consistent."""
    systems = [row for row in rows if row.system not in REFERENCES]
    if not systems:
        return
    numbers = [row.by_scene() for row in systems]
    for scene in sorted(numbers[0], key=lambda name: numbers[0][name].get("consistency") or 0.0)[:SCENES]:
        for row, known in zip(systems, numbers):
            name = f"{scene}: {row.system}" if len({r.system for r in systems}) > 1 else scene
            yield replace(row, system=name, shares=known[scene], intervals={}, per_class={}, per_pair={})


def _scenes_title(row: Row) -> str:
    count = len(row.scenes)
    return "By scene, least consistent first" + (f" ({SCENES} of {count})" if count > SCENES else "")


def _print(console: Console, rows: Sequence[Row], title: str, columns: dict[str, Cell]) -> None:
    """In the fullest form in which no number, word of a heading or short name is broken."""
    names = 2 if _several_flows(rows) else 1
    for shown in _forms(rows, title, columns):
        between = 3 * len(shown.columns) - 3 + 4 * shown.show_edge
        lines, words = ([_longest(c, split) for c in shown.columns] for split in (str.splitlines, str.split))
        words[:names] = (min(word, _NAME) for word in words[:names])
        room = console.width - between - sum(words)
        if room >= 0:
            for column, line, word in zip(shown.columns, lines, words):  # names first, then headings of several words
                column.width = min(line, word + room)
                room -= column.width - word
            break
    console.print(shown)


def _forms(rows: Sequence[Row], title: str, columns: dict[str, Cell]) -> Iterator[Table]:
    """Whole, then without intervals, without a frame too, and with ever fewer columns; the caption says what lacks."""
    absent = [_INTERVALS] if _bounded(rows, columns) else []
    yield _table(rows, title, columns, [])
    yield _table(rows, title, columns, absent)
    yield _table(rows, title, columns, absent, framed=False)
    while len(columns) > 1:
        least = next((heading for heading in _LEFT_OUT_FIRST if heading in columns), list(columns)[-1])
        columns = {heading: cell for heading, cell in columns.items() if heading != least}
        absent = [*absent, least]
        yield _table(rows, title, columns, absent, framed=False)


def _longest(column: Column, split: Callable[[str], list[str]]) -> int:
    """Of the parts of a column's texts, in characters."""
    texts = (Text.from_markup(str(cell)).plain for cell in (column.header, *column.cells))
    return max((len(part) for text in texts for part in split(text)), default=0)


def _table(
    rows: Sequence[Row], title: str, columns: dict[str, Cell], absent: Sequence[str], *, framed: bool = True
) -> Table:
    """A line a system and flow; what is the same everywhere stands in the caption."""
    intervals = _INTERVALS not in absent
    notes = ["small: 95 % intervals over blocks of 10"] if intervals and _bounded(rows, columns) else []
    notes += [f"a wider screen shows {', '.join(absent)} too"] if absent else []
    caption = "; ".join([*_caption(rows), *notes])
    shown = Table(
        title=title, caption=caption, title_style="bold", caption_justify="left", show_edge=framed, pad_edge=framed
    )
    several = _several_flows(rows)
    for heading in ("system", *(["flow"] if several else [])):
        shown.add_column(heading, overflow="fold")
    for heading in columns:
        shown.add_column(heading, justify="right", overflow="fold")
    for (system, flow), of_protocol in _lines(rows).items():
        cells = (cell(of_protocol, intervals) for cell in columns.values())
        shown.add_row(escape(system), *([flow] if several else []), *cells)
    return shown


def _lines(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """(system, flow) -> its rows, by protocol."""
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.system, row.flow), {})[row.protocol] = row
    return lines


def _several_flows(rows: Sequence[Row]) -> bool:
    return len({row.flow for row in rows}) > 1


def _bounded(rows: Sequence[Row], columns: dict[str, Cell]) -> bool:
    """Whether any number of these columns has an interval."""
    return any(cell(line, True) != cell(line, False) for line in _lines(rows).values() for cell in columns.values())


def _known(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, Cell]:
    """Columns that do not depend on the protocol, where any system has a number."""
    return {SHARES[key]: _of_any(key) for key in keys if any(row[key] is not None for row in rows)}


def _of_any(key: str) -> Cell:
    return lambda of_protocol, intervals: _number(next(iter(of_protocol.values())), key, intervals)


def _of_protocol(protocol: str) -> Cell:
    return lambda of_protocol, intervals: _number(of_protocol[protocol], "consistency", intervals)


def _number(row: Row, key: str, intervals: bool) -> str:
    value, interval = row[key], row.intervals.get(key) if intervals else None
    if value is None:
        return "-"
    return f"{value:.2f}" if interval is None else f"{value:.2f}\n[dim]{interval[0]:.1f}-{interval[1]:.1f}[/dim]"


def _caption(rows: Sequence[Row]) -> list[str]:
    """What holds for all rows."""
    if not rows:
        return []
    first, protocols = rows[0], {row.protocol for row in rows}
    protocol = f"protocol {first.protocol}, " if len(protocols) == 1 else ""
    flows = (f"flow {row.flow}{_short(row.fingerprint)}{_coverage(row)}" for row in {r.flow: r for r in rows}.values())
    return [f"percent; {protocol}{'; '.join(flows)}", f"{first.frames} frames {first.size}"]


def _short(fingerprint: str) -> str:
    return f" {fingerprint.rpartition('-')[2][:8]}" if fingerprint else ""


def _coverage(row: Row) -> str:
    return "" if row["coverage"] is None else f" (coverage {row['coverage']:.1f})"
