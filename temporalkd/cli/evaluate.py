"""`evaluate`: systems scored on the validation footage of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import one_of
from temporalkd.cli.options import (
    ClassTable,
    Csv,
    Disturb,
    Ema,
    Json,
    Overrides,
    Perceptual,
    Protocols,
    Skip,
    Systems,
    shown_as,
)
from temporalkd.config.choices import EvaluationFlow


@app.command()
def evaluate(
    systems: Systems,
    data: Annotated[Path | None, typer.Option(help="Config whose data.val to use; default the first run's.")] = None,
    overrides: Overrides = [],
    protocol: Protocols = ["visible"],
    flow: Annotated[
        list[str],
        typer.Option(
            callback=one_of(EvaluationFlow),
            help="raft_small, raft_large, dis or exact; several are shown side by side; default the config's.",
        ),
    ] = [],
    ema: Ema = None,
    class_table: ClassTable = None,
    disturb: Disturb = [],
    perceptual: Perceptual = None,
    skip: Skip = 1,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score systems: accuracy, temporal consistency and flip rate, beside ceiling and floor."""
    from temporalkd.config import load

    show = shown_as(as_json, as_csv)
    loaded = load(data, overrides) if data else None
    from temporalkd.cli.work import score

    rows = score.evaluate(
        systems,
        loaded,
        protocol,
        flow,
        overrides,
        ema=ema,
        table=class_table,
        disturb=disturb,
        perceptual=perceptual,
        skip=skip,
    )
    show(rows)
