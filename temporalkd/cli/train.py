"""`train`: a student from a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import folder_name
from temporalkd.cli.options import (
    ConfigFile,
    Overrides,
)
from temporalkd.console import fail, say


@app.command()
def train(
    config: ConfigFile,
    overrides: Overrides = [],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Run folder; default runs/NAME.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue from the last checkpoint, or start where there is none."),
    ] = False,
    devices: Annotated[str | None, typer.Option(help="Processes on this machine, or auto.")] = None,
    no_score: Annotated[bool, typer.Option("--no-score", help="Do not score the student on data.val.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Bit-identical results on the same machine; slower on a GPU.")
    ] = False,
) -> None:
    """Train a student."""
    from temporalkd.config import load

    settings = [*overrides, *([f"training.devices={devices}"] if devices else [])]
    loaded = load(config, settings)
    from temporalkd.evaluation.tables import table
    from temporalkd.experiments import run
    from temporalkd.training.reproducibility import be_deterministic

    if deterministic:
        be_deterministic()
    try:
        rows = run.train(loaded, out or Path("runs") / folder_name(loaded.name), resume, say, score=not no_score)
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted", 1, debug=False)
    if rows:
        table(rows, loaded.name)
