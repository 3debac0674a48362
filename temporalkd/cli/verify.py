"""`verify`: whether a run still gives the numbers that its training recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.console import fail


@app.command()
def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Evaluate a run's student again, and compare each number with the one that its training recorded."""
    from temporalkd.cli.work import verify as work

    differing = []
    for number in work.verify(run):
        print(number)
        if number.difference != 0:
            differing.append(abs(number.difference))
    if differing:
        most = f"by up to {max(differing):.4f} points"
        fail(f"{run}: {len(differing)} number(s) differ from its evaluation.json, {most}", 1, debug=False)
