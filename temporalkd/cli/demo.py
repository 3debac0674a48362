"""`demo`: teacher, baseline, kd and etc on synthetic streets, one table, one flicker video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.console import say


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the demo's runs and video.")] = Path("demo"),
    seed: int = 0,
) -> None:
    """Train teacher, baseline, kd and etc on synthetic streets, compare them and render a flicker video."""
    from temporalkd.cli.work import demo as work

    work.demo(out, seed, say)
