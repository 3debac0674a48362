"""`report`: systems compared in one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.options import ClassTable, Ema, Frames, Labels, Overrides, Systems
from temporalkd.config.choices import EvaluationFlow, Protocol
from temporalkd.console import say


@app.command()
def report(
    systems: Systems,
    out: Annotated[Path, typer.Option("-o", "--out", help="The page, .html.")] = Path("report.html"),
    data: Annotated[
        Path | None, typer.Option(help="Config whose data.val to use, instead of --frames; default the first run's.")
    ] = None,
    frames: Frames = [],
    labels: Labels = None,
    overrides: Overrides = [],
    protocol: Annotated[Protocol, typer.Option(help="Protocol of the consistency.")] = "visible",
    flow: Annotated[EvaluationFlow | None, typer.Option(help="Optical flow; default the config's.")] = None,
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
    from temporalkd.cli.work import report as work

    work.report(
        systems,
        out,
        loaded,
        overrides,
        protocol=protocol,
        flow=flow,
        ema=ema,
        frames=frames,
        labels=labels,
        table=class_table,
    )
    say(f"wrote {out}")
