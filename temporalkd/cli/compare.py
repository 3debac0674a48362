"""`compare`: several configs, several seeds, one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.options import Overrides
from temporalkd.console import fail, say


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files, one a system.")],
    overrides: Overrides = [],
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds of each system.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of runs and tables.")] = Path("results"),
    rows: Annotated[bool, typer.Option("--rows", help="Train each method's ablation rows instead.")] = False,
    minutes: Annotated[
        list[float], typer.Option(help="Equal time for each training instead of steps; repeat it for curves.")
    ] = [],
    ema: Annotated[float, typer.Option(metavar="DECAY", help="Also score a moving average of one student.")] = 0.8,
) -> None:
    """Train several configs, each with several seeds, and compare them; continues where it was stopped."""
    from temporalkd.experiments import comparison

    try:
        found = comparison.compare(
            configs, out, range(first_seed, first_seed + seeds), overrides, rows, ema, say, minutes=minutes
        )
    except KeyboardInterrupt:
        fail("interrupted; run the same command to continue", 1, debug=False)
    comparison.show(found)
    say(f"wrote {out / 'compare.md'} and {out / 'compare.json'}")
    if failed := comparison.failures(found):
        fail(f"{len(failed)} training(s) failed, run the same command to retry: {'; '.join(failed)}", 1, debug=False)
