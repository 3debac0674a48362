"""`report`: systems compared in one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import one_of
from temporalkd.cli.options import ClassTable, Ema, Frames, Labels, Overrides, Systems
from temporalkd.config.errors import EvaluationFlow, Protocol
from temporalkd.console import say


@app.command()
def report(
    systems: Systems,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page, .html.")] = Path("report.html"),
    data: Annotated[
        Path | None, typer.Option(help="Config whose data.val to use, instead of --frames; default the first run's.")
    ] = None,
    frames: Frames = [],  # noqa: B006
    labels: Labels = None,
    overrides: Overrides = [],  # noqa: B006
    protocol: Annotated[str, typer.Option(callback=one_of(Protocol), help="Protocol of the consistency.")] = "visible",
    flow: Annotated[
        str | None, typer.Option(callback=one_of(EvaluationFlow), help="raft_small, raft_large, dis or exact.")
    ] = None,
    ema: Ema = None,
    class_table: ClassTable = None,
) -> None:
    """Compare systems in one self-contained HTML page: numbers with intervals, curves, worst moments, synced video."""
    from temporalkd.config import load

    if frames and data is not None:
        raise typer.BadParameter("--data and --frames: only one can be given")
    if labels is not None and not frames:
        raise typer.BadParameter("--labels needs --frames")
    loaded = load(data, overrides) if data else None
    from temporalkd.cli.work.report import report as write_page

    write_page(systems, out, loaded, overrides, protocol, flow, ema, frames, labels, class_table)
    say(f"wrote {out}")
