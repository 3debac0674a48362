"""`consistency`: systems scored on frames, with or without labels."""

from __future__ import annotations

from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import old_new, one_of
from temporalkd.cli.options import (
    Colours,
    Csv,
    Disturb,
    Frames,
    Json,
    Labels,
    OptionalSystems,
    Perceptual,
    Protocols,
    Resize,
    Skip,
    palette_of,
    shown_as,
)  # fmt: skip
from temporalkd.config.choices import FlowKind


@app.command()
def consistency(
    frames: Frames,
    systems: OptionalSystems = [],
    predictions: Annotated[
        list[str], typer.Option(metavar="DIR", help="A folder of class maps, the same as a SYSTEM.")
    ] = [],
    labels: Labels = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes; default the largest index + 1.")] = None,
    void: Annotated[list[int], typer.Option(help="Value of unlabelled pixels in the labels; several.")] = [255],
    label_mapping: Annotated[
        list[str], typer.Option(metavar="OLD:NEW", help="Read a value of the labels as another class, 255: ignored.")
    ] = [],
    replace: Annotated[
        list[str], typer.Option(metavar="OLD:NEW", help="Read a value of the class maps as another class.")
    ] = [],
    protocol: Protocols = ["visible"],
    palette: Colours = None,
    resize: Resize = False,
    flow: Annotated[
        list[str],
        typer.Option(callback=one_of(FlowKind), help="raft_small, raft_large, dis or zero; several side by side."),
    ] = ["raft_small"],
    weights: Annotated[str | None, typer.Option(help="Weights of the flow network.")] = None,
    disturb: Disturb = [],
    perceptual: Perceptual = None,
    skip: Skip = 1,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score systems on frames: consistency and flips without labels, accuracy too with them."""
    show = shown_as(as_json, as_csv)
    named = [*systems, *predictions]
    if not named:
        raise typer.BadParameter("no SYSTEM is given")
    mapping = dict(old_new(text, "--replace") for text in replace)
    of_labels = dict(old_new(text, "--label-mapping") for text in label_mapping)
    from temporalkd.cli.work import score
    from temporalkd.cli.work.systems import Maps

    maps = Maps(classes, None, mapping or None, palette_of(palette), resize)
    show(
        score.consistency(
            frames, named, maps, labels, void, protocol, flow, weights, of_labels, disturb, perceptual, skip
        )
    )
