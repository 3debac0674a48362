"""Results as a table on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from temporalkd.evaluation import Row


def table(rows: Sequence[Row], title: str, console: Console | None = None) -> None:
    """Print one line a system and protocol; protocol, flow and size stand in the caption where they are the same."""
    shown = Table(title=title, caption=_caption(rows), title_style="bold", caption_justify="left")
    several = len({row.protocol for row in rows}) > 1
    for column in ("system", *(["protocol"] if several else [])):
        shown.add_column(column)
    for column in ("mIoU %", "mAcc %", "consistency %", "flip rate %"):
        shown.add_column(column, justify="right")
    for row in rows:
        numbers = [_number(x) for x in (row.miou, row.macc, row.consistency, row.flip_rate)]
        shown.add_row(row.system, *([row.protocol] if several else []), *numbers)
    (console or Console()).print(shown)


def _caption(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    first = rows[0]
    protocol = "" if len({row.protocol for row in rows}) > 1 else f"protocol {first.protocol}, "
    fingerprint = f" {first.fingerprint.rpartition('-')[2][:8]}" if first.fingerprint else ""
    coverage = "" if first.coverage is None else f", coverage {first.coverage:.1f} %"
    return f"{protocol}flow {first.flow}{fingerprint}, {first.frames} frames {first.size}{coverage}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
