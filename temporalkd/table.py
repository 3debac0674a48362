"""Results as tables on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from temporalkd.evaluation import SHARES, Row
from temporalkd.messages import printable

ACCURACY = ("miou", "macc", "boundary_iou")
STEADINESS = ("flip_rate", "flip_interior", "gated")
OTHERS = ("right_twice", "vc8", "vc16", "vc8_correct", "vc16_correct", "vec8", "vec16", "warp_error")

Cell = Callable[[dict[str, Row], bool], str]


def table(rows: Sequence[Row], title: str, console: Console | None = None, *, published: bool = False) -> None:
    """Print one line a system and flow, in percent; several protocols get a table of their own.

    Args:
        published: add a second table of measures for comparison with other work.
    """
    console = console or Console()
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    consistency = {p: _of_protocol(p) for p in protocols}
    steadiness = _known(rows, STEADINESS)
    if len(protocols) == 1:
        steadiness = {"consistency": consistency[protocols[0]]} | steadiness
    _print(console, rows, escape(printable(title)), _known(rows, ACCURACY) | steadiness)
    if len(protocols) > 1:
        _print(console, rows, "Consistency, by protocol", consistency)
    if published and (others := _known(rows, OTHERS)):
        _print(console, rows, "For comparison with other work", others)


def _print(console: Console, rows: Sequence[Row], title: str, columns: dict[str, Cell]) -> None:
    """In the fullest form in which no word is broken: with intervals, without, without a frame too."""
    for intervals, framed in ((True, True), (False, True), (False, False)):
        shown = _table(rows, title, columns, intervals)
        shown.show_edge = shown.pad_edge = framed
        between = 3 * len(shown.columns) - 3 + 4 * framed
        lines, words = ([_longest(c, split) for c in shown.columns] for split in (str.splitlines, str.split))
        room = console.width - between - sum(words)
        if room >= 0:
            for column, line, word in zip(shown.columns, lines, words):  # names first, then headings of several words
                column.width = min(line, word + room)
                room -= column.width - word
            break
    console.print(shown)


def _longest(column: Column, split: Callable[[str], list[str]]) -> int:
    """Of the parts of a column's texts, in characters."""
    texts = (Text.from_markup(str(cell)).plain for cell in (column.header, *column.cells))
    return max((len(part) for text in texts for part in split(text)), default=0)


def _table(rows: Sequence[Row], title: str, columns: dict[str, Cell], intervals: bool) -> Table:
    """A line a system and flow; what is the same everywhere stands in the caption."""
    shown = Table(title=title, caption=_caption(rows, intervals), title_style="bold", caption_justify="left")
    several = len({row.flow for row in rows}) > 1
    for heading in ("system", *(["flow"] if several else [])):
        shown.add_column(heading, overflow="fold")
    for heading in columns:
        shown.add_column(heading, justify="right", overflow="fold")
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault((row.system, row.flow), {})[row.protocol] = row
    for (system, flow), of_protocol in lines.items():
        cells = (cell(of_protocol, intervals) for cell in columns.values())
        shown.add_row(escape(printable(system)), *([flow] if several else []), *cells)
    return shown


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


def _caption(rows: Sequence[Row], intervals: bool) -> str:
    if not rows:
        return ""
    first, protocols = rows[0], {row.protocol for row in rows}
    protocol = f"protocol {first.protocol}, " if len(protocols) == 1 else ""
    flows = "; ".join(
        f"flow {row.flow}{_short(row.fingerprint)}{_coverage(row)}" for row in {r.flow: r for r in rows}.values()
    )
    small = (
        "; small: 95 % intervals over blocks of 10"
        if intervals and any(any(row.intervals.values()) for row in rows)
        else ""
    )
    return f"percent; {protocol}{flows}; {first.frames} frames {first.size}{small}"


def _short(fingerprint: str) -> str:
    return f" {fingerprint.rpartition('-')[2][:8]}" if fingerprint else ""


def _coverage(row: Row) -> str:
    return "" if row["coverage"] is None else f" (coverage {row['coverage']:.1f})"
