"""`compare`: several configs, several seeds, one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.options import (
    Overrides,
)
from temporalkd.console import fail, say


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files, one a system.")],
    overrides: Overrides = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of runs and tables.")] = Path("results"),
    rows: Annotated[bool, typer.Option("--rows", help="Instead of each config, its method's own ablation.")] = False,
    ema: Annotated[float, typer.Option(metavar="DECAY", help="Moving average of the plain student, a row too.")] = 0.8,
) -> None:
    """Train several configs, each with several seeds, and compare them; goes on where it was stopped."""
    from temporalkd.cli.work.compare import compare as run_comparison
    from temporalkd.experiments.comparison import failures, show

    try:
        found = run_comparison(configs, out, range(first_seed, first_seed + seeds), overrides, rows, ema, say)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on", 1, debug=False)
    show(found)
    say(f"wrote {out / 'compare.md'} and {out / 'compare.json'}")
    if failed := failures(found):
        fail(f"{len(failed)} training(s) failed, the same command tries again: {'; '.join(failed)}", 1, debug=False)
